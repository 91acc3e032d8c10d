//! A pod that should run: init containers and sidecars in their order, then the containers.

use jiff::Timestamp;

use super::{Action, Plan};
use crate::pod::{ContainerSpec, Pod};
use crate::runtime::observe::{Container, Observed, PostStart, Pull, Resize, Running, State};
use crate::sync::{init, resize, restart};

impl Plan {
    /// What a pod with a sandbox needs, whose end is not settled.
    pub(super) fn run(&mut self, pod: &Pod, observed: &Observed, now: Timestamp) {
        // Whatever keeps the others from starting: that is what they are for.
        for spec in &pod.spec.ephemeral_containers {
            let known = observed.container(&spec.name);
            if known.attempts == 0 || known.running().is_some() {
                self.keep(pod, spec, observed, now);
            }
        }
        let inits = &pod.spec.init_containers;
        let turn = init::turn(pod, observed);
        for sidecar in inits[..turn.unwrap_or(inits.len())].iter().filter(|spec| spec.is_sidecar()) {
            self.keep(pod, sidecar, observed, now);
        }
        match turn {
            Some(turn) => self.keep(pod, &inits[turn], observed, now),
            None => self.keep_containers(pod, observed, now),
        }
        self.resize(pod, observed, now);
    }

    /// Gives what runs the resources that the pod asks for now, once those are gone that are to be restarted for it.
    fn resize(&mut self, pod: &Pod, observed: &Observed, now: Timestamp) {
        let due = match observed.resize {
            Resize::Done | Resize::UnderWay => return,
            Resize::Due => None,
            Resize::Failed { again_at, .. } => Some(again_at),
        };
        let mut all = pod.spec.init_containers.iter().chain(&pod.spec.containers);
        let is_in_the_way =
            |spec: &ContainerSpec| observed.is_alive(&spec.name) && resize::restarts(pod, spec, observed);
        if !observed.is_starting() && !all.any(is_in_the_way) {
            self.at(due, now, Action::Resize);
        }
    }

    /// Containers are started together, but none before the postStart hooks of those before it have ended.
    fn keep_containers(&mut self, pod: &Pod, observed: &Observed, now: Timestamp) {
        let mut is_held_up = false;
        for spec in &pod.spec.containers {
            let known = observed.container(&spec.name);
            let is_over = |code| {
                !restart::wanted(pod.spec.restart_policy, spec, code)
                    && !resize::restarts(pod, spec, observed)
            };
            if known.ended().is_some_and(|ended| is_over(ended.code())) {
                continue;
            }
            let actions = self.actions.len();
            if known.running().is_some() || !is_held_up {
                self.keep(pod, spec, observed, now);
            }
            let starts =
                known.starting || known.is_pulling() || self.actions[actions..].iter().any(Action::is_start);
            let runs_hook = matches!(known.post_start, PostStart::Due | PostStart::Running);
            let is_busy = starts || known.running().is_some() && runs_hook;
            is_held_up |= is_busy && spec.lifecycle.post_start.is_some();
        }
    }

    /// Keeps one container running: starts it when that is due, ends it when it is sick.
    fn keep(&mut self, pod: &Pod, spec: &ContainerSpec, observed: &Observed, now: Timestamp) {
        let known = observed.container(&spec.name);
        match &known.state {
            _ if known.starting || known.is_pulling() => {}
            State::Absent | State::Ended(_) if matches!(observed.resize, Resize::Due | Resize::UnderWay) => {}
            State::Absent | State::Ended(_) => {
                // Who was ended for other resources has done nothing to be made to wait for.
                let due = match resize::restarts(pod, spec, observed) {
                    true => known.held.as_ref().map(|held| held.due()),
                    false => known.due(observed.sandboxes).map(|(due, _)| due),
                };
                if let Some((_, held)) = known.failed_pull().filter(|(_, held)| now < held.told_until()) {
                    self.wake(held.told_until());
                }
                self.at(due, now, next_step(spec, known));
            }
            State::Running(running) => self.tend(pod, spec, observed, running, now),
        }
    }

    fn tend(
        &mut self,
        pod: &Pod,
        spec: &ContainerSpec,
        observed: &Observed,
        running: &Running,
        now: Timestamp,
    ) {
        let known = observed.container(&spec.name);
        if let Some(stopping) = known.stopping {
            self.stop(spec, running, Some(stopping), stopping.deadline, true, now);
        } else if let Some(grace) = known.to_end_within(pod.spec.termination_grace_period) {
            self.stop(spec, running, None, restart::after(now, grace), true, now);
        } else if resize::restarts(pod, spec, observed) {
            let deadline = restart::after(now, pod.spec.termination_grace_period);
            self.stop(spec, running, None, deadline, true, now);
        } else if known.post_start == PostStart::Due && spec.lifecycle.post_start.is_some() {
            self.actions.push(Action::PostStart { container: spec.name.clone(), id: running.id.clone() });
        }
    }
}

/// What brings a container that does not run nearer to its next start.
fn next_step(spec: &ContainerSpec, known: &Container) -> Action {
    let container = spec.name.clone();
    match &known.pull {
        Pull::Due(image) => Action::Pull { container, image: image.clone() },
        Pull::None | Pull::UnderWay(_) => Action::Start { container, attempt: known.attempts },
    }
}

impl Action {
    fn is_start(&self) -> bool {
        matches!(self, Action::Start { .. } | Action::Pull { .. })
    }
}
