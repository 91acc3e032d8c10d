//! The pods that have a worker, for those who may have to end one for the node's sake.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::pod::{Pod, PodUid};
use crate::runtime::pod_runtime::PodRuntime;
use crate::state::record::Ending;
use crate::status::publish::Life;

/// The pods, by uid.
#[derive(Debug, Clone, Default)]
pub struct Active(Arc<Mutex<Pods>>);

#[derive(Debug, Default)]
struct Pods {
    there: BTreeMap<PodUid, ActivePod>,
    /// Those that are to end as soon as they have a worker.
    to_end: BTreeMap<PodUid, Ending>,
}

/// A pod with a worker.
#[derive(Debug, Clone)]
pub struct ActivePod {
    runtime: Arc<PodRuntime>,
    /// It does not come from the API.
    pub is_static: bool,
    life: watch::Receiver<Life>,
}

/// Keeps a pod among the active ones.
#[derive(Debug)]
pub(super) struct Stay {
    active: Active,
    uid: PodUid,
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.active.pods().there.remove(&self.uid);
    }
}

impl Active {
    fn pods(&self) -> MutexGuard<'_, Pods> {
        // A panic elsewhere leaves a map behind that is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a pod among the active ones for as long as what is returned lives.
    pub(super) fn enter(
        &self,
        runtime: &Arc<PodRuntime>,
        is_static: bool,
        life: watch::Receiver<Life>,
    ) -> Stay {
        let (runtime, uid) = (Arc::clone(runtime), runtime.pod().uid.clone());
        let mut pods = self.pods();
        if let Some(ending) = pods.to_end.remove(&uid) {
            runtime.evict(ending);
        }
        pods.there.insert(uid.clone(), ActivePod { runtime, is_static, life });
        drop(pods);
        Stay { active: self.clone(), uid }
    }

    /// Those that are neither Succeeded nor Failed.
    pub fn all(&self) -> Vec<ActivePod> {
        self.pods().there.values().filter(|pod| *pod.life.borrow() == Life::Active).cloned().collect()
    }

    /// Those of which nothing runs any more, and nothing will.
    pub(super) fn over(&self) -> Vec<Arc<Pod>> {
        let pods = self.pods();
        pods.there.values().filter(|pod| *pod.life.borrow() == Life::Over).map(ActivePod::pod).collect()
    }

    /// The one with that uid.
    pub(super) fn get(&self, uid: &PodUid) -> Option<ActivePod> {
        self.pods().there.get(uid).cloned()
    }

    /// Has a pod end. One that an earlier agent left, and whose source has not told of it yet, ends when it has.
    pub(super) fn end(&self, uid: &PodUid, ending: Ending) {
        let mut pods = self.pods();
        match pods.there.get(uid) {
            Some(pod) => pod.runtime.evict(ending),
            None => drop(pods.to_end.insert(uid.clone(), ending)),
        }
    }
}

impl ActivePod {
    /// As it is now.
    pub fn pod(&self) -> Arc<Pod> {
        self.runtime.pod()
    }

    /// Has it end, and waits until nothing of it runs any more.
    pub async fn end(mut self, ending: Ending) {
        self.runtime.evict(ending);
        // Whoever told of its life is gone, and so is the pod.
        let _ = self.life.wait_for(|life| *life == Life::Over).await;
    }
}
