//! The likeness of a static pod in the API: made from what its manifest says, marked with the annotations that the kubelet uses.
//!
//! <https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/>

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use crate::pod::update::Written;
use crate::pod::{self, PodKey};

/// The pod has it from a source that is not the API; its value tells one version of the pod from another.
pub const MIRROR: &str = "kubernetes.io/config.mirror";

/// The same value, as the kubelet marks the static pod itself.
const HASH: &str = "kubernetes.io/config.hash";

/// Where the pod comes from: `file`, `http`.
const SOURCE: &str = "kubernetes.io/config.source";

/// Whether an object of the API is such a likeness.
pub fn is_mirror(pod: &Pod) -> bool {
    hash(pod).is_some()
}

/// Of which version of a static pod it is the likeness.
pub fn hash(pod: &Pod) -> Option<&str> {
    pod.metadata.annotations.as_ref()?.get(MIRROR).map(String::as_str)
}

/// The object to be created for a static pod, which came from `source` and runs on `node`.
pub fn object(pod: &pod::Pod, written: &Written, source: &str, node: &str) -> Value {
    let mut object = json!({"apiVersion": "v1", "kind": "Pod"});
    json_patch::merge(&mut object, written.fields());
    let PodKey { namespace, name } = &pod.key;
    let marks = json!({MIRROR: pod.uid.as_str(), HASH: pod.uid.as_str(), SOURCE: source});
    // The server gives it a uid of its own.
    let metadata = json!({"namespace": namespace, "name": name, "uid": null, "annotations": marks});
    json_patch::merge(&mut object, &json!({"metadata": metadata, "spec": {"nodeName": node}}));
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_the_manifest_with_marks() {
        let text = "{apiVersion: v1, kind: Pod, metadata: {name: web, labels: {app: w}, annotations: {a: b}}, \
                    spec: {containers: [{name: c, image: i}]}}";
        let manifest = crate::pod::decode(text.as_bytes(), "f").unwrap();
        let pod = &manifest.pods[0];
        let object = object(pod, &manifest.written[&pod.key], "file", "node-1");
        let made: Pod = serde_json::from_value(object).unwrap();
        assert!(is_mirror(&made));
        assert_eq!(hash(&made), Some(pod.uid.as_str()));
        let metadata = made.metadata;
        assert_eq!((metadata.name.as_deref(), metadata.namespace.as_deref()), (Some("web"), Some("default")));
        assert_eq!(metadata.uid, None);
        assert_eq!(metadata.annotations.unwrap()["a"], "b");
        let spec = made.spec.unwrap();
        assert_eq!((spec.node_name.as_deref(), spec.containers[0].name.as_str()), (Some("node-1"), "c"));
    }
}
