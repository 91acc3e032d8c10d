//! The end of containers, one by one and of the whole pod.
//!
//! ```text
//!    grace period begins                    it is this container's turn,
//!            │                              or the grace period is over
//!            ▼              hook ends               ▼                            at the end of the grace period,
//!     ┌─────────┐        ┌─────────────┐        ┌───────────┐                    2 s after the signal at the least
//!     │ PreStop ├───────>│ PreStopDone ├───────>│ Signalled ├───────────────────────────> Killed
//!     └─────────┘        └─────────────┘        └───────────┘
//! ```
//!
//! All preStop hooks begin at once and count against the grace period. The turn of the sidecars comes last: each waits for
//! all containers, and for the sidecars that were started after it (KEP-753).

use std::time::Duration;

use jiff::Timestamp;

use super::{Action, Plan};
use crate::pod::{ContainerName, ContainerSpec, Pod};
use crate::runtime::observe::{Observed, Running, StopStep, Stopping};
use crate::sync::restart;

/// From the stop signal to SIGKILL at the least, even if hooks or other containers have used the grace period up, as the
/// kubelet has it.
const LEAST_GRACE: Duration = Duration::from_secs(2);

/// How long the shim may take to report the end of what was killed, before the pod is removed without its word.
const REPORT_TIME: Duration = Duration::from_secs(2);

impl Plan {
    /// Ends the pod with grace, then removes it.
    pub(super) fn terminate(&mut self, pod: &Pod, observed: &Observed, deadline: Timestamp, now: Timestamp) {
        let give_up = restart::after(deadline, LEAST_GRACE + REPORT_TIME);
        if is_gone(observed) || now >= give_up {
            self.actions.push(Action::Remove);
            return;
        }
        self.wake(give_up);
        self.end(pod, observed, deadline, now);
    }

    /// Ends the pod at once, then removes it.
    pub(super) fn kill(&mut self, observed: &Observed, since: Timestamp, now: Timestamp) {
        let give_up = restart::after(since, REPORT_TIME);
        if is_gone(observed) || now >= give_up {
            self.actions.push(Action::Remove);
            return;
        }
        self.wake(give_up);
        self.kill_all(observed, |_| true, now);
    }

    /// SIGKILL to all of these that run and have not had it.
    pub(super) fn kill_all(
        &mut self,
        observed: &Observed,
        which: impl Fn(&ContainerName) -> bool,
        now: Timestamp,
    ) {
        for (name, running) in observed.running().filter(|(name, _)| which(name)) {
            let kill = Action::Kill { container: name.clone(), id: running.id.clone() };
            match observed.container(name).stopping.map(|stopping| stopping.step) {
                Some(StopStep::Killed) => {}
                Some(StopStep::KillFailed { again_at }) => self.at(Some(again_at), now, kill),
                _ => self.actions.push(kill),
            }
        }
    }

    /// Ends every container of the pod until `deadline`, in the right order.
    pub(super) fn end(&mut self, pod: &Pod, observed: &Observed, deadline: Timestamp, now: Timestamp) {
        let is_alive = |spec: &ContainerSpec| observed.is_alive(&spec.name);
        for spec in pod.spec.containers.iter().chain(&pod.spec.ephemeral_containers) {
            self.end_one(spec, observed, deadline, true, now);
        }
        let mut is_turn = !pod.spec.containers.iter().any(is_alive);
        for spec in pod.spec.init_containers.iter().rev() {
            self.end_one(spec, observed, deadline, is_turn || !spec.is_sidecar(), now);
            is_turn &= !spec.is_sidecar() || !is_alive(spec);
        }
    }

    fn end_one(
        &mut self,
        spec: &ContainerSpec,
        observed: &Observed,
        deadline: Timestamp,
        is_turn: bool,
        now: Timestamp,
    ) {
        let known = observed.container(&spec.name);
        if let Some(running) = known.running() {
            self.stop(spec, running, known.stopping, deadline, is_turn, now);
        }
    }

    /// Takes the end of a container a step further. `deadline` is when its grace period is over, unless `stopping` says
    /// that it is over earlier.
    pub(super) fn stop(
        &mut self,
        spec: &ContainerSpec,
        running: &Running,
        stopping: Option<Stopping>,
        deadline: Timestamp,
        is_turn: bool,
        now: Timestamp,
    ) {
        let (container, id) = (spec.name.clone(), running.id.clone());
        let before = stopping.map(|stopping| stopping.deadline);
        let deadline = before.map_or(deadline, |before| before.min(deadline));
        let is_shorter = before.is_some_and(|before| deadline < before);
        let kill_at = restart::after(now, LEAST_GRACE).max(deadline);
        let kill = Action::Kill { container: container.clone(), id: id.clone() };
        match stopping.map(|stopping| stopping.step) {
            None if spec.lifecycle.pre_stop.is_some() && now < deadline => {
                self.wake(deadline);
                self.actions.push(Action::PreStop { container, id, deadline });
            }
            Some(StopStep::PreStop) if now < deadline => self.wake(deadline),
            None | Some(StopStep::PreStopDone) if !is_turn && now < deadline => self.wake(deadline),
            None | Some(StopStep::PreStop | StopStep::PreStopDone) => {
                self.wake(kill_at);
                self.actions.push(Action::Stop { container, id, deadline, kill_at });
            }
            Some(StopStep::Signalled { kill_at }) => {
                let kill_at = if is_shorter { kill_at.min(deadline) } else { kill_at };
                self.at(Some(kill_at), now, kill);
            }
            Some(StopStep::KillFailed { again_at }) => self.at(Some(again_at), now, kill),
            Some(StopStep::Killed) => {}
        }
    }
}

fn is_gone(observed: &Observed) -> bool {
    !observed.is_starting() && observed.running().next().is_none()
}
