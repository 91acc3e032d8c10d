//! Name, namespace, uid, labels and annotations.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{all_invalid, names};
use crate::pod::objects::ObjectKey;
use crate::pod::path::Path;
use crate::pod::report::Document;
use crate::pod::{OOM_GROUP_ANNOTATION, PodKey, PodUid};

/// Bytes of all annotations of an object together.
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// The pod's name, and its uid if it has one.
pub(super) fn check(
    metadata: &ObjectMeta,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<(PodKey, Option<PodUid>)> {
    let key = check_object(metadata, path, document);
    let uid = metadata.uid.as_deref().filter(|uid| !uid.is_empty());
    let uid = uid.map(|uid| {
        all_invalid(&path.field("uid"), uid, names::dns_label(uid), document);
        uid.parse().ok()
    });
    let ObjectKey { namespace, name } = key?;
    let key = PodKey { namespace, name };
    match uid {
        Some(uid) => Some((key, Some(uid?))),
        None => Some((key, None)),
    }
}

/// The name of an object of any kind.
pub(super) fn check_object(
    metadata: &ObjectMeta,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<ObjectKey> {
    let name = name(metadata, path, document);
    let namespace = metadata.namespace.clone().unwrap_or_default();
    let fine = all_invalid(&path.field("namespace"), &namespace, names::dns_label(&namespace), document);
    labels(metadata.labels.as_ref(), &path.field("labels"), document);
    annotations(metadata.annotations.as_ref(), &path.field("annotations"), document);
    Some(ObjectKey { namespace: fine.then_some(namespace)?, name: name? })
}

fn name(metadata: &ObjectMeta, path: &Path<'_>, document: &mut Document<'_, '_>) -> Option<String> {
    let given = |field: &Option<String>| field.clone().filter(|text| !text.is_empty());
    let name = given(&metadata.name);
    let prefix = given(&metadata.generate_name);
    if let Some(prefix) = &prefix {
        // A name is made by adding letters, so the prefix may end with a dash.
        let wrong = names::dns_subdomain(&format!("{}a", prefix.trim_end_matches('-')));
        all_invalid(&path.field("generateName"), prefix, wrong, document);
    }
    let name_path = path.field("name");
    match (&name, prefix) {
        (Some(name), _) => {
            all_invalid(&name_path, name, names::dns_subdomain(name), document);
        }
        (None, Some(_)) => {
            document.required_for(&name_path, "no name is generated from generateName on a node")
        }
        (None, None) => document.required_for(&name_path, "name or generateName is required"),
    }
    name
}

fn labels(labels: Option<&BTreeMap<String, String>>, path: &Path<'_>, document: &mut Document<'_, '_>) {
    for (key, value) in labels.into_iter().flatten() {
        let at = document.tree().locate(&path.key(key));
        let of_key = names::qualified_name(key).into_iter().map(|why| (key, why));
        let of_value = names::label_value(value).into_iter().map(|why| (value, why));
        for (text, why) in of_key.chain(of_value) {
            document.invalid_at(at, path, text, why);
        }
    }
}

fn annotations(
    annotations: Option<&BTreeMap<String, String>>,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) {
    let mut size = 0;
    for (key, value) in annotations.into_iter().flatten() {
        let at = document.tree().locate(&path.key(key));
        for why in names::qualified_name(&key.to_lowercase()) {
            document.invalid_at(at, path, key, why);
        }
        if key == OOM_GROUP_ANNOTATION && value != "true" && value != "false" {
            document.invalid(&path.key(key), value, "must be \"true\" or \"false\"");
        }
        size += key.len() + value.len();
    }
    if size > MAX_ANNOTATIONS {
        document.problem(path, format!("Too long: may not be more than {MAX_ANNOTATIONS} bytes"));
    }
}
