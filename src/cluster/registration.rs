//! Keeps this machine's Node in the API: registers it, tells how it is whenever that changes, and does so again when somebody has
//! deleted it.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerImage, Node};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Error};
use serde_json::json;
use tokio::sync::watch;

use super::health::Health;
use super::node::{self, Facts};
use super::recorder::Recorder;
use super::retry::Retry;
use crate::events::Event;

/// How often the status is told although nothing has changed (the kubelet's nodeStatusReportFrequency).
const REPORT: Duration = Duration::from_secs(300);

/// How often it is looked whether the Node is still there (the kubelet's nodeStatusUpdateFrequency).
const LOOK: Duration = Duration::from_secs(10);

/// Registers the node, and tells its status again and again, for ever. `images` says what it has at any time.
pub async fn keep(
    client: Client,
    facts: Facts,
    images: impl Fn() -> Vec<ContainerImage>,
    mut health: watch::Receiver<Health>,
    recorder: Recorder,
) {
    let api: Api<Node> = Api::all(client);
    let mut retry = Retry::new();
    recorder.record_of_node(&facts.name, Event::node_starting());
    loop {
        let now = health.borrow_and_update().clone();
        match tell(&api, &facts, &now, images()).await {
            Ok(events) => {
                events.into_iter().for_each(|event| recorder.record_of_node(&facts.name, event));
                retry.reset();
                tokio::select! {
                    () = tokio::time::sleep(REPORT) => {}
                    Ok(()) = health.changed() => {}
                    () = absent(&api, &facts.name) => {}
                }
            }
            Err(error) => {
                tracing::debug!(node = facts.name, %error, "the API server was not told of the node, trying again");
                retry.wait().await;
            }
        }
    }
}

/// Waits until somebody has deleted the Node. A kubelet goes on without one until its next start; here nobody would start it.
async fn absent(api: &Api<Node>, name: &str) {
    loop {
        tokio::time::sleep(LOOK).await;
        if let Ok(None) = api.get_metadata_opt(name).await {
            return;
        }
    }
}

/// Returns what has become another than the API had it.
async fn tell(
    api: &Api<Node>,
    facts: &Facts,
    health: &Health,
    images: Vec<ContainerImage>,
) -> Result<Vec<Event>, Error> {
    let object = match api.get_opt(&facts.name).await? {
        Some(object) => object,
        None => api.create(&PostParams::default(), &node::node(facts)).await?,
    };
    let before = object.status.unwrap_or_default();
    let old = before.conditions.unwrap_or_default();
    let status = node::status(facts, health, images, &old, Timestamp::now());
    // Labels of a machine that was changed meanwhile are not those that it was registered with.
    let mut changes = json!({"metadata": {"labels": node::node(facts).metadata.labels}});
    let tainted = object.spec.and_then(|spec| spec.taints).unwrap_or_default();
    let taints = health.taints(&tainted);
    if taints != tainted {
        changes["spec"] = json!({"taints": Some(taints).filter(|taints| !taints.is_empty())});
    }
    api.patch(&facts.name, &PatchParams::default(), &Patch::Merge(changes)).await?;
    let patch = Patch::Merge(json!({"status": status}));
    api.patch_status(&facts.name, &PatchParams::default(), &patch).await?;
    let boot = &facts.system.boot_id;
    let was_another = before.node_info.is_some_and(|info| !info.boot_id.is_empty() && info.boot_id != *boot);
    let rebooted = was_another.then(|| Event::node_rebooted(&facts.name, boot));
    let changed = health.events_since(&old).into_iter().map(|reason| Event::of_node(&facts.name, reason));
    Ok(rebooted.into_iter().chain(changed).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use k8s_openapi::api::core::v1::NodeSystemInfo;
    use kube::api::DeleteParams;

    use super::*;
    use crate::api::Api as Server;
    use crate::api::store::Store;
    use crate::pod::downward::Allocatable;
    use crate::pod::sysctl::Allowed;

    async fn until_there(api: &Api<Node>) -> Node {
        loop {
            match api.get_opt("n").await.unwrap() {
                Some(node) if node.status.as_ref().is_some_and(|status| status.conditions.is_some()) => {
                    return node;
                }
                _ => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_is_deleted_is_registered_again_within_seconds() {
        let directory = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(directory.path()).unwrap();
        let server = Arc::new(Server::new(Arc::new(store), "n", &Allowed::default()).unwrap());
        let client = Client::new(server.into_router(), "default");
        let facts = Facts {
            name: "n".into(),
            hostname: "n".into(),
            address: None,
            pod_cidr: "10.0.0.0/24".into(),
            max_pods: 110,
            capacity: Allocatable::default(),
            allocatable: Allocatable::default(),
            huge_pages: [].into(),
            system: NodeSystemInfo::default(),
        };
        let (_health, receiver) = watch::channel(Health::default());
        let (recorder, _sending) = Recorder::new(client.clone(), "n".into());
        tokio::spawn(keep(client.clone(), facts, Vec::new, receiver, recorder));
        let api: Api<Node> = Api::all(client);
        let first = until_there(&api).await;
        let deleted = tokio::time::Instant::now();
        api.delete("n", &DeleteParams::default()).await.unwrap();
        let again = until_there(&api).await;
        assert_ne!(first.metadata.uid, again.metadata.uid);
        assert!(deleted.elapsed() <= LOOK + Duration::from_secs(1), "{:?}", deleted.elapsed());
    }
}
