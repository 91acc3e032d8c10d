//! Further processes in containers: started, bounded in number and time, and forgotten when their end is told.
//!
//! Nothing of them is written down: whoever asked holds the other ends of their streams, and when it is gone they are killed.

use std::os::fd::{AsFd, OwnedFd};

use super::super::connection::Caller;
use super::super::container::{Phase as ContainerPhase, exit_of};
use super::super::exec::{self, Exec, Phase};
use super::super::protocol::{ExecConfig, ExecExit, Message, Reply};
use super::super::tree;
use super::{Error, Shim, Wake, reap};
use crate::container::create::read_report;
use crate::container::enter::{self, Stdio, Streams, Target};
use crate::container::failure::Failure;
use crate::container::stdio::take_terminal;

/// At a time, in all containers of the pod: each costs the shim three descriptors.
const MAX_EXECS: usize = 64;

impl Shim {
    pub(super) fn exec(
        &mut self,
        caller: Caller,
        config: &ExecConfig,
        fds: Vec<OwnedFd>,
    ) -> Result<(), Error> {
        match self.try_exec(caller, config, fds)? {
            Ok(()) => {}
            Err(text) => self.reply(caller, Err(text), Vec::new()),
        }
        Ok(())
    }

    fn try_exec(
        &mut self,
        caller: Caller,
        config: &ExecConfig,
        fds: Vec<OwnedFd>,
    ) -> Result<Result<(), String>, Error> {
        let Some(container) = self.containers.values().find(|c| c.attempt.id == config.id) else {
            return Ok(Err(format!("container {} does not run", config.id)));
        };
        let ContainerPhase::Running(Some(identity)) = &container.phase else {
            return Ok(Err(format!("container {} has not started", config.id)));
        };
        if self.ending.is_some() {
            return Ok(Err("the pod is being ended".to_owned()));
        }
        if self.execs.len() >= MAX_EXECS {
            return Ok(Err(format!(
                "{MAX_EXECS} processes are being executed in the pod's containers already"
            )));
        }
        let stdio = match stdio(config, fds) {
            Ok(stdio) => stdio,
            Err(text) => return Ok(Err(text.to_owned())),
        };

        let process = exec::process(&container.process, config);
        let target = Target {
            main: container.child.pidfd.as_fd(),
            identity,
            group: &container.group,
            user_namespace: container.user_namespace,
        };
        let timer = config.timeout_ms.map(exec::timer).transpose();
        let started =
            timer.and_then(|timer| Ok((timer, enter::start(&process, target, &self.cgroups, &stdio)?)));
        let group = container.group.clone();
        let (timer, starting) = match started {
            Ok(started) => started,
            Err(failure) => {
                self.reply(caller, Ok(Reply::ExecFailed(failure.into())), Vec::new());
                return Ok(Ok(()));
            }
        };

        let key = self.new_key();
        let token = self.poll.add(&starting.report, Wake::ExecReport(key))?;
        let exit = self.poll.add(&starting.child.pidfd, Wake::ExecExit(key))?;
        let timer = match timer {
            Some(timer) => {
                let token = self.poll.add(&timer, Wake::ExecTimeout(key))?;
                Some((timer, token))
            }
            None => None,
        };
        let phase = Phase::Starting { report: starting.report, token };
        let enter::Starting { child, terminal, .. } = starting;
        let exec = Exec { caller, child, exit, terminal, group, phase, timer, timed_out: false };
        self.execs.insert(key, exec);
        Ok(Ok(()))
    }

    pub(super) fn exec_reported(&mut self, key: u64) -> Result<(), Error> {
        let Some(exec) = self.execs.get_mut(&key) else { return Ok(()) };
        let Phase::Starting { report, token } = &mut exec.phase else { return Ok(()) };
        let result = read_report(report);
        self.poll.remove(report, *token)?;
        // It was sent before the program ran, unless the process was killed on its way.
        let socket = exec.terminal.take();
        let take = || socket.map(|socket| take_terminal(&socket)).transpose();
        match result.and_then(|()| take()) {
            Ok(terminal) => {
                exec.phase = Phase::Running;
                let (caller, pid) = (exec.caller, exec.child.pid);
                let reply = Reply::ExecStarted { pid, terminal: terminal.is_some() };
                self.reply(caller, Ok(reply), terminal.into_iter().collect());
            }
            // Answered when the process is gone.
            Err(failure) => exec.phase = Phase::Failed(failure),
        }
        Ok(())
    }

    pub(super) fn exec_timed_out(&mut self, key: u64) -> Result<(), Error> {
        let Some(exec) = self.execs.get_mut(&key) else { return Ok(()) };
        if let Some((timer, token)) = exec.timer.take() {
            self.poll.remove(&timer, token)?;
            exec.timed_out = true;
            tree::kill(exec.child.pid, &self.cgroups, &exec.group);
        }
        Ok(())
    }

    pub(super) fn exec_exited(&mut self, key: u64) -> Result<(), Error> {
        let Some(ended) = self.execs.get(&key).and_then(|exec| reap(&exec.child.pidfd)) else {
            return Ok(());
        };
        // Both may have become ready in the same instant.
        self.exec_reported(key)?;
        let Some(exec) = self.execs.remove(&key) else { return Ok(()) };
        self.poll.remove(&exec.child.pidfd, exec.exit)?;
        if let Some((timer, token)) = &exec.timer {
            self.poll.remove(timer, *token)?;
        }
        if let Phase::Failed(failure) = exec.phase {
            self.reply(exec.caller, Ok(Reply::ExecFailed(Failure::into(failure))), Vec::new());
            return Ok(());
        }
        let exit = exit_of(ended, false);
        let exit = ExecExit { code: exit.code, signal: exit.signal, timed_out: exec.timed_out };
        let message = Message::ExecExited { id: exec.caller.request, exit };
        self.send(exec.caller.connection, &message, Vec::new());
        Ok(())
    }

    /// Kills what an agent that is gone had asked for. Reaped as any other.
    pub(super) fn kill_execs_of(&mut self, connection: u64) {
        for exec in self.execs.values().filter(|exec| exec.caller.connection == connection) {
            tree::kill(exec.child.pid, &self.cgroups, &exec.group);
        }
    }
}

/// Gives each stream that was announced its descriptor.
fn stdio(config: &ExecConfig, fds: Vec<OwnedFd>) -> Result<Stdio, &'static str> {
    let wanted = config.streams;
    if fds.len() != wanted.count() {
        return Err("the standard streams did not come with the request");
    }
    if let Some(size) = config.terminal {
        return if fds.is_empty() {
            Ok(Stdio::Terminal(size))
        } else {
            Err("a terminal is all streams in one")
        };
    }
    let mut fds = fds.into_iter();
    let mut take = |given: bool| if given { fds.next() } else { None };
    let (stdin, stdout, stderr) = (take(wanted.stdin), take(wanted.stdout), take(wanted.stderr));
    Ok(Stdio::Streams(Streams { stdin, stdout, stderr }))
}
