//! Other resources for a pod that runs (KEP-1287), and other images: who is to be restarted for them, and who goes on with what.
//! Pure; asked by the planner and for the status.
//!
//! ```text
//!   edit ──> Due ──> containers whose policy wants it are ended ──> UnderWay ──┬─> Done ──> and started again
//!             ▲                                                                │
//!             └────────────────────────── after a while ── Failed <────────────┘
//! ```
//!
//! While it is due or under way nothing is started, so that whatever starts finds its pod's limits as they are to be. Who has another
//! image is ended and started again, without any of this.

use std::time::Duration;

use jiff::Timestamp;

use super::restart;
use crate::pod::spec::Resources;
use crate::pod::{ContainerSpec, Pod};
use crate::runtime::Resized;
use crate::runtime::observe::{Observed, Pull, Resize};
use crate::state::record::Given;

/// What could not be done is tried again after this time, as a kubelet comes back to a pod that it could not sync.
const AGAIN: Duration = Duration::from_secs(10);

/// Notes that `pod` is to go on as `new`, of which only resources and images are others: what runs has what it was given before.
pub fn begin(pod: &Pod, new: &Pod, observed: &mut Observed) {
    for spec in all(pod) {
        if new.spec.container(&spec.name).is_some_and(|new| new.image != spec.image) {
            change_image(spec, observed);
        }
    }
    let is_changed =
        |old: &ContainerSpec| new.spec.container(&old.name).is_some_and(|new| new.resources != old.resources);
    if pod.spec.resources == new.spec.resources && !all(pod).any(is_changed) {
        return;
    }
    for spec in all(pod) {
        let is_alive = observed.is_alive(&spec.name);
        let known = observed.container_mut(&spec.name);
        // Who has ended and waits to be restarted for an earlier change is still to be restarted.
        if is_alive {
            let given = || Given { own: spec.resources.clone(), whole: pod.spec.resources.clone() };
            known.given.get_or_insert_with(given);
        }
    }
    observed.resize = Resize::Due;
}

/// What went wrong with the old image is not held against the new one.
fn change_image(old: &ContainerSpec, observed: &mut Observed) {
    let is_alive = observed.is_alive(&old.name);
    let known = observed.container_mut(&old.name);
    (known.held, known.pull, known.restarts_in_a_row) = (None, Pull::None, 0);
    if is_alive {
        known.old_image.get_or_insert_with(|| old.image.clone());
    }
}

/// The containers that run, with what they were given, for [`crate::runtime::Runtime::resize`].
pub fn running(pod: &Pod, observed: &Observed) -> Vec<Resized> {
    let one = |spec: &ContainerSpec| {
        let known = observed.container(&spec.name);
        let now = || Given { own: spec.resources.clone(), whole: pod.spec.resources.clone() };
        let id = known.running()?.id.clone();
        Some(Resized { name: spec.name.clone(), id, given: known.given.clone().unwrap_or_else(now) })
    };
    all(pod).filter_map(one).collect()
}

/// `new`, but with the resources of `old`.
pub fn without_resources_of(new: &Pod, old: &Pod) -> Pod {
    let mut pod = new.clone();
    let spec = &mut pod.spec;
    spec.resources = old.spec.resources.clone();
    for container in spec.init_containers.iter_mut().chain(&mut spec.containers) {
        if let Some(old) = old.spec.container(&container.name) {
            container.resources = old.resources.clone();
        }
    }
    pod
}

/// Notes what came of giving everything that runs what `pod` asks for now.
pub fn end(pod: &Pod, result: Result<(), String>, now: Timestamp, observed: &mut Observed) {
    match result {
        Ok(()) => {
            observed.resize = Resize::Done;
            for spec in all(pod) {
                let runs = observed.container(&spec.name).running().is_some();
                if runs && !restarts(pod, spec, observed) {
                    observed.container_mut(&spec.name).given = None;
                }
            }
        }
        Err(message) => {
            observed.resize = Resize::Failed { message, again_at: restart::after(now, AGAIN) };
        }
    }
}

/// True if some container still runs, or has ended, with what it is to be restarted for.
pub fn is_pending(pod: &Pod, observed: &Observed) -> bool {
    all(pod).any(|spec| restarts(pod, spec, observed))
}

/// True if a container is to be restarted because of what has changed of its resources, or for its new image, whatever its restart
/// policy says. It runs with what it had, or has ended with it. An ordinary init container is left to its end.
pub fn restarts(pod: &Pod, spec: &ContainerSpec, observed: &Observed) -> bool {
    let known = observed.container(&spec.name);
    let stays = spec.is_sidecar() || pod.spec.containers.iter().any(|container| container.name == spec.name);
    // Who has been ended for another image is started even if it is the old one again.
    let is_ended = known.ended().is_some();
    if stays && known.old_image.as_ref().is_some_and(|image| is_ended || *image != spec.image) {
        return true;
    }
    let Some(given) = &known.given else { return false };
    let before = figures(&given.own, &given.whole);
    let now = figures(&spec.resources, &pod.spec.resources);
    let [cpu, memory] = [0, 1].map(|which| before[which] != now[which]);
    spec.resize_policy.cpu_restarts && cpu || spec.resize_policy.memory_restarts && memory
}

/// Request and limit of cpu, then of memory, as a kubelet compares them: a limit that a container lacks is the pod's.
fn figures(own: &Resources, whole: &Resources) -> [(u64, u64); 2] {
    let cpu = (own.cpu_request_millis, own.cpu_limit_millis.or(whole.cpu_limit_millis));
    let memory = (own.memory_request, own.memory_limit.or(whole.memory_limit));
    [cpu, memory].map(|(request, limit)| (request.unwrap_or(0), limit.unwrap_or(0)))
}

fn all(pod: &Pod) -> impl Iterator<Item = &ContainerSpec> {
    pod.spec.init_containers.iter().chain(&pod.spec.containers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::spec::RestartPolicy::Always;
    use crate::runtime::fixture::{self, History, at, name};

    /// A pod in which `a` runs with a limit of cpu and one of memory.
    fn pod() -> Pod {
        let mut pod = fixture::pod(Always, &[], &["a"]);
        let resources = &mut pod.spec.containers[0].resources;
        (resources.cpu_limit_millis, resources.memory_limit) = (Some(100), Some(1 << 20));
        pod
    }

    #[test]
    fn a_change_restarts_whom_its_policy_wants_restarted() {
        type Change = fn(&mut Pod);
        let cpu: Change = |pod| pod.spec.containers[0].resources.cpu_limit_millis = Some(200);
        let memory: Change = |pod| pod.spec.containers[0].resources.memory_limit = Some(2 << 20);
        let request: Change = |pod| pod.spec.containers[0].resources.memory_request = Some(1 << 10);
        let whole: Change = |pod| pod.spec.resources.cpu_limit_millis = Some(900);
        for (cpu_restarts, memory_restarts, change, expected) in [
            (false, false, cpu, false),
            (true, false, cpu, true),
            (true, false, memory, false),
            (false, true, memory, true),
            (false, true, request, true),
            // It has a limit of its own.
            (true, true, whole, false),
        ] {
            let mut old = pod();
            let policy = &mut old.spec.containers[0].resize_policy;
            (policy.cpu_restarts, policy.memory_restarts) = (cpu_restarts, memory_restarts);
            let mut new = old.clone();
            change(&mut new);
            let mut history = History::ready();
            history.start(0, "a");
            begin(&old, &new, &mut history.observed);
            assert_eq!(history.observed.resize, Resize::Due);
            let found = restarts(&new, &new.spec.containers[0], &history.observed);
            assert_eq!(found, expected, "{policy:?}", policy = new.spec.containers[0].resize_policy);
        }
    }

    #[test]
    fn what_has_ended_already_is_not_restarted() {
        let mut old = pod();
        old.spec.containers[0].resize_policy.cpu_restarts = true;
        let mut new = old.clone();
        new.spec.containers[0].resources.cpu_limit_millis = Some(200);
        let mut history = History::ready();
        history.start(0, "a").exit(1, "a", 0);
        begin(&old, &new, &mut history.observed);
        assert!(!restarts(&new, &new.spec.containers[0], &history.observed));
    }

    #[test]
    fn a_second_change_does_not_make_forget_what_was_given() {
        let old = pod();
        let change = |limit| {
            let mut pod = old.clone();
            pod.spec.containers[0].resources.memory_limit = Some(limit);
            pod
        };
        let (second, third) = (change(5), change(7));
        let mut history = History::ready();
        history.start(0, "a");
        let observed = &mut history.observed;
        let given = |observed: &Observed| {
            observed.container(&name("a")).given.as_ref().and_then(|given| given.own.memory_limit)
        };
        begin(&old, &old.clone(), observed);
        assert_eq!((&observed.resize, given(observed)), (&Resize::Done, None), "nothing has changed");
        begin(&old, &second, observed);
        end(&second, Err("no".to_owned()), at(5), observed);
        assert_eq!(observed.resize, Resize::Failed { message: "no".to_owned(), again_at: at(15) });
        begin(&second, &third, observed);
        assert_eq!((&observed.resize, given(observed)), (&Resize::Due, Some(1 << 20)));
        end(&third, Ok(()), at(6), observed);
        assert_eq!((&observed.resize, given(observed)), (&Resize::Done, None));
    }
}
