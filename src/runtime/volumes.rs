//! A pod's volumes: made ready before its containers start, and brought up to date while they run.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::pod_runtime::{PodRuntime, blocking};
use super::shim_client::{Notice, ShimClient};
use super::{Error, Refusal};
use crate::container::peers;
use crate::pod::env::Variables;
use crate::pod::objects::Objects;
use crate::pod::spec::{MountPropagation, Volume, VolumeSource};
use crate::pod::{ContainerSpec, Pod, sub_path};
use crate::shim::protocol::{Call, TmpfsConfig};
use crate::volume::usage::Limited;
use crate::volume::{self, Source, Surroundings};

/// What a container waits with while a volume of its pod is not there. In the kubelet's words.
const WAITING: &str = "ContainerCreating";

/// How often the usage of volumes is looked at: the kubelet's period of monitoring for evictions.
const HOUSEKEEPING: Duration = Duration::from_secs(10);

/// What is behind the volumes, by name.
pub(super) type Volumes = BTreeMap<String, Source>;

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

    /// Brings running containers' files up to date whenever an object changes, or the pod itself, and tells the worker that what it
    /// waits for may be there. Never returns while objects can change.
    pub async fn follow_objects(&self) {
        let mut objects = self.objects.clone();
        loop {
            tokio::select! {
                changed = objects.changed() => if changed.is_err() { return },
                // The downward API shows labels and annotations.
                () = self.adopted.notified() => {}
            }
            objects.mark_unchanged();
            if let Ok(shim) = self.connected().await {
                self.refresh_volumes(&shim).await;
            }
            // Its worker may have ended.
            let _ = self.notices.send(Notice::Objects);
        }
    }

    /// Measures what the pod takes of the disk, and tells the worker of the first that is more than it may be. Never returns before
    /// that; returns at once for a pod that has no such limit.
    pub async fn watch_usage(&self) {
        let limited = Arc::new(volume::usage::limited(&self.pod, &self.host.layout));
        while !limited.is_empty() {
            tokio::time::sleep(HOUSEKEEPING).await;
            let all = Arc::clone(&limited);
            let exceeded = blocking(move || {
                let is_exceeded = |one: &&Limited| {
                    one.is_exceeded().unwrap_or_else(|error| {
                        tracing::warn!(error = %Error::chain(&error), "cannot see what a pod takes of the disk");
                        false
                    })
                };
                all.iter().find(is_exceeded).cloned()
            });
            if let Ok(Some(exceeded)) = exceeded.await {
                // Its worker may have ended.
                let _ = self.notices.send(Notice::Evict(exceeded.to_string().into()));
                return;
            }
        }
    }

    /// Brings the files of all volumes up to date.
    pub(super) async fn refresh_volumes(&self, shim: &ShimClient) {
        let objects = Arc::clone(&self.objects.borrow());
        for volume in Self::used(&self.pod()).filter(|volume| is_alive(volume)) {
            if let Err(Refusal { message, .. }) = self.prepare_volume(volume, shim, &objects).await {
                tracing::debug!(pod = %self.pod.key, podUID = %self.pod.uid, message, "a volume stays as it is");
            }
        }
    }

    async fn try_volumes(&self, shim: &ShimClient, objects: &Arc<Objects>) -> Result<Volumes, Refusal> {
        let mut volumes = Volumes::new();
        for volume in Self::used(&self.pod()) {
            volumes.insert(volume.name.clone(), self.prepare_volume(volume, shim, objects).await?);
        }
        Ok(volumes)
    }

    async fn prepare_volume(
        &self,
        volume: &Volume,
        shim: &ShimClient,
        objects: &Arc<Objects>,
    ) -> Result<Source, Refusal> {
        if let VolumeSource::Image { reference, .. } = &volume.source {
            return Ok(Source::Image(self.volume_image(reference).await?.layers));
        }
        let refused = |why: String| Refusal {
            reason: WAITING,
            message: format!("MountVolume.SetUp failed for volume {:?} : {why}", volume.name),
        };
        let facts = self.downward_facts();
        let root = match self.tmpfs_config(volume) {
            Some(config) => {
                let (_, root) = shim
                    .call(Call::MountTmpfs(config))
                    .await
                    .map_err(|error| refused(Error::chain(&error).0))?;
                Some(root.ok_or_else(|| refused("the shim sent no directory".to_owned()))?)
            }
            None => None,
        };
        let (pod, host, objects) = (self.pod(), Arc::clone(&self.host), Arc::clone(objects));
        let own = volume.clone();
        let prepared = blocking(move || {
            let around = Surroundings { layout: &host.layout, pod: &pod, objects: &objects, facts: &facts };
            volume::prepare(&own, root.as_ref().map(AsFd::as_fd), around).map_err(|e| Error::chain(&e))
        })
        .await;
        let path = prepared.and_then(|prepared| prepared).map_err(|error| refused(error.0))?;
        Ok(Source::Path(path))
    }

    /// Makes the parts of volumes that a container mounts, where they are missing, as the kubelet does it.
    pub(super) async fn prepare_sub_paths(
        &self,
        container: &ContainerSpec,
        volumes: &Volumes,
        env: &Variables,
        shim: &ShimClient,
    ) -> Result<(), Refusal> {
        for mount in &container.volume_mounts {
            let refused = |message: String| Refusal { reason: "CreateContainerConfigError", message };
            let wanted = sub_path::of(mount, env).map_err(|error| refused(error.to_string()))?;
            let (Some(path), Some(Source::Path(source))) = (wanted, volumes.get(&mount.volume)) else {
                continue;
            };
            let root = self.root_of(&mount.volume, source, shim).await.map_err(|error| refused(error.0))?;
            let made = blocking(move || volume::sub_path::ensure(root.as_fd(), Path::new(&path))).await;
            made.map_err(|error| refused(error.0))?.map_err(|errno| {
                let (volume, container) = (&mount.volume, &container.name);
                refused(format!(
                    "failed to prepare subPath for volumeMount {volume:?} of container {:?}: {errno}",
                    container.as_str()
                ))
            })?;
        }
        Ok(())
    }

    /// Checks that what a container mounts on a path of the node can show there. The verdict is containerd's.
    pub(super) async fn check_propagation(
        &self,
        container: &ContainerSpec,
        volumes: &Volumes,
    ) -> Result<(), Refusal> {
        let is_of_host = |name: &str| {
            let volume = self.pod.spec.volumes.iter().find(|volume| volume.name == name);
            volume.is_some_and(|volume| matches!(volume.source, VolumeSource::HostPath { .. }))
        };
        let refused = |message: String| Refusal { reason: "CreateContainerError", message };
        for mount in &container.volume_mounts {
            let (MountPropagation::Bidirectional, true, Some(Source::Path(path))) =
                (mount.propagation, is_of_host(&mount.volume), volumes.get(&mount.volume))
            else {
                continue;
            };
            let path = path.clone();
            let checked = blocking(move || {
                let opened = open(&path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty());
                let opened = opened.map_err(|errno| format!("open {}: {errno}", path.display()))?;
                peers::check_shared(opened.as_fd(), &path)
            });
            checked.await.map_err(|error| refused(error.0))?.map_err(refused)?;
        }
        Ok(())
    }

    /// The root of a volume that has been prepared: its path leads there in the shim's mount namespace alone if it is in memory.
    pub(super) async fn root_of(
        &self,
        name: &str,
        source: &Path,
        shim: &ShimClient,
    ) -> Result<OwnedFd, Error> {
        let volume = self.pod.spec.volumes.iter().find(|volume| volume.name == name);
        let tmpfs = volume.and_then(|volume| self.tmpfs_config(volume));
        if let Some(config) = tmpfs {
            let (_, root) = shim.call(Call::MountTmpfs(config)).await.map_err(|e| Error::chain(&e))?;
            return root.ok_or_else(|| Error("the shim sent no directory".to_owned()));
        }
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        open(source, flags, Mode::empty())
            .map_err(|errno| Error(format!("open {}: {errno}", source.display())))
    }

    /// The filesystem in memory that the shim keeps for a volume, if it is in memory.
    fn tmpfs_config(&self, volume: &Volume) -> Option<TmpfsConfig> {
        let tmpfs = volume::tmpfs(volume, &self.pod, self.host.facts.memory)?;
        Some(TmpfsConfig { name: volume.name.clone(), size: tmpfs.size, inert: tmpfs.is_inert })
    }

    /// The volumes that a container mounts, or has variables from.
    fn used(pod: &Pod) -> impl Iterator<Item = &Volume> {
        let uses = |container: &ContainerSpec, volume: &str| {
            container.volume_mounts.iter().any(|mount| mount.volume == volume)
                || container.env_files().any(|file| file.volume == volume)
        };
        let volumes = pod.spec.volumes.iter();
        volumes.filter(move |volume| pod.spec.every_container().any(|c| uses(c, &volume.name)))
    }
}

/// True if what a volume shows can change while containers run.
fn is_alive(volume: &Volume) -> bool {
    matches!(volume.source, VolumeSource::Projected { .. })
}
