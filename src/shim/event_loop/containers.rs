//! Containers in the loop: their start, their output and their end.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use jiff::Timestamp;

use super::super::attach::Lost;
use super::super::connection::Caller;
use super::super::container::{Container, Output, Phase, exit_of};
use super::super::diagnostics::say;
use super::super::log::Log;
use super::super::message::{self, MessageFile};
use super::super::output::{Pipe, Pumped};
use super::super::protocol::{Attempt, Event, Reply, User};
use super::super::sandbox::Phase as SandboxPhase;
use super::super::stdin::Stdin;
use super::{Error, Shim, Wake, count_oom_kills, reap};
use crate::container::create::{self, read_identity, read_report};
use crate::container::failure::{Failure, Step};
use crate::container::mounts;
use crate::container::peers;
use crate::container::spec::{ContainerConfig, PidNamespace, StandardInput, TerminationMessage};
use crate::container::stdio::{Stdio, take_terminal};
use crate::failpoint;
use crate::logs::line::Stream;
use crate::sys::process::Ended;
use crate::sys::terminal;

impl Shim {
    pub(super) fn start_container(&mut self, caller: Caller, config: ContainerConfig) -> Result<(), Error> {
        let attempt = Attempt {
            id: config.id.clone(),
            name: config.name.clone(),
            attempt: config.attempt,
            image_id: config.image_id.clone(),
        };
        let pause = match &self.sandbox {
            Some(sandbox) if matches!(sandbox.phase, SandboxPhase::Ready) && self.ending.is_none() => sandbox,
            _ => {
                self.reply(caller, Err("the sandbox does not run".to_owned()), Vec::new());
                return Ok(());
            }
        };
        // It asks because a container has ended, which with a shared PID namespace is what the end of pause begins with: pause
        // itself is gone only when all others are (pid_namespaces(7)), and until then nobody can join.
        if pause.is_ending() {
            self.late_callers.push(caller);
            return Ok(());
        }
        // An agent may have died after asking for this start. Its successor, who cannot know, asks again.
        if self.begun.get(&attempt.name).is_some_and(|newest| *newest >= attempt.attempt) {
            let mut starting = self.containers.iter().filter(|(_, c)| !matches!(c.phase, Phase::Running(_)));
            match starting.find(|(_, c)| c.attempt.name == attempt.name) {
                Some((key, _)) => self.start_callers.push((*key, caller)),
                // The journal has it.
                None => self.reply(caller, Ok(Reply::Done), Vec::new()),
            }
            return Ok(());
        }
        let target = match (&config.target, pause.pids) {
            (Some(name), PidNamespace::Container) => {
                let mut running = self.containers.values().filter(|c| matches!(c.phase, Phase::Running(_)));
                let Some(found) = running.find(|c| c.attempt.name == *name) else {
                    self.reply(caller, Err(format!("unable to find target container {name:?}")), Vec::new());
                    return Ok(());
                };
                Some(found.child.pidfd.as_fd())
            }
            _ => None,
        };
        self.begun.insert(attempt.name.clone(), attempt.attempt);

        let owns_pids = pause.pids == PidNamespace::Container && target.is_none();
        let sandbox = create::Sandbox {
            pause: pause.child.pidfd.as_fd(),
            shared: pause.shared,
            pids: pause.pids,
            target,
            mount_namespaces: &self.mount_namespaces,
            user_namespace: pause.user_namespace.as_ref(),
        };
        // Whoever comes after this shim must know that the program may have run.
        let begun =
            self.journal.append(Timestamp::now(), Event::ContainerStarting { container: attempt.clone() })?;
        let started = open_files(&config).and_then(|files| {
            share_volumes(&mut self.shared_volumes, &config)?;
            Ok((files, create::create(&config, &self.cgroups, sandbox)?))
        });
        self.tell(&begun);
        match started {
            Ok((files, starting)) => self.adopt(caller, attempt, config, files, starting, owns_pids),
            Err(failure) => {
                self.remove_group(&config.cgroups_path);
                self.start_failed(attempt, failure)?;
                self.reply(caller, Ok(Reply::Done), Vec::new());
                Ok(())
            }
        }
    }

    fn adopt(
        &mut self,
        caller: Caller,
        attempt: Attempt,
        config: ContainerConfig,
        (log, message): (Log, Option<MessageFile>),
        starting: create::Starting,
        owns_pids: bool,
    ) -> Result<(), Error> {
        let key = self.new_key();
        let mut outputs = Vec::with_capacity(2);
        let (stdin, terminal) = match starting.stdio {
            Stdio::Pipes { stdin, stdout, stderr } => {
                for (stream, reader) in [(Stream::Stdout, stdout), (Stream::Stderr, stderr)] {
                    outputs.push(self.output(key, stream, File::from(OwnedFd::from(reader)))?);
                }
                let stdin = stdin.map(|writer| Stdin::new(File::from(OwnedFd::from(writer)))).transpose()?;
                (stdin, None)
            }
            Stdio::Terminal(socket) => (None, Some(socket)),
        };
        let token = self.poll.add(&starting.report, Wake::StartReport(key))?;
        let exit = self.poll.add(&starting.child.pidfd, Wake::Exit(key))?;
        self.start_callers.push((key, caller));
        self.containers.insert(
            key,
            Container {
                attempt,
                child: starting.child,
                exit,
                group: config.cgroups_path,
                oom_kills: starting.oom_kills,
                process: config.process,
                user_namespace: starting.user_namespace,
                owns_pids,
                stays: config.stays,
                phase: Phase::Starting {
                    report: starting.report,
                    token,
                    identity: starting.identity,
                    terminal,
                },
                log,
                message,
                outputs,
                stdin_kind: config.stdin,
                stdin,
                terminal: None,
                attached: HashMap::new(),
            },
        );
        Ok(())
    }

    fn output(&mut self, key: u64, stream: Stream, reader: File) -> Result<Output, Error> {
        let pipe = Pipe::new(reader, stream)?;
        let token = self.poll.add(pipe.reader(), Wake::Output(key, stream))?;
        Ok(Output { stream, pipe, token })
    }

    /// Takes over the terminal of a container whose program runs.
    fn take_over(&mut self, key: u64, master: OwnedFd) -> Result<(), Error> {
        let slave = terminal::open_slave(master.as_fd())?;
        let reader = File::from(master);
        let writer = reader.try_clone()?;
        let output = self.output(key, Stream::Stdout, reader)?;
        let Some(container) = self.containers.get_mut(&key) else { return Ok(()) };
        container.outputs.push(output);
        container.terminal = Some(slave);
        if container.stdin_kind != StandardInput::Nothing {
            container.stdin = Some(Stdin::new(writer)?);
        }
        Ok(())
    }

    pub(super) fn start_reported(&mut self, key: u64) -> Result<(), Error> {
        let Some(container) = self.containers.get_mut(&key) else { return Ok(()) };
        let Phase::Starting { report, token, identity, terminal } = &mut container.phase else {
            return Ok(());
        };
        let result = read_report(report);
        // It was sent before the program ran, unless the process was killed on its way.
        let master = terminal.take().and_then(|socket| take_terminal(&socket).ok());
        self.poll.remove(report, *token)?;
        match result {
            Ok(()) => {
                let identity = read_identity(identity);
                let user = identity.as_ref().map(|found| User {
                    uid: found.uid,
                    gid: found.gid,
                    groups: found.groups.clone(),
                });
                container.phase = Phase::Running(identity);
                let (attempt, pid) = (container.attempt.clone(), container.child.pid);
                if let Some(master) = master {
                    self.take_over(key, master)?;
                }
                self.record(Event::ContainerStarted { container: attempt, pid, user })?;
                self.answer_start_callers(key);
            }
            Err(failure) => container.phase = Phase::Failed(failure),
        }
        Ok(())
    }

    pub(super) fn pump(&mut self, key: u64, stream: Stream) -> Result<(), Error> {
        let Some(container) = self.containers.get_mut(&key) else { return Ok(()) };
        let Container { outputs, log, attached, .. } = container;
        let Some(index) = outputs.iter().position(|output| output.stream == stream) else { return Ok(()) };
        let mut hear = |bytes: &[u8]| attached.values_mut().for_each(|client| client.hear(stream, bytes));
        if outputs[index].pipe.pump(log, &mut self.buffer, &mut hear) == Pumped::End {
            let mut output = outputs.swap_remove(index);
            output.pipe.drain(log, &mut self.buffer, &mut hear);
            self.poll.remove(output.pipe.reader(), output.token)?;
        }
        self.detach_lost(key)
    }

    pub(super) fn container_exited(&mut self, key: u64) -> Result<(), Error> {
        let Some(ended) = self.containers.get(&key).and_then(|container| reap(&container.child.pidfd)) else {
            return Ok(());
        };
        // Both may have become ready in the same instant.
        self.start_reported(key)?;
        let Some(mut container) = self.containers.remove(&key) else { return Ok(()) };
        self.poll.remove(&container.child.pidfd, container.exit)?;
        // Its PID namespace has taken all of it along, if it had one of its own.
        if !container.owns_pids
            && let Err(text) = self.kill_group(&container.group)
        {
            say(text);
        }
        for output in &mut container.outputs {
            let attached = &mut container.attached;
            let hear =
                |bytes: &[u8]| attached.values_mut().for_each(|client| client.hear(output.stream, bytes));
            output.pipe.drain(&mut container.log, &mut self.buffer, hear);
            self.poll.remove(output.pipe.reader(), output.token)?;
        }
        if let Some(stdin) = &container.stdin
            && let Some(token) = stdin.token
        {
            self.poll.remove(stdin.file(), token)?;
        }
        for attached in container.attached.into_values() {
            let why = attached.lost.and_then(Lost::reason);
            self.forget(attached, why)?;
        }

        // The count goes with the group.
        let starved = count_oom_kills(&self.cgroups, &container.group) > container.oom_kills;
        self.remove_group(&container.group);
        failpoint::reached("container.removed");
        if let Phase::Failed(failure) = container.phase {
            self.start_failed(container.attempt, failure)?;
        } else {
            let exit = exit_of(ended, starved);
            let message = message::of(container.message, &container.log, exit.code);
            self.record(Event::ContainerExited { container: container.attempt, exit, message })?;
        }
        self.answer_start_callers(key);
        Ok(())
    }

    fn start_failed(&mut self, attempt: Attempt, failure: Failure) -> Result<(), Error> {
        let has_sandbox = self.sandbox.as_ref().is_some_and(|sandbox| !sandbox.is_ending());
        self.record(if has_sandbox {
            Event::ContainerStartFailed { container: attempt, failure: failure.into() }
        } else {
            // There was nothing left to join. A moment later it would have been killed with all the others.
            let exit = exit_of(Ended::Signaled(libc::SIGKILL), false);
            Event::ContainerExited { container: attempt, exit, message: None }
        })
    }

    fn answer_start_callers(&mut self, key: u64) {
        for (_, caller) in self.start_callers.extract_if(.., |(of, _)| *of == key).collect::<Vec<_>>() {
            self.reply(caller, Ok(Reply::Done), Vec::new());
        }
    }
}

/// What is written for a container, by itself and by its shim: the log, and the file of its last words.
fn open_files(config: &ContainerConfig) -> Result<(Log, Option<MessageFile>), Failure> {
    let wanted = config.termination_message.as_ref();
    let log = Log::open(&config.log_path, config.log_limits, wanted.is_some_and(|wanted| wanted.or_log))
        .step(|| format!("open the log {}", config.log_path.display()))?;
    let open = |wanted: &TerminationMessage| {
        MessageFile::open(&wanted.file).step(|| format!("open the termination log {}", wanted.file.display()))
    };
    Ok((log, wanted.map(open).transpose()?))
}

/// Makes mount points of those volumes on which the container's mounts are to show in other containers.
fn share_volumes(shared: &mut HashSet<PathBuf>, config: &ContainerConfig) -> Result<(), Failure> {
    for path in mounts::shared_in_pod(&config.mounts) {
        if !shared.contains(path) {
            peers::share_in_pod(path)?;
            shared.insert(path.to_owned());
        }
    }
    Ok(())
}
