//! Nodes: there is one, which the agent registers and keeps up to date; others may cordon and label it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeStatus};
use serde_json::Value;

use super::columns::{AGE, NAME, text, wide};
use super::decode::decode;
use crate::api::object::Object;
use crate::api::resource::{Column, Names, Part, Resource, Subresource};
use crate::api::status::FieldError;
use crate::api::table::age;
use crate::pod::names;

/// `v1` Node.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nodes;

const NAMES: Names = Names {
    group: "",
    version: "v1",
    plural: "nodes",
    singular: "node",
    kind: "Node",
    short_names: &["no"],
    categories: &[],
    namespaced: false,
    subresources: &[
        // What a kubelet serves, which is read alone.
        Subresource { name: "proxy", kind: "NodeProxyOptions", api_version: "", verbs: &["get"] },
        Subresource::STATUS,
    ],
};

const COLUMNS: [Column; 10] = [
    NAME,
    text("Status", "The status of the node"),
    text("Roles", "The roles of the node"),
    AGE,
    text("Version", "The version of Kubernetes that the node keeps to."),
    wide("Internal-IP", "The address of the node in its network."),
    wide("External-IP", "The address of the node as others reach it."),
    wide("OS-Image", "The system of the node."),
    wide("Kernel-Version", "The kernel of the node, and its machine."),
    wide("Container-Runtime", "What runs the containers of the node."),
];

/// Labels that say what a node is for.
const ROLE_PREFIX: &str = "node-role.kubernetes.io/";
/// Likewise, as a value.
const ROLE: &str = "kubernetes.io/role";

impl Resource for Nodes {
    fn names(&self) -> &Names {
        &NAMES
    }

    fn decode(&self, object: &mut Object) -> Result<Vec<String>, String> {
        decode::<Node>(object)
    }

    fn validate(&self, object: &Object) -> Vec<FieldError> {
        let taints = object.at(&["spec", "taints"]).and_then(Value::as_array);
        taints
            .into_iter()
            .flatten()
            .enumerate()
            .flat_map(|(index, taint)| check_taint(index, taint))
            .collect()
    }

    fn validate_update(&self, _part: Part<'_>, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = self.validate(new);
        for (field, name) in [("podCIDRs", "podCIDR"), ("providerID", "providerID")] {
            let before = old.at(&["spec", field]);
            if before.is_some() && before != new.at(&["spec", field]) {
                let why = format!("node updates may not change {name} except from \"\" to valid");
                errors.push(FieldError::forbidden(format!("spec.{field}"), &why));
            }
        }
        errors
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn row(&self, object: &Object, now: Timestamp) -> Vec<Value> {
        let node: Node = object.to().unwrap_or_default();
        let status = node.status.clone().unwrap_or_default();
        let info = status.node_info.clone().unwrap_or_default();
        let kernel = match info.architecture.as_str() {
            "" => or(&info.kernel_version, "<unknown>"),
            machine => format!("{} ({machine})", or(&info.kernel_version, "<unknown>")),
        };
        vec![
            object.name().into(),
            conditions(&node, &status).into(),
            roles(object).into(),
            age(object.creation_timestamp(), now).into(),
            info.kubelet_version.into(),
            address(&status, "InternalIP").into(),
            address(&status, "ExternalIP").into(),
            or(&info.os_image, "<unknown>").into(),
            kernel.into(),
            or(&info.container_runtime_version, "<unknown>").into(),
        ]
    }

    fn fields(&self, object: &Object) -> BTreeMap<&'static str, String> {
        let unschedulable = object.at(&["spec", "unschedulable"]).and_then(Value::as_bool).unwrap_or(false);
        BTreeMap::from([("spec.unschedulable", unschedulable.to_string())])
    }
}

fn check_taint(index: usize, taint: &Value) -> Vec<FieldError> {
    let path = format!("metadata.taints[{index}]");
    let of = |field: &str| taint[field].as_str().unwrap_or_default();
    let mut errors = Vec::new();
    for (field, wrong) in
        [("key", names::qualified_name(of("key"))), ("value", names::label_value(of("value")))]
    {
        errors.extend(
            wrong.into_iter().map(|why| FieldError::invalid(format!("{path}.{field}"), of(field), why)),
        );
    }
    const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
    match of("effect") {
        "" => errors.push(FieldError::required(format!("{path}.effect"), "")),
        effect if EFFECTS.contains(&effect) => {}
        effect => errors.push(FieldError::not_supported(format!("{path}.effect"), effect, &EFFECTS)),
    }
    errors
}

fn conditions(node: &Node, status: &NodeStatus) -> String {
    let ready = status.conditions.iter().flatten().rfind(|condition| condition.type_ == "Ready");
    let mut words = match ready.map(|condition| condition.status.as_str()) {
        Some("True") => "Ready".to_owned(),
        Some(_) => "NotReady".to_owned(),
        None => "Unknown".to_owned(),
    };
    if node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true) {
        words.push_str(",SchedulingDisabled");
    }
    words
}

fn roles(object: &Object) -> String {
    let role = |(key, value)| match str::strip_prefix(key, ROLE_PREFIX) {
        Some(role) => Some(role),
        None => (key == ROLE).then_some(value),
    };
    let roles: BTreeSet<&str> = object.labels().filter_map(role).filter(|role| !role.is_empty()).collect();
    or(&roles.into_iter().collect::<Vec<_>>().join(","), "<none>")
}

fn address(status: &NodeStatus, kind: &str) -> String {
    let found = status.addresses.iter().flatten().find(|address| address.type_ == kind);
    found.map_or_else(|| "<none>".to_owned(), |found| found.address.clone())
}

fn or(text: &str, other: &str) -> String {
    if text.is_empty() { other.to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(metadata: Value, spec: Value, status: Value) -> Object {
        Object::from_value(json!({
            "apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec, "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn its_row_says_whether_it_is_ready_and_what_it_is_for() {
        let ready = |status: &str| json!({"conditions": [{"type": "Ready", "status": status}]});
        let roles =
            json!({"node-role.kubernetes.io/worker": "", "kubernetes.io/role": "control-plane", "a": "b"});
        for (labels, spec, status, expected) in [
            (json!({}), json!({}), json!({}), ["Unknown", "<none>"]),
            (json!({}), json!({}), ready("True"), ["Ready", "<none>"]),
            (json!({}), json!({}), ready("Unknown"), ["NotReady", "<none>"]),
            (
                roles,
                json!({"unschedulable": true}),
                ready("True"),
                ["Ready,SchedulingDisabled", "control-plane,worker"],
            ),
        ] {
            let object = node(json!({"name": "n", "labels": labels}), spec, status);
            assert_eq!(json!(Nodes.row(&object, Timestamp::UNIX_EPOCH)[1..3]), json!(expected));
        }
    }

    #[test]
    fn the_wide_columns_say_what_machine_it_is() {
        let info = json!({
            "kubeletVersion": "v1.37.0", "osImage": "Debian", "kernelVersion": "6.18", "architecture": "amd64",
            "containerRuntimeVersion": "mkubelet://0.1", "bootID": "", "kubeProxyVersion": "", "machineID": "",
            "operatingSystem": "linux", "systemUUID": "",
        });
        let addresses = json!([{"type": "InternalIP", "address": "10.0.0.1"}]);
        let object = node(json!({"name": "n"}), json!({}), json!({"nodeInfo": info, "addresses": addresses}));
        assert_eq!(
            json!(Nodes.row(&object, Timestamp::UNIX_EPOCH)[4..]),
            json!(["v1.37.0", "10.0.0.1", "<none>", "Debian", "6.18 (amd64)", "mkubelet://0.1"])
        );
        let bare = node(json!({"name": "n"}), json!({}), json!({}));
        assert_eq!(
            json!(Nodes.row(&bare, Timestamp::UNIX_EPOCH)[4..]),
            json!(["", "<none>", "<none>", "<unknown>", "<unknown>", "<unknown>"])
        );
    }

    #[test]
    fn taints_have_an_effect_that_is_known() {
        let object =
            node(json!({}), json!({"taints": [{"key": "a", "effect": "Sleep"}, {"key": "b"}]}), json!({}));
        let told: Vec<String> = Nodes.validate(&object).iter().map(ToString::to_string).collect();
        assert!(told[0].starts_with("metadata.taints[0].effect: Unsupported value: \"Sleep\""), "{told:?}");
        assert_eq!(told[1], "metadata.taints[1].effect: Required value");
    }

    #[test]
    fn the_addresses_of_its_pods_stay() {
        let of = |spec: Value| node(json!({}), spec, json!({}));
        let change = |old: Value, new: Value| Nodes.validate_update(Part::Whole, &of(new), &of(old)).len();
        assert_eq!(change(json!({}), json!({"podCIDRs": ["10.0.0.0/24"]})), 0);
        assert_eq!(change(json!({"podCIDRs": ["10.0.0.0/24"]}), json!({"podCIDRs": ["10.1.0.0/24"]})), 1);
        assert_eq!(change(json!({"unschedulable": true}), json!({})), 0);
    }
}
