//! The pod's sandbox as its shim keeps it: pause, and the /dev/shm that goes with its IPC namespace.

use std::fs::DirBuilder;
use std::io::PipeReader;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, umount2};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use oci_spec::runtime::LinuxResources;

use super::poll::Token;
use super::protocol::SandboxConfig;
use crate::cgroup::Cgroups;
use crate::container::failure::{Failure, Step};
use crate::container::user_namespace::{IdRange, UserNamespace};
use crate::pause;
use crate::sys::clone::{Child, network_namespace};
use crate::sys::mount_api::{self, Parameter};

/// Pause and what belongs to it.
#[derive(Debug)]
pub struct Sandbox {
    /// Pause.
    pub child: Child,
    /// Its registration in the event loop, for its end.
    pub exit: Token,
    /// How far it is.
    pub phase: Phase,
    /// Its cgroup.
    pub group: PathBuf,
    /// It has no network and UTS namespaces of its own.
    pub host_network: bool,
    /// Its own user namespace; `None`: the host's.
    pub user_namespace: Option<UserNamespace>,
}

/// The life of a sandbox up to its end.
#[derive(Debug)]
pub enum Phase {
    /// The namespaces exist, but are not set up yet.
    Starting {
        /// At its end they are.
        report: PipeReader,
        /// The registration of `report`.
        token: Token,
    },
    /// Containers may join.
    Ready,
    /// It could not be set up; its process is about to end.
    Failed(Failure),
}

impl Sandbox {
    /// The namespaces that containers join.
    pub fn shared(&self) -> CloneFlags {
        pause::shared_namespaces(self.host_network)
    }

    /// The pod's network namespace, unless it is the host's.
    pub fn network_namespace(&self) -> Result<Option<OwnedFd>, Failure> {
        if self.host_network {
            return Ok(None);
        }
        network_namespace(&self.child).map(Some).step(|| "open the network namespace")
    }
}

/// Starts pause, and mounts a new /dev/shm on `shm`, in the shim's mount namespace.
pub fn start(config: &SandboxConfig, cgroups: &Cgroups, shm: &Path) -> Result<pause::Starting, Failure> {
    mount_shm(shm, config.shm_size, config.user_namespace)?;
    let failed = |error: crate::cgroup::Error| Failure::new("make the sandbox's cgroup", error.to_string());
    cgroups.create(&config.cgroup, &LinuxResources::default()).map_err(failed)?;
    let cgroup = cgroups.join(&config.cgroup).map_err(failed)?;
    let hostname = (!config.host_network).then_some(config.hostname.as_str());
    pause::start(hostname, &config.sysctls, config.user_namespace, &cgroup)
}

fn mount_shm(shm: &Path, size: u64, ids: Option<IdRange>) -> Result<(), Failure> {
    match DirBuilder::new().mode(0o700).create(shm) {
        // That of an earlier sandbox, whose IPC namespace is gone.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            match umount2(shm, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
                Ok(()) | Err(Errno::EINVAL) => {}
                Err(errno) => return Err(errno).step(|| format!("unmount {}", shm.display())),
            }
        }
        made => made.step(|| format!("mkdir {}", shm.display()))?,
    }
    let size = size.to_string();
    // Root's, whoever that is.
    let root = ids.map_or(0, |ids| ids.first).to_string();
    let parameters = [
        Parameter::Value("mode", "1777"),
        Parameter::Value("size", &size),
        Parameter::Value("uid", &root),
        Parameter::Value("gid", &root),
    ];
    let attributes = mount_api::NO_SUID | mount_api::NO_DEV | mount_api::NO_EXEC;
    let tmpfs =
        mount_api::new_filesystem("tmpfs", &parameters, attributes).step(|| "new tmpfs for /dev/shm")?;
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let target = open(shm, flags, Mode::empty()).step(|| format!("open {}", shm.display()))?;
    mount_api::attach(tmpfs.as_fd(), target.as_fd()).step(|| format!("mount {}", shm.display()))
}
