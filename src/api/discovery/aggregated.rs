//! `APIGroupDiscoveryList`: all groups, versions and kinds in one document (KEP-3352).

use serde_json::{Value, json};

use super::groups::by_group;
use super::negotiate::Form;
use super::verbs;
use crate::api::resource::{Names, Subresource};

/// The document of these kinds.
pub(super) fn list<'a>(form: Form, names: impl Iterator<Item = &'a Names>) -> Value {
    let items: Vec<Value> = by_group(names)
        .into_iter()
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .into_iter()
                .map(|(version, names)| {
                    let resources: Vec<Value> = names.into_iter().map(resource).collect();
                    json!({"version": version, "resources": resources, "freshness": "Current"})
                })
                .collect();
            json!({"metadata": {"name": group, "creationTimestamp": null}, "versions": versions})
        })
        .collect();
    let version = format!("apidiscovery.k8s.io/{}", form.version());
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": version, "metadata": {}, "items": items})
}

fn resource(names: &Names) -> Value {
    let scope = if names.namespaced { "Namespaced" } else { "Cluster" };
    let mut resource = json!({
        "resource": names.plural,
        "responseKind": kind(names.group, names.version, names.kind),
        "scope": scope,
        "singularResource": names.singular,
        "verbs": verbs(names),
    });
    if !names.short_names.is_empty() {
        resource["shortNames"] = json!(names.short_names);
    }
    if !names.categories.is_empty() {
        resource["categories"] = json!(names.categories);
    }
    if !names.subresources.is_empty() {
        let all = names.subresources.iter().map(|subresource| of_subresource(names, subresource));
        resource["subresources"] = all.collect();
    }
    resource
}

fn of_subresource(names: &Names, subresource: &Subresource) -> Value {
    let (group, version) = match subresource.api_version.split_once('/') {
        Some(other) => other,
        None => (names.group, names.version),
    };
    let name = if subresource.kind.is_empty() { names.kind } else { subresource.kind };
    json!({
        "subresource": subresource.name, "responseKind": kind(group, version, name), "verbs": subresource.verbs,
    })
}

fn kind(group: &str, version: &str, kind: &str) -> Value {
    json!({"group": group, "version": version, "kind": kind})
}
