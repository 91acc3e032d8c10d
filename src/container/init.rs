//! The child's side of a start: from the clone to execve, a list of steps, each with its why.
//!
//! It runs in a copy of the shim, which has one thread, so ordinary Rust is allowed here. It never returns into the shim:
//! it becomes the container's program, or its [`Failure`] goes through the report pipe and the process ends.

use std::convert::Infallible;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;

use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::{Mode, umask};
use nix::unistd::fchdir;
use oci_spec::runtime::Capability;
use pathrs::Root;

use super::failure::{Failure, Reason, Step};
use super::peers::MountNamespaces;
use super::spec::{ContainerConfig, Process, TerminalSize};
use super::terminal::{self, Terminal};
use super::user::{self, Identity};
use super::user_namespace::{self, UserNamespace};
use super::{apparmor, devices, limits, mounts, process, rootfs, stdio};
use crate::cgroup::{ContainerMounts, Join};
use crate::sys::mount_api;

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
    /// Where mounts that go both ways have their peers.
    pub mount_namespaces: &'a MountNamespaces,
    /// The pod's own user namespace, joined when all is mounted.
    pub user_namespace: Option<&'a UserNamespace>,
    /// An empty file that takes the [`Identity`], as JSON.
    pub identity: BorrowedFd<'a>,
    /// What becomes its standard streams.
    pub stdio: &'a stdio::Inherited,
}

/// Becomes the container's program; returns only when a step failed.
pub fn run(config: &ContainerConfig, inherited: &Inherited<'_>) -> Result<Infallible, Failure> {
    let process = &config.process;

    // Counted and limited before anything of the container exists.
    inherited.cgroup.enter_legacy().map_err(|error| Failure::new("join the cgroup", error.to_string()))?;

    // The shim is not dumpable, and so neither is this copy of it: nobody in the pod can look into it (CVE-2016-9962).
    // A pod may be in all of the host's namespaces: to join none of them is an error, setns(2).
    if !inherited.shared.is_empty() {
        setns(inherited.sandbox, inherited.shared).step(|| "join the pod's namespaces")?;
    }

    // After joining the cgroup: the namespace's root is where the process is when it is made.
    unshare(CloneFlags::CLONE_NEWCGROUP).step(|| "unshare the cgroup namespace")?;

    process::leave_shim()?;
    let on_exec = apparmor::change_on_exec(process)?;

    // Modes of what is made from here on are the ones written in the code.
    umask(Mode::empty());

    rootfs::detach_from_host(mounts::follow_host(&config.mounts))?;
    let user_namespace = inherited.user_namespace;
    let devices = makes_devices(process) && user_namespace.is_none();
    let root = rootfs::mount_overlay(&config.root, devices, user_namespace)?;
    if let Some(namespace) = user_namespace {
        // Not before the overlay, which works with the privileges of whoever mounts it.
        namespace.make_files_as_root()?;
    }
    let null = mounts::mount_all(
        &root,
        &config.mounts,
        inherited.cgroup_mounts,
        config.host_devices,
        inherited.mount_namespaces,
        user_namespace,
    )?;
    mounts::make_read_only(&root, &config.readonly_paths)?;
    mounts::mask(&root, &config.masked_paths)?;

    // The image's files decide who a user is, so they are read through the root handle; its working directory likewise.
    let identity = user::resolve(&root, &process.user)
        .map_err(|error| Failure::new("look up the user", error.to_string()))?;
    let owner = user_namespace::owner(user_namespace.map(|namespace| namespace.ids), &identity)?;
    tell_identity(inherited.identity, &identity)?;
    make_working_directory(&root, process)?;
    let directory = process::working_directory(&root, process)?;

    limits::set_oom_score_adj(process.oom_score_adj)?;
    let null = null.map_or_else(|| devices::open_null(OFlag::O_RDONLY), Ok)?;

    // While there is a handle of the root, and before whoever is inside has had a say in what is there.
    let terminal = match inherited.stdio {
        stdio::Inherited::Pipes { .. } => None,
        stdio::Inherited::Terminal(socket) => {
            let Terminal { master, slave } = Terminal::open(&root, TerminalSize::default())?;
            stdio::hand_terminal_over(socket, master.as_fd())?;
            Some(slave)
        }
    };

    // Last of the mounts' work: until here, mount points could still have to be made.
    if config.root.readonly {
        mount_api::set_attributes(root.as_fd(), mount_api::READ_ONLY, false)
            .step(|| "make the root read-only")?;
    }
    rootfs::enter(root.as_fd())?;
    drop(root);

    match (inherited.stdio, terminal) {
        (stdio::Inherited::Pipes { stdin, stdout, stderr }, _) => {
            let stdin = stdin.as_ref().map_or(null.as_fd(), AsFd::as_fd);
            process::standard_streams([stdin, stdout.as_fd(), stderr.as_fd()], owner)?;
        }
        (stdio::Inherited::Terminal(_), slave) => {
            slave.iter().try_for_each(|slave| terminal::control(slave.as_fd(), owner.0.as_raw()))?;
        }
    }
    limits::set_rlimits(&process.rlimits)?;

    // As root still, since the user may not search all of the way to the directory.
    fchdir(&directory).step(|| "chdir to the working directory")?;
    drop(directory);
    if let Some(namespace) = user_namespace {
        namespace.enter()?;
    }
    rootfs::check_inside()?;

    process::become_program(process, &identity, on_exec)
}

/// With CAP_MKNOD a container's /dev takes any device file; what can be opened is up to the cgroup's device rules then. The
/// capability counts in the host's user namespace only.
fn makes_devices(process: &Process) -> bool {
    process.capabilities.bounding().as_ref().is_some_and(|set| set.contains(&Capability::Mknod))
}

/// Makes the working directory when it is missing.
fn make_working_directory(root: &Root, process: &Process) -> Result<(), Failure> {
    match root.resolve(&process.cwd) {
        Err(error) if Reason::errno(&error) == Some(libc::ENOENT) => root
            .mkdir_all(&process.cwd, &PermissionsExt::from_mode(0o755))
            .map(drop)
            .step(|| format!("working directory {}", process.cwd.display())),
        // Whatever else is wrong shows when it is opened.
        _ => Ok(()),
    }
}

/// Leaves word of who the program runs as, for those that are executed beside it.
fn tell_identity(file: BorrowedFd<'_>, identity: &Identity) -> Result<(), Failure> {
    let step = || "tell the identity";
    let mut file = File::from(file.try_clone_to_owned().step(step)?);
    let text = serde_json::to_vec(identity).map_err(|error| Failure::new(step(), error.to_string()))?;
    file.write_all(&text).step(step)
}
