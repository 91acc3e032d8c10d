//! Profiles that confine a container's system calls (seccomp) and its access to files and more (AppArmor).

use std::path::PathBuf;

use k8s_openapi::api::core::v1 as k8s;

use super::without_nul;
use crate::pod::path::Path;
use crate::pod::report::Document;
use crate::pod::spec::{AppArmorProfile, SeccompProfile};

/// Before the field there were annotations: this, and the container's name.
pub(in crate::pod) const APP_ARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Longest name of an AppArmor profile, bytes: PATH_MAX - 1.
const MAX_APP_ARMOR_NAME: usize = 4095;

/// In the order in which the API server names them.
const TYPES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];

/// `seccompProfile`.
pub(super) fn seccomp(
    profile: Option<&k8s::SeccompProfile>,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<SeccompProfile> {
    let profile = profile?;
    let file = profile.localhost_profile.as_deref();
    let file_path = path.field("localhostProfile");
    check_type(&profile.type_, "seccompProfile", path, document);
    match (profile.type_.as_str(), file) {
        ("Localhost", None | Some("")) => {
            document.required_for(&file_path, "must be set when seccomp type is Localhost");
            None
        }
        ("Localhost", Some(file)) => {
            if !without_nul(&file_path, file, document) {
            } else if file.starts_with('/') {
                document.invalid(&file_path, file, "must be a relative path");
            } else if file.split('/').any(|part| part == "..") {
                document.invalid(&file_path, file, "must not contain '..'");
            }
            Some(SeccompProfile::Localhost { path: PathBuf::from(file) })
        }
        (_, Some(file)) => {
            document.invalid(&file_path, file, "can only be set when seccomp type is Localhost");
            None
        }
        ("RuntimeDefault", None) => Some(SeccompProfile::RuntimeDefault),
        ("Unconfined", None) => Some(SeccompProfile::Unconfined),
        (_, None) => None,
    }
}

/// `appArmorProfile`.
pub(super) fn app_armor(
    profile: Option<&k8s::AppArmorProfile>,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<AppArmorProfile> {
    let profile = profile?;
    let name = profile.localhost_profile.as_deref();
    let name_path = path.field("localhostProfile");
    check_type(&profile.type_, "appArmorProfile", path, document);
    match (profile.type_.as_str(), name) {
        ("Localhost", None | Some("")) => {
            document.required_for(&name_path, "must be set when AppArmor type is Localhost");
            None
        }
        ("Localhost", Some(name)) => {
            if name.trim() != name {
                document.invalid(&name_path, name, "must not be padded with whitespace");
            } else if name.len() > MAX_APP_ARMOR_NAME {
                let why = format!("Too long: may not be more than {MAX_APP_ARMOR_NAME} bytes");
                document.problem(&name_path, why);
            } else if name.contains(char::is_control) {
                document.invalid(&name_path, name, "must not contain control characters");
            }
            Some(AppArmorProfile::Localhost { name: name.to_owned() })
        }
        (_, Some(name)) => {
            document.invalid(&name_path, name, "can only be set when AppArmor type is Localhost");
            None
        }
        ("RuntimeDefault", None) => Some(AppArmorProfile::RuntimeDefault),
        ("Unconfined", None) => Some(AppArmorProfile::Unconfined),
        (_, None) => None,
    }
}

fn check_type(kind: &str, field: &str, path: &Path<'_>, document: &mut Document<'_, '_>) {
    let path = path.field("type");
    if kind.is_empty() {
        document.required_for(&path, &format!("type is required when {field} is set"));
    } else if !TYPES.contains(&kind) {
        document.unsupported(&path, kind, &TYPES);
    }
}

/// The profile that an annotation's value names.
pub(in crate::pod) fn app_armor_of_annotation(value: &str) -> Option<k8s::AppArmorProfile> {
    let profile = |kind: &str, name: Option<&str>| k8s::AppArmorProfile {
        type_: kind.to_owned(),
        localhost_profile: name.map(str::to_owned),
    };
    match value {
        "runtime/default" => Some(profile("RuntimeDefault", None)),
        "unconfined" => Some(profile("Unconfined", None)),
        _ => {
            let name = value.strip_prefix("localhost/").filter(|name| !name.is_empty());
            name.map(|name| profile("Localhost", Some(name)))
        }
    }
}

/// The annotations of AppArmor in the metadata at `path`, which the defaults have made fields of the containers.
pub(super) fn check_annotations(
    annotations: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<str>)>,
    spec: &k8s::PodSpec,
    spec_path: &Path<'_>,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) {
    for (key, value) in annotations {
        let (key, value) = (key.as_ref(), value.as_ref());
        let Some(name) = key.strip_prefix(APP_ARMOR_ANNOTATION) else { continue };
        let path = path.key(key);
        let profile = app_armor_of_annotation(value);
        if profile.is_none() && !value.is_empty() {
            document.invalid(&path, value, format!("invalid AppArmor profile name: {value:?}"));
        }
        let lists =
            [("initContainers", spec.init_containers.as_deref()), ("containers", Some(&spec.containers))];
        let mut found = false;
        for (field, containers) in lists {
            let list_path = spec_path.field(field);
            for (index, container) in containers.unwrap_or_default().iter().enumerate() {
                if container.name != name {
                    continue;
                }
                found = true;
                let written = container.security_context.as_ref().and_then(|c| c.app_armor_profile.as_ref());
                if let (Some(annotation), Some(written)) = (&profile, written) {
                    let container_path = list_path.index(index);
                    let context_path = container_path.field("securityContext");
                    check_agree(annotation, written, &context_path.field("appArmorProfile"), document);
                }
            }
        }
        if !found {
            document.invalid(&path, name, "container not found");
        }
    }
}

fn check_agree(
    annotation: &k8s::AppArmorProfile,
    field: &k8s::AppArmorProfile,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) {
    if annotation.type_ != field.type_ {
        document.forbidden(&path.field("type"), "apparmor type in annotation and field must match");
    } else if annotation.localhost_profile != field.localhost_profile {
        let path = path.field("localhostProfile");
        document.forbidden(&path, "apparmor profile in annotation and field must match");
    }
}
