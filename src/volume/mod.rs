//! Volumes of a pod, made ready on the host: one file per kind, one table of handlers.
//!
//! Preparing is idempotent: an agent that takes a pod over prepares its volumes again and finds what is there. A volume
//! of the pod's own lives below the pod's directory and is removed with it; a path of the node is never removed.
//! Mounting into a container is not done here: a volume comes out as a path on the host.
//!
//! Paths: clippy.toml says which calls are denied here, and why.
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod empty_dir;
mod host_path;

use std::io;
use std::path::PathBuf;

use crate::config::Layout;
use crate::pod::PodUid;
use crate::pod::spec::{Volume, VolumeSource};

/// Why a volume cannot be used. The wording of type checks is the kubelet's.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What is at the path of a hostPath volume is not what its `type` asks for.
    #[error("hostPath type check failed: {} is not {expected}", path.display())]
    HostPathType {
        /// The volume's path.
        path: PathBuf,
        /// With its article: `a directory`, `a socket file`.
        expected: &'static str,
    },
    /// A kind that is not carried out.
    #[error("not supported by this version of mkubelet")]
    NotYet,
    /// A system call on the host failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// An infinitive, such as `create the directory`.
        action: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Makes a volume ready, and returns the file or directory of the host that the pod's containers get to see.
///
/// What is of the pod's own belongs to `fs_group`; a path of the node keeps its owners, as the kubelet leaves them.
pub fn prepare(
    layout: &Layout,
    uid: &PodUid,
    volume: &Volume,
    fs_group: Option<u32>,
) -> Result<PathBuf, Error> {
    match &volume.source {
        VolumeSource::EmptyDir { .. } => empty_dir::prepare(layout, uid, &volume.name, fs_group),
        VolumeSource::HostPath { path, kind } => host_path::prepare(path, *kind),
        // Refused by `pod` as long as nothing carries them out.
        VolumeSource::Projected { .. } | VolumeSource::Image { .. } => Err(Error::NotYet),
    }
}
