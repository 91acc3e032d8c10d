//! Pause: the process that holds the pod's network, IPC and UTS namespaces.
//!
//! It is a copy of the shim that never executes anything: an empty, read-only root, a user of its own without any
//! capability, no descriptor but /dev/null, not dumpable. As PID 1 of its PID namespace it reaps what is given to it, and
//! it ends on SIGTERM.

mod title;

use std::convert::Infallible;
use std::io::{PipeReader, pipe};
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::OFlag;
use nix::mount::{MntFlags, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{chdir, dup2_stderr, dup2_stdin, dup2_stdout, fchdir, pivot_root, sethostname, setsid};
use pathrs::Root;

use crate::cgroup::Join;
use crate::container::create::{read_report, send_report};
use crate::container::failure::{Failure, Step};
use crate::container::seccomp::Filter;
use crate::container::user_namespace::{self, IdRange, UserNamespace};
use crate::container::{capabilities, devices, limits, rootfs, seccomp, sysctls};
use crate::sys::clone::{Child, spawn};
use crate::sys::mount_api::{self, Parameter};
use crate::sys::process;

/// What it is called where it is seen: as the pods of other runtimes show theirs.
const TITLE: &str = "/pause";

/// User and group of pause: nobody else's.
const USER: u32 = 65535;

/// As for the kubelet's sandboxes: the last to go when memory runs out.
const OOM_SCORE_ADJ: i32 = -998;

/// Pause, from its clone on.
#[derive(Debug)]
pub struct Starting {
    /// The process.
    pub child: Child,
    /// At its end the namespaces are ready; a [`Failure`] before that says why they are not. See
    /// [`crate::container::create::read_report`].
    pub report: PipeReader,
    /// Its user namespace, if it was to have one of its own.
    pub user_namespace: Option<UserNamespace>,
}

/// The namespaces that pause makes for its pod, and containers join: those that are not to be the host's.
pub fn shared_namespaces(host_network: bool, host_ipc: bool) -> CloneFlags {
    let network = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS;
    let mut shared = CloneFlags::empty();
    shared.set(network, !host_network);
    shared.set(CloneFlags::CLONE_NEWIPC, !host_ipc);
    shared
}

/// Starts pause in `cgroup`, with [`shared_namespaces`] and a PID namespace of its own. `hostname` is that of a new UTS
/// namespace. `sysctls` are of the new namespaces, and with `ids` all of them belong to a new user namespace.
pub fn start(
    shared: CloneFlags,
    hostname: Option<&str>,
    sysctls: &[(String, String)],
    ids: Option<IdRange>,
    cgroup: &Join,
) -> Result<Starting, Failure> {
    let (report, mut child_report) = pipe().step(|| "pipe")?;
    // At its end the ids are mapped; a [`Failure`] before that says why they are not.
    let mut mapping = ids.map(|_| pipe()).transpose().step(|| "pipe")?;
    let namespaces = shared | CloneFlags::CLONE_NEWNS;
    // Namespaces belong to the user namespace in which they are made, and so do their files to its root at that time: in a
    // user namespace of its own, pause makes them when it has become that root.
    let (flags, later) = match ids {
        None => (namespaces | CloneFlags::CLONE_NEWPID, None),
        Some(_) => (CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID, Some(namespaces)),
    };
    let child = spawn(flags, cgroup.into.as_ref().map(AsFd::as_fd), || {
        let mapped = mapping.take().map(|(mapped, _)| mapped);
        let ready = || {
            enter_cgroup(cgroup)?;
            // While the files of /proc/self are its own. The shim's words tell of the host's directories.
            title::set(TITLE).step(|| "overwrite the arguments")?;
            match (later, mapped) {
                (Some(namespaces), Some(mapped)) => become_inner_root(mapped, namespaces)?,
                _ => limits::set_oom_score_adj(OOM_SCORE_ADJ)?,
            }
            become_pause(hostname, sysctls)?;
            restrict()
        };
        match ready() {
            Ok(()) => {
                // Also closes the report pipe, which tells that the namespaces are ready.
                match process::close_from(3).step(|| "close_range") {
                    Ok(()) => match hold() {},
                    Err(_) => 1,
                }
            }
            Err(failure) => {
                send_report(&mut child_report, &failure);
                1
            }
        }
    })
    .step(|| "clone3")?;
    let user_namespace = match (ids, mapping) {
        // A failure comes back as pause's own.
        (Some(ids), Some((_, mut mapped))) => {
            UserNamespace::map(&child, ids).inspect_err(|failure| send_report(&mut mapped, failure)).ok()
        }
        _ => None,
    };
    Ok(Starting { child, report, user_namespace })
}

fn enter_cgroup(cgroup: &Join) -> Result<(), Failure> {
    cgroup.enter_legacy().map_err(|error| Failure::new("join the cgroup", error.to_string()))
}

/// Becomes root of the user namespace, once the shim has mapped its ids, and makes the namespaces that belong to it.
///
/// oom_score_adj stays the shim's, which is the same: from in here it cannot be set any more.
fn become_inner_root(mut mapped: PipeReader, namespaces: CloneFlags) -> Result<(), Failure> {
    read_report(&mut mapped)?;
    user_namespace::become_root()?;
    unshare(namespaces).step(|| "unshare the namespaces")
}

fn become_pause(hostname: Option<&str>, sysctls: &[(String, String)]) -> Result<(), Failure> {
    if let Some(hostname) = hostname {
        sethostname(hostname).step(|| "sethostname")?;
    }
    sysctls::set(sysctls)?;
    setsid().step(|| "setsid")?;
    process::new_session_keyring().step(|| "join a new session keyring")?;
    // Blocked before the report: a SIGTERM that comes early waits for `hold`.
    wanted_signals().thread_block().step(|| "block signals")?;
    prctl::set_name(c"pause").step(|| "PR_SET_NAME")?;

    let null = devices::open_null(OFlag::O_RDWR)?;
    dup2_stdin(&null).step(|| "set standard input")?;
    dup2_stdout(&null).step(|| "set standard output")?;
    dup2_stderr(&null).step(|| "set standard error")?;

    umask(Mode::from_bits_truncate(0o022));
    enter_empty_root()?;
    capabilities::become_user(USER, USER, &[], &capabilities::none())?;
    capabilities::no_new_privileges()?;
    // After the change of identity, which clears it: without its shim nobody would look after the sandbox.
    prctl::set_pdeathsig(Signal::SIGKILL).step(|| "PR_SET_PDEATHSIG")?;
    prctl::set_dumpable(false).step(|| "PR_SET_DUMPABLE")
}

/// The system calls of what is left to do: close what is open, wait for signals, reap, end.
const CALLS: [i64; 6] = [
    libc::SYS_close_range,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigreturn,
    libc::SYS_wait4,
    libc::SYS_exit_group,
];

fn restrict() -> Result<(), Failure> {
    seccomp::load(&Filter::allowing(&CALLS))
}

/// A tmpfs without room for a file, read-only, over the host's root, which then goes away.
fn enter_empty_root() -> Result<(), Failure> {
    rootfs::detach_from_host(false)?;
    let parameters = [Parameter::Value("mode", "555"), Parameter::Value("size", "0")];
    let attributes = mount_api::READ_ONLY | mount_api::NO_SUID | mount_api::NO_DEV | mount_api::NO_EXEC;
    let empty = mount_api::new_filesystem("tmpfs", &parameters, attributes).step(|| "new tmpfs")?;
    // Any directory serves as the mount point; /proc is there on every host that gets this far.
    let target: OwnedFd =
        Root::open("/").and_then(|root| root.resolve("/proc")).step(|| "open /proc")?.into();
    mount_api::attach(empty.as_fd(), target.as_fd()).step(|| "attach the empty root")?;
    fchdir(&empty).step(|| "chdir to the empty root")?;
    pivot_root(".", ".").step(|| "pivot_root")?;
    umount2(".", MntFlags::MNT_DETACH).step(|| "unmount the host's root")?;
    chdir("/").step(|| "chdir to /")
}

fn wanted_signals() -> SigSet {
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGCHLD].into_iter().collect()
}

/// Sleeps, reaps, and leaves on SIGTERM.
fn hold() -> Infallible {
    let signals = wanted_signals();
    loop {
        match signals.wait() {
            Ok(Signal::SIGCHLD) => {
                while matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(status) if status != WaitStatus::StillAlive)
                {
                }
            }
            Ok(_) | Err(_) => process::exit_now(0),
        }
    }
}
