//! A container's output: two pipes or a terminal in, one log file out.

use std::fs::File;
use std::io::{self, Read};

use jiff::Timestamp;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::log::Log;
use crate::logs::line::{Encoder, Stream};

/// One of the two pipes, or the terminal.
#[derive(Debug)]
pub struct Pipe {
    reader: File,
    encoder: Encoder,
    /// Lines on their way to the log. Kept for its memory.
    lines: Vec<u8>,
}

/// What came of one read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pumped {
    /// There may be more.
    Some,
    /// Nothing now.
    Nothing,
    /// All writers are gone.
    End,
}

impl Pipe {
    /// Reads from `reader` without blocking.
    pub fn new(reader: File, stream: Stream) -> io::Result<Self> {
        fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Self { reader, encoder: Encoder::new(stream), lines: Vec::new() })
    }

    /// The descriptor to watch.
    pub fn reader(&self) -> &File {
        &self.reader
    }

    /// Moves at most one buffer of output to the log, so that one container cannot keep the shim from the others. `hear` gets the
    /// same bytes as they are.
    pub fn pump(&mut self, log: &mut Log, buffer: &mut [u8], mut hear: impl FnMut(&[u8])) -> Pumped {
        match self.reader.read(buffer) {
            Ok(0) => Pumped::End,
            Ok(count) => {
                self.encoder.push(&buffer[..count], Timestamp::now(), &mut self.lines);
                self.write(log);
                hear(&buffer[..count]);
                Pumped::Some
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Pumped::Some,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Pumped::Nothing,
            Err(_) => Pumped::End,
        }
    }

    /// Takes what is left once the container has ended, and ends an unfinished line. Bounded by what a pipe holds: somebody
    /// else may have got hold of the other end, and goes on writing.
    pub fn drain(&mut self, log: &mut Log, buffer: &mut [u8], mut hear: impl FnMut(&[u8])) {
        const PIPE_CAPACITY: usize = 1 << 20;
        for _ in 0..PIPE_CAPACITY.div_ceil(buffer.len()) {
            if self.pump(log, buffer, &mut hear) != Pumped::Some {
                break;
            }
        }
        self.encoder.finish(Timestamp::now(), &mut self.lines);
        self.write(log);
    }

    fn write(&mut self, log: &mut Log) {
        log.write(&self.lines);
        self.lines.clear();
    }
}
