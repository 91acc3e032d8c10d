//! A container's variables, whose values may still have to come.

use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use super::pod_runtime::{PodRuntime, blocking};
use super::shim_client::ShimClient;
use super::volumes::Volumes;
use super::{Error, Refusal};
use crate::pod::ContainerSpec;
use crate::pod::downward::Facts;
use crate::pod::env::{self, Files, Sources, Variables};
use crate::pod::spec::EnvFile;
use crate::volume::{self, Source};

/// Longer files of variables are refused, bytes (KEP-3721).
const LONGEST_FILE: u64 = 64 << 10;

impl PodRuntime {
    /// The variables of the container's manifest, from the objects and the files of volumes as they are now.
    pub(super) async fn environment(
        &self,
        spec: &ContainerSpec,
        volumes: &Volumes,
        shim: &ShimClient,
    ) -> Result<Variables, Refusal> {
        let refused = |message: String| Refusal { reason: "CreateContainerConfigError", message };
        let files = self.files(spec, volumes, shim).await.map_err(|error| refused(error.to_string()))?;
        let mut objects = self.objects.clone();
        loop {
            let known = Arc::clone(&objects.borrow_and_update());
            let facts = self.downward_facts();
            let sources = Sources { pod: &self.pod(), objects: &known, facts: &facts, files: &files };
            match env::resolve(spec, sources) {
                // What was missing may have come meanwhile.
                Err(_) if objects.has_changed().unwrap_or(false) => {}
                resolved => return resolved.map_err(|error| refused(error.to_string())),
            }
        }
    }

    /// The files that the container has variables from, as far as they are there.
    async fn files(
        &self,
        spec: &ContainerSpec,
        volumes: &Volumes,
        shim: &ShimClient,
    ) -> Result<Files, env::Error> {
        let mut files = Files::new();
        for file in spec.env_files() {
            if !files.contains_key(file) {
                let bad = |why: Error| env::Error::BadFile { file: file.clone(), why: why.0 };
                let read = self.read(file, volumes, shim).await.map_err(bad)?;
                files.extend(read.map(|bytes| (file.clone(), bytes)));
            }
        }
        Ok(files)
    }

    async fn read(
        &self,
        file: &EnvFile,
        volumes: &Volumes,
        shim: &ShimClient,
    ) -> Result<Option<Vec<u8>>, Error> {
        let Some(Source::Path(source)) = volumes.get(&file.volume) else {
            return Err(Error("the volume is no directory".to_owned()));
        };
        let root = self.root_of(&file.volume, source, shim).await?;
        let path = file.path.clone();
        let read = blocking(move || volume::file::read(root.as_fd(), Path::new(&path), LONGEST_FILE)).await?;
        read.map_err(|error| Error::chain(&error))
    }

    /// What the pod's manifest does not say, and the downward API tells.
    pub(super) fn downward_facts(&self) -> Facts {
        let node = &self.host.facts;
        let host_ip = node.address.map(|address| address.to_string());
        let pod_ip = if self.pod.spec.host_network {
            host_ip.clone()
        } else {
            self.known_address().map(|address| address.to_string())
        };
        Facts {
            node_name: node.hostname.clone(),
            host_ips: host_ip.into_iter().collect(),
            pod_ips: pod_ip.into_iter().collect(),
            allocatable: self.host.allocatable(),
        }
    }
}
