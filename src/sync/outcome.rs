//! Whether a pod is over, and how far its init containers have come. Pure; asked by the planner and for the status.

use super::restart;
use crate::pod::spec::RestartPolicy;
use crate::pod::{ContainerSpec, Pod};
use crate::runtime::observe::{Container, Observed, Sandbox, State};

/// How a pod ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All containers ended with exit code 0.
    Succeeded,
    /// At least one did not, or could not run.
    Failed,
}

/// How the pod ended; `None` while there is, or will be, something to run.
pub fn outcome(pod: &Pod, observed: &Observed) -> Option<Outcome> {
    let policy = pod.spec.restart_policy;
    if policy == RestartPolicy::Never {
        let init_failed = pod.spec.init_containers.iter().any(|c| has_failed(observed.container(&c.name)));
        let everything_gone = matches!(observed.sandbox, Sandbox::Lost { .. })
            && all_containers(pod).any(|c| observed.container(&c.name).attempts > 0);
        if init_failed || (everything_gone && observed.running().next().is_none()) {
            return Some(final_verdict(pod, observed));
        }
    }
    let over = |c: &ContainerSpec| {
        observed.container(&c.name).ended().is_some_and(|ended| !restart::wanted(policy, ended.code()))
    };
    pod.spec.containers.iter().all(over).then(|| final_verdict(pod, observed))
}

/// The init container whose turn it is; `None` when all have done their work in this sandbox.
pub fn next_init<'a>(pod: &'a Pod, observed: &Observed) -> Option<&'a ContainerSpec> {
    let in_this_sandbox = |c: &Container| match &c.state {
        State::Absent => false,
        State::Running(running) => running.sandbox == observed.sandboxes,
        State::Ended(ended) => ended.sandbox == observed.sandboxes,
    };
    if pod.spec.containers.iter().any(|c| in_this_sandbox(observed.container(&c.name))) {
        return None;
    }
    let done = |c: &ContainerSpec| {
        let container = observed.container(&c.name);
        in_this_sandbox(container) && container.ended().is_some_and(|ended| ended.code() == 0)
    };
    pod.spec.init_containers.iter().find(|c| !done(c))
}

fn final_verdict(pod: &Pod, observed: &Observed) -> Outcome {
    // Init containers need no look: while one has not succeeded, no container has run.
    let succeeded =
        |c: &ContainerSpec| observed.container(&c.name).ended().is_some_and(|ended| ended.code() == 0);
    if pod.spec.containers.iter().all(succeeded) { Outcome::Succeeded } else { Outcome::Failed }
}

fn has_failed(container: &Container) -> bool {
    container.ended().is_some_and(|ended| ended.code() != 0)
}

fn all_containers(pod: &Pod) -> impl Iterator<Item = &ContainerSpec> {
    pod.spec.init_containers.iter().chain(&pod.spec.containers)
}
