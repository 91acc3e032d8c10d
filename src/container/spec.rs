//! What the shim is told about one container: an OCI runtime configuration, and the few things that it has no field for.

use std::path::PathBuf;

use oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};

/// Everything needed to start one attempt of a container.
///
/// Of the OCI configuration these are honoured: `process` (args, env, cwd, capabilities, rlimits, oomScoreAdj,
/// noNewPrivileges), `root.readonly`, `mounts` in their order, `linux.maskedPaths`, `linux.readonlyPaths`,
/// `linux.cgroupsPath` (relative to the hierarchies' roots) and `linux.resources`. `process.user` is not: see `user`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerConfig {
    /// 64 lower-case hexadecimal digits, never used twice.
    pub id: String,
    /// Unique in the pod; safe as a file name.
    pub name: String,
    /// Counts the starts of this container, from 0.
    pub attempt: u32,
    /// The OCI runtime configuration.
    pub oci: Spec,
    /// Where the root filesystem comes from.
    pub rootfs: Rootfs,
    /// Who the process runs as; names are looked up in the container's own /etc/passwd and /etc/group.
    pub user: UserRequest,
    /// The log file, in the CRI format. Its directory exists.
    pub log_path: PathBuf,
}

/// An overlay, mounted in the container's own mount namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rootfs {
    /// Image layers, the topmost first; at least one. Never written to.
    pub lower: Vec<PathBuf>,
    /// Holds `upper`, `work` and the mount point `rootfs`, which the shim makes. Its own for each attempt.
    pub attempt_dir: PathBuf,
}

/// The identity that was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRequest {
    /// The image's USER as written (`""`, `1000`, `nginx`, `1000:1000`, `nginx:www`); `uid` and `gid` win over it.
    pub image_user: String,
    /// runAsUser.
    pub uid: Option<u32>,
    /// runAsGroup.
    pub gid: Option<u32>,
    /// Added to the groups that /etc/group lists for the user.
    pub supplemental_groups: Vec<u32>,
    /// Refuse uid 0 and users named, whose uid the image decides.
    pub non_root: bool,
}
