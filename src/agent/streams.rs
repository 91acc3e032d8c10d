//! What the API's streams ask for, carried out: exec, attach, portforward and log of this node's pods.
//!
//! Each client has a connection of its own to the pod's shim, and when that ends, so does what it asked for: whatever becomes of a client or of
//! this agent, no program is left behind.

pub mod attach;
mod copy;
mod descriptor;
pub mod exec;
pub mod forward;
pub mod pods;

use std::path::Path;

use k8s_openapi::api::core::v1::{ContainerStatus, PodStatus};
use tokio::sync::mpsc;

use crate::runtime::Error;
use crate::runtime::shim_client::{self, ShimClient};

/// The id of a container, if it runs.
pub fn running_id(status: &PodStatus, container: &str) -> Option<String> {
    let of = |statuses: &Option<Vec<ContainerStatus>>| {
        statuses.iter().flatten().find(|status| status.name == container).cloned()
    };
    let status = of(&status.container_statuses)
        .or_else(|| of(&status.init_container_statuses))
        .or_else(|| of(&status.ephemeral_container_statuses))?;
    status.state?.running?;
    Some(status.container_id?.strip_prefix("mkubelet://")?.to_owned())
}

/// A connection to a shim for one client. What happens in the pod meanwhile is not its concern.
async fn connect(socket: &Path) -> Result<ShimClient, shim_client::Error> {
    const NOTHING_OLD: u64 = u64::MAX;
    let (notices, _) = mpsc::unbounded_channel();
    ShimClient::connect(socket, NOTHING_OLD, notices, None).await.map(|(shim, _)| shim)
}

/// An error with its causes, for a client.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    Error::chain(error).0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_container_that_runs_has_an_id() {
        let status: PodStatus = serde_json::from_value(json!({
            "containerStatuses": [
                {"name": "a", "containerID": "mkubelet://1", "image": "", "imageID": "", "ready": true,
                 "restartCount": 0, "state": {"running": {}}},
                {"name": "b", "containerID": "mkubelet://2", "image": "", "imageID": "", "ready": false,
                 "restartCount": 0, "state": {"terminated": {"exitCode": 0}}},
            ],
            "ephemeralContainerStatuses": [
                {"name": "e", "containerID": "mkubelet://3", "image": "", "imageID": "", "ready": false,
                 "restartCount": 0, "state": {"running": {}}},
            ],
        }))
        .unwrap();
        for (container, id) in [("a", Some("1")), ("b", None), ("e", Some("3")), ("x", None)] {
            assert_eq!(running_id(&status, container).as_deref(), id, "{container}");
        }
    }
}
