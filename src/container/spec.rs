//! What the shim is told about one container, in the words and types of the OCI runtime specification.
//!
//! It is the part of an OCI configuration that is honoured here, field by field, rather than the whole of it: what a shim
//! cannot do has no field that could be set and ignored, and the shim need not carry a decoder for it.

use std::path::PathBuf;

use oci_spec::runtime::{LinuxCapabilities, LinuxResources, Mount, PosixRlimit};
use serde::{Deserialize, Serialize};

use super::seccomp::Filter;

/// Everything needed to start one attempt of a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerConfig {
    /// 64 lower-case hexadecimal digits, never used twice.
    pub id: String,
    /// Unique in the pod; safe as a file name.
    pub name: String,
    /// Counts the starts of this container, from 0.
    pub attempt: u32,
    /// The image that the root is made of: nothing is done with it but to tell it again.
    #[serde(default)]
    pub image_id: Option<String>,
    /// The name of a container that runs, in whose PID namespace this one is, rather than in one of its own. Means nothing where containers
    /// have none of their own.
    #[serde(default)]
    pub target: Option<String>,
    /// It runs on when the other containers of its pod begin anew.
    #[serde(default)]
    pub stays: bool,
    /// The log file, in the CRI format. Its directory exists.
    pub log_path: PathBuf,
    /// How large it becomes; `None`: as large as the disk lets it.
    #[serde(default)]
    pub log_limits: Option<LogLimits>,
    /// What it may say as it ends.
    #[serde(default)]
    pub termination_message: Option<TerminationMessage>,
    /// Where the root filesystem comes from.
    pub root: Root,
    /// Carried out in this order. Type `bind`, `cgroup` (whatever this host has), or the name of a kernel filesystem.
    ///
    /// The option `x-mkubelet.subpath=PATH` mounts what is at the path below a bind's source, and refuses one that leads out of it.
    /// Type `image` shows the layers that options `x-mkubelet.layer=DIR` name, the topmost first, read-only; with
    /// `x-mkubelet.subpath=PATH` what is at that path of the image, whose links lead nowhere else.
    ///
    /// The option `x-mkubelet.type=KIND` refuses a bind whose source is not a `directory`, `file`, `socket`, `char-device` or
    /// `block-device`. `idmap` or `ridmap` shows the owners on disk of a bind's files as ids of the pod's user namespace;
    /// `x-mkubelet.volume=NAME` names the volume, for the case that its filesystem refuses that.
    ///
    /// What is mounted on a bind with `rshared` shows at its source, which must be on a shared mount of the host's. With
    /// `x-mkubelet.peers=pod` the source is a directory of the pod's own instead, and what is mounted on it shows in those
    /// binds of the pod's containers that have this option, too, and `rshared` or `rslave`.
    pub mounts: Vec<Mount>,
    /// Its own /dev has every device file of the host's.
    #[serde(default)]
    pub host_devices: bool,
    /// Paths below /proc and /sys that are hidden.
    pub masked_paths: Vec<String>,
    /// Likewise that cannot be written to.
    pub readonly_paths: Vec<String>,
    /// The container's group, relative to the hierarchies' roots.
    pub cgroups_path: PathBuf,
    /// Its limits.
    pub resources: LinuxResources,
    /// What the program reads.
    #[serde(default)]
    pub stdin: StandardInput,
    /// Its standard streams are a terminal of the container's own, which controls it.
    #[serde(default)]
    pub terminal: bool,
    /// The program.
    pub process: Process,
}

/// What a container's first process reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StandardInput {
    /// Nothing: /dev/null, or a terminal on which nobody types.
    #[default]
    Nothing,
    /// What anybody sends who attaches, as it comes. It never ends.
    Open,
    /// Likewise, until the first of them has ended what he sends. A terminal's does not end even then.
    Once,
}

/// What the log of one attempt may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogLimits {
    /// Of each file, bytes. A line that is longer has a file alone.
    pub max_bytes: u64,
    /// Files at a time, with the one that is written to; at least 2.
    pub max_files: u32,
}

/// Where a container's last words come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TerminationMessage {
    /// A regular file of this attempt's own, empty at first, which one of the mounts shows to the container.
    pub file: PathBuf,
    /// The end of its log counts, if it failed and left the file empty.
    pub or_log: bool,
}

/// The size of a terminal's window, in characters. Zero is "not known".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TerminalSize {
    /// Height.
    pub rows: u16,
    /// Width.
    pub columns: u16,
}

/// An overlay, mounted in the container's own mount namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Root {
    /// Image layers, the topmost first; at least one. Never written to.
    pub lower: Vec<PathBuf>,
    /// Exists, closed to users of the host, its own for each attempt. The shim makes `upper`, `work` and the mount point
    /// `rootfs` in it.
    pub attempt_dir: PathBuf,
    /// The container cannot write to its root.
    pub readonly: bool,
}

/// The program and what it may do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// The program, looked up in the PATH of `env` if it has no slash, and its arguments.
    pub args: Vec<String>,
    /// `NAME=value`. HOME is added when it is missing.
    pub env: Vec<String>,
    /// Working directory, made when it is missing. Absolute.
    pub cwd: PathBuf,
    /// Who it runs as; names are looked up in the container's own /etc/passwd and /etc/group.
    pub user: UserRequest,
    /// Bounding, permitted and effective sets; the others end up empty whatever is asked for.
    pub capabilities: LinuxCapabilities,
    /// As far as the host lets them be raised.
    pub rlimits: Vec<PosixRlimit>,
    /// As far as the host lets it be lowered.
    pub oom_score_adj: i32,
    /// No execve grants anything.
    pub no_new_privileges: bool,
    /// The AppArmor profile that it has from its first instruction; `None`: whatever the kernel gives it.
    pub apparmor_profile: Option<String>,
    /// Which system calls it may make; `None`: all.
    pub seccomp: Option<Filter>,
}

/// Where the processes of a pod's containers have their numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PidNamespace {
    /// Each container in a namespace of its own, in which its first process is PID 1: with that, all of them end.
    #[default]
    Container,
    /// Together in pause's, in which pause is PID 1.
    Pod,
    /// In the host's.
    Host,
}

/// The identity that was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserRequest {
    /// The image's USER as written (`""`, `1000`, `nginx`, `1000:1000`, `nginx:www`); `uid` and `gid` win over it.
    pub image_user: String,
    /// runAsUser.
    pub uid: Option<u32>,
    /// runAsGroup.
    pub gid: Option<u32>,
    /// Groups besides the primary one.
    pub supplemental_groups: Vec<u32>,
    /// These and no others: not those that /etc/group lists for the user.
    #[serde(default)]
    pub strict_groups: bool,
    /// Refuse uid 0 and users named, whose uid the image decides.
    pub non_root: bool,
}
