//! Which new pods the node has room for, and which of those that it has make room for a critical one.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::Agent;
use crate::cluster::health::Health;
use crate::eviction::admission::is_critical;
use crate::pod::{Pod, PodUid, SourceKind};
use crate::state::record::{Cause, Ending};
use crate::sync::event_loop::{Candidate, Refused};
use crate::sync::room::{Beside, Room, preempted, shortages};

/// Before the reason, in the status of a pod that the node does not take.
pub(super) const REJECTED: &str = "Pod was rejected: ";

/// What a pod is told that makes room.
const PREEMPTED: &str = "Preempted in order to admit critical pod";

/// Who takes room on the node.
#[derive(Debug, Clone)]
pub(super) struct Rooms {
    /// Pods that there may be.
    most: u32,
    /// Pods that have been told to go for another, and may not have gone yet.
    going: Arc<Mutex<BTreeSet<PodUid>>>,
}

impl Rooms {
    /// Of a node that may have so many pods.
    pub(super) fn of_node(most: u32) -> Self {
        Self { most, going: Arc::default() }
    }
}

impl Agent {
    /// Whether each of the candidates finds room `beside` the pods that are there, one after another; what has run before goes on in any
    /// case, and counts first. A critical pod is taken on at once, while others end to make room for it.
    pub(super) fn find_room(
        &self,
        candidates: &[Candidate],
        mut beside: Vec<Beside>,
    ) -> Vec<Result<(), Refused>> {
        let health = self.shared.health.borrow().clone();
        let resources = self.shared.host.allocatable();
        let room = Room { resources, pods: self.shared.rooms.most };
        let mut going = self.shared.rooms.going.lock().unwrap_or_else(PoisonError::into_inner);
        going.retain(|uid| beside.iter().any(|one| one.pod.uid == *uid));
        let over: BTreeSet<PodUid> = self.shared.active.over().iter().map(|pod| pod.uid.clone()).collect();
        beside.retain(|one| !going.contains(&one.pod.uid) && !over.contains(&one.pod.uid));
        let is_candidate = |one: &Beside| candidates.iter().any(|candidate| candidate.pod.key == one.pod.key);
        // What goes on was among those that are left.
        let (mut beside, goes_on): (Vec<_>, Vec<_>) = beside.into_iter().partition(|one| !is_candidate(one));
        beside.extend(goes_on.into_iter().filter(|one| {
            candidates.iter().any(|candidate| candidate.goes_on && candidate.pod.key == one.pod.key)
        }));
        let mut found = Vec::new();
        for candidate in candidates {
            let is_static = candidate.origin.source != SourceKind::Api;
            let new = Beside { pod: Arc::clone(&candidate.pod), is_static };
            let gone = if candidate.goes_on { Ok(Vec::new()) } else { admit(&new, &beside, &health, &room) };
            found.push(gone.map(|gone| {
                for pod in gone {
                    beside.retain(|one| one.pod.uid != pod.uid);
                    self.preempt(&pod);
                    going.insert(pod.uid.clone());
                }
                if !candidate.goes_on {
                    beside.push(new);
                }
            }));
        }
        found
    }

    fn preempt(&self, pod: &Pod) {
        let grace = pod.spec.termination_grace_period;
        let ending = Ending { cause: Cause::Preemption, message: PREEMPTED.to_owned(), grace };
        self.shared.active.end(&pod.uid, ending);
    }
}

/// The pods that have to go for a new one, if it may come at all.
fn admit(new: &Beside, beside: &[Beside], health: &Health, room: &Room) -> Result<Vec<Arc<Pod>>, Refused> {
    let rejected =
        |reason, why: String| Refused { message: format!("{REJECTED}{why}"), reason, is_final: true };
    if let Some((reason, why)) = health.refusal(&new.pod, new.is_static) {
        return Err(rejected(reason, why));
    }
    let short = shortages(&new.pod, beside, room);
    let Some(first) = short.first() else { return Ok(Vec::new()) };
    if !is_critical(&new.pod, new.is_static) {
        return Err(rejected(first.reason(), first.to_string()));
    }
    preempted(new, beside, &short).map_err(|why| {
        let why = format!("Unexpected error while attempting to recover from admission failure: {why}");
        rejected("UnexpectedAdmissionError", why)
    })
}
