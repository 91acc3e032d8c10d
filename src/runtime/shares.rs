//! What the pods of the node request of its processors, as their records say.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::resources;
use crate::config::Layout;
use crate::pod::PodUid;
use crate::state::record::PodRecord;
use crate::state::store;

/// Requests by pod, thousandths of a processor, of those pods that were asked for last.
#[derive(Debug, Default)]
pub struct Shares {
    known: Mutex<HashMap<PodUid, u64>>,
}

impl Shares {
    /// What these pods request together. One without a record below `layout` counts as nothing: it is gone, or its agent has
    /// other directories.
    pub fn total(&self, pods: &[PodUid], layout: &Layout) -> u64 {
        // Plain values, whole after every operation.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|uid, _| pods.contains(uid));
        for uid in pods {
            if !known.contains_key(uid)
                && let Some(millis) = recorded(uid, layout)
            {
                known.insert(uid.clone(), millis);
            }
        }
        known.values().fold(0, |sum, millis| sum.saturating_add(*millis))
    }

    /// Looks at the pod's record anew the next time.
    pub fn forget(&self, uid: &PodUid) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

fn recorded(uid: &PodUid, layout: &Layout) -> Option<u64> {
    let record: PodRecord = store::read(&layout.pod_record(uid))?;
    record.understood().ok().map(|record| resources::cpu_request(&record.pod))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::spec::RestartPolicy;
    use crate::runtime::fixture;
    use crate::state::store::Survive;

    #[test]
    fn the_total_is_of_those_pods_that_are_there() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path(), "/run", "/log");
        let uids: Vec<PodUid> = ["a", "b", "c"].iter().map(|uid| uid.parse().unwrap()).collect();
        for (uid, millis) in uids.iter().zip([250, 1500]) {
            let mut pod = fixture::pod(RestartPolicy::Always, &[], &["a"]);
            pod.uid = uid.clone();
            pod.spec.containers[0].resources.cpu_request_millis = Some(millis);
            std::fs::create_dir_all(layout.pod(uid)).unwrap();
            store::write(&layout.pod_record(uid), &PodRecord::new(pod), Survive::Crash).unwrap();
        }
        let shares = Shares::default();
        assert_eq!(shares.total(&uids, &layout), 1750, "of the third nobody knows");
        std::fs::remove_file(layout.pod_record(&uids[0])).unwrap();
        assert_eq!(shares.total(&uids, &layout), 1750, "known already");
        assert_eq!(shares.total(&uids[1..], &layout), 1500);
        let mut pod = fixture::pod(RestartPolicy::Always, &[], &["a"]);
        pod.uid = uids[1].clone();
        store::write(&layout.pod_record(&uids[1]), &PodRecord::new(pod), Survive::Crash).unwrap();
        shares.forget(&uids[1]);
        assert_eq!(shares.total(&uids[1..], &layout), 0, "it requests nothing any more");
        assert_eq!(shares.total(&[], &layout), 0);
    }
}
