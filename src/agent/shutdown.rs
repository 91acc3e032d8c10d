//! The node as its shutdown sees it: the pods that this agent looks after, in the order in which they end.

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::join_all;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::Say;
use super::active::{Active, ActivePod};
use crate::cluster::health::Health;
use crate::cluster::recorder::Recorder;
use crate::events::Event;
use crate::metrics::Metrics;
use crate::shutdown::groups::Groups;
use crate::shutdown::watch::Node;
use crate::state::record::{Cause, Ending, ShutdownRecord};
use crate::state::store::{self, Survive};

/// The kubelet's words for a pod that ends with its machine.
const MESSAGE: &str = "Pod was terminated in response to imminent node shutdown.";

/// What a shutdown needs.
pub(super) struct GoingDown {
    pub(super) name: String,
    pub(super) active: Active,
    pub(super) health: watch::Sender<Health>,
    pub(super) recorder: Recorder,
    pub(super) metrics: Arc<Metrics>,
    /// Where it is kept when the last one was.
    pub(super) record: PathBuf,
    pub(super) say: Say,
}

impl GoingDown {
    /// The same; the metrics tell of the last shutdown from now on.
    pub(super) async fn recalled(self) -> Self {
        let path = self.record.clone();
        let record = spawn_blocking(move || store::read::<ShutdownRecord>(&path)).await;
        if let Ok(Some((started, ended))) = record.map(|record| record?.into_times()) {
            self.metrics.shut_down(started, ended);
        }
        self
    }

    async fn keep(&self, started: Timestamp, ended: Option<Timestamp>) {
        self.metrics.shut_down(started, ended);
        let (path, record) = (self.record.clone(), ShutdownRecord::new(started, ended));
        let written = spawn_blocking(move || store::write(&path, &record, Survive::PowerLoss)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "a later agent will not know when the machine went down");
        }
    }
}

impl Node for GoingDown {
    fn tell(&self, is_going_down: bool) {
        tracing::info!(is_going_down, "systemd-logind tells of a shutdown");
        self.health.send_modify(|health| health.is_going_down = is_going_down);
        self.recorder.record_of_node(&self.name, Event::node_shutdown(is_going_down));
    }

    async fn end_pods(&self, groups: &Groups) {
        let started = Timestamp::now();
        self.keep(started, None).await;
        let priority = |active: &ActivePod| active.pod().spec.priority;
        for (group, pods) in groups.divide(self.active.all(), priority) {
            let end = |active: ActivePod| {
                let grace = active.pod().spec.termination_grace_period.min(group.time);
                active.end(Ending { cause: Cause::NodeShutdown, message: MESSAGE.to_owned(), grace })
            };
            // The next ones have their own time.
            if timeout(group.time, join_all(pods.into_iter().map(end))).await.is_err() {
                tracing::warn!(priority = group.priority, time = ?group.time, "not all pods have ended in time");
            }
        }
        self.keep(started, Some(Timestamp::now())).await;
    }

    fn say(&self, line: &str) {
        (self.say)(line);
    }
}
