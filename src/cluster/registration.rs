//! Keeps this machine's Node in the API: registers it, tells how it is, and does so again when somebody has deleted it.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerImage, Node};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Error};
use serde_json::json;

use super::node::{self, Facts};
use super::retry::Retry;

/// How often the status is told although nothing has changed (the kubelet's nodeStatusReportFrequency).
const REPORT: Duration = Duration::from_secs(300);

/// Registers the node, and tells its status again and again, for ever. `images` says what it has at any time.
pub async fn keep(client: Client, facts: Facts, images: impl Fn() -> Vec<ContainerImage>) {
    let api: Api<Node> = Api::all(client);
    let mut retry = Retry::new();
    loop {
        match tell(&api, &facts, images()).await {
            Ok(()) => {
                retry.reset();
                tokio::time::sleep(REPORT).await;
            }
            Err(error) => {
                tracing::debug!(node = facts.name, %error, "the API server was not told of the node, trying again");
                retry.wait().await;
            }
        }
    }
}

async fn tell(api: &Api<Node>, facts: &Facts, images: Vec<ContainerImage>) -> Result<(), Error> {
    let object = match api.get_opt(&facts.name).await? {
        Some(object) => object,
        None => api.create(&PostParams::default(), &node::node(facts)).await?,
    };
    let old = object.status.and_then(|status| status.conditions).unwrap_or_default();
    let status = node::status(facts, images, &old, Timestamp::now());
    // Labels of a machine that was changed meanwhile are not those that it was registered with.
    let labels = json!({"metadata": {"labels": node::node(facts).metadata.labels}});
    api.patch(&facts.name, &PatchParams::default(), &Patch::Merge(labels)).await?;
    let patch = Patch::Merge(json!({"status": status}));
    api.patch_status(&facts.name, &PatchParams::default(), &patch).await.map(drop)
}
