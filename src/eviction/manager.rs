//! The one loop: looks at the host every ten seconds, and has pods go, one at a time, for as long as it is starved of something.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::admission::is_critical;
use super::message;
use super::rank::{self, Usage};
use super::signal::{Condition, Observations, Resource, Signal};
use super::state::{State, met};
use super::threshold::{Eviction, Threshold};
use crate::pod::Pod;

/// How often the host is looked at (the kubelet's evictionMonitoringPeriod).
const MONITORING: Duration = Duration::from_secs(10);

/// What a pod has that goes for a hard threshold (immediateEvictionGracePeriodSeconds); no pod has less.
const IMMEDIATE: Duration = Duration::from_secs(1);

/// A pod that could go.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The pod.
    pub pod: Arc<Pod>,
    /// It does not come from the API.
    pub is_static: bool,
    /// What it uses, as far as that is known.
    pub usage: Option<Usage>,
}

/// The node, as this loop needs it.
pub trait Node: Send + Sync + 'static {
    /// What is left on the host.
    fn observe(&self) -> impl Future<Output = Observations> + Send;

    /// The pods that are not over, with what they use of the resource that the signal is about.
    fn pods(&self, signal: Signal) -> impl Future<Output = Vec<Candidate>> + Send;

    /// Tells which conditions hold.
    fn tell(&self, holds: BTreeSet<Condition>);

    /// Tells that there is too little of something, and that something is done about it.
    fn reclaims(&self, resource: Resource);

    /// Frees what no pod needs; true if there are such things for this signal.
    fn reclaim(&self, signal: Signal) -> impl Future<Output = bool> + Send;

    /// Has a pod end for this signal, within that time, and waits for that, for a while. False if it was ending already.
    fn evict(
        &self,
        signal: Signal,
        candidate: &Candidate,
        message: String,
        grace: Duration,
    ) -> impl Future<Output = bool> + Send;
}

/// Keeps the node from running short, for ever. The conditions that hold go to `node`.
pub async fn run(eviction: Eviction, node: impl Node) {
    if eviction.thresholds.is_empty() {
        return;
    }
    let mut state = State::default();
    loop {
        // What one pod's end has freed is looked at before the next pod is chosen.
        if !round(&eviction, &mut state, &node).await {
            tokio::time::sleep(MONITORING).await;
        }
    }
}

/// One look; true if a pod was evicted.
async fn round(eviction: &Eviction, state: &mut State, node: &impl Node) -> bool {
    let seen = node.observe().await;
    let verdict = state.observe(eviction, &seen, Instant::now());
    node.tell(verdict.conditions.clone());
    let Some(threshold) = verdict.starved.first() else { return false };
    let resource = threshold.signal.resource();
    node.reclaims(resource);
    if node.reclaim(threshold.signal).await {
        let seen = node.observe().await;
        if met(&eviction.thresholds, &seen, true).is_empty() {
            tracing::info!(%resource, "reclaimed enough without evicting pods");
            return false;
        }
    }
    let mut candidates = node.pods(threshold.signal).await;
    candidates.retain(|one| !is_critical(&one.pod, one.is_static));
    candidates.sort_by_cached_key(|one| rank::key(&one.pod, one.usage.as_ref(), resource));
    for candidate in &candidates {
        let (pod, usage) = (&candidate.pod, candidate.usage.as_ref());
        let message = message::evicted(pod, usage, resource, &verdict.starved, &seen);
        if node.evict(threshold.signal, candidate, message, grace(eviction, threshold, pod)).await {
            return true;
        }
    }
    tracing::info!(%resource, "too little is left, and there is no pod to evict");
    false
}

/// What a pod has to end by itself.
fn grace(eviction: &Eviction, threshold: &Threshold, pod: &Pod) -> Duration {
    if threshold.is_hard() {
        return IMMEDIATE;
    }
    pod.spec.termination_grace_period.min(eviction.max_pod_grace).max(IMMEDIATE)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::signal::Observation;
    use super::super::threshold::Value;
    use super::*;
    use crate::pod::spec::RestartPolicy;
    use crate::runtime::fixture;

    /// A host on which every pod that goes frees what it used.
    #[derive(Default)]
    struct Host {
        left: Mutex<u64>,
        pods: Mutex<Vec<Candidate>>,
        reclaimable: Mutex<u64>,
        told: Mutex<Vec<String>>,
        holds: Mutex<BTreeSet<Condition>>,
    }

    impl Host {
        fn told(&self) -> Vec<String> {
            std::mem::take(&mut self.told.lock().unwrap())
        }
    }

    impl Node for Arc<Host> {
        async fn observe(&self) -> Observations {
            let seen = Observation { available: *self.left.lock().unwrap(), capacity: 1000 };
            [(Signal::NodeFsAvailable, seen)].into()
        }

        async fn pods(&self, _: Signal) -> Vec<Candidate> {
            self.pods.lock().unwrap().clone()
        }

        fn tell(&self, holds: BTreeSet<Condition>) {
            *self.holds.lock().unwrap() = holds;
        }

        fn reclaims(&self, resource: Resource) {
            self.told.lock().unwrap().push(format!("reclaim {resource}"));
        }

        async fn reclaim(&self, _: Signal) -> bool {
            *self.left.lock().unwrap() += std::mem::take(&mut *self.reclaimable.lock().unwrap());
            true
        }

        async fn evict(&self, _: Signal, candidate: &Candidate, _: String, grace: Duration) -> bool {
            let name = &candidate.pod.key.name;
            self.told.lock().unwrap().push(format!("evict {name} within {}", grace.as_secs()));
            self.pods.lock().unwrap().retain(|pod| pod.pod.key.name != *name);
            *self.left.lock().unwrap() += candidate.usage.as_ref().map_or(0, |usage| usage.disk);
            true
        }
    }

    fn candidate(name: &str, disk: u64, is_static: bool) -> Candidate {
        let mut pod = fixture::pod(RestartPolicy::Always, &[], &["a"]);
        pod.key.name = name.to_owned();
        Candidate { pod: Arc::new(pod), is_static, usage: Some(Usage { disk, ..Usage::default() }) }
    }

    fn eviction(grace: u64) -> Eviction {
        let threshold = Threshold {
            signal: Signal::NodeFsAvailable,
            value: Value::Quantity(100),
            grace: Duration::from_secs(grace),
            minimum_reclaim: None,
        };
        Eviction { thresholds: vec![threshold], max_pod_grace: Duration::from_secs(7), ..Eviction::default() }
    }

    #[tokio::test]
    async fn one_pod_goes_at_a_time_until_there_is_enough_and_never_a_static_one() {
        let host = Arc::new(Host::default());
        host.pods.lock().unwrap().extend([
            candidate("static", 900, true),
            candidate("small", 20, false),
            candidate("large", 70, false),
            candidate("middle", 40, false),
        ]);
        let (mut state, eviction) = (State::default(), eviction(0));
        for expected in [Some("large"), Some("middle"), None] {
            let is_evicted = round(&eviction, &mut state, &host).await;
            let evicted = expected
                .map(|name| ["reclaim ephemeral-storage".to_owned(), format!("evict {name} within 1")]);
            assert_eq!(
                (is_evicted, host.told()),
                (expected.is_some(), evicted.into_iter().flatten().collect())
            );
        }
        assert_eq!(*host.holds.lock().unwrap(), [Condition::DiskPressure].into());
    }

    #[tokio::test]
    async fn what_nobody_needs_goes_before_any_pod() {
        let host = Arc::new(Host::default());
        host.pods.lock().unwrap().push(candidate("pod", 70, false));
        *host.reclaimable.lock().unwrap() = 100;
        assert!(!round(&eviction(0), &mut State::default(), &host).await);
        assert_eq!(host.told(), ["reclaim ephemeral-storage"]);
    }

    #[tokio::test]
    async fn a_soft_threshold_gives_a_pod_its_own_grace_up_to_a_bound() {
        let (eviction, pod) = (eviction(60), candidate("pod", 0, false).pod);
        assert_eq!(grace(&eviction, &eviction.thresholds[0], &pod).as_secs(), 7);
        let none = Eviction { max_pod_grace: Duration::ZERO, ..eviction };
        assert_eq!(grace(&none, &none.thresholds[0], &pod).as_secs(), 1);
    }
}
