//! A container's output: two pipes or a terminal in, one log file out.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use jiff::Timestamp;
use nix::fcntl::{AT_FDCWD, FcntlArg, OFlag, OpenHow, ResolveFlag, fcntl, openat2};
use nix::sys::stat::Mode;

use super::diagnostics::say;
use super::message::Tail;
use crate::logs::line::{Encoder, Stream};

/// The log of one attempt.
#[derive(Debug)]
pub struct Log {
    file: File,
    lines: Vec<u8>,
    /// The end of what was written, if somebody will ask for it.
    tail: Option<Tail>,
    /// Lines could not be written, and it was said.
    failing: bool,
}

/// One of the two pipes, or the terminal.
#[derive(Debug)]
pub struct Pipe {
    reader: File,
    encoder: Encoder,
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

impl Log {
    /// Opens the log to append. A symlink in its place or on the way to it is an error, never followed, and so is anything
    /// that is no regular file: a pod may have got write access to the directory of all logs. With `keep_tail`, [`Log::tail`]
    /// will know how it ends.
    pub fn open(path: &Path, keep_tail: bool) -> io::Result<Self> {
        let file = open_regular(path, OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT)?;
        Ok(Self { file, lines: Vec::new(), tail: keep_tail.then(Tail::default), failing: false })
    }

    /// The end of what was written, lost lines included; `None` when it was not to be kept.
    pub fn tail(&self) -> Option<&Tail> {
        self.tail.as_ref()
    }

    /// Writes the lines that an encoder has made. A full disk loses lines, not the container: it must not block on its log.
    fn write(&mut self) {
        if let Some(tail) = &mut self.tail {
            tail.push(&self.lines);
        }
        match self.file.write_all(&self.lines) {
            Ok(()) => self.failing = false,
            Err(error) if !self.failing => {
                say(format_args!("write the log: {error}; lines are lost until it works again"));
                self.failing = true;
            }
            Err(_) => {}
        }
        self.lines.clear();
    }
}

/// Opens a regular file, without following a link and without waiting for anybody.
pub(super) fn open_regular(path: &Path, flags: OFlag) -> io::Result<File> {
    let how = OpenHow::new()
        .flags(flags | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)
        .mode(if flags.contains(OFlag::O_CREAT) { Mode::from_bits_truncate(0o640) } else { Mode::empty() })
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    let file = File::from(openat2(AT_FDCWD, path, how)?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(file)
}

impl Pipe {
    /// Reads from `reader` without blocking.
    pub fn new(reader: File, stream: Stream) -> io::Result<Self> {
        fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Self { reader, encoder: Encoder::new(stream) })
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
                self.encoder.push(&buffer[..count], Timestamp::now(), &mut log.lines);
                log.write();
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
        self.encoder.finish(Timestamp::now(), &mut log.lines);
        log.write();
    }
}
