//! What becomes of a new Pod before anybody has looked at it: where it runs, and its first status.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::object::Object;
use crate::api::resource::Context;
use crate::api::rest::scheduled;
use crate::pod::priority;
use crate::pod::spec::QosClass;

/// How long a Pod stays on a node that cannot be reached, which has no meaning on the only one there is.
const TOLERATION_SECONDS: i64 = 300;

/// The scheduler whose work is done here, where there is one node to choose from.
const SCHEDULER: &str = "default-scheduler";

/// Gives the Pod to the node, which is the only one, and writes what admission plugins of a cluster write into every Pod. One that
/// names a node stays that node's, and one of another scheduler waits for it. Says whether the Pod was given to the node.
pub(super) fn place(object: &mut Object, node_name: &str) -> bool {
    let Some(Value::Object(spec)) = object.map_mut().get_mut("spec") else { return false };
    let text = |field: &str| spec.get(field).and_then(Value::as_str).unwrap_or_default();
    let is_placed = text("nodeName").is_empty() && ["", SCHEDULER].contains(&text("schedulerName"));
    if is_placed {
        spec.insert("nodeName".to_owned(), node_name.into());
    }
    let class = spec.get("priorityClassName").and_then(Value::as_str).unwrap_or_default();
    let priority = priority::of_class(class).unwrap_or(0);
    spec.entry("priority").or_insert_with(|| priority.into());
    spec.entry("preemptionPolicy").or_insert_with(|| "PreemptLowerPriority".into());
    let tolerations = spec.entry("tolerations").or_insert_with(|| json!([]));
    let Value::Array(tolerations) = tolerations else { return is_placed };
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        if !tolerations.iter().any(|toleration| covers(toleration, key)) {
            tolerations.push(json!({
                "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_SECONDS,
            }));
        }
    }
    is_placed
}

fn covers(toleration: &Value, key: &str) -> bool {
    let of = |field: &str| toleration[field].as_str().unwrap_or_default();
    ["", key].contains(&of("key")) && ["", "NoExecute"].contains(&of("effect"))
}

/// Of a Pod that has not been started; that it has a node is for whoever has placed it to say.
pub(super) fn first_status(qos_class: Option<QosClass>, is_placed: bool, now: Timestamp) -> Value {
    let mut status = json!({"phase": "Pending"});
    if is_placed {
        status["conditions"] = json!([scheduled(now)]);
    }
    if let Some(class) = qos_class {
        status["qosClass"] = json!(class);
    }
    status
}

/// The Event of a Pod that was placed here, in the scheduler's words.
pub(super) fn scheduled_event(pod: &Object, context: &Context) -> Option<Object> {
    let conditions = pod.at(&["status", "conditions"])?.as_array()?;
    // Nothing but that is in the conditions of a new Pod.
    conditions.first()?;
    let (namespace, name) = (pod.namespace(), pod.name());
    let event = json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"namespace": namespace, "name": format!("{name}.{:x}", context.now.as_nanosecond())},
        "involvedObject": {
            "apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": name, "uid": pod.uid(),
            "resourceVersion": pod.resource_version(),
        },
        "type": "Normal", "reason": "Scheduled", "action": "Binding",
        "message": format!("Successfully assigned {namespace}/{name} to {}", pod.text_at(&["spec", "nodeName"])),
        "eventTime": format!("{:.6}", context.now),
        "reportingComponent": SCHEDULER, "reportingInstance": format!("{SCHEDULER}-{}", context.node_name),
        "source": {}, "firstTimestamp": null, "lastTimestamp": null,
    });
    Object::from_value(event).ok()
}
