//! What `run --output json` prints: watch events as the Kubernetes API writes them, one JSON object a line. Pure.

use std::collections::HashMap;

use k8s_openapi::api::core::v1 as k8s;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;

use crate::pod::{Pod, PodUid};
use crate::status::publish::{Change, Update};

/// Turns updates into events.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// The last status of each pod that has been told of.
    last: HashMap<PodUid, k8s::PodStatus>,
}

impl Events {
    /// The line that an update is worth, with its newline.
    pub(super) fn line(&mut self, update: &Update) -> Option<String> {
        let pod = &update.pod;
        let (kind, status) = match &update.change {
            Change::Status(status) => {
                let status = (**status).clone();
                let is_new = self.last.insert(pod.uid.clone(), status.clone()).is_none();
                (if is_new { "ADDED" } else { "MODIFIED" }, status)
            }
            Change::Deleted => ("DELETED", self.last.remove(&pod.uid)?),
            Change::Event(_)
            | Change::Pulling { .. }
            | Change::Timed(_)
            | Change::Terminating { .. }
            | Change::Leaving { .. } => {
                return None;
            }
        };
        Some(format!("{}\n", json!({"type": kind, "object": object(pod, status)})))
    }
}

/// The pod as far as it is of interest to those who watch.
fn object(pod: &Pod, status: k8s::PodStatus) -> k8s::Pod {
    let metadata = ObjectMeta {
        name: Some(pod.key.name.clone()),
        namespace: Some(pod.key.namespace.clone()),
        uid: Some(pod.uid.to_string()),
        generation: pod.generation,
        labels: (!pod.labels.is_empty()).then(|| pod.labels.clone()),
        annotations: (!pod.annotations.is_empty()).then(|| pod.annotations.clone()),
        ..ObjectMeta::default()
    };
    k8s::Pod { metadata, spec: None, status: Some(status) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::pod::spec::RestartPolicy;
    use crate::runtime::fixture;

    #[test]
    fn a_pod_is_added_modified_and_deleted_with_its_last_status() {
        let pod = Arc::new(fixture::pod(RestartPolicy::Always, &[], &["a"]));
        let mut events = Events::default();
        let mut tell = |change| events.line(&Update { pod: Arc::clone(&pod), origin: None, change });
        let status = |phase: &str| {
            let phase = Some(phase.to_owned());
            Change::Status(Box::new(k8s::PodStatus { phase, ..k8s::PodStatus::default() }))
        };
        let event = |kind: &str, phase: &str| {
            let metadata = json!({"name": "web", "namespace": "default", "uid": "uid-1"});
            let object =
                json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": {"phase": phase}});
            Some(format!("{}\n", json!({"type": kind, "object": object})))
        };
        assert_eq!(tell(status("Pending")), event("ADDED", "Pending"));
        assert_eq!(tell(status("Running")), event("MODIFIED", "Running"));
        assert_eq!(tell(Change::Terminating { grace: Duration::ZERO }), None);
        assert_eq!(tell(Change::Deleted), event("DELETED", "Running"));
    }
}
