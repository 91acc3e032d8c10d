//! What a pod needs next: one pure function of what was asked, what is known, and the time.
//!
//! The worker calls [`plan`] whenever anything changed, carries the actions out, and calls it again no later than `wake_at`.
//! An action is never asked for twice: what is under way is part of [`Observed`].

use jiff::Timestamp;

use super::outcome::{next_init, outcome};
use super::restart;
use crate::pod::{ContainerName, ContainerSpec, Pod};
use crate::runtime::observe::{Observed, Sandbox, State, Stopping};

/// How long the shim may take to report the end of what was killed, before the pod is removed without its word.
const REPORT_TIME: std::time::Duration = std::time::Duration::from_secs(2);

/// What is wanted of a pod. It goes from `Run` to `Terminate`, never back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// It should run.
    Run,
    /// It should be gone.
    Terminate {
        /// SIGKILL follows then.
        deadline: Timestamp,
    },
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make the pod's namespaces, with its network; also brings a lost shim back.
    CreateSandbox,
    /// Start a container.
    Start {
        /// Which.
        container: ContainerName,
        /// Which start of it this is, from 0.
        attempt: u32,
    },
    /// Send a container its stop signal.
    Stop {
        /// Which.
        container: ContainerName,
        /// Its running attempt.
        id: String,
        /// SIGKILL follows then.
        deadline: Timestamp,
    },
    /// SIGKILL to all of a container.
    Kill {
        /// Which.
        container: ContainerName,
        /// Its running attempt.
        id: String,
    },
    /// Remove the pod and all it had from the node. Nothing follows.
    Remove,
}

/// What to do now, and when to ask again at the latest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// To be carried out together.
    pub actions: Vec<Action>,
    /// When time alone will change the answer.
    pub wake_at: Option<Timestamp>,
}

impl Intent {
    /// The intent after a request to terminate by `deadline`: a later one than before changes nothing.
    #[must_use]
    pub fn terminate(self, deadline: Timestamp) -> Self {
        match self {
            Intent::Run => Intent::Terminate { deadline },
            Intent::Terminate { deadline: before } => Intent::Terminate { deadline: before.min(deadline) },
        }
    }
}

/// Decides what `pod` needs at the time `now`.
pub fn plan(pod: &Pod, observed: &Observed, intent: Intent, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    match intent {
        Intent::Terminate { deadline } => plan.terminate(observed, deadline, now),
        // A pod that is over stays as it is until it is told to go.
        Intent::Run if outcome(pod, observed).is_some() => {}
        Intent::Run => match observed.sandbox {
            Sandbox::Ready { .. } if observed.connected => plan.run(pod, observed, now),
            _ => plan.make_sandbox(observed, now),
        },
    }
    plan
}

// === impl Plan ===

impl Plan {
    fn make_sandbox(&mut self, observed: &Observed, now: Timestamp) {
        let restart = match observed.sandbox {
            _ if observed.creating => return,
            // What ran in the lost sandbox is being killed by the shim, which reports each end.
            Sandbox::Lost { .. } if observed.running().next().is_some() => return,
            Sandbox::Lost { at } => {
                Some(restart::after(at, restart::sandbox_delay(observed.sandbox_restarts)))
            }
            // One that an earlier agent made may lack its network; what is there already is not made again.
            Sandbox::Absent | Sandbox::Ready { .. } => None,
        };
        let retry = observed.sandbox_failure.as_ref().map(|held| held.due());
        self.at(restart.max(retry), now, Action::CreateSandbox);
    }

    fn run(&mut self, pod: &Pod, observed: &Observed, now: Timestamp) {
        if let Some(init) = next_init(pod, observed) {
            self.keep(pod, init, observed, now);
            return;
        }
        for spec in &pod.spec.containers {
            let is_over = |code| !restart::wanted(pod.spec.restart_policy, code);
            if !observed.container(&spec.name).ended().is_some_and(|ended| is_over(ended.code())) {
                self.keep(pod, spec, observed, now);
            }
        }
    }

    /// Keeps one container running: starts it when that is due, stops it when it is sick.
    fn keep(&mut self, pod: &Pod, spec: &ContainerSpec, observed: &Observed, now: Timestamp) {
        let known = observed.container(&spec.name);
        let container = spec.name.clone();
        match &known.state {
            _ if known.starting => {}
            State::Absent | State::Ended(_) => {
                let due = known.due(observed.sandboxes).map(|(due, _)| due);
                self.at(due, now, Action::Start { container, attempt: known.attempts });
            }
            State::Running(running) => match known.stopping {
                Some(Stopping { killed: true, .. }) => {}
                Some(Stopping { deadline, .. }) => {
                    self.at(Some(deadline), now, Action::Kill { container, id: running.id.clone() });
                }
                None => {
                    let Some(unhealthy) = &known.health.unhealthy else { return };
                    let grace = unhealthy.grace.unwrap_or(pod.spec.termination_grace_period);
                    let deadline = restart::after(now, grace);
                    self.wake(deadline);
                    self.actions.push(Action::Stop { container, id: running.id.clone(), deadline });
                }
            },
        }
    }

    fn terminate(&mut self, observed: &Observed, deadline: Timestamp, now: Timestamp) {
        let give_up = restart::after(deadline, REPORT_TIME);
        let alive = observed.is_starting() || observed.running().next().is_some();
        if !alive || now >= give_up {
            self.actions.push(Action::Remove);
            return;
        }
        self.wake(give_up);
        for (name, running) in observed.running() {
            let stopping = observed.container(name).stopping;
            let deadline = stopping.map_or(deadline, |s| s.deadline.min(deadline));
            let (container, id) = (name.clone(), running.id.clone());
            match stopping {
                Some(stopping) if stopping.killed => {}
                _ if now >= deadline => self.actions.push(Action::Kill { container, id }),
                Some(_) => self.wake(deadline),
                None => {
                    self.wake(deadline);
                    self.actions.push(Action::Stop { container, id, deadline });
                }
            }
        }
    }

    /// Does `action` if it is due, else sees to it that it is thought of then. Without a time it is due at once.
    fn at(&mut self, due: Option<Timestamp>, now: Timestamp, action: Action) {
        match due {
            Some(due) if now < due => self.wake(due),
            _ => self.actions.push(action),
        }
    }

    fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |before| before.min(at)));
    }
}

#[cfg(test)]
mod tests;
