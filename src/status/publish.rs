//! The single writer of pod status: keeps the last one, and tells of every change.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PodCondition, PodStatus};
use tokio::sync::{mpsc, oneshot, watch};

use super::derive::derive;
use crate::events::{Event, transitions};
use crate::image::registry::Progress;
use crate::pod::{ContainerName, Origin, Pod};
use crate::runtime::observe::Observed;
use crate::runtime::timing::{Phase, Span};
use crate::sync::plan::Intent;

/// Something to tell about a pod.
#[derive(Debug)]
pub struct Update {
    /// Which pod.
    pub pod: Arc<Pod>,
    /// Who wants it; nobody but the person in front of `mkubelet run`.
    pub origin: Option<Arc<Origin>>,
    /// What.
    pub change: Change,
}

/// What there is to tell.
#[derive(Debug)]
pub enum Change {
    /// Its status is another than before.
    Status(Box<PodStatus>),
    /// Something has happened to it.
    Event(Event),
    /// An image is being pulled for it, for as long as this can be looked at.
    Pulling {
        /// As the pod names it.
        image: String,
        /// How far that has come.
        progress: Weak<Progress>,
    },
    /// Steps of its start are done, and took so long.
    Timed(Vec<Span>),
    /// It has been told to end, within that time.
    Terminating {
        /// Time to SIGKILL.
        grace: Duration,
    },
    /// It will be removed now, with its logs. It waits until `done` is used or dropped.
    Leaving {
        /// To be dropped when nothing of the pod is needed any more.
        done: oneshot::Sender<()>,
    },
    /// It is gone from the node. Nothing follows.
    Deleted,
}

/// How far a pod has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It runs, or will.
    Active,
    /// It is Succeeded or Failed, and something of it still runs.
    Ending,
    /// Nothing of it runs any more.
    Over,
}

/// Writes one pod's status.
#[derive(Debug)]
pub struct Publisher {
    pod: Arc<Pod>,
    origin: Option<Arc<Origin>>,
    node: Option<IpAddr>,
    last: Option<PodStatus>,
    life: watch::Sender<Life>,
    /// Containers whose next attempt has an image that was pulled for it: that has been told.
    pulled: BTreeSet<ContainerName>,
    updates: mpsc::UnboundedSender<Update>,
}

impl Publisher {
    /// A publisher for `pod`, on a node with the address `node`. Who listens may stop at any time.
    pub fn new(pod: Arc<Pod>, node: Option<IpAddr>, updates: mpsc::UnboundedSender<Update>) -> Self {
        Self {
            pod,
            origin: None,
            node,
            last: None,
            life: watch::Sender::new(Life::Active),
            pulled: BTreeSet::new(),
            updates,
        }
    }

    /// The same for a pod that this source wants.
    #[must_use]
    pub fn with_origin(self, origin: Option<Arc<Origin>>) -> Self {
        Self { origin, ..self }
    }

    /// From now on the pod is this one.
    pub fn adopt(&mut self, pod: Arc<Pod>) {
        self.pod = pod;
    }

    /// What an earlier agent has told last: the times of conditions that are still the same are carried over.
    pub fn resumed(&mut self, conditions: Vec<PodCondition>) {
        self.last = Some(PodStatus { conditions: Some(conditions), ..PodStatus::default() });
    }

    /// Tells how the pod ended before the machine was started again.
    pub fn was_over(&mut self, status: PodStatus) {
        self.life.send_replace(Life::Over);
        self.last = Some(status.clone());
        self.send(Change::Status(Box::new(status)));
    }

    /// The status of a pod of which nothing runs any more, and nothing will.
    pub fn over(&self) -> Option<&PodStatus> {
        self.last.as_ref().filter(|_| *self.life.borrow() == Life::Over)
    }

    /// How far the pod has come, as it was told last.
    pub fn life(&self) -> watch::Receiver<Life> {
        self.life.subscribe()
    }

    /// The conditions as they were told last.
    pub fn conditions(&self) -> &[PodCondition] {
        self.last.as_ref().and_then(|last| last.conditions.as_deref()).unwrap_or_default()
    }

    /// Derives the status, and tells it if it changed.
    pub fn status(&mut self, observed: &Observed, intent: Intent, now: Timestamp) {
        let status = derive(&self.pod, observed, intent, self.node, self.last.as_ref(), now);
        let life = match status.phase.as_deref() {
            Some("Succeeded" | "Failed") if observed.is_starting() => Life::Ending,
            Some("Succeeded" | "Failed") if observed.running().next().is_some() => Life::Ending,
            Some("Succeeded" | "Failed") => Life::Over,
            _ => Life::Active,
        };
        self.life.send_if_modified(|before| std::mem::replace(before, life) != life);
        if self.last.as_ref() != Some(&status) {
            let before = self.last.replace(status.clone());
            if let Some(before) = &before {
                let happened = transitions::between(&self.pod, before, &status, &self.pulled);
                happened.into_iter().for_each(|event| self.happened(event));
                self.pulled.retain(|name| !transitions::has_begun(name, before, &status));
            }
            let ready = before.iter().flat_map(|before| transitions::became_ready(before, &status));
            self.timed(ready.map(ready_now).collect());
            self.send(Change::Status(Box::new(status)));
        }
    }

    /// Tells how long steps of the pod's start took.
    pub fn timed(&self, spans: Vec<Span>) {
        if !spans.is_empty() {
            self.send(Change::Timed(spans));
        }
    }

    /// Tells what has happened.
    pub fn happened(&self, event: Event) {
        self.send(Change::Event(event));
    }

    /// Tells that an image is being pulled, as long as somebody else holds its progress.
    pub fn pulling(&self, image: &str, progress: &Arc<Progress>) {
        self.send(Change::Pulling { image: image.to_owned(), progress: Arc::downgrade(progress) });
    }

    /// Tells that an image has been pulled for the container's next attempt.
    pub fn pulled(&mut self, container: &ContainerName, event: Event) {
        self.pulled.insert(container.clone());
        self.happened(event);
    }

    /// Tells that the pod ends within `grace`.
    pub fn terminating(&self, grace: Duration) {
        self.send(Change::Terminating { grace });
    }

    /// Tells that the pod's logs will go, and waits until whoever reads them is done, or nobody does.
    pub async fn leaving(&self) {
        let (done, left) = oneshot::channel();
        self.send(Change::Leaving { done });
        // Dropping it says the same as using it.
        let _ = left.await;
    }

    /// Tells that the pod is gone.
    pub fn deleted(self) {
        self.send(Change::Deleted);
    }

    fn send(&self, change: Change) {
        // Nobody listening is no reason to stop looking after the pod.
        let _ = self.updates.send(Update { pod: Arc::clone(&self.pod), origin: self.origin.clone(), change });
    }
}

fn ready_now(container: ContainerName) -> Span {
    Span { container: Some(container), ..Span::until_now(Phase::Ready, Instant::now()) }
}
