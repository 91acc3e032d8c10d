//! What becomes of a new Pod before anybody has looked at it: where it runs, and its first status.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::object::{Object, rfc3339};
use crate::pod::priority;
use crate::pod::spec::QosClass;

/// How long a Pod stays on a node that cannot be reached, which has no meaning on the only one there is.
const TOLERATION_SECONDS: i64 = 300;

/// Gives the Pod to the node, which is the only one, and writes what admission plugins of a cluster write into every Pod.
pub(super) fn place(object: &mut Object, node_name: &str) {
    let Some(Value::Object(spec)) = object.map_mut().get_mut("spec") else { return };
    if spec.get("nodeName").and_then(Value::as_str).unwrap_or_default().is_empty() {
        spec.insert("nodeName".to_owned(), node_name.into());
    }
    let class = spec.get("priorityClassName").and_then(Value::as_str).unwrap_or_default();
    let priority = priority::of_class(class).unwrap_or(0);
    spec.entry("priority").or_insert_with(|| priority.into());
    spec.entry("preemptionPolicy").or_insert_with(|| "PreemptLowerPriority".into());
    let tolerations = spec.entry("tolerations").or_insert_with(|| json!([]));
    let Value::Array(tolerations) = tolerations else { return };
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        if !tolerations.iter().any(|toleration| covers(toleration, key)) {
            tolerations.push(json!({
                "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_SECONDS,
            }));
        }
    }
}

fn covers(toleration: &Value, key: &str) -> bool {
    let of = |field: &str| toleration[field].as_str().unwrap_or_default();
    ["", key].contains(&of("key")) && ["", "NoExecute"].contains(&of("effect"))
}

/// Of a Pod that has been placed and not been started.
pub(super) fn first_status(qos_class: Option<QosClass>, now: Timestamp) -> Value {
    let scheduled = json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": rfc3339(now)});
    let mut status = json!({"phase": "Pending", "conditions": [scheduled]});
    if let Some(class) = qos_class {
        status["qosClass"] = json!(class);
    }
    status
}
