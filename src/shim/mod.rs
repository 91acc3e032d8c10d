//! The shim: one process per pod, one thread, parent of everything that the pod runs.
//!
//! A container's exit code goes to its parent and its output into a pipe that somebody must read; a shim is that parent and
//! that reader, so the agent may crash, stop or be replaced without losing either. It is small, is charged to the pod's own
//! cgroup, and keeps the binary that it was started with. Only the shim clones: it has a single thread, so its children may
//! run ordinary code until execve.

pub mod attach;
pub mod connection;
pub mod container;
pub mod diagnostics;
pub mod event_loop;
pub mod exec;
pub mod frame;
pub mod journal;
pub mod log;
pub mod message;
pub mod options;
pub mod output;
pub mod poll;
pub mod protocol;
pub mod sandbox;
pub mod stdin;
pub mod tmpfs;
pub mod tree;

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::process::ExitCode;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{dup, dup2_stdin};
use oci_spec::runtime::LinuxResources;

use self::diagnostics::{chain, say};
use self::event_loop::Shim;
use self::journal::Journal;
use self::options::Options;
use self::protocol::Event;
use crate::cgroup::Cgroups;
use crate::container::failure::{Failure, Step};
use crate::container::peers::{self, MountNamespaces};
use crate::container::{devices, limits};
use crate::sys::clone::{Forked, clone3};
use crate::sys::process;

/// The group of the shim itself, below the pod's.
pub const LEAF: &str = "shim";

/// As for the kubelet's sandboxes: the last to go when memory runs out.
const OOM_SCORE_ADJ: i32 = -998;

/// The program: `mkubelet-shim shim FLAG...`.
pub fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let result = match words.next() {
        Some(mode) if mode == "shim" => Options::parse(words).and_then(|options| run(&options)),
        _ => Err("this program is started by mkubelet, not by hand".to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            say(format_args!("mkubelet-shim: {text}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs a shim until its pod is gone. Expects a process with one thread, and the listening socket as standard input.
///
/// # Errors
///
/// The step of the set-up that failed, or what ended the event loop, in one line.
pub fn run(options: &Options) -> Result<(), String> {
    let shim = set_up(options).map_err(|failure| failure.to_string())?;
    shim.run().map_err(|error| chain(&error))
}

fn set_up(options: &Options) -> Result<Shim, Failure> {
    prctl::set_name(c"mkubelet-shim").step(|| "PR_SET_NAME")?;
    // Nobody may look into this process, nor into the copies of it that are on their way into a container (CVE-2016-9962).
    prctl::set_dumpable(false).step(|| "PR_SET_DUMPABLE")?;
    // It ends when its pod has ended, and not with a terminal, a session or a `pkill mkubelet`.
    process::ignore_signals(&[Signal::SIGHUP, Signal::SIGINT, Signal::SIGPIPE, Signal::SIGTERM])
        .step(|| "ignore signals")?;
    umask(Mode::from_bits_truncate(0o022));
    limits::set_oom_score_adj(OOM_SCORE_ADJ)?;

    let listener = take_listener()?;
    let cgroups = join_cgroup(options)?;
    let mount_namespaces = own_mount_namespace()?;

    let opened = Journal::open(&options.run_dir.join("journal"));
    let (journal, unfinished) = opened.map_err(|error| Failure::new("open the journal", chain(&error)))?;
    let failed = |error: event_loop::Error| Failure::new("begin the journal", chain(&error));
    let mut shim =
        Shim::new(cgroups, mount_namespaces, journal, &options.run_dir, listener).map_err(failed)?;
    for lost in unfinished.into_lost() {
        shim.record(lost).map_err(failed)?;
    }
    let started = Event::ShimStarted { version: protocol::VERSION, pid: std::process::id() as i32 };
    shim.record(started).map_err(failed)?;
    Ok(shim)
}

/// Moves the listening socket away from standard input, which becomes /dev/null.
fn take_listener() -> Result<UnixListener, Failure> {
    let socket: OwnedFd = dup(std::io::stdin()).step(|| "take the listening socket")?;
    nix::fcntl::fcntl(&socket, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))
        .step(|| "take the listening socket")?;
    dup2_stdin(devices::open_null(nix::fcntl::OFlag::O_RDONLY)?).step(|| "set standard input")?;
    Ok(UnixListener::from(socket))
}

/// Charges the shim to its pod. On v2 it goes on in a child from here; the process that the agent started ends.
fn join_cgroup(options: &Options) -> Result<Cgroups, Failure> {
    let group = options.cgroup.join(LEAF);
    let failed = |error: crate::cgroup::Error| Failure::new("join the pod's cgroup", chain(&error));
    let cgroups = Cgroups::detect(&options.cgroup_mount).map_err(failed)?;
    cgroups.create(&group, &LinuxResources::default()).map_err(failed)?;
    let join = cgroups.join(&group).map_err(failed)?;
    if let Some(directory) = &join.into {
        // A copy that is born in the group goes on: moving there would wait for an RCU grace period.
        match clone3(CloneFlags::empty(), Some(directory.as_fd())).step(|| "clone into the pod's cgroup")? {
            Forked::Parent(_) => process::exit_now(0),
            Forked::Child => {}
        }
    }
    join.enter_legacy().step(|| "join the pod's cgroup")?;
    Ok(cgroups)
}

/// A mount namespace for what the pod's containers share, such as /dev/shm: it dies with the pod's last process, whatever
/// crashes. Mounts of the host still arrive in it.
fn own_mount_namespace() -> Result<MountNamespaces, Failure> {
    let host = peers::own_mount_namespace()?;
    unshare(CloneFlags::CLONE_NEWNS).step(|| "unshare the mount namespace")?;
    let flags = MsFlags::MS_REC | MsFlags::MS_SLAVE;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).step(|| "make / a slave")?;
    Ok(MountNamespaces { host, pod: peers::own_mount_namespace()? })
}
