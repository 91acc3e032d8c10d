//! `APIResourceList`: the kinds of one group and version, with their subresources.

use serde_json::{Value, json};

use super::verbs;
use crate::api::resource::{Names, Subresource};

/// The document of these kinds, which are all of `group_version`.
pub(super) fn list(group_version: &str, names: &[&Names]) -> Value {
    let resources: Vec<Value> = names
        .iter()
        .flat_map(|names| {
            let subresources =
                names.subresources.iter().map(|subresource| of_subresource(names, subresource));
            std::iter::once(resource(names)).chain(subresources)
        })
        .collect();
    json!({"kind": "APIResourceList", "groupVersion": group_version, "resources": resources})
}

fn resource(names: &Names) -> Value {
    let mut resource = json!({
        "name": names.plural,
        "singularName": names.singular,
        "namespaced": names.namespaced,
        "kind": names.kind,
        "verbs": verbs(names),
    });
    if !names.short_names.is_empty() {
        resource["shortNames"] = json!(names.short_names);
    }
    if !names.categories.is_empty() {
        resource["categories"] = json!(names.categories);
    }
    resource
}

fn of_subresource(names: &Names, subresource: &Subresource) -> Value {
    let kind = if subresource.kind.is_empty() { names.kind } else { subresource.kind };
    let mut resource = json!({
        "name": format!("{}/{}", names.plural, subresource.name),
        "singularName": "",
        "namespaced": names.namespaced,
    });
    if let Some((group, version)) = subresource.api_version.split_once('/') {
        resource["group"] = group.into();
        resource["version"] = version.into();
    }
    resource["kind"] = kind.into();
    resource["verbs"] = json!(subresource.verbs);
    resource
}
