//! The pods that an API server gives to this node, with the ConfigMaps and Secrets that they use: a source like a directory of manifests.
//!
//! ```text
//! watch pods of this node ──> Assigned ──> the set ──> SourceEvent
//!                                │            ↑
//!                                └ references ┴── watch of each ConfigMap and Secret
//! ```
//!
//! Objects are watched one by one, by name: that is all a node may read of a cluster's. A watch that breaks begins anew, and until it
//! does what was known stays.

mod assigned;
mod objects;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1 as k8s;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use tokio::sync::mpsc;

use self::assigned::Assigned;
use self::objects::Followed;
use super::SourceEvent;
use crate::pod::PodKey;
use crate::pod::sysctl::Allowed;

/// Where a node's pods come from.
#[derive(Debug, Clone)]
pub struct Node {
    /// The node's name: of all pods, it has those with this `spec.nodeName`.
    pub name: String,
    /// Kernel parameters that pods may set here.
    pub sysctls: Allowed,
}

/// Follows the API for ever: `send` gets a set whenever something changes, `mirrors` the name of each likeness of a static pod that
/// somebody made, changed or deleted, `say` a line for each thing that a person should know.
pub async fn follow(
    client: Client,
    node: Node,
    send: impl Fn(SourceEvent),
    mirrors: impl Fn(PodKey),
    say: impl Fn(&str),
) {
    let of_this_node = watcher::Config::default().fields(&format!("spec.nodeName={}", node.name));
    let pods = watcher(Api::<k8s::Pod>::all(client.clone()), of_this_node).default_backoff();
    let mut pods = pods.into_stream().boxed();
    let (sender, mut found) = mpsc::unbounded_channel();
    let mut objects = Followed::new(client, sender);
    let mut assigned = Assigned::new(node);
    loop {
        tokio::select! {
            event = pods.next() => match event {
                Some(Ok(event)) => {
                    let change = assigned.take(event);
                    change.mirrors.into_iter().for_each(&mirrors);
                    change.problems.iter().for_each(|problem| say(problem));
                    objects.follow(assigned.references());
                }
                // It begins anew by itself.
                Some(Err(error)) => tracing::debug!(%error, "watch the pods of the API"),
                None => return,
            },
            Some(answer) = found.recv() => objects.take(answer),
        }
        if assigned.is_known() && objects.are_known() {
            send(assigned.event(objects.all()));
        }
    }
}
