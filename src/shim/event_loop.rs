//! The shim's one loop: everything that can wake it is a [`Wake`], everything that it does is an answer to one.
//!
//! ```text
//!   agent ── Request ──> Wake::Agent ──┬─ CreateSandbox ──> pause::start ───────> PauseReport, PauseExit
//!                                      ├─ StartContainer ─> container::create ──> StartReport, Output, Exit
//!                                      ├─ Exec ───────────> container::enter ───> ExecReport, ExecTimeout, ExecExit
//!                                      ├─ Attach ─────────> Typed, Stdin, ClientGone
//!                                      ├─ Signal, Kill ───> pidfd, cgroup
//!                                      ├─ MountTmpfs ─────> its root
//!                                      ├─ Reset ──────────> journal
//!                                      └─ Shutdown ───────> kill all; the last exit ends the loop
//!   child ── exit, output ──> journal, log ── Record ──> every subscribed agent
//! ```
//!
//! An end is written to the journal before anybody hears of it, and nothing here waits: not for a start, not for an end, not
//! for an agent. When the last connection closes the shim goes on; it ends by [`Call::Shutdown`] alone.

mod attach;
mod containers;
mod execs;
mod sandbox;

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::connection::{Caller, Connection, ConnectionError};
use super::container::Container;
use super::diagnostics::{chain, say};
use super::exec::Exec;
use super::journal::{Journal, JournalError};
use super::poll::{Poll, Token};
use super::protocol::{self, Call, Event, Message, Record, Reply, Request};
use super::sandbox::Sandbox;
use super::tmpfs;
use crate::cgroup::Cgroups;
use crate::container::peers::MountNamespaces;
use crate::logs::line::Stream;
use crate::sys::process::{Ended, send_signal, try_wait};

/// Connections at a time: an agent needs one, and one more for each client that executes something or is attached.
const MAX_CONNECTIONS: usize = 96;

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
    /// A container's standard input has room again.
    Stdin(u64),
    /// A client of a container sent something, or will send nothing more.
    Typed(u64, u64),
    /// A client of a container closed what it hears by.
    ClientGone(u64, u64),
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
                    Some(Wake::Stdin(key)) => self.stdin_writable(key)?,
                    Some(Wake::Typed(key, client)) => self.typed(key, client)?,
                    Some(Wake::ClientGone(key, client)) => self.client_gone(key, client)?,
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
        self.tell(&record);
        Ok(())
    }

    /// Tells every subscribed agent what has been written down.
    fn tell(&mut self, record: &Record) {
        let subscribed: Vec<u64> =
            self.connections.iter().filter(|(_, (c, _))| c.subscribed).map(|(id, _)| *id).collect();
        for connection in subscribed {
            self.send(connection, &Message::Record(record.clone()), Vec::new());
        }
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
            Call::Attach(config) => self.attach(caller, &config, fds)?,
            Call::EndStdin { attach } => self.end_stdin(caller, attach)?,
            Call::Resize { id, size } => {
                let result = self.resize(&id, size);
                self.reply(caller, result, Vec::new());
            }
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
        // Before the answer: without them there is none, and this shim comes to its end; the next one sets the journal aside.
        let records = self.journal.records(from)?;
        let reply = Reply::Subscribed {
            version: protocol::VERSION,
            pid: std::process::id() as i32,
            last: self.journal.last(),
        };
        self.reply(caller, Ok(reply), Vec::new());
        for record in records {
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
            if let Err(error) = self.detach_all_of(key) {
                say(format_args!("detach clients: {}", chain(&error)));
            }
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
