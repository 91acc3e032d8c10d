//! Volumes of a pod, and where its containers mount them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::PullPolicy;
use crate::pod::downward::{FieldSelector, ResourceSelector};

/// A volume of the pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// A DNS label, unique in the pod.
    pub name: String,
    /// What it is made of.
    pub source: VolumeSource,
}

/// The kinds of volume that are supported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeSource {
    /// A directory of the pod's own, empty at first, gone with the pod.
    EmptyDir {
        /// Where its files are.
        medium: Medium,
        /// Bytes that it may hold.
        size_limit: Option<u64>,
    },
    /// A path of the node, used as it is.
    HostPath {
        /// Absolute, without `..`.
        path: PathBuf,
        /// What must be there, or is made.
        kind: HostPathType,
    },
    /// Files with what the sources say: a configMap, secret or downwardAPI volume has one source, a projected volume any number.
    Projected {
        /// A later one's file takes the place of an earlier one's with the same path.
        sources: Vec<Projection>,
        /// Permissions of files that have none of their own, at most 0777.
        default_mode: u32,
    },
    /// The files of an image, read-only.
    Image {
        /// As the image of a container is written.
        reference: String,
        /// `pullPolicy`.
        pull_policy: PullPolicy,
    },
}

/// `emptyDir.medium`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Medium {
    /// The node's disk.
    Disk,
    /// A tmpfs.
    Memory,
}

/// `hostPath.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostPathType {
    /// The empty string: no check.
    Unset,
    /// A directory; made (0755, root) when nothing is there.
    DirectoryOrCreate,
    /// A directory.
    Directory,
    /// A file; made (0644, root) when nothing is there. Its directory must exist.
    FileOrCreate,
    /// A regular file.
    File,
    /// A unix socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

/// One source of files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Projection {
    /// Keys of a ConfigMap in the pod's namespace.
    ConfigMap(ObjectProjection),
    /// Keys of a Secret in the pod's namespace.
    Secret(ObjectProjection),
    /// What is true of the pod itself.
    DownwardApi(Vec<DownwardFile>),
}

/// Keys of an object as files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectProjection {
    /// The object's name.
    pub name: String,
    /// The keys that are wanted; empty: all of them, each a file of the same name.
    pub items: Vec<KeyToPath>,
    /// An object or key that is not there is no error.
    pub optional: bool,
}

/// An entry of `items`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyToPath {
    /// The key.
    pub key: String,
    /// The file, relative, without `..`.
    pub path: PathBuf,
    /// Its permissions, at most 0777.
    pub mode: Option<u32>,
}

/// An entry of `downwardAPI.items`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DownwardFile {
    /// The file, relative, without `..`.
    pub path: PathBuf,
    /// What it says.
    pub content: DownwardContent,
    /// Its permissions, at most 0777.
    pub mode: Option<u32>,
}

/// What a file of the downward API says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DownwardContent {
    /// `fieldRef`.
    Field(FieldSelector),
    /// `resourceFieldRef`, which names a container.
    Resource(ResourceSelector),
}

/// An entry of `volumeMounts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeMount {
    /// Name of a volume of the pod.
    pub volume: String,
    /// Where in the container. Absolute (a relative one has been put below `/`), without `:`.
    pub mount_path: PathBuf,
    /// Mounted read-only.
    pub read_only: bool,
    /// Whether what is mounted below the volume is read-only, too.
    #[serde(default)]
    pub recursive_read_only: RecursiveReadOnly,
    /// Which mounts made later show on the other side.
    #[serde(default)]
    pub propagation: MountPropagation,
    /// The part of the volume that is mounted; `None`: its root.
    #[serde(default)]
    pub sub_path: Option<SubPath>,
}

/// `recursiveReadOnly`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecursiveReadOnly {
    /// Only the mount itself.
    #[default]
    Disabled,
    /// All below it, on kernels that can: every one that is supported here.
    IfPossible,
    /// All below it.
    Enabled,
}

/// `mountPropagation`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountPropagation {
    /// None, in either direction.
    #[default]
    None,
    /// The host's show in the container.
    HostToContainer,
    /// Both ways. Only in a privileged container.
    Bidirectional,
}

/// `subPath` or `subPathExpr`: relative, without `..`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SubPath {
    /// As it is.
    Plain(String),
    /// With `$(NAME)` to be expanded from the container's environment.
    Expr(String),
}
