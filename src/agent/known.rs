//! The pods that this agent looks after, by what was told of them last.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::PodStatus;
use tokio::sync::watch;

use super::streams::pods::{LocalPod, LocalPods};
use crate::api::streams::PodRef;
use crate::metrics::Running;
use crate::pod::{PodKey, PodUid, SourceKind};
use crate::status::publish::{Change, Update};

/// The pods, by namespace and name: there is one of a name at a time.
#[derive(Debug, Clone, Default)]
pub(super) struct Known(Arc<Mutex<BTreeMap<PodKey, One>>>);

#[derive(Debug)]
struct One {
    uid: PodUid,
    /// The API has it under another uid.
    is_static: bool,
    status: watch::Sender<Arc<PodStatus>>,
}

impl Known {
    fn pods(&self) -> MutexGuard<'_, BTreeMap<PodKey, One>> {
        // A panic elsewhere leaves a map behind that is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what happens to a pod.
    pub(super) fn take(&self, update: &Update) {
        let Update { pod, origin, change } = update;
        let mut pods = self.pods();
        match change {
            Change::Status(status) => {
                let status = Arc::new(PodStatus::clone(status));
                match pods.get(&pod.key).filter(|known| known.uid == pod.uid) {
                    Some(known) => drop(known.status.send_replace(status)),
                    None => {
                        let is_static =
                            origin.as_ref().is_some_and(|origin| origin.source != SourceKind::Api);
                        let status = watch::Sender::new(status);
                        pods.insert(pod.key.clone(), One { uid: pod.uid.clone(), is_static, status });
                    }
                }
            }
            Change::Deleted => {
                if pods.get(&pod.key).is_some_and(|known| known.uid == pod.uid) {
                    pods.remove(&pod.key);
                }
            }
            Change::Event(_)
            | Change::Pulling { .. }
            | Change::Timed(_)
            | Change::Terminating { .. }
            | Change::Leaving { .. } => {}
        }
    }
}

impl Known {
    /// How many pods and containers are in which state.
    pub(super) fn running(&self) -> Running {
        let mut running = Running::default();
        for one in self.pods().values() {
            let status = Arc::clone(&one.status.borrow());
            let lists = [
                &status.init_container_statuses,
                &status.container_statuses,
                &status.ephemeral_container_statuses,
            ];
            let states =
                lists.into_iter().flatten().flatten().filter_map(|container| container.state.as_ref());
            let (mut runs, mut counts) = (0, running.containers);
            for state in states {
                let at = if state.running.is_some() {
                    0
                } else if state.terminated.is_some() {
                    2
                } else {
                    1
                };
                counts[at] += 1;
                runs += u64::from(at == 0);
            }
            running.containers = counts;
            running.pods += u64::from(runs > 0);
        }
        running
    }
}

impl LocalPods for Known {
    fn find(&self, PodRef { namespace, name, uid }: &PodRef) -> Option<LocalPod> {
        let key = PodKey { namespace: namespace.clone(), name: name.clone() };
        let pods = self.pods();
        let known = pods.get(&key).filter(|known| known.is_static || known.uid.as_str() == uid)?;
        Some(LocalPod { uid: known.uid.clone(), status: known.status.subscribe(), key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::Origin;
    use crate::pod::spec::RestartPolicy;
    use crate::runtime::fixture;

    fn update(source: SourceKind, change: Change) -> Update {
        let pod = Arc::new(fixture::pod(RestartPolicy::Always, &[], &["a"]));
        Update { pod, origin: Some(Arc::new(Origin { source, place: String::new() })), change }
    }

    fn status(phase: &str) -> Change {
        Change::Status(Box::new(PodStatus { phase: Some(phase.to_owned()), ..PodStatus::default() }))
    }

    #[test]
    fn a_pod_is_found_by_its_uid_and_a_static_one_whatever_its_likeness_has() {
        let reference = |uid: &str| {
            let key = fixture::pod(RestartPolicy::Always, &[], &["a"]).key;
            PodRef { namespace: key.namespace, name: key.name, uid: uid.to_owned() }
        };
        for (source, is_found) in [(SourceKind::Api, false), (SourceKind::File, true)] {
            let known = Known::default();
            let first = update(source, status("Pending"));
            known.take(&first);
            let own = reference(first.pod.uid.as_str());
            let found = known.find(&own).unwrap();
            assert_eq!(known.find(&reference("another")).is_some(), is_found);
            known.take(&update(source, status("Running")));
            assert_eq!(found.status.borrow().phase.as_deref(), Some("Running"));
            known.take(&update(source, Change::Deleted));
            assert!(known.find(&own).is_none());
            assert!(found.status.has_changed().is_err(), "nobody tells of it any more");
        }
    }
}
