//! The child's side of a start: from the clone to execve, a list of steps, each with its why.
//!
//! It runs in a copy of the shim, which has one thread, so ordinary Rust is allowed here. It never returns into the shim:
//! it becomes the container's program, or its [`Failure`] goes through the report pipe and the process ends.

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;

use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use nix::sys::{prctl, stat};
use nix::unistd::{Gid, Uid, dup2_stderr, dup2_stdin, dup2_stdout, fchdir, fchown, setsid};
use oci_spec::runtime::Capability;
use pathrs::Root;

use super::failure::{Failure, Reason, Step};
use super::spec::{ContainerConfig, Process};
use super::{capabilities, devices, exec, limits, mounts, rootfs, user};
use crate::cgroup::{ContainerMounts, Join};
use crate::sys::{mount_api, process};

/// What the child has from its parent, besides the configuration.
pub struct Inherited<'a> {
    /// The container's cgroup, on the hierarchies that clone3 does not enter.
    pub cgroup: &'a Join,
    /// What /sys/fs/cgroup is made of.
    pub cgroup_mounts: &'a ContainerMounts,
    /// Pause, as a pidfd.
    pub sandbox: BorrowedFd<'a>,
    /// The namespaces of pause to join.
    pub shared: CloneFlags,
    /// Becomes standard output.
    pub stdout: BorrowedFd<'a>,
    /// Becomes standard error.
    pub stderr: BorrowedFd<'a>,
}

/// Becomes the container's program; returns only when a step failed.
pub fn run(config: &ContainerConfig, inherited: &Inherited<'_>) -> Result<Infallible, Failure> {
    let process = &config.process;

    // Counted and limited before anything of the container exists.
    inherited.cgroup.enter_legacy().map_err(|error| Failure::new("join the cgroup", error.to_string()))?;

    // The shim is not dumpable, and so neither is this copy of it: nobody in the pod can look into it (CVE-2016-9962).
    setns(inherited.sandbox, inherited.shared).step(|| "join the pod's namespaces")?;

    // After joining the cgroup: the namespace's root is where the process is when it is made.
    unshare(CloneFlags::CLONE_NEWCGROUP).step(|| "unshare the cgroup namespace")?;

    setsid().step(|| "setsid")?;
    process::new_session_keyring().step(|| "join a new session keyring")?;
    process::reset_signals().step(|| "reset the signals")?;

    // Modes of what is made from here on are the ones written in the code.
    umask(Mode::empty());

    rootfs::detach_from_host()?;
    let root = rootfs::mount_overlay(&config.root, makes_devices(process))?;
    let null = mounts::mount_all(&root, &config.mounts, inherited.cgroup_mounts)?;
    mounts::make_read_only(&root, &config.readonly_paths)?;
    mounts::mask(&root, &config.masked_paths)?;

    // The image's files decide who a user is, so they are read through the root handle; its working directory likewise.
    let identity = user::resolve(&root, &process.user)
        .map_err(|error| Failure::new("look up the user", error.to_string()))?;
    let directory = working_directory(&root, process)?;

    limits::set_oom_score_adj(process.oom_score_adj)?;
    let null = null.map_or_else(|| devices::open_null(OFlag::O_RDONLY), Ok)?;

    // Last of the mounts' work: until here, mount points could still have to be made.
    if config.root.readonly {
        mount_api::set_attributes(root.as_fd(), mount_api::READ_ONLY, false)
            .step(|| "make the root read-only")?;
    }
    rootfs::enter(root.as_fd())?;
    drop(root);

    standard_streams(null.as_fd(), inherited, identity.uid, identity.gid)?;
    limits::set_rlimits(&process.rlimits)?;

    // As root still, since the user may not search all of the way to the directory.
    fchdir(&directory).step(|| "chdir to the working directory")?;
    rootfs::check_inside()?;
    drop(directory);

    capabilities::become_user(identity.uid, identity.gid, &identity.groups, Some(&process.capabilities))?;
    // A shim that is killed takes its containers along; a change of identity would have cleared this.
    prctl::set_pdeathsig(Signal::SIGKILL).step(|| "PR_SET_PDEATHSIG")?;
    if process.no_new_privileges {
        capabilities::no_new_privileges()?;
    }

    umask(Mode::from_bits_truncate(0o022));
    process::close_on_exec_from(3).step(|| "close_range")?;
    exec::execute(&process.args, &environment(process, identity.home))
}

/// With CAP_MKNOD a container's /dev takes any device file; what can be opened is up to the cgroup's device rules then.
fn makes_devices(process: &Process) -> bool {
    process.capabilities.bounding().as_ref().is_some_and(|set| set.contains(&Capability::Mknod))
}

/// The working directory inside the root, made when it is missing. Magic links such as /proc/self/fd/3 are not followed
/// (CVE-2024-21626).
fn working_directory(root: &Root, process: &Process) -> Result<OwnedFd, Failure> {
    let path = &process.cwd;
    let step = || format!("working directory {}", path.display());
    let found = match root.resolve(path) {
        Err(error) if Reason::errno(&error) == Some(libc::ENOENT) => {
            root.mkdir_all(path, &PermissionsExt::from_mode(0o755))
        }
        result => result,
    }
    .step(step)?;
    let status = stat::fstat(found.as_fd()).step(step)?;
    if status.st_mode & stat::SFlag::S_IFMT.bits() != stat::SFlag::S_IFDIR.bits() {
        return Err(Failure::new(step(), "not a directory"));
    }
    Ok(found.into())
}

/// Standard input is /dev/null, output and error are the shim's pipes. The pipes become the user's, who may want to open
/// them again as /dev/stdout.
fn standard_streams(
    null: BorrowedFd<'_>,
    inherited: &Inherited<'_>,
    uid: u32,
    gid: u32,
) -> Result<(), Failure> {
    for pipe in [inherited.stdout, inherited.stderr] {
        fchown(pipe, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).step(|| "chown the output pipe")?;
    }
    dup2_stdin(null).step(|| "set standard input")?;
    dup2_stdout(inherited.stdout).step(|| "set standard output")?;
    dup2_stderr(inherited.stderr).step(|| "set standard error")
}

/// The environment as configured, with HOME from /etc/passwd when it names none.
fn environment(process: &Process, home: Option<String>) -> Vec<String> {
    let mut env = process.env.clone();
    if !env.iter().any(|entry| entry.starts_with("HOME=")) {
        env.push(format!("HOME={}", home.as_deref().unwrap_or("/")));
    }
    env
}
