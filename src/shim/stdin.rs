//! A container's standard input: what several attached clients send, one after another as it comes, into a pipe or a terminal.

use std::fs::File;
use std::io::{self, Write};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::poll::Token;

/// The end that is written to.
#[derive(Debug)]
pub struct Stdin {
    file: File,
    /// What did not fit yet: at most what was read at a time, for nothing more is taken from anybody meanwhile.
    waiting: Vec<u8>,
    /// It is to be closed once that has been written.
    ending: bool,
    /// Its registration in the event loop, for as long as something waits.
    pub token: Option<Token>,
}

/// How far a write came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// There is room for more.
    All,
    /// The rest waits for room.
    Some,
    /// Nobody will read any more, or it was to be closed and all is written.
    Over,
}

impl Stdin {
    /// Writes to `file` without blocking.
    pub fn new(file: File) -> io::Result<Self> {
        fcntl(&file, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Self { file, waiting: Vec::new(), ending: false, token: None })
    }

    /// The descriptor to watch for room.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Adds bytes, and writes what fits.
    pub fn push(&mut self, bytes: &[u8]) -> Written {
        self.waiting.extend_from_slice(bytes);
        self.flush()
    }

    /// Closes it as soon as all is written. `Over` when that is now.
    pub fn end(&mut self) -> Written {
        self.ending = true;
        self.flush()
    }

    /// Writes what fits.
    pub fn flush(&mut self) -> Written {
        let mut from = 0;
        while from < self.waiting.len() {
            match self.file.write(&self.waiting[from..]) {
                Ok(count) => from += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.waiting.drain(..from);
                    return Written::Some;
                }
                Err(_) => return Written::Over,
            }
        }
        self.waiting = Vec::new();
        if self.ending { Written::Over } else { Written::All }
    }

    /// True while it takes no more.
    pub fn is_full(&self) -> bool {
        !self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, Read, pipe};
    use std::os::fd::OwnedFd;

    use super::*;

    const MORE_THAN_A_PIPE: usize = 200 << 10;

    fn stdin() -> (PipeReader, Stdin) {
        let (reader, writer) = pipe().unwrap();
        (reader, Stdin::new(File::from(OwnedFd::from(writer))).unwrap())
    }

    #[test]
    fn what_does_not_fit_waits_and_comes_in_order() {
        let (mut reader, mut stdin) = stdin();
        let sent: Vec<u8> = (0..MORE_THAN_A_PIPE).map(|at| (at % 251) as u8).collect();
        assert_eq!(stdin.push(&sent), Written::Some);
        assert!(stdin.is_full());
        assert_eq!(stdin.end(), Written::Some);
        let mut got = vec![0; MORE_THAN_A_PIPE];
        let mut from = 0;
        while from < got.len() {
            from += reader.read(&mut got[from..]).unwrap();
            if stdin.is_full() {
                stdin.flush();
            }
        }
        assert_eq!(got, sent);
        assert_eq!(stdin.flush(), Written::Over);
        drop(stdin);
        assert_eq!(reader.read(&mut got).unwrap(), 0);
    }

    #[test]
    fn it_is_over_when_nobody_reads_any_more() {
        let (reader, mut stdin) = stdin();
        assert_eq!(stdin.push(b"x"), Written::All);
        drop(reader);
        assert_eq!(stdin.push(b"y"), Written::Over);
    }
}
