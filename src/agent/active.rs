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
pub struct Active(Arc<Mutex<BTreeMap<PodUid, ActivePod>>>);

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
        self.active.pods().remove(&self.uid);
    }
}

impl Active {
    fn pods(&self) -> MutexGuard<'_, BTreeMap<PodUid, ActivePod>> {
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
        self.pods().insert(uid.clone(), ActivePod { runtime, is_static, life });
        Stay { active: self.clone(), uid }
    }

    /// Those that are neither Succeeded nor Failed.
    pub fn all(&self) -> Vec<ActivePod> {
        self.pods().values().filter(|pod| *pod.life.borrow() == Life::Active).cloned().collect()
    }

    /// Those of which nothing runs any more, and nothing will.
    pub(super) fn over(&self) -> Vec<Arc<Pod>> {
        let pods = self.pods();
        pods.values().filter(|pod| *pod.life.borrow() == Life::Over).map(ActivePod::pod).collect()
    }

    /// The one with that uid.
    pub(super) fn get(&self, uid: &PodUid) -> Option<ActivePod> {
        self.pods().get(uid).cloned()
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
