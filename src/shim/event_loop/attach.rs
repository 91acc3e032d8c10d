//! Clients at a container: they come and go, what they type reaches its standard input, and what it prints reaches them.
//!
//! Like an exec, none of this is written down. Unlike an exec, nothing of the container's ends with it: a client that only loses its
//! connection has not ended what it sends, for another agent may bring it back.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use super::super::attach::{Attached, Lost};
use super::super::connection::Caller;
use super::super::container::{Container, Phase};
use super::super::poll::Poll;
use super::super::protocol::{AttachConfig, Message, Reply};
use super::super::stdin::{Stdin, Written};
use super::{Error, Shim, Wake};
use crate::container::spec::{StandardInput, TerminalSize};
use crate::sys::terminal;

/// At a time, at all containers of the pod: each may have two pipes of a MiB.
const MAX_ATTACHED: usize = 16;

impl Shim {
    pub(super) fn attach(
        &mut self,
        caller: Caller,
        config: &AttachConfig,
        fds: Vec<OwnedFd>,
    ) -> Result<(), Error> {
        let result = self.try_attach(caller, config, fds)?;
        self.reply(caller, result.map(|()| Reply::Attached), Vec::new());
        Ok(())
    }

    fn try_attach(
        &mut self,
        caller: Caller,
        config: &AttachConfig,
        fds: Vec<OwnedFd>,
    ) -> Result<Result<(), String>, Error> {
        if self.containers.values().map(|container| container.attached.len()).sum::<usize>() >= MAX_ATTACHED {
            return Ok(Err(format!("{MAX_ATTACHED} clients are attached to the pod's containers already")));
        }
        if fds.len() != config.streams.count() {
            return Ok(Err("the standard streams did not come with the request".to_owned()));
        }
        let key = self.new_key();
        let Some((id, container)) = self.containers.iter_mut().find(|(_, c)| c.attempt.id == config.id)
        else {
            return Ok(Err(format!("container {} does not run", config.id)));
        };
        if !matches!(container.phase, Phase::Running(_)) {
            return Ok(Err(format!("container {} has not started", config.id)));
        }
        let mut attached = Attached::new(caller, config.streams, fds)?;
        for ear in &mut attached.outputs {
            ear.token = Some(self.poll.add(&ear.file, Wake::ClientGone(*id, key))?);
        }
        match &container.stdin {
            Some(stdin) if !stdin.is_full() => {
                if let Some(input) = &mut attached.input {
                    input.token = Some(self.poll.add(&input.file, Wake::Typed(*id, key))?);
                }
            }
            // Until there is room.
            Some(_) => {}
            None => attached.input = None,
        }
        container.attached.insert(key, attached);
        Ok(Ok(()))
    }

    /// A client has sent something, or will send nothing more.
    pub(super) fn typed(&mut self, container: u64, client: u64) -> Result<(), Error> {
        let Some(Container { stdin: Some(stdin), attached, .. }) = self.containers.get_mut(&container) else {
            return Ok(());
        };
        let Some(attached) = attached.get_mut(&client) else { return Ok(()) };
        let Some(input) = &mut attached.input else { return Ok(()) };
        match input.file.read(&mut self.buffer) {
            Ok(count @ 1..) => {
                let written = stdin.push(&self.buffer[..count]);
                self.stdin_written(container, written)
            }
            Err(error) if is_temporary(&error) => Ok(()),
            Ok(0) | Err(_) => {
                if let Some(token) = input.token {
                    self.poll.remove(&input.file, token)?;
                }
                attached.input = None;
                if attached.has_ended { self.input_ended(container, client) } else { Ok(()) }
            }
        }
    }

    /// A container's standard input has room again, or nobody reads it.
    pub(super) fn stdin_writable(&mut self, container: u64) -> Result<(), Error> {
        let stdin = self.containers.get_mut(&container).and_then(|container| container.stdin.as_mut());
        stdin.map(Stdin::flush).map_or(Ok(()), |written| self.stdin_written(container, written))
    }

    /// Follows a write to a container's standard input: while it is full nothing is taken from the clients.
    fn stdin_written(&mut self, key: u64, written: Written) -> Result<(), Error> {
        let Some(Container { stdin, attached, .. }) = self.containers.get_mut(&key) else { return Ok(()) };
        let Some(sink) = stdin else { return Ok(()) };
        match (written, sink.token) {
            (Written::Some, None) => {
                sink.token = Some(self.poll.add_writable(sink.file(), Wake::Stdin(key))?)
            }
            (Written::Some, Some(_)) | (Written::All, None) => {}
            (Written::All | Written::Over, token) => {
                if let Some(token) = token {
                    self.poll.remove(sink.file(), token)?;
                    sink.token = None;
                }
            }
        }
        let is_over = written == Written::Over;
        if is_over {
            *stdin = None;
        }
        for (client, attached) in attached.iter_mut() {
            let Some(input) = &mut attached.input else { continue };
            match (written, input.token) {
                (Written::All, None) => {
                    input.token = Some(self.poll.add(&input.file, Wake::Typed(key, *client))?);
                }
                (Written::All, Some(_)) | (Written::Some, None) => {}
                (Written::Some | Written::Over, token) => {
                    if let Some(token) = token {
                        self.poll.remove(&input.file, token)?;
                        input.token = None;
                    }
                }
            }
            if is_over {
                // What it goes on to send is a broken pipe to it.
                attached.input = None;
            }
        }
        if !is_over {
            return Ok(());
        }
        let ended = attached.iter().filter(|(_, attached)| attached.has_ended).map(|(client, _)| *client);
        ended.collect::<Vec<_>>().into_iter().try_for_each(|client| self.input_ended(key, client))
    }

    /// The agent says that a client sends nothing more, or has left on purpose.
    pub(super) fn end_stdin(&mut self, caller: Caller, request: u64) -> Result<(), Error> {
        let is_it = |attached: &Attached| {
            (attached.caller.connection, attached.caller.request) == (caller.connection, request)
        };
        let found = self.containers.iter_mut().find_map(|(key, container)| {
            let (client, attached) = container.attached.iter_mut().find(|(_, attached)| is_it(attached))?;
            attached.has_ended = true;
            Some((*key, *client, attached.input.is_none()))
        });
        if let Some((container, client, true)) = found {
            self.input_ended(container, client)?;
        }
        self.reply(caller, Ok(Reply::Done), Vec::new());
        Ok(())
    }

    /// All that a client sends has reached the container. As with containerd and Docker the client has left, unless that was to end the
    /// container's standard input: then it waits for what becomes of it.
    fn input_ended(&mut self, key: u64, client: u64) -> Result<(), Error> {
        let Some(container) = self.containers.get_mut(&key) else { return Ok(()) };
        let Some(attached) = container.attached.get(&client) else { return Ok(()) };
        let is_there = self.connections.contains_key(&attached.caller.connection);
        let ends_stdin = container.stdin_kind == StandardInput::Once && container.terminal.is_none();
        if !(ends_stdin && is_there) {
            self.detach(key, client, None)?;
        }
        if ends_stdin {
            let stdin = self.containers.get_mut(&key).and_then(|container| container.stdin.as_mut());
            stdin.map(Stdin::end).map_or(Ok(()), |written| self.stdin_written(key, written))?;
        }
        Ok(())
    }

    /// A client has closed what it heard by.
    pub(super) fn client_gone(&mut self, container: u64, client: u64) -> Result<(), Error> {
        self.detach(container, client, Lost::Gone.reason())
    }

    /// Lets those go that could not take what the container has just printed.
    pub(super) fn detach_lost(&mut self, key: u64) -> Result<(), Error> {
        let Some(container) = self.containers.get(&key) else { return Ok(()) };
        let lost: Vec<(u64, Lost)> = container
            .attached
            .iter()
            .filter_map(|(client, attached)| Some((*client, attached.lost?)))
            .collect();
        lost.into_iter().try_for_each(|(client, lost)| self.detach(key, client, lost.reason()))
    }

    /// A client is attached no longer. What it had sent before it said that this is the end is still delivered.
    fn detach(&mut self, container: u64, client: u64, why: Option<&str>) -> Result<(), Error> {
        let Some(container) = self.containers.get_mut(&container) else { return Ok(()) };
        match container.attached.get_mut(&client) {
            Some(attached) if attached.has_more() => close_ears(&mut self.poll, attached),
            _ => {
                let left = container.attached.remove(&client);
                left.map_or(Ok(()), |attached| self.forget(attached, why))
            }
        }
    }

    /// Closes a client's pipes, and says so to its agent.
    pub(super) fn forget(&mut self, mut attached: Attached, why: Option<&str>) -> Result<(), Error> {
        if let Some(input) = &attached.input
            && let Some(token) = input.token
        {
            self.poll.remove(&input.file, token)?;
        }
        close_ears(&mut self.poll, &mut attached)?;
        let Caller { connection, request } = attached.caller;
        // Its pipes end before this is told.
        drop(attached);
        let message = Message::AttachEnded { id: request, why: why.map(str::to_owned) };
        self.send(connection, &message, Vec::new());
        Ok(())
    }

    /// Forgets the clients of an agent that is gone.
    pub(super) fn detach_all_of(&mut self, connection: u64) -> Result<(), Error> {
        let clients = self.containers.iter().flat_map(|(key, container)| {
            let its =
                container.attached.iter().filter(|(_, attached)| attached.caller.connection == connection);
            its.map(|(client, _)| (*key, *client))
        });
        let clients = clients.collect::<Vec<_>>();
        clients.into_iter().try_for_each(|(container, client)| self.detach(container, client, None))
    }

    /// Gives a container's terminal another size.
    pub(super) fn resize(&mut self, id: &str, size: TerminalSize) -> Result<Reply, String> {
        let container = self.containers.values().find(|container| container.attempt.id == id);
        let container = container.ok_or_else(|| format!("container {id} does not run"))?;
        let slave = container.terminal.as_ref().ok_or_else(|| format!("container {id} has no terminal"))?;
        terminal::set_size(slave.as_fd(), size.rows, size.columns)
            .map_err(|error| format!("set the terminal's size: {error}"))?;
        Ok(Reply::Done)
    }
}

/// Closes what a client hears by.
fn close_ears(poll: &mut Poll<Wake>, attached: &mut Attached) -> Result<(), Error> {
    for ear in attached.outputs.drain(..) {
        if let Some(token) = ear.token {
            poll.remove(&ear.file, token)?;
        }
    }
    Ok(())
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
