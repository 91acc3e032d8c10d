//! Environment variables, and what their values are taken from.

use k8s_openapi::api::core::v1 as k8s;

use super::{all_invalid, downward, names, volumes, without_nul};
use crate::pod::path::Path;
use crate::pod::report::Document;
use crate::pod::spec::{EnvFile, EnvFrom, EnvVar, FileKeySelector, KeySelector, ObjectKind, ValueSource};

/// The fields that a variable may show, besides single labels and annotations.
const FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// The `env` at `path`.
pub(super) fn check(vars: &[k8s::EnvVar], path: &Path<'_>, document: &mut Document<'_, '_>) -> Vec<EnvVar> {
    let mut checked = Vec::with_capacity(vars.len());
    for (index, var) in vars.iter().enumerate() {
        let path = path.index(index);
        let name_path = path.field("name");
        if var.name.is_empty() {
            document.required(&name_path);
        } else if let Some(why) = names::env_name(&var.name) {
            document.invalid(&name_path, &var.name, why);
        }
        let value = var.value.clone().unwrap_or_default();
        without_nul(&path.field("value"), &value, document);
        let from = var.value_from.as_ref();
        let value_from =
            from.and_then(|from| value_from(from, !value.is_empty(), &path.field("valueFrom"), document));
        checked.push(EnvVar { name: var.name.clone(), value, value_from });
    }
    checked
}

/// The `envFrom` at `path`.
pub(super) fn check_from(
    sources: &[k8s::EnvFromSource],
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Vec<EnvFrom> {
    let mut checked = Vec::with_capacity(sources.len());
    for (index, source) in sources.iter().enumerate() {
        let entry = path.index(index);
        let prefix = source.prefix.clone().unwrap_or_default();
        if let Some(why) = names::env_name(&prefix) {
            document.invalid(&entry.field("prefix"), &prefix, why);
        }
        let config_map = source.config_map_ref.as_ref().map(|from| (&from.name, from.optional));
        let secret = source.secret_ref.as_ref().map(|from| (&from.name, from.optional));
        let given =
            [(ObjectKind::ConfigMap, "configMapRef", config_map), (ObjectKind::Secret, "secretRef", secret)];
        let given: Vec<_> =
            given.into_iter().filter_map(|(kind, field, from)| Some((kind, field, from?))).collect();
        for (kind, field, (name, optional)) in &given {
            let name_path = entry.field(field);
            let name_path = name_path.field("name");
            if name.is_empty() {
                document.required(&name_path);
            } else {
                all_invalid(&name_path, name, names::dns_subdomain(name), document);
            }
            let (name, optional) = ((*name).clone(), *optional == Some(true));
            checked.push(EnvFrom { prefix: prefix.clone(), kind: *kind, name, optional });
        }
        // The API server names the list, not the entry.
        match given.len() {
            0 => document.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => document.invalid(path, "", "may not have more than one field specified at a time"),
        }
    }
    checked
}

fn value_from(
    from: &k8s::EnvVarSource,
    has_value: bool,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<ValueSource> {
    let mut sources = Vec::new();
    if let Some(field) = &from.field_ref {
        let field = downward::field(field, &FIELDS, &path.field("fieldRef"), document);
        sources.push(field.map(ValueSource::Field));
    }
    if let Some(resource) = &from.resource_field_ref {
        let resource = downward::resource(resource, false, &path.field("resourceFieldRef"), document);
        sources.push(resource.map(ValueSource::Resource));
    }
    if let Some(k8s::ConfigMapKeySelector { name, key, optional }) = &from.config_map_key_ref {
        let key = key_selector(name, key, *optional, &path.field("configMapKeyRef"), document);
        sources.push(Some(ValueSource::ConfigMapKey(key)));
    }
    if let Some(k8s::SecretKeySelector { name, key, optional }) = &from.secret_key_ref {
        let key = key_selector(name, key, *optional, &path.field("secretKeyRef"), document);
        sources.push(Some(ValueSource::SecretKey(key)));
    }
    if let Some(file) = &from.file_key_ref {
        let key = file_key_selector(file, &path.field("fileKeyRef"), document);
        sources.push(Some(ValueSource::FileKey(key)));
    }
    match sources.len() {
        0 => document.invalid(
            path,
            "",
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
        ),
        _ if has_value => document.invalid(path, "", "may not be specified when `value` is not empty"),
        1 => {}
        _ => document.invalid(path, "", "may not have more than one field specified at a time"),
    }
    sources.into_iter().next().flatten()
}

fn file_key_selector(
    selector: &k8s::FileKeySelector,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> FileKeySelector {
    let k8s::FileKeySelector { volume_name: volume, path: file, key, optional } = selector;
    let volume_path = path.field("volumeName");
    if volume.is_empty() {
        document.required(&volume_path);
    } else {
        all_invalid(&volume_path, volume, names::dns_label(volume), document);
    }
    volumes::check_item_path(file, &path.field("path"), document);
    let key_path = path.field("key");
    if key.is_empty() {
        document.required(&key_path);
    } else if let Some(why) = names::env_name(key) {
        document.invalid(&key_path, key, why);
    }
    let file = EnvFile { volume: volume.clone(), path: file.clone() };
    FileKeySelector { file, key: key.clone(), optional: optional == &Some(true) }
}

/// Checks that the volumes which `fileKeyRef` names are there, and of the only kind that may be read so.
pub(super) fn check_volumes(spec: &k8s::PodSpec, path: &Path<'_>, document: &mut Document<'_, '_>) {
    let lists = [
        ("initContainers", of_containers(spec.init_containers.iter().flatten())),
        ("containers", of_containers(&spec.containers)),
        ("ephemeralContainers", spec.ephemeral_containers.iter().flatten().map(|c| c.env.as_ref()).collect()),
    ];
    for (list, envs) in lists {
        let list = path.field(list);
        for (index, vars) in envs.into_iter().enumerate() {
            let container = list.index(index);
            let env = container.field("env");
            for (index, var) in vars.into_iter().flatten().enumerate() {
                let file = var.value_from.as_ref().and_then(|from| from.file_key_ref.as_ref());
                let Some(name) = file.map(|file| &file.volume_name).filter(|name| !name.is_empty()) else {
                    continue;
                };
                let var = env.index(index);
                let from = var.field("valueFrom");
                let selector = from.field("fileKeyRef");
                let path = selector.field("volumeName");
                match spec.volumes.iter().flatten().find(|volume| volume.name == *name) {
                    None => document.not_found(&path, name),
                    Some(volume) if volume.empty_dir.is_none() => {
                        document.invalid(&path, name, "referenced volume must be of type emptyDir");
                    }
                    Some(_) => {}
                }
            }
        }
    }
}

fn of_containers<'a>(
    containers: impl IntoIterator<Item = &'a k8s::Container>,
) -> Vec<Option<&'a Vec<k8s::EnvVar>>> {
    containers.into_iter().map(|container| container.env.as_ref()).collect()
}

fn key_selector(
    name: &str,
    key: &str,
    optional: Option<bool>,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> KeySelector {
    all_invalid(&path.field("name"), name, names::dns_subdomain(name), document);
    let key_path = path.field("key");
    if key.is_empty() {
        document.required(&key_path);
    } else {
        all_invalid(&key_path, key, names::config_key(key), document);
    }
    KeySelector { name: name.to_owned(), key: key.to_owned(), optional: optional == Some(true) }
}
