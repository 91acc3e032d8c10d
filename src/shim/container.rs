//! One container as its shim keeps it, from its clone until its end is written down.

use std::collections::HashMap;
use std::fs::File;
use std::io::PipeReader;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::attach::Attached;
use super::log::Log;
use super::message::MessageFile;
use super::output::Pipe;
use super::poll::Token;
use super::protocol::{Attempt, Exit, StartFailure};
use super::stdin::Stdin;
use crate::container::failure::Failure;
use crate::container::spec::{Process, StandardInput};
use crate::container::user::Identity;
use crate::container::user_namespace::IdRange;
use crate::logs::line::Stream;
use crate::sys::clone::Child;
use crate::sys::process::Ended;

/// A container whose first process has not been reaped.
#[derive(Debug)]
pub struct Container {
    /// Which start of which container.
    pub attempt: Attempt,
    /// Its first process.
    pub child: Child,
    /// Its registration in the event loop, for its end.
    pub exit: Token,
    /// Its cgroup.
    pub group: PathBuf,
    /// What its group's count of kills for want of memory must exceed to explain its end: the count at its start, or the one
    /// just before the shim killed it.
    pub oom_kills: u64,
    /// What its first process was asked to be: what is executed beside it is the same.
    pub process: Process,
    /// The ids of its user namespace, unless that is the host's.
    pub user_namespace: Option<IdRange>,
    /// Its processes end with its first one: it has a PID namespace of its own.
    pub owns_pids: bool,
    /// It runs on when the others begin anew.
    pub stays: bool,
    /// How far it is.
    pub phase: Phase,
    /// Where its output goes.
    pub log: Log,
    /// What it may write its last words to.
    pub message: Option<MessageFile>,
    /// Standard output and standard error, until they are closed; a terminal counts as standard output.
    pub outputs: Vec<Output>,
    /// What it reads.
    pub stdin_kind: StandardInput,
    /// The other end of that, until it is closed.
    pub stdin: Option<Stdin>,
    /// Its terminal, the slave. Held open, so that the terminal does not end when the container closes it and opens it again.
    pub terminal: Option<OwnedFd>,
    /// Who is attached.
    pub attached: HashMap<u64, Attached>,
}

/// A pipe that is still open.
#[derive(Debug)]
pub struct Output {
    /// Which of the two.
    pub stream: Stream,
    /// The pipe.
    pub pipe: Pipe,
    /// Its registration in the event loop.
    pub token: Token,
}

/// The life of a container up to its end.
#[derive(Debug)]
pub enum Phase {
    /// On its way to execve.
    Starting {
        /// At its end the program runs.
        report: PipeReader,
        /// The registration of `report`.
        token: Token,
        /// Who the program runs as, once it does.
        identity: File,
        /// Brings its terminal, if it has one.
        terminal: Option<UnixStream>,
    },
    /// The program runs, as this user; who it is stays unknown when it was killed on its way.
    Running(Option<Identity>),
    /// There will be no program; the process is about to end.
    Failed(Failure),
}

impl From<Failure> for StartFailure {
    fn from(failure: Failure) -> Self {
        let Failure { step, errno, text } = failure;
        Self { step, errno, text }
    }
}

impl Container {
    /// True when its first process is over, reaped or not.
    pub fn is_over(&self) -> bool {
        let mut ended = [PollFd::new(self.child.pidfd.as_fd(), PollFlags::POLLIN)];
        poll(&mut ended, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }
}

/// The exit of a process as Kubernetes counts it. `starved`: meanwhile the kernel killed somebody in its group for want of memory.
///
/// Such a kill is a SIGKILL, and a shell says so of its child with its own code. Another code was the program's choice: who
/// outlives a child that was killed, and ends well or by SIGTERM, was not killed itself (kubernetes/kubernetes#104454, #140716).
pub fn exit_of(ended: Ended, starved: bool) -> Exit {
    const KILLED: i32 = 128 + libc::SIGKILL;
    let (code, signal) = match ended {
        Ended::Exited(code) => (code, None),
        Ended::Signaled(signal) => (128 + signal, Some(signal)),
    };
    Exit { code, signal, oom_killed: starved && code == KILLED, lost: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exits_are_counted_as_a_shell_counts_them() {
        for (ended, code, signal) in [
            (Ended::Exited(0), 0, None),
            (Ended::Exited(99), 99, None),
            (Ended::Signaled(libc::SIGTERM), 143, Some(15)),
            (Ended::Signaled(libc::SIGKILL), 137, Some(9)),
            (Ended::Signaled(64), 192, Some(64)),
        ] {
            let expected = Exit { code, signal, oom_killed: false, lost: false };
            assert_eq!(exit_of(ended, false), expected, "{ended:?}");
        }
    }

    #[test]
    fn want_of_memory_explains_a_kill_and_nothing_else() {
        for (ended, oom_killed) in [
            (Ended::Signaled(libc::SIGKILL), true),
            (Ended::Exited(137), true),
            (Ended::Exited(0), false),
            (Ended::Exited(1), false),
            (Ended::Exited(143), false),
            (Ended::Signaled(libc::SIGTERM), false),
            (Ended::Signaled(libc::SIGABRT), false),
        ] {
            assert_eq!(exit_of(ended, true).oom_killed, oom_killed, "{ended:?}");
            assert!(!exit_of(ended, false).oom_killed, "{ended:?}");
        }
    }
}
