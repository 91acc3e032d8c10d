//! Volumes of files that say what an object or the pod itself says: configMap, secret, downwardAPI and projected.

use std::collections::HashSet;
use std::path::PathBuf;

use k8s_openapi::api::core::v1 as k8s;

use super::{downward, volumes};
use crate::pod::path::Path;
use crate::pod::report::Document;
use crate::pod::spec::{
    DownwardContent, DownwardFile, KeyToPath, ObjectProjection, Projection, VolumeSource,
};

/// The API server's words for a mode that is none.
const MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";

pub(super) fn config_map(
    source: &k8s::ConfigMapVolumeSource,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<VolumeSource> {
    let default_mode = mode(source.default_mode, &path.field("defaultMode"), document);
    let items = source.items.as_deref();
    let object = object(&source.name, "name", items, source.optional, path, document);
    Some(VolumeSource::Projected {
        sources: vec![Projection::ConfigMap(object?)],
        default_mode: default_mode?,
    })
}

pub(super) fn secret(
    source: &k8s::SecretVolumeSource,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<VolumeSource> {
    let default_mode = mode(source.default_mode, &path.field("defaultMode"), document);
    let name = source.secret_name.as_deref().unwrap_or_default();
    let object = object(name, "secretName", source.items.as_deref(), source.optional, path, document);
    Some(VolumeSource::Projected { sources: vec![Projection::Secret(object?)], default_mode: default_mode? })
}

pub(super) fn downward_api(
    source: &k8s::DownwardAPIVolumeSource,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<VolumeSource> {
    let default_mode = mode(source.default_mode, &path.field("defaultMode"), document);
    let files = downward_files(source.items.as_deref().unwrap_or_default(), path, document);
    Some(VolumeSource::Projected {
        sources: vec![Projection::DownwardApi(files)],
        default_mode: default_mode?,
    })
}

pub(super) fn projected(
    source: &k8s::ProjectedVolumeSource,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<VolumeSource> {
    let default_mode = mode(source.default_mode, &path.field("defaultMode"), document);
    let sources_path = path.field("sources");
    let mut sources = Vec::new();
    let mut seen = HashSet::new();
    for (index, source) in source.sources.iter().flatten().enumerate() {
        let source_path = sources_path.index(index);
        let checked = projection(source, &source_path, document);
        for file in checked.iter().flat_map(paths_of).filter(|path| !path.as_os_str().is_empty()) {
            if !seen.insert(file.clone()) {
                document.invalid(&source_path, file.display().to_string(), "conflicting duplicate paths");
            }
        }
        sources.extend(checked);
    }
    Some(VolumeSource::Projected { sources, default_mode: default_mode? })
}

/// One source, with what it lacks. Kinds that are not supported count as well.
fn projection(
    source: &k8s::VolumeProjection,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<Projection> {
    if document.given_fields(path).count() > 1 {
        document.forbidden(path, "may not specify more than 1 volume type per source");
    }
    if let Some(secret) = &source.secret {
        let path = path.field("secret");
        let object = object(&secret.name, "name", secret.items.as_deref(), secret.optional, &path, document);
        return object.map(Projection::Secret);
    }
    if let Some(config_map) = &source.config_map {
        let path = path.field("configMap");
        let items = config_map.items.as_deref();
        let object = object(&config_map.name, "name", items, config_map.optional, &path, document);
        return object.map(Projection::ConfigMap);
    }
    let of_api_server = [
        ("serviceAccountToken", source.service_account_token.is_some(), "issues tokens"),
        ("clusterTrustBundle", source.cluster_trust_bundle.is_some(), "knows trust bundles"),
        ("podCertificate", source.pod_certificate.is_some(), "has certificates issued"),
    ];
    for (field, _, does) in of_api_server.iter().filter(|(_, given, _)| *given) {
        let why = format!("not supported by this version of mkubelet: only an API server {does}");
        document.problem(&path.field(field), why);
    }
    let downward = source.downward_api.as_ref()?;
    let items = downward.items.as_deref().unwrap_or_default();
    Some(Projection::DownwardApi(downward_files(items, &path.field("downwardAPI"), document)))
}

fn paths_of(projection: &Projection) -> Vec<&PathBuf> {
    match projection {
        Projection::ConfigMap(object) | Projection::Secret(object) => {
            object.items.iter().map(|item| &item.path).collect()
        }
        Projection::DownwardApi(files) => files.iter().map(|file| &file.path).collect(),
    }
}

fn object(
    name: &str,
    name_field: &str,
    items: Option<&[k8s::KeyToPath]>,
    optional: Option<bool>,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<ObjectProjection> {
    if name.is_empty() {
        document.required(&path.field(name_field));
    }
    let items_path = path.field("items");
    let mut checked = Vec::new();
    for (index, item) in items.unwrap_or_default().iter().enumerate() {
        let path = items_path.index(index);
        if item.key.is_empty() {
            document.required(&path.field("key"));
        }
        let file = file_path(&item.path, &path, document);
        let mode = item.mode.map(|given| mode(Some(given), &path.field("mode"), document));
        checked.push(KeyToPath { key: item.key.clone(), path: file, mode: mode.flatten() });
    }
    Some(ObjectProjection { name: name.to_owned(), items: checked, optional: optional == Some(true) })
}

fn downward_files(
    items: &[k8s::DownwardAPIVolumeFile],
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Vec<DownwardFile> {
    let items_path = path.field("items");
    let mut files = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let path = items_path.index(index);
        let file = file_path(&item.path, &path, document);
        let mode = item.mode.map(|given| mode(Some(given), &path.field("mode"), document));
        let content = match (&item.field_ref, &item.resource_field_ref) {
            (Some(field), resource) => {
                let field_path = path.field("fieldRef");
                let field = downward::field(field, &downward::VOLUME_FIELDS, &field_path, document);
                if resource.is_some() {
                    let why = "fieldRef and resourceFieldRef can not be specified simultaneously";
                    document.invalid(&path, "resource", why);
                }
                field.map(DownwardContent::Field)
            }
            (None, Some(resource)) => {
                let resource = downward::resource(resource, true, &path.field("resourceFieldRef"), document);
                resource.map(DownwardContent::Resource)
            }
            (None, None) => {
                document.required_for(&path, "one of fieldRef and resourceFieldRef is required");
                None
            }
        };
        files.extend(content.map(|content| DownwardFile { path: file, content, mode: mode.flatten() }));
    }
    files
}

/// The `path` of the item at `path`: below the volume, and none of the names that the volume itself uses.
fn file_path(text: &str, path: &Path<'_>, document: &mut Document<'_, '_>) -> PathBuf {
    volumes::check_item_path(text, &path.field("path"), document);
    // Without `.` and doubled slashes.
    PathBuf::from(text).components().filter(|part| *part != std::path::Component::CurDir).collect()
}

fn mode(given: Option<i32>, path: &Path<'_>, document: &mut Document<'_, '_>) -> Option<u32> {
    let given = given.unwrap_or_default();
    let mode = u32::try_from(given).ok().filter(|mode| *mode <= 0o777);
    if mode.is_none() {
        document.invalid(path, given, MODE);
    }
    mode
}
