//! What a pod needs next: one pure function of what was asked, what is known, and the time.
//!
//! The worker calls [`plan`] whenever anything changed, carries the actions out, and calls it again no later than `wake_at`.
//! An action is never asked for twice: what is under way is part of [`Observed`].

mod run;
mod stop;

use std::time::Duration;

use jiff::Timestamp;

use super::outcome::{deadline, ends_by, restarts_all};
use super::restart;
use crate::pod::{ContainerName, Pod};
use crate::runtime::observe::{Observed, Sandbox};

/// What is wanted of a pod. It goes downwards only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// It should run.
    Run,
    /// It should be gone.
    Terminate {
        /// When its grace period is over.
        deadline: Timestamp,
    },
    /// It should be gone at once.
    Kill {
        /// Since when.
        since: Timestamp,
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
    /// Pull an image that a container's next start needs.
    Pull {
        /// Which container.
        container: ContainerName,
        /// The image, as the pod names it.
        image: String,
    },
    /// Run a container's postStart hook.
    PostStart {
        /// Which.
        container: ContainerName,
        /// Its running attempt.
        id: String,
    },
    /// Run a container's preStop hook, the beginning of its end.
    PreStop {
        /// Which.
        container: ContainerName,
        /// Its running attempt.
        id: String,
        /// When its grace period is over.
        deadline: Timestamp,
    },
    /// Send a container its stop signal.
    Stop {
        /// Which.
        container: ContainerName,
        /// Its running attempt.
        id: String,
        /// When its grace period is over.
        deadline: Timestamp,
        /// SIGKILL follows then.
        kill_at: Timestamp,
    },
    /// Give the pod's group and all containers that run the limits that the pod asks for now.
    Resize,
    /// SIGKILL to all of a container.
    Kill {
        /// Which.
        container: ContainerName,
        /// Its running attempt.
        id: String,
    },
    /// Write down that all containers begin anew.
    Reset,
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
    /// The intent after a request at `now` to terminate within `grace`: a grace period never grows. None at all means that
    /// there is no time for hooks and signals either.
    #[must_use]
    pub fn terminate(self, now: Timestamp, grace: Duration) -> Self {
        let wanted = restart::after(now, grace);
        match self {
            Intent::Kill { .. } => self,
            _ if grace.is_zero() => Intent::Kill { since: now },
            Intent::Run => Intent::Terminate { deadline: wanted },
            Intent::Terminate { deadline } => Intent::Terminate { deadline: deadline.min(wanted) },
        }
    }
}

/// The intent after an order at `now` to terminate `pod` within `grace`. An end that it has come to by itself, and that
/// leaves it less time, stands.
#[must_use]
pub fn terminate(intent: Intent, pod: &Pod, observed: &Observed, now: Timestamp, grace: Duration) -> Intent {
    match (intent.terminate(now, grace), ends_by(pod, observed, now)) {
        (Intent::Terminate { deadline }, Some(end)) => Intent::Terminate { deadline: deadline.min(end) },
        (intent, _) => intent,
    }
}

/// Decides what `pod` needs at the time `now`.
pub fn plan(pod: &Pod, observed: &Observed, intent: Intent, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    match (intent, ends_by(pod, observed, now)) {
        (Intent::Kill { since }, _) => plan.kill(observed, since, now),
        (Intent::Terminate { deadline }, _) => plan.terminate(pod, observed, deadline, now),
        // What still runs of a pod whose end is settled is ended; the pod stays until it is told to go.
        (Intent::Run, Some(grace_ends)) => plan.end(pod, observed, grace_ends, now),
        (Intent::Run, None) => {
            match observed.sandbox {
                _ if restarts_all(pod, observed) => plan.begin_again(pod, observed, now),
                Sandbox::Ready { .. } if observed.connected => plan.run(pod, observed, now),
                _ => plan.make_sandbox(observed, now),
            }
            if let Some(deadline) = deadline(pod, observed) {
                plan.wake(deadline);
            }
        }
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

    /// Kills all containers, and has them begin anew when none is left. As with the kubelet there is no grace and no hook, and ephemeral
    /// containers are left alone.
    fn begin_again(&mut self, pod: &Pod, observed: &Observed, now: Timestamp) {
        let begins_anew = |name: &ContainerName| !pod.spec.is_ephemeral(name);
        if observed.running().any(|(name, _)| begins_anew(name)) {
            self.kill_all(observed, begins_anew, now);
        } else if matches!(observed.sandbox, Sandbox::Ready { .. }) && observed.connected {
            if !observed.is_starting() && !observed.resetting {
                self.at(observed.next_round, now, Action::Reset);
            }
        } else {
            self.make_sandbox(observed, now);
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
