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
                }
            }
            Err(error) => {
                tracing::debug!(node = facts.name, %error, "the API server was not told of the node, trying again");
                retry.wait().await;
            }
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
