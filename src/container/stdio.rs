//! What a container's first process reads and writes: pipes to its shim, or a terminal of its own.

use std::io::{PipeReader, PipeWriter, pipe};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use super::failure::{Failure, Step};
use super::spec::{ContainerConfig, StandardInput};
use crate::sys::fd_passing;

/// The shim's side.
#[derive(Debug)]
pub enum Stdio {
    /// Pipes.
    Pipes {
        /// What it reads, if it is to read anything.
        stdin: Option<PipeWriter>,
        /// What it writes.
        stdout: PipeReader,
        /// What it complains about.
        stderr: PipeReader,
    },
    /// Brings the master of its terminal. It is there once the program runs; see [`take_terminal`].
    Terminal(UnixStream),
}

/// The container's side.
#[derive(Debug)]
pub enum Inherited {
    /// Pipes.
    Pipes {
        /// `None`: /dev/null.
        stdin: Option<PipeReader>,
        /// Becomes standard output.
        stdout: PipeWriter,
        /// Becomes standard error.
        stderr: PipeWriter,
    },
    /// Takes the master of the terminal that the container makes.
    Terminal(UnixStream),
}

/// Both sides of what a container asks for.
pub fn open(config: &ContainerConfig) -> Result<(Stdio, Inherited), Failure> {
    if config.terminal {
        let (socket, childs) = terminal_channel()?;
        return Ok((Stdio::Terminal(socket), Inherited::Terminal(childs)));
    }
    let (stdin, child_stdin) = match config.stdin {
        StandardInput::Nothing => (None, None),
        StandardInput::Open | StandardInput::Once => {
            let (reader, writer) = pipe().step(|| "pipe")?;
            (Some(writer), Some(reader))
        }
    };
    let (stdout, child_stdout) = pipe().step(|| "pipe")?;
    let (stderr, child_stderr) = pipe().step(|| "pipe")?;
    let inherited = Inherited::Pipes { stdin: child_stdin, stdout: child_stdout, stderr: child_stderr };
    Ok((Stdio::Pipes { stdin, stdout, stderr }, inherited))
}

/// A socket for the master of a terminal that a child makes: the parent's end, which does not block, and the child's.
pub fn terminal_channel() -> Result<(UnixStream, UnixStream), Failure> {
    let (socket, childs) = UnixStream::pair().step(|| "socketpair")?;
    socket.set_nonblocking(true).step(|| "socketpair")?;
    Ok((socket, childs))
}

/// Passes the master of a terminal on to the parent.
pub fn hand_terminal_over(socket: &UnixStream, master: BorrowedFd<'_>) -> Result<(), Failure> {
    fd_passing::send(socket.as_fd(), b"t", &[master]).step(|| "hand the terminal over").map(drop)
}

/// The master of the terminal of a process whose program runs.
pub fn take_terminal(socket: &UnixStream) -> Result<OwnedFd, Failure> {
    let mut fds = Vec::new();
    fd_passing::receive(socket.as_fd(), &mut [0], &mut fds).step(|| "take the terminal over")?;
    fds.pop().ok_or_else(|| Failure::new("take the terminal over", "the process ended before it had one"))
}
