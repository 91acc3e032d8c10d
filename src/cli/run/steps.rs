//! `mkubelet run FILE --trace`: how long each step of a pod's start took, told when the pod is up.

use std::collections::HashSet;

use crate::agent::traces::Traces;
use crate::api::debug::{Trace, Traces as _};
use crate::cli::trace;
use crate::pod::{Pod, PodUid};
use crate::status::publish::{Change, Update};

/// The pods whose starts are watched.
#[derive(Debug, Default)]
pub(super) struct Starts {
    traces: Traces,
    /// Those that are up, and whose steps may not all be told yet.
    up: HashSet<PodUid>,
    told: HashSet<PodUid>,
}

impl Starts {
    /// Takes in what happens to a pod; gives what there is to say of its start, once.
    pub(super) fn take(&mut self, update: &Update) -> Option<String> {
        let Update { pod, change, .. } = update;
        // Before the trace forgets it.
        let is_over = matches!(change, Change::Leaving { .. } | Change::Deleted);
        let last = if is_over { self.trace(pod) } else { None };
        self.traces.take(update);
        if let Change::Status(status) = change {
            let mut conditions = status.conditions.iter().flatten();
            let is_ready =
                conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True");
            if is_ready || matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
                self.up.insert(pod.uid.clone());
            }
        }
        let trace = match last {
            Some(last) => last,
            // A container's start is told when the action is over, which may be after the status.
            None => self.trace(pod).filter(|trace| self.up.contains(&pod.uid) && is_whole(pod, trace))?,
        };
        let is_new = self.told.insert(pod.uid.clone());
        is_new.then(|| format!("pod {}: the steps of its start\n{}", pod.key, trace::text_of(&trace)))
    }

    fn trace(&self, pod: &Pod) -> Option<Trace> {
        self.traces.trace(&pod.key.namespace, &pod.key.name)
    }
}

/// Whether the start of each container is in it.
fn is_whole(pod: &Pod, trace: &Trace) -> bool {
    let is_started = |name: String| {
        trace
            .steps
            .iter()
            .any(|step| step.phase == "start" && step.container.as_deref() == Some(name.as_str()))
    };
    pod.spec.containers.iter().all(|container| is_started(container.name.to_string()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use k8s_openapi::api::core::v1::{PodCondition, PodStatus};

    use super::*;
    use crate::pod::spec::RestartPolicy;
    use crate::runtime::fixture;
    use crate::runtime::timing::{Phase, Span};

    #[test]
    fn the_steps_are_told_once_when_the_pod_is_up_and_every_container_was_timed() {
        let pod = Arc::new(fixture::pod(RestartPolicy::Always, &[], &["a"]));
        let update = |change| Update { pod: Arc::clone(&pod), origin: None, change };
        let span = |phase, container: Option<&str>| Span {
            container: container.map(fixture::name),
            ..Span::until_now(phase, Instant::now())
        };
        let ready = || {
            let condition =
                PodCondition { type_: "Ready".into(), status: "True".into(), ..PodCondition::default() };
            let status = PodStatus { conditions: Some(vec![condition]), ..PodStatus::default() };
            update(Change::Status(Box::new(status)))
        };
        let mut starts = Starts::default();
        assert_eq!(starts.take(&update(Change::Timed(vec![span(Phase::Sandbox, None)]))), None);
        assert_eq!(starts.take(&ready()), None, "the container's start is not told yet");
        let told = starts.take(&update(Change::Timed(vec![span(Phase::Start, Some("a"))]))).unwrap();
        assert!(told.starts_with("pod default/web: the steps of its start\nCONTAINER"), "{told}");
        assert!(told.contains("sandbox") && told.contains("Total: "), "{told}");
        assert_eq!(starts.take(&ready()), None);
        assert_eq!(starts.take(&update(Change::Deleted)), None);
    }

    #[test]
    fn what_is_known_of_a_pod_that_never_came_up_is_told_when_it_goes() {
        let pod = Arc::new(fixture::pod(RestartPolicy::Always, &[], &["a"]));
        let update = |change| Update { pod: Arc::clone(&pod), origin: None, change };
        let mut starts = Starts::default();
        let began = Instant::now();
        starts.take(&update(Change::Timed(vec![Span::until_now(Phase::Shim, began)])));
        assert!(starts.take(&update(Change::Deleted)).unwrap().contains("shim"));
    }
}
