//! One agent's connection: frames in, replies and records out, never blocking.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use super::frame::{self, Decoder, FrameError};
use super::protocol::{Call, Message, Request};
use crate::sys::fd_passing;

/// What may wait for a slow agent, bytes. One that reads nothing loses its connection, and nothing else: the records are in
/// the journal.
const MAX_WAITING: usize = 16 << 20;

/// Who waits for a reply.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// The shim's number for the connection.
    pub connection: u64,
    /// The agent's number for the request.
    pub request: u64,
}

/// A connected agent.
#[derive(Debug)]
pub struct Connection {
    socket: UnixStream,
    decoder: Decoder,
    /// Came with a request that is not whole yet.
    incoming: VecDeque<OwnedFd>,
    outgoing: VecDeque<Outgoing>,
    waiting: usize,
    /// Set once it asked for the records: new ones are sent to it as they come.
    pub subscribed: bool,
}

#[derive(Debug)]
struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    fds: Vec<OwnedFd>,
}

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The agent hung up.
    #[error("the agent hung up")]
    Closed,
    /// It sent what is no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// It sent file descriptors that belong to no request.
    #[error("the agent sent file descriptors that it did not announce")]
    Descriptors,
    /// It does not read what it asked for.
    #[error("the agent reads too slowly")]
    TooSlow,
    /// The socket failed.
    #[error("use the socket")]
    Socket(#[from] io::Error),
}

impl Connection {
    /// Takes an accepted socket.
    pub fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            decoder: Decoder::default(),
            incoming: VecDeque::new(),
            outgoing: VecDeque::new(),
            waiting: 0,
            subscribed: false,
        })
    }

    /// Reads what has come, and gives the whole requests in it, each with the descriptors that came along.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<Vec<(Request, Vec<OwnedFd>)>, ConnectionError> {
        let mut requests = Vec::new();
        let mut fds = Vec::new();
        match fd_passing::receive(self.socket.as_fd(), buffer, &mut fds) {
            Ok(0) => return Err(ConnectionError::Closed),
            Ok(count) => self.decoder.push(&buffer[..count]),
            Err(error) if is_temporary(&error) => return Ok(requests),
            Err(error) => return Err(error.into()),
        }
        self.incoming.extend(fds);
        while let Some(request) = self.decoder.take::<Request>()? {
            let wanted = match &request.call {
                Call::Exec(config) => config.streams.count(),
                Call::Attach(config) => config.streams.count(),
                _ => 0,
            };
            let fds = self.incoming.drain(..wanted.min(self.incoming.len())).collect();
            requests.push((request, fds));
        }
        // One request brings no more than one message can, and only the one that is still to come may have brought any.
        if self.incoming.len() > fd_passing::MAX_FDS || (self.decoder.is_empty() && !self.incoming.is_empty())
        {
            return Err(ConnectionError::Descriptors);
        }
        Ok(requests)
    }

    /// Puts a message in the queue, and sends what the socket takes.
    pub fn send(&mut self, message: &Message, fds: Vec<OwnedFd>) -> Result<(), ConnectionError> {
        let bytes = frame::encode(message)?;
        self.waiting += bytes.len();
        if self.waiting > MAX_WAITING {
            return Err(ConnectionError::TooSlow);
        }
        self.outgoing.push_back(Outgoing { bytes, sent: 0, fds });
        self.flush()
    }

    /// Sends what the socket takes.
    pub fn flush(&mut self) -> Result<(), ConnectionError> {
        while let Some(next) = self.outgoing.front_mut() {
            let fds: Vec<BorrowedFd<'_>> = next.fds.iter().map(AsFd::as_fd).collect();
            match fd_passing::send(self.socket.as_fd(), &next.bytes[next.sent..], &fds) {
                Ok(count) => {
                    next.sent += count;
                    // They went with the first byte.
                    next.fds.clear();
                    self.waiting -= count;
                    if next.sent == next.bytes.len() {
                        self.outgoing.pop_front();
                    }
                }
                Err(error) if is_temporary(&error) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// True while something waits for the socket to take more.
    pub fn is_backed_up(&self) -> bool {
        !self.outgoing.is_empty()
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
