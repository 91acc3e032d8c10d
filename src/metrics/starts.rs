//! How long pods take from when they are first seen to when all their containers run.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::PodStatus;

use crate::pod::PodUid;
use crate::status::publish::{Change, Update};

/// The pods that are on their way. One that already ran when it was first seen is none of them.
#[derive(Debug, Default)]
pub struct Starts(Mutex<HashMap<PodUid, Option<Instant>>>);

impl Starts {
    /// Takes in what happens to a pod. Returns how long it took, once, when the pod has come to run.
    pub fn take(&self, update: &Update, now: Instant) -> Option<Duration> {
        let uid = &update.pod.uid;
        // A panic elsewhere leaves a map behind that is whole.
        let mut pods = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &update.change {
            Change::Status(status) => {
                let is_there = has_started(status);
                let since = pods.entry(uid.clone()).or_insert_with(|| (!is_there).then_some(now));
                if is_there { since.take().map(|since| now.saturating_duration_since(since)) } else { None }
            }
            Change::Deleted => {
                pods.remove(uid);
                None
            }
            Change::Event(_)
            | Change::Pulling { .. }
            | Change::Timed(_)
            | Change::Terminating { .. }
            | Change::Leaving { .. } => None,
        }
    }
}

/// Whether every container has been started, or the pod is over.
fn has_started(status: &PodStatus) -> bool {
    let containers = || status.container_statuses.iter().flatten();
    let has_begun = containers().all(|container| {
        container.state.as_ref().is_some_and(|state| state.running.is_some() || state.terminated.is_some())
    });
    status.phase.as_deref() != Some("Pending") && has_begun
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::pod::spec::RestartPolicy;
    use crate::runtime::fixture;

    #[test]
    fn a_start_is_told_once_and_only_of_a_pod_that_was_seen_before_it_ran() {
        let pod = Arc::new(fixture::pod(RestartPolicy::Always, &[], &["a"]));
        let status = |phase: &str| PodStatus { phase: Some(phase.to_owned()), ..PodStatus::default() };
        let update = |change| Update { pod: Arc::clone(&pod), origin: None, change };
        let told = |phase: &str| update(Change::Status(Box::new(status(phase))));
        let (starts, begin) = (Starts::default(), Instant::now());
        let after = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(starts.take(&told("Pending"), begin), None);
        assert_eq!(starts.take(&told("Running"), after(3)), Some(Duration::from_secs(3)));
        assert_eq!(starts.take(&told("Pending"), after(4)), None);
        assert_eq!(
            starts.take(&told("Running"), after(5)),
            None,
            "a restart of the sandbox is no start of the pod"
        );
        assert_eq!(starts.take(&update(Change::Deleted), after(6)), None);
        assert_eq!(starts.take(&told("Running"), after(7)), None, "an earlier agent started it");
        assert_eq!(starts.take(&told("Running"), after(8)), None);
    }
}
