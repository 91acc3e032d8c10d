//! The node as its evictions see it: the host, the pods that this agent looks after, and what they use.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::active::Active;
use super::collector::Collector;
use crate::cluster::health::Health;
use crate::cluster::recorder::Recorder;
use crate::config::Layout;
use crate::events::Event;
use crate::eviction::host::Host as Reader;
use crate::eviction::manager::{Candidate, Node};
use crate::eviction::rank::{ContainerUsage, Usage};
use crate::eviction::signal::{Condition, Observations, Resource, Signal};
use crate::metrics::Metrics;
use crate::pod::{Pod, PodUid};
use crate::runtime::Error;
use crate::runtime::host::Host;
use crate::runtime::pod_files::remove_tree;
use crate::state::record::{Cause, Ending};
use crate::usage::{self, PodUsage};
use crate::volume::usage as disk;

/// How long the end of an evicted pod is waited for before another one is looked for (the kubelet's podCleanupTimeout).
const PATIENCE: Duration = Duration::from_secs(30);

/// What evictions need.
pub(super) struct Pressured {
    pub(super) name: String,
    pub(super) host: Arc<Host>,
    pub(super) reader: Reader,
    pub(super) collector: Collector,
    pub(super) active: Active,
    pub(super) recorder: Recorder,
    pub(super) health: watch::Sender<Health>,
    pub(super) metrics: Arc<Metrics>,
}

impl Node for Pressured {
    async fn observe(&self) -> Observations {
        let reader = self.reader.clone();
        // What could not be looked at is not seen.
        spawn_blocking(move || reader.observe()).await.unwrap_or_default()
    }

    async fn pods(&self, signal: Signal) -> Vec<Candidate> {
        let (host, active) = (Arc::clone(&self.host), self.active.all());
        // Of images on a filesystem of their own pods have no part.
        let is_of_images = matches!(signal, Signal::ImageFsAvailable | Signal::ImageFsInodesFree);
        let of_pods = !(is_of_images && self.reader.has_image_fs());
        let measured = spawn_blocking(move || {
            let used = usage::read::read(&host.layout, &host.cgroups).unwrap_or_default();
            let mut used: HashMap<PodUid, PodUsage> =
                used.into_iter().map(|pod| (pod.uid.clone(), pod)).collect();
            let candidate = |one: &super::active::ActivePod| {
                let pod = one.pod();
                let of_resource = used.remove(&pod.uid).map(|groups| match signal.resource() {
                    Resource::EphemeralStorage | Resource::Inodes if of_pods => {
                        with_disk(&pod, &groups, &host.layout)
                    }
                    _ => of_groups(&groups),
                });
                Candidate { usage: of_resource, is_static: one.is_static, pod }
            };
            active.iter().map(candidate).collect()
        });
        measured.await.unwrap_or_default()
    }

    fn tell(&self, holds: BTreeSet<Condition>) {
        self.health.send_if_modified(|health| {
            let is_another = health.pressure != holds;
            health.pressure = holds;
            is_another
        });
    }

    fn reclaims(&self, resource: Resource) {
        tracing::warn!(%resource, "too little is left: attempting to reclaim");
        self.recorder.record_of_node(&self.name, Event::eviction_threshold_met(&resource.to_string()));
    }

    async fn reclaim(&self, signal: Signal) -> bool {
        if !matches!(signal.resource(), Resource::EphemeralStorage | Resource::Inodes) {
            return false;
        }
        // With a disk of their own images are no room for what containers write, nor that for them.
        let is_of_images = matches!(signal, Signal::ImageFsAvailable | Signal::ImageFsInodesFree);
        let is_apart = self.reader.has_image_fs();
        let has_collected = (is_of_images || !is_apart) && self.collector.free_all().await;
        if is_of_images && is_apart {
            return has_collected;
        }
        let (host, over) = (Arc::clone(&self.host), self.active.over());
        let removed = spawn_blocking(move || {
            for pod in over {
                if let Err(error) = remove_tree(&host.layout.pod(&pod.uid).join("containers")) {
                    tracing::warn!(pod = %pod.key, %error, "what its containers wrote stays");
                }
            }
        });
        removed.await.map_err(|error| Error::chain(&error)).is_ok()
    }

    async fn evict(&self, signal: Signal, candidate: &Candidate, message: String, grace: Duration) -> bool {
        let Some(active) = self.active.get(&candidate.pod.uid) else { return false };
        self.metrics.evicted(signal.as_str());
        let ending = Ending { cause: Cause::NodePressure, message, grace };
        if timeout(PATIENCE, active.end(ending)).await.is_err() {
            tracing::warn!(pod = %candidate.pod.key, "it was evicted, and does not end");
        }
        true
    }
}

fn of_groups(groups: &PodUsage) -> Usage {
    let memory = |sample: &usage::Sample| sample.stats.memory.map_or(0, |memory| memory.working_set);
    let containers = groups.containers.iter().map(|container| ContainerUsage {
        name: container.name.clone(),
        memory: memory(&container.sample),
        disk: 0,
    });
    Usage {
        memory: memory(&groups.whole),
        processes: groups.whole.stats.pids.map_or(0, |pids| pids.current),
        containers: containers.collect(),
        ..Usage::default()
    }
}

fn with_disk(pod: &Pod, groups: &PodUsage, layout: &Layout) -> Usage {
    let mut usage = of_groups(groups);
    let found = disk::of_pod(pod, layout);
    (usage.disk, usage.inodes) = (found.whole.bytes, found.whole.inodes);
    for container in &mut usage.containers {
        let taken = found.containers.iter().find(|(name, _)| *name == container.name);
        container.disk = taken.map_or(0, |(_, taken)| taken.bytes);
    }
    usage
}
