//! Volumes of a pod, made ready on the host: one file per kind, one table of handlers.
//!
//! Preparing is idempotent: an agent that takes a pod over prepares its volumes again and finds what is there. A volume
//! of the pod's own lives below the pod's directory and is removed with it; a path of the node is never removed.
//! Mounting into a container is not done here: a volume comes out as a path on the host. What is to be in memory is mounted by
//! the shim in its own mount namespace, and comes here as the descriptor of its root.
//!
//! Paths: clippy.toml says which calls are denied here, and why.
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod atomic_writer;
mod empty_dir;
pub mod file;
mod host_path;
mod projected;
pub mod sub_path;
pub mod usage;

use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

pub use self::projected::Missing;
use crate::config::Layout;
use crate::pod::objects::Objects;
use crate::pod::spec::{Medium, Volume, VolumeSource};
use crate::pod::{Pod, downward};

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
    /// It has no directory of its own, or none has been mounted.
    #[error("it has no directory")]
    NoRoot,
    /// An object or a key is not there, or not yet.
    #[error(transparent)]
    Missing(Missing),
    /// A path inside the volume could not be used.
    #[error("cannot {action} {}", path.display())]
    Path {
        /// An infinitive, such as `remove`.
        action: &'static str,
        /// What it was done to, below the volume's root.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<pathrs::error::Error>,
    },
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

/// What a volume's content depends on.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// Where the pod's own volumes are.
    pub layout: &'a Layout,
    /// The pod.
    pub pod: &'a Pod,
    /// ConfigMaps and Secrets.
    pub objects: &'a Objects,
    /// What the downward API tells.
    pub facts: &'a downward::Facts,
}

/// What containers get to see of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file or directory of the host, or of the shim's mount namespace.
    Path(PathBuf),
    /// The layers of an image, the topmost first.
    Image(Vec<PathBuf>),
}

/// The filesystem in memory that a volume needs, if it needs one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tmpfs {
    /// Bytes that it takes; `None`: half of the node's memory.
    pub size: Option<u64>,
    /// Nothing but plain files will be in it.
    pub is_inert: bool,
}

/// What `prepare` has to be given for this volume.
///
/// `memory` is the node's, bytes.
pub fn tmpfs(volume: &Volume, pod: &Pod, memory: u64) -> Option<Tmpfs> {
    match &volume.source {
        VolumeSource::EmptyDir { medium: Medium::Memory, size_limit } => {
            Some(Tmpfs { size: Some(empty_dir::memory_limit(*size_limit, pod, memory)), is_inert: false })
        }
        VolumeSource::Projected { .. } => Some(Tmpfs { size: None, is_inert: true }),
        VolumeSource::EmptyDir { .. } | VolumeSource::HostPath { .. } | VolumeSource::Image { .. } => None,
    }
}

/// Makes a volume ready, and returns the file or directory of the host, or of the shim's mount namespace, that the pod's
/// containers get to see. `root` is that of its [`tmpfs`].
///
/// What is of the pod's own belongs to its fsGroup; a path of the node keeps its owners, as the kubelet leaves them.
pub fn prepare(
    volume: &Volume,
    root: Option<BorrowedFd<'_>>,
    around: Surroundings<'_>,
) -> Result<PathBuf, Error> {
    let Surroundings { layout, pod, .. } = around;
    let fs_group = pod.spec.fs_group;
    match (&volume.source, root) {
        (VolumeSource::EmptyDir { medium: Medium::Disk, .. }, _) => {
            empty_dir::prepare(layout, &pod.uid, &volume.name, fs_group)
        }
        (VolumeSource::HostPath { path, kind }, _) => host_path::prepare(path, *kind),
        (VolumeSource::EmptyDir { .. }, Some(root)) => {
            empty_dir::open_to_pod(root, empty_dir::TMPFS_MODE, fs_group)?;
            Ok(layout.tmpfs_volume(&pod.uid, &volume.name))
        }
        (VolumeSource::Projected { sources, default_mode }, Some(root)) => {
            projected::prepare(root, sources, *default_mode, around)?;
            Ok(layout.tmpfs_volume(&pod.uid, &volume.name))
        }
        (VolumeSource::EmptyDir { .. } | VolumeSource::Projected { .. }, None) => Err(Error::NoRoot),
        (VolumeSource::Image { .. }, _) => Err(Error::NoRoot),
    }
}
