//! The parent's side of a start: cgroup, directories, pipes, clone.

use std::fs::File;
use std::io::{PipeReader, Read, Write, pipe};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use nix::sched::CloneFlags;
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::failure::{Failure, Step};
use super::init::{self, Inherited};
use super::peers::MountNamespaces;
use super::rootfs;
use super::spec::{ContainerConfig, PidNamespace};
use super::stdio::{self, Stdio};
use super::user::Identity;
use super::user_namespace::{IdRange, UserNamespace};
use crate::cgroup::Cgroups;
use crate::failpoint;
use crate::sys::clone::{Child, spawn, spawn_beside};

/// A container between its clone and its execve.
#[derive(Debug)]
pub struct Starting {
    /// Its first process.
    pub child: Child,
    /// What its group had counted before it was in there, see [`Cgroups::oom_kills`].
    pub oom_kills: u64,
    /// At its end the program runs; a [`Failure`] before that says why it does not. See [`read_report`].
    pub report: PipeReader,
    /// Who the program runs as, once it does. See [`read_identity`].
    pub identity: File,
    /// The ids of its user namespace, unless that is the host's.
    pub user_namespace: Option<IdRange>,
    /// What it reads and writes.
    pub stdio: Stdio,
}

/// What one pod's containers share.
#[derive(Debug, Clone, Copy)]
pub struct Sandbox<'a> {
    /// Pause, as a pidfd.
    pub pause: BorrowedFd<'a>,
    /// The namespaces of pause that containers join.
    pub shared: CloneFlags,
    /// Where its processes have their numbers.
    pub pids: PidNamespace,
    /// The first process of the container, as a pidfd, in whose PID namespace this one is to be, rather than in one of its own.
    pub target: Option<BorrowedFd<'a>>,
    /// Where mounts that go both ways have their peers.
    pub mount_namespaces: &'a MountNamespaces,
    /// The pod's own user namespace; `None`: the host's.
    pub user_namespace: Option<&'a UserNamespace>,
}

/// Clones the container's first process into its cgroup and its new namespaces. It goes on by itself; nothing here waits.
///
/// After an error the container's cgroup and directories may exist, but nothing runs in them.
pub fn create(
    config: &ContainerConfig,
    cgroups: &Cgroups,
    sandbox: Sandbox<'_>,
) -> Result<Starting, Failure> {
    rootfs::prepare(&config.root, sandbox.user_namespace.map(|namespace| namespace.ids))?;
    let failed = |error: crate::cgroup::Error| Failure::new("make the cgroup", error.to_string());
    cgroups.create(&config.cgroups_path, &config.resources).map_err(failed)?;
    let oom_kills = cgroups.oom_kills(&config.cgroups_path).map_err(failed)?;
    let cgroup = cgroups.join(&config.cgroups_path).map_err(failed)?;
    let cgroup_mounts = cgroups.container_mounts(&config.cgroups_path).map_err(failed)?;

    let (stdio, child_stdio) = stdio::open(config)?;
    let (report, mut child_report) = pipe().step(|| "pipe")?;
    let identity: File = memfd_create("identity", MFdFlags::MFD_CLOEXEC).step(|| "memfd_create")?.into();
    let inherited = Inherited {
        cgroup: &cgroup,
        cgroup_mounts: &cgroup_mounts,
        sandbox: sandbox.pause,
        shared: sandbox.shared,
        mount_namespaces: sandbox.mount_namespaces,
        user_namespace: sandbox.user_namespace,
        identity: identity.as_fd(),
        stdio: &child_stdio,
    };

    let into = cgroup.into.as_ref().map(AsFd::as_fd);
    let become_container = || {
        let Err(failure) = init::run(config, &inherited);
        send_report(&mut child_report, &failure);
        1
    };
    let flags = CloneFlags::CLONE_NEWNS;
    let child = match (sandbox.pids, sandbox.target) {
        (PidNamespace::Container, None) => spawn(flags | CloneFlags::CLONE_NEWPID, into, become_container),
        (PidNamespace::Container, Some(target)) => spawn_beside(target, flags, into, become_container),
        (PidNamespace::Pod, _) => spawn_beside(sandbox.pause, flags, into, become_container),
        (PidNamespace::Host, _) => spawn(flags, into, become_container),
    };
    let child = child.step(|| "clone3")?;
    failpoint::reached("container.cloned");
    let user_namespace = sandbox.user_namespace.map(|namespace| namespace.ids);
    Ok(Starting { child, oom_kills, report, identity, user_namespace, stdio })
}

/// Reads what the child had to say once its end of the pipe is closed: nothing when its program runs.
pub fn read_report(report: &mut PipeReader) -> Result<(), Failure> {
    // A failure is a few hundred bytes: they fit the pipe, so the child never waits for a reader.
    const CAP: u64 = 64 << 10;
    let mut bytes = Vec::new();
    report.take(CAP).read_to_end(&mut bytes).step(|| "read the start report")?;
    if bytes.is_empty() {
        return Ok(());
    }
    Err(serde_json::from_slice(&bytes)
        .unwrap_or_else(|error| Failure::new("read the start report", error.to_string())))
}

/// Reads what the child left in [`Starting::identity`]; `None` when it ended before it came to that.
///
/// It is a file and no pipe because a user may be in so many groups that a pipe would not hold them, and nobody waits here.
pub fn read_identity(file: &File) -> Option<Identity> {
    let mut bytes = vec![0; file.metadata().ok()?.len() as usize];
    file.read_exact_at(&mut bytes, 0).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Writes a failure for [`read_report`]. Nobody is left to hear of an error here.
pub fn send_report(report: &mut impl Write, failure: &Failure) {
    let _ = serde_json::to_vec(failure).map(|bytes| report.write_all(&bytes));
}
