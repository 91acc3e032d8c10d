//! The pod's sandbox as its shim keeps it: pause, and the /dev/shm that goes with its IPC namespace.

use std::fs;
use std::io::PipeReader;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::sched::CloneFlags;
use oci_spec::runtime::LinuxResources;

use super::poll::Token;
use super::protocol::SandboxConfig;
use super::tmpfs;
use crate::cgroup::Cgroups;
use crate::container::failure::{Failure, Step};
use crate::container::spec::PidNamespace;
use crate::container::user_namespace::UserNamespace;
use crate::failpoint;
use crate::pause;
use crate::sys::clone::{Child, network_namespace};

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
    /// The namespaces that containers join.
    pub shared: CloneFlags,
    /// Where their processes have their numbers.
    pub pids: PidNamespace,
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

/// Flag of a process that is on its way out (linux/sched.h).
const PF_EXITING: u64 = 0x4;

impl Sandbox {
    /// True from the moment when pause begins to end, which may be long before it has ended.
    pub fn is_ending(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.pid)).unwrap_or_default();
        is_exiting(&stat)
    }

    /// The pod's network namespace, unless it is the host's.
    pub fn network_namespace(&self) -> Result<Option<OwnedFd>, Failure> {
        if !self.shared.contains(CloneFlags::CLONE_NEWNET) {
            return Ok(None);
        }
        network_namespace(&self.child).map(Some).step(|| "open the network namespace")
    }
}

/// The namespaces that the pod's containers are to share.
pub fn shared(config: &SandboxConfig) -> CloneFlags {
    pause::shared_namespaces(config.host_network, config.host_ipc)
}

/// Starts pause, and mounts a new /dev/shm on `shm`, in the shim's mount namespace. With the host's IPC namespace goes the
/// host's.
pub fn start(config: &SandboxConfig, cgroups: &Cgroups, shm: &Path) -> Result<pause::Starting, Failure> {
    if !config.host_ipc {
        tmpfs::mount_shm(shm, config.shm_size, config.user_namespace)?;
    }
    let failed = |error: crate::cgroup::Error| Failure::new("make the sandbox's cgroup", error.to_string());
    cgroups.create(&config.cgroup, &LinuxResources::default()).map_err(failed)?;
    let cgroup = cgroups.join(&config.cgroup).map_err(failed)?;
    let hostname = (!config.host_network).then_some(config.hostname.as_str());
    failpoint::reached("sandbox.mounted");
    let starting = pause::start(shared(config), hostname, &config.sysctls, config.user_namespace, &cgroup)?;
    failpoint::reached("sandbox.cloned");
    Ok(starting)
}

/// By a line of /proc/PID/stat (proc_pid_stat(5)); the flags are the ninth field, the second one may have anything in it.
fn is_exiting(stat: &str) -> bool {
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields.split_ascii_whitespace());
    let flags = fields.and_then(|mut fields| fields.nth(6)?.parse::<u64>().ok());
    flags.is_some_and(|flags| flags & PF_EXITING != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_on_its_way_out_is_told_by_its_flags() {
        for (stat, expected) in [
            ("7 (pause) S 1 7 7 0 -1 4194560 0 0", false),
            ("7 (pause) S 1 7 7 0 -1 4194564 0 0", true),
            ("7 (a ) b) Z 1 7 7 0 -1 4 0 0", true),
            ("7 (pause) S 1", false),
            ("", false),
        ] {
            assert_eq!(is_exiting(stat), expected, "{stat:?}");
        }
    }
}
