//! Measurements as `k8s.io/metrics/pkg/apis/metrics/v1beta1` has them. Pure.

use std::time::Duration;

use serde_json::{Value, json};

use super::names::{NODE_METRICS, POD_METRICS};
use super::{Measured, Usage};
use crate::api::object::{Object, rfc3339};
use crate::api::resource::Names;

/// The `NodeMetrics` of a node, which has the labels of the node itself.
pub(super) fn node(node: &Object, measured: &Measured) -> Value {
    let mut document = document(&NODE_METRICS, node, measured);
    document["usage"] = usage(measured.node);
    document
}

/// The `PodMetrics` of a pod; none when nothing of it runs, or not for long enough.
pub(super) fn pod(pod: &Object, measured: &Measured) -> Option<Value> {
    let found = measured.pods.get(&(pod.namespace().to_owned(), pod.name().to_owned()))?;
    let mut document = document(&POD_METRICS, pod, measured);
    document["metadata"]["namespace"] = pod.namespace().into();
    let container = |(name, used): &(String, Usage)| json!({"name": name, "usage": usage(*used)});
    document["containers"] = found.iter().map(container).collect();
    Some(document)
}

/// A list of them.
pub(super) fn list(names: &Names, items: Vec<Value>) -> Value {
    let kind = format!("{}List", names.kind);
    json!({"kind": kind, "apiVersion": names.api_version(), "metadata": {}, "items": items})
}

fn document(names: &Names, of: &Object, measured: &Measured) -> Value {
    let at = rfc3339(measured.at);
    let mut metadata = json!({"name": of.name(), "creationTimestamp": at});
    if let Some(labels) = of.meta("labels") {
        metadata["labels"] = labels.clone();
    }
    json!({
        "kind": names.kind,
        "apiVersion": names.api_version(),
        "metadata": metadata,
        "timestamp": at,
        "window": seconds(measured.window),
    })
}

fn usage(Usage { nanocores, working_set }: Usage) -> Value {
    json!({"cpu": format!("{nanocores}n"), "memory": format!("{}Ki", working_set / 1024)})
}

/// As Go writes and reads it.
fn seconds(window: Duration) -> String {
    format!("{:.3}s", window.as_secs_f64())
}
