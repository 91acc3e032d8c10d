//! A further process in a container that runs, with exactly what the container's first process was given.
//!
//! The child is born in the container's PID namespace and cgroup, joins its other namespaces, and takes the same last steps
//! as the first process (`process`). Until its execve it is a copy of the shim that the container can see in its /proc:
//! not being dumpable keeps everybody from looking into it who has not CAP_SYS_PTRACE in the host's user namespace
//! (CVE-2016-9962), the binary behind its /proc/PID/exe cannot be written to (CVE-2019-5736), and its working directory is
//! found inside the root and checked (CVE-2024-21626).

use std::convert::Infallible;
use std::io::{PipeReader, pipe};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, setns};
use nix::unistd::fchdir;
use pathrs::Root;

use super::create::send_report;
use super::failure::{Failure, Step};
use super::spec::{Process, TerminalSize};
use super::terminal::{self, Terminal};
use super::user::Identity;
use super::user_namespace::{self, IdRange};
use super::{apparmor, devices, limits, process, rootfs, stdio};
use crate::cgroup::{Cgroups, Join};
use crate::sys::clone::{Child, spawn_beside};

/// The container that is entered.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Its first process, as a pidfd.
    pub main: BorrowedFd<'a>,
    /// Who that was started as.
    pub identity: &'a Identity,
    /// Its cgroup, relative to the hierarchies' roots.
    pub group: &'a Path,
    /// The user namespace of its pod; `None`: the host's.
    pub user_namespace: Option<IdRange>,
}

/// The standard streams of the new process; what is missing is /dev/null.
#[derive(Debug, Default)]
pub struct Streams {
    /// Standard input.
    pub stdin: Option<OwnedFd>,
    /// Standard output.
    pub stdout: Option<OwnedFd>,
    /// Standard error.
    pub stderr: Option<OwnedFd>,
}

/// What the new process talks through.
#[derive(Debug)]
pub enum Stdio {
    /// Pipes and the like, each on its own.
    Streams(Streams),
    /// A terminal of the container's own, which controls the process.
    Terminal(TerminalSize),
}

/// A process between its clone and its execve.
#[derive(Debug)]
pub struct Starting {
    /// The process.
    pub child: Child,
    /// At its end the program runs; a [`Failure`] before that says why it does not. See [`super::create::read_report`].
    pub report: PipeReader,
    /// Brings the master of its terminal, if it has one. It is there once the program runs; see [`stdio::take_terminal`].
    pub terminal: Option<UnixStream>,
}

/// Clones a process into the container. It goes on by itself; nothing here waits.
///
/// # Panics
///
/// When the caller cannot go back to its own PID namespace for its next children: whatever it started from then on would
/// land in this container.
pub fn start(
    process: &Process,
    target: Target<'_>,
    cgroups: &Cgroups,
    streams: &Stdio,
) -> Result<Starting, Failure> {
    let failed = |error: crate::cgroup::Error| Failure::new("open the cgroup", error.to_string());
    let cgroup = cgroups.join(target.group).map_err(failed)?;
    let (report, mut child_report) = pipe().step(|| "pipe")?;
    let (terminal, child_terminal) = match streams {
        Stdio::Streams(_) => (None, None),
        Stdio::Terminal(_) => {
            let (socket, childs) = stdio::terminal_channel()?;
            (Some(socket), Some(childs))
        }
    };
    let into = cgroup.into.as_ref().map(AsFd::as_fd);
    let child = spawn_beside(target.main, CloneFlags::empty(), into, || {
        let Err(failure) = run(process, target, &cgroup, streams, child_terminal.as_ref());
        send_report(&mut child_report, &failure);
        1
    });
    Ok(Starting { child: child.step(|| "clone into the container's PID namespace")?, report, terminal })
}

/// Becomes the program; returns only when a step failed.
fn run(
    process: &Process,
    target: Target<'_>,
    cgroup: &Join,
    streams: &Stdio,
    terminal: Option<&UnixStream>,
) -> Result<Infallible, Failure> {
    cgroup.enter_legacy().map_err(|error| Failure::new("join the cgroup", error.to_string()))?;

    // While files and privileges are still the host's.
    limits::set_oom_score_adj(process.oom_score_adj)?;
    limits::set_rlimits(&process.rlimits)?;
    let on_exec = apparmor::change_on_exec(process)?;
    let null = devices::open_null(OFlag::O_RDWR)?;
    let [stdin, stdout, stderr] = match streams {
        Stdio::Streams(Streams { stdin, stdout, stderr }) => [stdin, stdout, stderr],
        // Until it can be opened.
        Stdio::Terminal(_) => [&None, &None, &None],
    }
    .map(|stream| stream.as_ref().map_or(null.as_fd(), AsFd::as_fd));
    let owner = user_namespace::owner(target.user_namespace, target.identity)?;
    process::standard_streams([stdin, stdout, stderr], owner)?;

    let user = target.user_namespace.map_or(CloneFlags::empty(), |_| CloneFlags::CLONE_NEWUSER);
    let namespaces = user
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP;
    setns(target.main, namespaces).step(|| "join the container's namespaces")?;
    if target.user_namespace.is_some() {
        user_namespace::become_root()?;
    }
    process::leave_shim()?;

    // The root came with the mount namespace.
    let root = Root::open("/").step(|| "open the container's root")?;
    if let (Stdio::Terminal(size), Some(socket)) = (streams, terminal) {
        let Terminal { master, slave } = Terminal::open(&root, *size)?;
        stdio::hand_terminal_over(socket, master.as_fd())?;
        terminal::control(slave.as_fd(), target.identity.uid)?;
    }
    let directory = process::working_directory(&root, process)?;
    fchdir(&directory).step(|| "chdir to the working directory")?;
    rootfs::check_inside()?;

    process::become_program(process, target.identity, on_exec)
}
