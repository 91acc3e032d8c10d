//! Runs a program in a container and keeps the beginning of what it says: what exec probes and hooks are made of.

use std::io;
use std::os::fd::AsFd;

use tokio::net::unix::pipe;

use super::shim_client::{Error, ShimClient};
use crate::shim::protocol::{ExecConfig, ExecExit, ExecStreams};

/// What is kept of the output of a probe or a hook, bytes; as the kubelet does.
pub const OUTPUT_CAP: usize = 10 << 10;

/// Read at a time, bytes.
const BUFFER: usize = 8 << 10;

/// What a pipe holds at most, bytes (pipe(7)).
const PIPE_CAPACITY: usize = 1 << 20;

/// What came of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// How it ended.
    pub exit: ExecExit,
    /// The beginning of its standard output and standard error, mixed as they came.
    pub output: Vec<u8>,
}

/// Runs a program to its end, and keeps the first `cap` bytes of its output.
///
/// What comes after them is read and forgotten, so that the program is not stopped by a full pipe. This does not wait for
/// the pipe's end: a process that the program left behind may hold it for ever. The standard streams that `config` names
/// are replaced. Dropped before its end, this leaves the program to its timeout.
pub async fn capture(shim: &ShimClient, mut config: ExecConfig, cap: usize) -> Result<Captured, Error> {
    config.streams = ExecStreams { stdin: false, stdout: true, stderr: true };
    let (reader, writer) = io::pipe().map_err(Error::Pipe)?;
    let mut output = Output {
        pipe: pipe::Receiver::from_owned_fd(reader.into()).map_err(Error::Pipe)?,
        kept: Vec::new(),
        cap,
    };
    let running = shim.exec(config, &[writer.as_fd(), writer.as_fd()]).await?;
    drop(writer);
    let ended = running.wait();
    tokio::pin!(ended);
    let mut open = true;
    let exit = loop {
        tokio::select! {
            exit = &mut ended => break exit?,
            more = output.pipe.readable(), if open => open = more.is_ok() && output.take_some(),
        }
    };
    output.take_rest();
    Ok(Captured { exit, output: output.kept })
}

struct Output {
    pipe: pipe::Receiver,
    kept: Vec<u8>,
    cap: usize,
}

impl Output {
    /// Takes what fits into the buffer; false at the end.
    fn take_some(&mut self) -> bool {
        let mut buffer = [0; BUFFER];
        match self.pipe.try_read(&mut buffer) {
            Ok(0) => false,
            Ok(count) => {
                let room = self.cap - self.kept.len();
                self.kept.extend_from_slice(&buffer[..count.min(room)]);
                true
            }
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// Takes what the pipe still holds, up to the cap. Bounded, since somebody may go on writing.
    fn take_rest(&mut self) {
        for _ in 0..PIPE_CAPACITY / BUFFER {
            let before = self.kept.len();
            if before == self.cap || !self.take_some() || self.kept.len() == before {
                break;
            }
        }
    }
}
