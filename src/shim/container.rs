//! One container as its shim keeps it, from its clone until its end is written down.

use std::fs::File;
use std::io::PipeReader;
use std::path::PathBuf;

use super::output::{Log, Pipe};
use super::poll::Token;
use super::protocol::{Attempt, Exit, StartFailure};
use crate::container::failure::Failure;
use crate::container::spec::Process;
use crate::container::user::Identity;
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
    /// What its first process was asked to be: what is executed beside it is the same.
    pub process: Process,
    /// How far it is.
    pub phase: Phase,
    /// Where its output goes.
    pub log: Log,
    /// Standard output and standard error, until they are closed.
    pub outputs: Vec<Output>,
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

/// The exit of a process as Kubernetes counts it. `oom_kills` is the count of its cgroup.
pub fn exit_of(ended: Ended, oom_kills: u64) -> Exit {
    match ended {
        Ended::Exited(code) => Exit { code, signal: None, oom_killed: false, lost: false },
        Ended::Signaled(signal) => Exit {
            code: 128 + signal,
            signal: Some(signal),
            oom_killed: signal == libc::SIGKILL && oom_kills > 0,
            lost: false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exits_are_counted_as_a_shell_counts_them() {
        let check = |ended, kills, code, oom| {
            let exit = exit_of(ended, kills);
            assert_eq!((exit.code, exit.oom_killed), (code, oom), "{ended:?} {kills}");
        };
        check(Ended::Exited(0), 0, 0, false);
        check(Ended::Exited(99), 1, 99, false);
        check(Ended::Signaled(libc::SIGTERM), 0, 143, false);
        check(Ended::Signaled(libc::SIGKILL), 0, 137, false);
        check(Ended::Signaled(libc::SIGKILL), 1, 137, true);
        check(Ended::Signaled(64), 0, 192, false);
    }
}
