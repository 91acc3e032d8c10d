//! A pod's volumes: made ready before its containers start, and brought up to date while they run.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;

use super::pod_runtime::{PodRuntime, blocking};
use super::shim_client::{Notice, ShimClient};
use super::{Error, Refusal};
use crate::pod::Pod;
use crate::pod::downward::{Allocatable, Facts};
use crate::pod::objects::Objects;
use crate::pod::spec::{Volume, VolumeSource};
use crate::shim::protocol::{Call, TmpfsConfig};
use crate::volume::{self, Surroundings};

/// What a container waits with while a volume of its pod is not there. In the kubelet's words.
const WAITING: &str = "ContainerCreating";

/// The host's files and directories behind the volumes, by name.
pub(super) type Volumes = BTreeMap<String, PathBuf>;

impl PodRuntime {
    /// Makes every volume ready that a container of the pod uses, as the kubelet does it before any of them starts.
    pub(super) async fn prepare_volumes(&self, shim: &ShimClient) -> Result<Volumes, Refusal> {
        let mut objects = self.objects.clone();
        loop {
            let known = Arc::clone(&objects.borrow_and_update());
            match self.try_volumes(shim, &known).await {
                // What was missing may have come meanwhile.
                Err(_) if objects.has_changed().unwrap_or(false) => {}
                prepared => return prepared,
            }
        }
    }

    /// Brings running containers' files up to date whenever an object changes, and tells the worker that what it waits for may
    /// be there. Never returns while objects can change.
    pub async fn follow_objects(&self) {
        let mut objects = self.objects.clone();
        while objects.changed().await.is_ok() {
            objects.mark_unchanged();
            if let Ok(shim) = self.connected().await {
                self.refresh_volumes(&shim).await;
            }
            // Its worker may have ended.
            let _ = self.notices.send(Notice::Objects);
        }
    }

    /// Brings the files of all volumes up to date.
    pub(super) async fn refresh_volumes(&self, shim: &ShimClient) {
        let objects = Arc::clone(&self.objects.borrow());
        for volume in self.used().filter(|volume| is_alive(volume)) {
            if let Err(Refusal { message, .. }) = self.prepare_volume(volume, shim, &objects).await {
                tracing::debug!(pod = %self.pod.key, message, "a volume stays as it is");
            }
        }
    }

    async fn try_volumes(&self, shim: &ShimClient, objects: &Arc<Objects>) -> Result<Volumes, Refusal> {
        let mut volumes = Volumes::new();
        for volume in self.used() {
            volumes.insert(volume.name.clone(), self.prepare_volume(volume, shim, objects).await?);
        }
        Ok(volumes)
    }

    async fn prepare_volume(
        &self,
        volume: &Volume,
        shim: &ShimClient,
        objects: &Arc<Objects>,
    ) -> Result<PathBuf, Refusal> {
        let refused = |why: String| Refusal {
            reason: WAITING,
            message: format!("MountVolume.SetUp failed for volume {:?} : {why}", volume.name),
        };
        let facts = self.downward_facts();
        let root = match volume::tmpfs(volume, &self.pod, facts.allocatable.memory) {
            Some(tmpfs) => {
                let config =
                    TmpfsConfig { name: volume.name.clone(), size: tmpfs.size, inert: tmpfs.is_inert };
                let (_, root) = shim
                    .call(Call::MountTmpfs(config))
                    .await
                    .map_err(|error| refused(Error::chain(&error).0))?;
                Some(root.ok_or_else(|| refused("the shim sent no directory".to_owned()))?)
            }
            None => None,
        };
        let (pod, host, objects) = (Arc::clone(&self.pod), Arc::clone(&self.host), Arc::clone(objects));
        let own = volume.clone();
        let prepared = blocking(move || {
            let around = Surroundings { layout: &host.layout, pod: &pod, objects: &objects, facts: &facts };
            volume::prepare(&own, root.as_ref().map(AsFd::as_fd), around).map_err(|e| Error::chain(&e))
        })
        .await;
        prepared.and_then(|prepared| prepared).map_err(|error| refused(error.0))
    }

    /// What the pod's manifest does not say, and the downward API tells.
    pub(super) fn downward_facts(&self) -> Facts {
        let node = &self.host.facts;
        let allocatable = Allocatable { cpu_millis: 0, memory: node.memory, ephemeral_storage: 0 };
        Facts { node_name: node.hostname.clone(), allocatable, ..Facts::default() }
    }

    /// The volumes that a container mounts.
    fn used(&self) -> impl Iterator<Item = &Volume> {
        let Pod { spec, .. } = &*self.pod;
        spec.volumes.iter().filter(|volume| {
            let containers = spec.init_containers.iter().chain(&spec.containers);
            containers.flat_map(|container| &container.volume_mounts).any(|mount| mount.volume == volume.name)
        })
    }
}

/// True if what a volume shows can change while containers run.
fn is_alive(volume: &Volume) -> bool {
    matches!(volume.source, VolumeSource::Projected { .. })
}
