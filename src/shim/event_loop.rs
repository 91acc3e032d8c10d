//! The shim's one loop: everything that can wake it is a [`Wake`], everything that it does is an answer to one.
//!
//! ```text
//!   agent ── Request ──> Wake::Agent ──┬─ CreateSandbox ──> pause::start ───────> PauseReport, PauseExit
//!                                      ├─ StartContainer ─> container::create ──> StartReport, Output, Exit
//!                                      ├─ Exec ───────────> container::enter ───> ExecReport, ExecTimeout, ExecExit
//!                                      ├─ Signal, Kill ───> pidfd, cgroup
//!                                      ├─ MountTmpfs ─────> its root
//!                                      ├─ Reset ──────────> journal
//!                                      └─ Shutdown ───────> kill all; the last exit ends the loop
//!   child ── exit, output ──> journal, log ── Record ──> every subscribed agent
//! ```
//!
//! An end is written to the journal before anybody hears of it, and nothing here waits: not for a start, not for an end, not
//! for an agent. When the last connection closes the shim goes on; it ends by [`Call::Shutdown`] alone.

mod execs;

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::connection::{Caller, Connection, ConnectionError};
use super::container::{Container, Output, Phase as ContainerPhase, exit_of};
use super::diagnostics::{chain, say};
use super::exec::Exec;
use super::journal::{Journal, JournalError};
use super::message::{self, MessageFile};
use super::output::{Log, Pipe, Pumped};
use super::poll::{Poll, Token};
use super::protocol::{self, Attempt, Call, Event, Message, Reply, Request, SandboxConfig, User};
use super::sandbox::{self, Phase as SandboxPhase, Sandbox};
use super::tmpfs;
use crate::cgroup::Cgroups;
use crate::container::create::{self, read_identity, read_report};
use crate::container::failure::{Failure, Step};
use crate::container::mounts;
use crate::container::peers::{self, MountNamespaces};
use crate::container::spec::{ContainerConfig, PidNamespace, TerminationMessage};
use crate::logs::line::Stream;
use crate::sys::process::{Ended, send_signal, try_wait};

/// Connections at a time: an agent needs one.
const MAX_CONNECTIONS: usize = 16;

/// Read from a pipe or a socket at a time, bytes.
const BUFFER: usize = 32 << 10;

/// What can wake the shim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wake {
    /// An agent wants to connect.
    Listener,
    /// A connected agent sent something, hung up, or takes more.
    Agent(u64),
    /// Pause has set its namespaces up, or failed to.
    PauseReport,
    /// Pause ended.
    PauseExit,
    /// A container reached its execve, or failed to.
    StartReport(u64),
    /// A container wrote something, or closed a stream.
    Output(u64, Stream),
    /// A container's first process ended.
    Exit(u64),
    /// A process executed in a container reached its execve, or failed to.
    ExecReport(u64),
    /// Its time is over.
    ExecTimeout(u64),
    /// It ended.
    ExecExit(u64),
}

/// Why the loop cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refuses to watch descriptors.
    #[error("watch descriptors")]
    Poll(#[from] io::Error),
    /// What happened can no longer be written down.
    #[error("write what happened")]
    Journal(#[from] JournalError),
}

/// All that a shim knows.
#[derive(Debug)]
pub struct Shim {
    cgroups: Cgroups,
    mount_namespaces: MountNamespaces,
    /// Volumes of the pod's own on which containers' mounts show in each other.
    shared_volumes: HashSet<PathBuf>,
    journal: Journal,
    /// The pod's run directory.
    run_dir: PathBuf,
    poll: Poll<Wake>,
    listener: UnixListener,
    connections: HashMap<u64, (Connection, Token)>,
    sandbox: Option<Sandbox>,
    containers: HashMap<u64, Container>,
    /// Processes executed in them.
    execs: HashMap<u64, Exec>,
    /// Waiting for the sandbox.
    sandbox_callers: Vec<Caller>,
    /// The newest attempt of each container whose start was begun.
    begun: HashMap<String, u32>,
    /// Asked for a start in a sandbox that is ending; answered when it has ended.
    late_callers: Vec<Caller>,
    /// Waiting for a container's start, each with the container's key.
    start_callers: Vec<(u64, Caller)>,
    /// Waiting for the end of everything.
    ending: Option<Caller>,
    next_key: u64,
    buffer: Vec<u8>,
}

impl Shim {
    /// A shim that listens on `listener`, writes to `journal` and mounts what the containers share below `run_dir`.
    pub fn new(
        cgroups: Cgroups,
        mount_namespaces: MountNamespaces,
        journal: Journal,
        run_dir: &Path,
        listener: UnixListener,
    ) -> Result<Self, Error> {
        listener.set_nonblocking(true)?;
        let mut poll = Poll::new()?;
        poll.add(&listener, Wake::Listener)?;
        Ok(Self {
            cgroups,
            mount_namespaces,
            shared_volumes: HashSet::new(),
            journal,
            run_dir: run_dir.to_owned(),
            poll,
            listener,
            connections: HashMap::new(),
            sandbox: None,
            containers: HashMap::new(),
            execs: HashMap::new(),
            sandbox_callers: Vec::new(),
            begun: HashMap::new(),
            late_callers: Vec::new(),
            start_callers: Vec::new(),
            ending: None,
            next_key: 0,
            buffer: vec![0; BUFFER],
        })
    }

    /// Runs until an agent ends it.
    pub fn run(mut self) -> Result<(), Error> {
        while !self.is_over() {
            for token in self.poll.wait()? {
                match self.poll.wake_of(token) {
                    Some(Wake::Listener) => self.accept()?,
                    Some(Wake::Agent(connection)) => self.serve(connection)?,
                    Some(Wake::PauseReport) => self.pause_reported()?,
                    Some(Wake::PauseExit) => self.pause_exited()?,
                    Some(Wake::StartReport(key)) => self.start_reported(key)?,
                    Some(Wake::Output(key, stream)) => self.pump(key, stream)?,
                    Some(Wake::Exit(key)) => self.container_exited(key)?,
                    Some(Wake::ExecReport(key)) => self.exec_reported(key)?,
                    Some(Wake::ExecTimeout(key)) => self.exec_timed_out(key)?,
                    Some(Wake::ExecExit(key)) => self.exec_exited(key)?,
                    // Removed by an earlier event of the same wait.
                    None => {}
                }
            }
        }
        if let Some(caller) = self.ending {
            self.reply(caller, Ok(Reply::Done), Vec::new());
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        let Self { ending, sandbox, containers, execs, .. } = self;
        ending.is_some() && sandbox.is_none() && containers.is_empty() && execs.is_empty()
    }

    /// Writes an event down, then tells every subscribed agent.
    pub fn record(&mut self, event: Event) -> Result<(), Error> {
        let record = self.journal.append(Timestamp::now(), event)?;
        let subscribed: Vec<u64> =
            self.connections.iter().filter(|(_, (c, _))| c.subscribed).map(|(id, _)| *id).collect();
        for connection in subscribed {
            self.send(connection, &Message::Record(record.clone()), Vec::new());
        }
        Ok(())
    }
}

// === agents ===

impl Shim {
    fn accept(&mut self) -> Result<(), Error> {
        let socket = match self.listener.accept() {
            Ok((socket, _)) => socket,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => {
                say(format_args!("accept a connection: {error}"));
                return Ok(());
            }
        };
        if self.connections.len() >= MAX_CONNECTIONS {
            say("a connection was refused: too many are open");
            return Ok(());
        }
        let connection = Connection::new(socket)?;
        let key = self.new_key();
        let token = self.poll.add(&connection, Wake::Agent(key))?;
        self.connections.insert(key, (connection, token));
        Ok(())
    }

    fn serve(&mut self, key: u64) -> Result<(), Error> {
        let Some((connection, _)) = self.connections.get_mut(&key) else { return Ok(()) };
        let requests = connection.flush().and_then(|()| connection.read(&mut self.buffer));
        match requests {
            Ok(requests) => {
                for (request, fds) in requests {
                    self.call(key, request, fds)?;
                }
                self.settle_writable(key);
            }
            Err(error) => self.disconnect(key, &error),
        }
        Ok(())
    }

    fn call(&mut self, connection: u64, request: Request, fds: Vec<OwnedFd>) -> Result<(), Error> {
        let caller = Caller { connection, request: request.id };
        match request.call {
            Call::Subscribe { version, from } => self.subscribe(caller, version, from)?,
            Call::CreateSandbox(config) => self.create_sandbox(caller, &config)?,
            Call::StartContainer(config) => self.start_container(caller, *config)?,
            Call::Signal { id, signal } => {
                if signal == libc::SIGKILL {
                    self.foresee_kill(|container| container.attempt.id == id);
                }
                let container = self.containers.values().find(|container| container.attempt.id == id);
                let sent = container.map_or(Ok(()), |c| send_signal(c.child.pidfd.as_fd(), signal));
                let result =
                    sent.map(|()| Reply::Done).map_err(|error| format!("send signal {signal}: {error}"));
                self.reply(caller, result, Vec::new());
            }
            Call::Kill { id } => {
                self.foresee_kill(|container| container.attempt.id == id);
                let group = self.containers.values().find(|c| c.attempt.id == id).map(|c| c.group.clone());
                let result = group.map_or(Ok(()), |group| self.kill_group(&group)).map(|()| Reply::Done);
                self.reply(caller, result, Vec::new());
            }
            Call::Exec(config) => self.exec(caller, &config, fds)?,
            Call::MountTmpfs(config) => match tmpfs::volume(&self.run_dir.join("volumes"), &config) {
                Ok(root) => self.reply(caller, Ok(Reply::Tmpfs), vec![root]),
                Err(failure) => self.reply(caller, Err(failure.to_string()), Vec::new()),
            },
            Call::Reset if self.containers.values().all(|container| container.stays) => {
                self.record(Event::ContainersReset)?;
                self.reply(caller, Ok(Reply::Done), Vec::new());
            }
            Call::Reset => self.reply(caller, Err("containers still run".to_owned()), Vec::new()),
            Call::Shutdown => self.shut_down(caller),
        }
        Ok(())
    }

    fn subscribe(&mut self, caller: Caller, version: u32, from: u64) -> Result<(), Error> {
        if version < protocol::VERSION {
            let text = format!("this shim speaks version {}, the agent only {version}", protocol::VERSION);
            self.reply(caller, Err(text), Vec::new());
            return Ok(());
        }
        let reply = Reply::Subscribed {
            version: protocol::VERSION,
            pid: std::process::id() as i32,
            last: self.journal.last(),
        };
        self.reply(caller, Ok(reply), Vec::new());
        for record in self.journal.records(from)? {
            self.send(caller.connection, &Message::Record(record), Vec::new());
        }
        if let Some((connection, _)) = self.connections.get_mut(&caller.connection) {
            connection.subscribed = true;
        }
        Ok(())
    }

    fn shut_down(&mut self, caller: Caller) {
        self.ending = Some(caller);
        self.foresee_kill(|_| true);
        let containers = self.containers.values().map(|container| container.group.clone());
        let sandbox = self.sandbox.iter().map(|sandbox| sandbox.group.clone());
        for group in containers.chain(sandbox).collect::<Vec<_>>() {
            if let Err(text) = self.kill_group(&group) {
                say(text);
            }
        }
    }

    fn reply(&mut self, caller: Caller, result: Result<Reply, String>, fds: Vec<OwnedFd>) {
        self.send(caller.connection, &Message::Reply { id: caller.request, result }, fds);
    }

    fn send(&mut self, key: u64, message: &Message, fds: Vec<OwnedFd>) {
        let Some((connection, _)) = self.connections.get_mut(&key) else { return };
        match connection.send(message, fds) {
            Ok(()) => self.settle_writable(key),
            Err(error) => self.disconnect(key, &error),
        }
    }

    fn settle_writable(&mut self, key: u64) {
        let Some((connection, token)) = self.connections.get(&key) else { return };
        if let Err(error) = self.poll.watch_writable(connection, *token, connection.is_backed_up()) {
            self.disconnect(key, &error.into());
        }
    }

    fn disconnect(&mut self, key: u64, why: &ConnectionError) {
        if !matches!(why, ConnectionError::Closed) {
            say(format_args!("a connection ended: {}", chain(why)));
        }
        if let Some((connection, token)) = self.connections.remove(&key) {
            let _ = self.poll.remove(&connection, token);
            self.kill_execs_of(key);
        }
    }

    fn new_key(&mut self) -> u64 {
        self.next_key += 1;
        self.next_key
    }

    /// The containers that are about to be killed by the shim: what the kernel has killed in them up to now did not end them.
    fn foresee_kill(&mut self, which: impl Fn(&Container) -> bool) {
        let Self { cgroups, containers, .. } = self;
        // Whoever is over already was not killed by what comes now.
        for container in containers.values_mut().filter(|c| which(c) && !c.is_over()) {
            container.oom_kills = count_oom_kills(cgroups, &container.group);
        }
    }

    fn kill_group(&self, group: &Path) -> Result<(), String> {
        self.cgroups.kill(group).map_err(|error| format!("kill {}: {}", group.display(), chain(&error)))
    }

    fn remove_group(&self, group: &Path) {
        if let Err(error) = self.cgroups.remove(group) {
            say(format_args!("remove the cgroup {}: {}", group.display(), chain(&error)));
        }
    }
}

// === the sandbox ===

impl Shim {
    fn create_sandbox(&mut self, caller: Caller, config: &SandboxConfig) -> Result<(), Error> {
        if self.ending.is_some() {
            self.reply(caller, Err("the pod is being ended".to_owned()), Vec::new());
            return Ok(());
        }
        self.sandbox_callers.push(caller);
        match &self.sandbox {
            Some(Sandbox { phase: SandboxPhase::Ready, .. }) => self.answer_sandbox_callers(None),
            Some(_) => {}
            None => match sandbox::start(config, &self.cgroups, &self.run_dir.join("shm")) {
                Ok(starting) => {
                    let token = self.poll.add(&starting.report, Wake::PauseReport)?;
                    let exit = self.poll.add(&starting.child.pidfd, Wake::PauseExit)?;
                    self.sandbox = Some(Sandbox {
                        child: starting.child,
                        exit,
                        phase: SandboxPhase::Starting { report: starting.report, token },
                        group: config.cgroup.clone(),
                        shared: sandbox::shared(config),
                        pids: config.pids,
                        user_namespace: starting.user_namespace,
                    });
                }
                Err(failure) => {
                    self.remove_group(&config.cgroup);
                    self.answer_sandbox_callers(Some(&failure));
                }
            },
        }
        Ok(())
    }

    fn pause_reported(&mut self) -> Result<(), Error> {
        let Some(sandbox) = &mut self.sandbox else { return Ok(()) };
        let SandboxPhase::Starting { report, token } = &mut sandbox.phase else { return Ok(()) };
        let result = read_report(report);
        self.poll.remove(report, *token)?;
        match result {
            Ok(()) => {
                sandbox.phase = SandboxPhase::Ready;
                let pid = sandbox.child.pid;
                self.record(Event::SandboxStarted { pid })?;
                self.answer_sandbox_callers(None);
            }
            Err(failure) => sandbox.phase = SandboxPhase::Failed(failure),
        }
        Ok(())
    }

    fn pause_exited(&mut self) -> Result<(), Error> {
        let Some(ended) = self.sandbox.as_ref().and_then(|sandbox| reap(&sandbox.child.pidfd)) else {
            return Ok(());
        };
        self.pause_reported()?;
        let Some(sandbox) = self.sandbox.take() else { return Ok(()) };
        self.poll.remove(&sandbox.child.pidfd, sandbox.exit)?;
        self.remove_group(&sandbox.group);
        if let SandboxPhase::Failed(failure) = &sandbox.phase {
            self.answer_sandbox_callers(Some(failure));
            return Ok(());
        }
        // What ran in the namespaces cannot be restarted into new ones while old ones live on.
        self.foresee_kill(|_| true);
        for group in self.containers.values().map(|container| container.group.clone()).collect::<Vec<_>>() {
            if let Err(text) = self.kill_group(&group) {
                say(text);
            }
        }
        self.record(Event::SandboxExited { exit: exit_of(ended, false) })?;
        // Who still waits for it hears of its end first.
        self.answer_sandbox_callers(None);
        for caller in std::mem::take(&mut self.late_callers) {
            self.reply(caller, Err("the sandbox ended".to_owned()), Vec::new());
        }
        Ok(())
    }

    fn answer_sandbox_callers(&mut self, failure: Option<&Failure>) {
        for caller in std::mem::take(&mut self.sandbox_callers) {
            let answer = match (failure, &self.sandbox) {
                (Some(failure), _) => Err(failure.to_string()),
                (None, None) => Err("the sandbox ended".to_owned()),
                (None, Some(sandbox)) => match sandbox.network_namespace() {
                    Ok(namespace) => Ok((sandbox.child.pid, namespace)),
                    // It was killed a moment ago: the answer comes with its exit.
                    Err(failure) if failure.errno == Some(libc::ENOENT) => {
                        self.sandbox_callers.push(caller);
                        continue;
                    }
                    Err(failure) => Err(failure.to_string()),
                },
            };
            match answer {
                Ok((pid, namespace)) => {
                    self.reply(caller, Ok(Reply::Sandbox { pid }), namespace.into_iter().collect());
                }
                Err(text) => self.reply(caller, Err(text), Vec::new()),
            }
        }
    }
}

// === containers ===

impl Shim {
    fn start_container(&mut self, caller: Caller, config: ContainerConfig) -> Result<(), Error> {
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
            let mut starting =
                self.containers.iter().filter(|(_, c)| !matches!(c.phase, ContainerPhase::Running(_)));
            match starting.find(|(_, c)| c.attempt.name == attempt.name) {
                Some((key, _)) => self.start_callers.push((*key, caller)),
                // The journal has it.
                None => self.reply(caller, Ok(Reply::Done), Vec::new()),
            }
            return Ok(());
        }
        let target = match (&config.target, pause.pids) {
            (Some(name), PidNamespace::Container) => {
                let mut running =
                    self.containers.values().filter(|c| matches!(c.phase, ContainerPhase::Running(_)));
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
        let started = open_files(&config).and_then(|files| {
            share_volumes(&mut self.shared_volumes, &config)?;
            Ok((files, create::create(&config, &self.cgroups, sandbox)?))
        });
        match started {
            Ok((files, starting)) => self.adopt(caller, attempt, config, files, starting, owns_pids),
            Err(failure) => {
                self.remove_group(&config.cgroups_path);
                self.record(Event::ContainerStartFailed { container: attempt, failure: failure.into() })?;
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
        for (stream, reader) in [(Stream::Stdout, starting.stdout), (Stream::Stderr, starting.stderr)] {
            let pipe = Pipe::new(reader, stream)?;
            let token = self.poll.add(pipe.reader(), Wake::Output(key, stream))?;
            outputs.push(Output { stream, pipe, token });
        }
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
                phase: ContainerPhase::Starting {
                    report: starting.report,
                    token,
                    identity: starting.identity,
                },
                log,
                message,
                outputs,
            },
        );
        Ok(())
    }

    fn start_reported(&mut self, key: u64) -> Result<(), Error> {
        let Some(container) = self.containers.get_mut(&key) else { return Ok(()) };
        let ContainerPhase::Starting { report, token, identity } = &mut container.phase else {
            return Ok(());
        };
        let result = read_report(report);
        self.poll.remove(report, *token)?;
        match result {
            Ok(()) => {
                let identity = read_identity(identity);
                let user = identity.as_ref().map(|found| User {
                    uid: found.uid,
                    gid: found.gid,
                    groups: found.groups.clone(),
                });
                container.phase = ContainerPhase::Running(identity);
                let (attempt, pid) = (container.attempt.clone(), container.child.pid);
                self.record(Event::ContainerStarted { container: attempt, pid, user })?;
                self.answer_start_callers(key);
            }
            Err(failure) => container.phase = ContainerPhase::Failed(failure),
        }
        Ok(())
    }

    fn pump(&mut self, key: u64, stream: Stream) -> Result<(), Error> {
        let Some(container) = self.containers.get_mut(&key) else { return Ok(()) };
        let Container { outputs, log, .. } = container;
        let Some(index) = outputs.iter().position(|output| output.stream == stream) else { return Ok(()) };
        if outputs[index].pipe.pump(log, &mut self.buffer) == Pumped::End {
            let mut output = outputs.swap_remove(index);
            output.pipe.drain(log, &mut self.buffer);
            self.poll.remove(output.pipe.reader(), output.token)?;
        }
        Ok(())
    }

    fn container_exited(&mut self, key: u64) -> Result<(), Error> {
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
            output.pipe.drain(&mut container.log, &mut self.buffer);
            self.poll.remove(output.pipe.reader(), output.token)?;
        }

        // The count goes with the group.
        let starved = count_oom_kills(&self.cgroups, &container.group) > container.oom_kills;
        self.remove_group(&container.group);
        let attempt = container.attempt;
        self.record(match container.phase {
            ContainerPhase::Failed(failure) => {
                Event::ContainerStartFailed { container: attempt, failure: failure.into() }
            }
            _ => {
                let exit = exit_of(ended, starved);
                let message = message::of(container.message, &container.log, exit.code);
                Event::ContainerExited { container: attempt, exit, message }
            }
        })?;
        self.answer_start_callers(key);
        Ok(())
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
    let log = Log::open(&config.log_path, wanted.is_some_and(|wanted| wanted.or_log))
        .step(|| format!("open the log {}", config.log_path.display()))?;
    let open = |wanted: &TerminationMessage| {
        MessageFile::open(&wanted.file).step(|| format!("open the termination log {}", wanted.file.display()))
    };
    Ok((log, wanted.map(open).transpose()?))
}

/// How many processes of a container the kernel has killed for want of memory.
fn count_oom_kills(cgroups: &Cgroups, group: &Path) -> u64 {
    cgroups.oom_kills(group).unwrap_or_else(|error| {
        say(format_args!("count the kills in {}: {}", group.display(), chain(&error)));
        0
    })
}

/// How a child ended; `None` when it has not.
fn reap(pidfd: &OwnedFd) -> Option<Ended> {
    try_wait(pidfd.as_fd()).unwrap_or_else(|error| {
        say(format_args!("wait for a child: {error}"));
        None
    })
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
