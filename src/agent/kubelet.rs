//! The agent as the [`Kubelet`] of its API: how its loop is, what it counts, and what it reads of the node's counters when somebody asks.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use nix::sys::statvfs::statvfs;
use serde_json::Value;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::timeout;

use super::known::Known;
use super::look::Look;
use crate::api::discovery::KUBERNETES_MINOR;
use crate::api::kubelet::requests::Answered;
use crate::api::kubelet::{Check, Kubelet, Page};
use crate::cluster::node;
use crate::metrics::cadvisor::{self, Machine};
use crate::metrics::text::Exposition;
use crate::metrics::{self, Metrics, process, resource};
use crate::runtime::host::Host;
use crate::sync::event_loop::Event;
use crate::usage::summary::{Disk, NodeUsage, summary};

/// A loop that has not answered for so long is not well.
const PATIENCE: Duration = Duration::from_secs(10);

/// How fast CPU time is used is measured for at least so long.
const WINDOW: Duration = Duration::from_secs(1);

/// And for at most so long: what was read before is of no use.
const STALE: Duration = Duration::from_secs(60);

/// Tells how this node is.
#[derive(Debug)]
pub(super) struct Operations {
    /// The machine.
    pub(super) host: Arc<Host>,
    /// Of its Node object.
    pub(super) name: String,
    /// The loop whose health it is.
    pub(super) events: mpsc::UnboundedSender<Event>,
    /// The pods.
    pub(super) known: Known,
    /// The KubeletConfiguration in force.
    pub(super) configuration: Value,
    /// What was counted.
    pub(super) metrics: Arc<Metrics>,
    /// Held while it is measured: who comes meanwhile waits.
    pub(super) last: Mutex<Option<Look>>,
}

impl Operations {
    /// Two looks, with time between them.
    async fn looks(&self) -> Result<[Look; 2], String> {
        let mut last = self.last.lock().await;
        let usable = |look: &Look| (WINDOW..STALE).contains(&look.node.clock.elapsed());
        let earlier = match last.take().filter(usable) {
            Some(look) => look,
            None => {
                let look = Look::now(&self.host).await?;
                tokio::time::sleep(WINDOW).await;
                look
            }
        };
        let now = Look::now(&self.host).await?;
        *last = Some(now.clone());
        Ok([earlier, now])
    }

    fn machine(&self) -> Machine {
        let system = node::system();
        let capacity = self.host.capacity();
        Machine {
            cores: capacity.cpu_millis / 1000,
            memory: capacity.memory,
            boot_id: system.boot_id,
            machine_id: system.machine_id,
            system_uuid: system.system_uuid,
        }
    }

    fn own(&self) -> String {
        let mut text = Exposition::default();
        metrics::write_agent(&mut text, &self.name, self.known.running(), KUBERNETES_MINOR, node::VERSION);
        self.metrics.write(&mut text);
        process::write(&mut text);
        text.finish()
    }
}

impl Kubelet for Operations {
    fn health(&self) -> BoxFuture<'_, Vec<Check>> {
        async {
            let (question, answer) = oneshot::channel();
            let answers = self.events.send(Event::Alive(question)).is_ok()
                && matches!(timeout(PATIENCE, answer).await, Ok(Ok(())));
            let problem = (!answers).then(|| format!("no answer for {} s", PATIENCE.as_secs()));
            vec![Check { name: "syncloop", problem }]
        }
        .boxed()
    }

    fn configuration(&self) -> Value {
        self.configuration.clone()
    }

    fn summary(&self) -> BoxFuture<'_, Result<Value, String>> {
        async {
            let [earlier, now] = self.looks().await?;
            let usage = NodeUsage {
                earlier: earlier.node,
                now: now.node,
                at: Timestamp::now(),
                since: process::boot_time()
                    .and_then(|boot| Timestamp::from_second(boot.try_into().ok()?).ok()),
                memory: self.host.facts.memory,
                disk: disk(self.host.layout.root()),
            };
            let summary = summary(&self.name, &earlier.pods, &now.pods).with_node(&usage);
            serde_json::to_value(summary).map_err(|error| error.to_string())
        }
        .boxed()
    }

    fn metrics(&self, page: Page) -> BoxFuture<'_, Result<String, String>> {
        async move {
            match page {
                Page::Agent => Ok(self.own()),
                Page::Resource => {
                    let look = Look::now(&self.host)
                        .await
                        .inspect_err(|error| tracing::warn!(%error, "read counters"))
                        .ok();
                    Ok(resource::text(look.as_ref().map(|look| (&look.node, look.pods.as_slice()))))
                }
                Page::Cadvisor => {
                    let look = Look::now(&self.host).await?;
                    Ok(cadvisor::text(&self.machine(), &look.node, &look.pods))
                }
                Page::Probes => {
                    let mut text = Exposition::default();
                    self.host.prober.write(&mut text);
                    Ok(text.finish())
                }
            }
        }
        .boxed()
    }

    fn answered(&self, answer: Answered<'_>) {
        self.metrics.answered(answer);
    }
}

/// The file system that a directory is on.
fn disk(directory: &Path) -> Option<Disk> {
    let found = statvfs(directory).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.fragment_size());
    Some(Disk {
        available_bytes: bytes(found.blocks_available()),
        capacity_bytes: bytes(found.blocks()),
        used_bytes: bytes(found.blocks().saturating_sub(found.blocks_free())),
        inodes_free: found.files_free(),
        inodes: found.files(),
        inodes_used: found.files().saturating_sub(found.files_free()),
    })
}
