//! The schemas of the kinds, and how lists in them are merged.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::api::resource::Names;

/// What `tools/schemas` prints, compressed: the types of k8s-openapi, by name.
const TYPES: &[u8] = include_bytes!("types.json.zst");

/// The groups whose kinds have schemas, and what is before the name of a kind.
const PREFIXES: [(&str, &str); 2] = [("", "io.k8s.api.core.v1."), ("events.k8s.io", "io.k8s.api.events.v1.")];

/// Before the name of a schema, where another one names it.
const REFERENCE: &str = "#/components/schemas/";

/// Lists that are merged and not replaced: type, field, the key of an element (none when it is its own), strategy.
///
/// Source: `x-kubernetes-patch-merge-key` and `-strategy` of Kubernetes' own document.
const MERGED: [(&str, &str, &str, &str); 24] = [
    ("core.v1.Container", "env", "name", "merge"),
    ("core.v1.Container", "ports", "containerPort", "merge"),
    ("core.v1.Container", "volumeDevices", "devicePath", "merge"),
    ("core.v1.Container", "volumeMounts", "mountPath", "merge"),
    ("core.v1.EphemeralContainer", "env", "name", "merge"),
    ("core.v1.EphemeralContainer", "ports", "containerPort", "merge"),
    ("core.v1.EphemeralContainer", "volumeDevices", "devicePath", "merge"),
    ("core.v1.EphemeralContainer", "volumeMounts", "mountPath", "merge"),
    ("core.v1.NamespaceStatus", "conditions", "type", "merge"),
    ("core.v1.NodeSpec", "podCIDRs", "", "merge"),
    ("core.v1.NodeStatus", "addresses", "type", "merge"),
    ("core.v1.NodeStatus", "conditions", "type", "merge"),
    ("core.v1.PodSpec", "containers", "name", "merge"),
    ("core.v1.PodSpec", "ephemeralContainers", "name", "merge"),
    ("core.v1.PodSpec", "hostAliases", "ip", "merge"),
    ("core.v1.PodSpec", "imagePullSecrets", "name", "merge"),
    ("core.v1.PodSpec", "initContainers", "name", "merge"),
    ("core.v1.PodSpec", "schedulingGates", "name", "merge"),
    ("core.v1.PodSpec", "topologySpreadConstraints", "topologyKey", "merge"),
    ("core.v1.PodSpec", "volumes", "name", "merge,retainKeys"),
    ("core.v1.PodStatus", "conditions", "type", "merge"),
    ("core.v1.PodStatus", "podIPs", "ip", "merge"),
    ("meta.v1.ObjectMeta", "finalizers", "", "merge"),
    ("meta.v1.ObjectMeta", "ownerReferences", "uid", "merge"),
];

/// The name of a kind's schema; `None` for a kind of another group, which has none here.
pub(super) fn name(names: &Names) -> Option<String> {
    let (_, prefix) = PREFIXES.iter().find(|(group, _)| *group == names.group)?;
    Some(format!("{prefix}{}", names.kind))
}

/// All schemas of these kinds and of what is in them, by name.
pub(super) fn of(names: &[Names]) -> Map<String, Value> {
    if names.iter().all(|names| name(names).is_none()) {
        return Map::new();
    }
    let read = zstd::decode_all(TYPES).map(|text| serde_json::from_slice(&text));
    // They are part of the program, and read by its tests.
    let Ok(Ok(mut schemas)) = read else { return Map::new() };
    names.iter().for_each(|names| mark_kind(&mut schemas, names));
    for (kind, field, key, strategy) in MERGED {
        mark_list(&mut schemas, (kind, field), key, strategy);
    }
    let needed = needed(&schemas, names.iter().filter_map(name).collect());
    schemas.retain(|name, _| needed.contains(name));
    schemas
}

/// The names of these schemas and of all that they refer to.
fn needed(schemas: &Map<String, Value>, mut due: Vec<String>) -> BTreeSet<String> {
    let mut needed = BTreeSet::new();
    while let Some(name) = due.pop() {
        if let Some(schema) = schemas.get(&name)
            && needed.insert(name)
        {
            refer(schema, &mut due);
        }
    }
    needed
}

/// Adds the names of the schemas that are referred to.
fn refer(schema: &Value, names: &mut Vec<String>) {
    match schema {
        Value::Object(fields) => fields.values().for_each(|field| refer(field, names)),
        Value::Array(elements) => elements.iter().for_each(|element| refer(element, names)),
        Value::String(text) => names.extend(text.strip_prefix(REFERENCE).map(str::to_owned)),
        _ => {}
    }
}

fn mark_kind(schemas: &mut Map<String, Value>, names: &Names) {
    if let Some(schema) = name(names).and_then(|name| schemas.get_mut(&name)) {
        let kind = json!([{"group": names.group, "version": names.version, "kind": names.kind}]);
        schema["x-kubernetes-group-version-kind"] = kind;
    }
}

fn mark_list(schemas: &mut Map<String, Value>, (kind, field): (&str, &str), key: &str, strategy: &str) {
    let schema = schemas.iter_mut().find(|(name, _)| name.ends_with(kind)).map(|(_, schema)| schema);
    let Some(list) = schema.and_then(|schema| schema.get_mut("properties")?.get_mut(field)) else { return };
    list["x-kubernetes-patch-strategy"] = strategy.into();
    if !key.is_empty() {
        list["x-kubernetes-patch-merge-key"] = key.into();
    }
}
