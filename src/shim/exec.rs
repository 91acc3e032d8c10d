//! A process that was executed in a container, as its shim keeps it until its end is told.

use std::io::PipeReader;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use nix::sys::time::TimeSpec;
use nix::sys::timer::Expiration;
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags, TimerSetTimeFlags};

use super::connection::Caller;
use super::poll::Token;
use super::protocol::ExecConfig;
use crate::container::failure::{Failure, Step};
use crate::container::spec::Process;
use crate::sys::clone::Child;

/// A process that has not been reaped.
#[derive(Debug)]
pub struct Exec {
    /// Who asked for it.
    pub caller: Caller,
    /// The process.
    pub child: Child,
    /// Its registration in the event loop, for its end.
    pub exit: Token,
    /// Brings the other end of its terminal, until that is handed on.
    pub terminal: Option<UnixStream>,
    /// The container's cgroup.
    pub group: PathBuf,
    /// How far it is.
    pub phase: Phase,
    /// Rings when its time is over, and its registration.
    pub timer: Option<(TimerFd, Token)>,
    /// It was killed because its time was over.
    pub timed_out: bool,
}

/// The life of such a process up to its end.
#[derive(Debug)]
pub enum Phase {
    /// On its way to execve.
    Starting {
        /// At its end the program runs.
        report: PipeReader,
        /// The registration of `report`.
        token: Token,
    },
    /// The program runs.
    Running,
    /// There will be no program; the process is about to end.
    Failed(Failure),
}

/// What is executed: all as for the container's first process `main`, but for what the request says otherwise.
pub fn process(main: &Process, config: &ExecConfig) -> Process {
    let name = |variable: &str| variable.split('=').next().map(str::to_owned);
    let mut env = main.env.clone();
    for variable in &config.env {
        match env.iter_mut().find(|known| name(known) == name(variable)) {
            Some(known) => known.clone_from(variable),
            None => env.push(variable.clone()),
        }
    }
    Process {
        args: config.args.clone(),
        env,
        cwd: config.cwd.clone().unwrap_or_else(|| main.cwd.clone()),
        ..main.clone()
    }
}

/// A timer that rings once, after so many milliseconds.
pub fn timer(milliseconds: u64) -> Result<TimerFd, Failure> {
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC).step(|| "make a timer")?;
    // Zero would disarm it.
    let after = TimeSpec::from_duration(std::time::Duration::from_millis(milliseconds.max(1)));
    timer.set(Expiration::OneShot(after), TimerSetTimeFlags::empty()).step(|| "set a timer")?;
    Ok(timer)
}
