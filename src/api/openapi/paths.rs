//! The paths of the kinds: what can be done at each, and with which parameters.

use serde_json::{Map, Value, json};

use super::schemas;
use crate::api::resource::Names;

/// Parameters of every operation that writes.
pub(super) const OF_WRITES: [&str; 3] = ["dryRun", "fieldManager", "fieldValidation"];
/// Of those that read many objects.
const OF_LISTS: [&str; 9] = [
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "timeoutSeconds",
    "watch",
];
/// Of those that remove.
const OF_REMOVALS: [&str; 3] = ["dryRun", "gracePeriodSeconds", "propagationPolicy"];

/// `api/v1`, or `apis/GROUP/VERSION`.
pub(super) fn root(names: &Names) -> String {
    match names.group {
        "" => format!("api/{}", names.version),
        group => format!("apis/{group}/{}", names.version),
    }
}

/// The path of one object of a kind.
pub(super) fn of_object(names: &Names) -> String {
    format!("{}/{{name}}", of_list(names, names.namespaced))
}

fn of_list(names: &Names, in_namespace: bool) -> String {
    let namespace = if in_namespace { "namespaces/{namespace}/" } else { "" };
    format!("/{}/{namespace}{}", root(names), names.plural)
}

/// All paths of these kinds.
pub(super) fn of(names: &[Names]) -> Map<String, Value> {
    names.iter().flat_map(of_kind).collect()
}

fn of_kind(names: &Names) -> Vec<(String, Value)> {
    let list = json!({
        "get": operation(names, "list", &OF_LISTS, false),
        "post": operation(names, "post", &OF_WRITES, true),
        "delete": operation(names, "deletecollection", &OF_LISTS, false),
    });
    let object = json!({
        "get": operation(names, "get", &[], false),
        "put": operation(names, "put", &OF_WRITES, true),
        "patch": operation(names, "patch", &OF_WRITES, true),
        "delete": operation(names, "delete", &OF_REMOVALS, false),
    });
    let mut paths = vec![(of_list(names, names.namespaced), list), (of_object(names), object)];
    if names.namespaced {
        let everywhere = json!({"get": operation(names, "list", &OF_LISTS, false)});
        paths.push((of_list(names, false), everywhere));
    }
    paths
}

fn operation(names: &Names, action: &str, parameters: &[&str], has_body: bool) -> Value {
    let parameters: Vec<Value> = parameters.iter().map(|name| parameter(name)).collect();
    let mut operation = json!({
        "parameters": parameters,
        "responses": {"200": {"description": "OK", "content": content(names)}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind":
            {"group": names.group, "version": names.version, "kind": names.kind},
    });
    if has_body {
        operation["requestBody"] = json!({"content": content(names), "required": true});
    }
    operation
}

fn parameter(name: &str) -> Value {
    let kind = match name {
        "allowWatchBookmarks" | "watch" => "boolean",
        "gracePeriodSeconds" | "limit" | "timeoutSeconds" => "integer",
        _ => "string",
    };
    json!({"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": true}})
}

fn content(names: &Names) -> Value {
    let schema = match schemas::name(names) {
        Some(name) => json!({"$ref": format!("#/components/schemas/{name}")}),
        None => json!({"type": "object"}),
    };
    json!({"application/json": {"schema": schema}})
}
