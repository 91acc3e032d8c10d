//! The log of one attempt, and its rotation: whole lines into files of a bounded size, of which a bounded number stays.
//!
//! ```text
//!   0.log.20261125-160102.000000345   oldest; removed before there is one too many
//!   0.log.20261125-160417.812345678
//!   0.log                             written to
//! ```
//!
//! Whoever writes also rotates: so a file ends at a line's end, at the last that fits, and no line is lost between two files.
//! Nothing is compressed: who reads a log reads rotated files too, from their end for its last lines.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use jiff::Timestamp;
use nix::dir::Dir;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat, openat2, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::diagnostics::say;
use super::message::Tail;
use crate::container::spec::LogLimits;
use crate::failpoint;
use crate::logs::stamp::Stamp;

/// A log file is read by its group, too.
const MODE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR).union(Mode::S_IRGRP);

/// The log of one attempt.
#[derive(Debug)]
pub struct Log {
    /// Held, so that all files of the log lie in one directory, whatever its path leads to by then.
    directory: OwnedFd,
    name: OsString,
    file: File,
    /// Bytes of the file.
    size: u64,
    limits: Option<LogLimits>,
    /// The rotated files, oldest first.
    rotated: VecDeque<Stamp>,
    /// The end of what was written, if somebody will ask for it.
    tail: Option<Tail>,
    /// Lines that could not be written since it was said that this happens.
    lost: u64,
    /// The file could not be rotated, and it was said.
    stuck: bool,
}

impl Log {
    /// Opens the log to append. A symlink in its place or on the way to it is an error, never followed, and so is anything
    /// that is no regular file: a pod may have got write access to the directory of all logs. With `keep_tail`, [`Log::tail`]
    /// will know how it ends. Without `limits` it is never rotated.
    pub fn open(path: &Path, limits: Option<LogLimits>, keep_tail: bool) -> io::Result<Self> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a path of a file"));
        };
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
        let directory = openat2(AT_FDCWD, parent, how)?;
        let flags = OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT;
        let file = regular(openat(&directory, name, flags | CAREFUL, MODE)?)?;
        let mut rotated = match limits {
            Some(_) => stamps(&directory, name.as_bytes())?,
            None => Vec::new(),
        };
        rotated.sort_unstable();
        Ok(Self {
            directory,
            name: name.to_owned(),
            size: file.metadata()?.len(),
            file,
            limits,
            rotated: rotated.into(),
            tail: keep_tail.then(Tail::default),
            lost: 0,
            stuck: false,
        })
    }

    /// The end of what was written, lost lines included; `None` when it was not to be kept.
    pub fn tail(&self) -> Option<&Tail> {
        self.tail.as_ref()
    }

    /// Writes whole lines. A full disk loses lines, not the container: it must not block on its log.
    pub fn write(&mut self, mut lines: &[u8]) {
        if let Some(tail) = &mut self.tail {
            tail.push(lines);
        }
        while !lines.is_empty() {
            let (now, later) = lines.split_at(self.fitting(lines));
            if now.is_empty() {
                self.make_room();
            } else {
                self.append(now);
            }
            lines = later;
        }
    }

    /// How many of the bytes the file has room for, in whole lines. A line that is larger than any file may be has one alone.
    fn fitting(&self, lines: &[u8]) -> usize {
        let Some(limits) = self.limits else { return lines.len() };
        let room = usize::try_from(limits.max_bytes.saturating_sub(self.size)).unwrap_or(usize::MAX);
        if lines.len() <= room {
            return lines.len();
        }
        match lines[..room].iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if self.size == 0 => {
                lines.iter().position(|byte| *byte == b'\n').map_or(lines.len(), |end| end + 1)
            }
            None => 0,
        }
    }

    /// Makes an empty file to write to, or else goes on with this one as if it were.
    fn make_room(&mut self) {
        // Somebody may have emptied it meanwhile.
        if let Ok(found) = self.file.metadata()
            && found.len() < self.size
        {
            self.size = found.len();
            return;
        }
        match self.rotate() {
            Ok(()) => self.stuck = false,
            Err(error) if !self.stuck => {
                say(format_args!("rotate the log {}: {error}; it grows on", self.name.display()));
                self.stuck = true;
            }
            Err(_) => {}
        }
        self.size = 0;
    }

    fn rotate(&mut self) -> io::Result<()> {
        let files = self.limits.map_or(u32::MAX, |limits| limits.max_files) as usize;
        // First of all, since the disk may be full. With the one that is rotated now and the new one there are `files`.
        while self.rotated.len() + 2 > files
            && let Some(oldest) = self.rotated.pop_front()
        {
            // It may have been removed by somebody else.
            let _ = unlinkat(&self.directory, self.name_of(oldest).as_os_str(), UnlinkatFlags::NoRemoveDir);
            failpoint::reached("log.dropped");
        }
        let (directory, name) = (self.directory.as_fd(), self.name.as_os_str());
        let stamp = Stamp::after(self.rotated.back().copied(), Timestamp::now());
        let aside = self.name_of(stamp);
        renameat(directory, name, directory, aside.as_os_str())?;
        failpoint::reached("log.moved");
        let flags = OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT | OFlag::O_EXCL;
        match openat(directory, name, flags | CAREFUL, MODE) {
            Ok(file) => self.file = File::from(file),
            Err(errno) => {
                renameat(directory, aside.as_os_str(), directory, name)?;
                return Err(errno.into());
            }
        }
        failpoint::reached("log.begun");
        self.rotated.push_back(stamp);
        Ok(())
    }

    fn name_of(&self, stamp: Stamp) -> OsString {
        let mut name = self.name.clone();
        name.push(format!(".{stamp}"));
        name
    }

    fn append(&mut self, lines: &[u8]) {
        let mut written = 0;
        while written < lines.len() {
            match self.file.write(&lines[written..]) {
                Ok(0) => return self.lose(lines, written, &io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.lose(lines, written, &error),
            }
        }
        self.size += lines.len() as u64;
        if self.lost > 0 {
            say(format_args!(
                "the log {} is written again: {} lines were lost",
                self.name.display(),
                self.lost
            ));
            self.lost = 0;
        }
    }

    /// After `written` bytes came an error. A line that is written in part is taken back.
    fn lose(&mut self, lines: &[u8], written: usize, error: &io::Error) {
        if self.lost == 0 {
            let name = self.name.display();
            say(format_args!("write the log {name}: {error}; lines are lost until it works again"));
        }
        let whole = lines[..written].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let torn = (written - whole) as u64;
        if torn > 0 {
            let cut =
                self.file.metadata().and_then(|found| self.file.set_len(found.len().saturating_sub(torn)));
            if let Err(error) = cut {
                say(format_args!("cut the log {}: {error}; a line of it is torn", self.name.display()));
            }
        }
        self.size += whole as u64;
        self.lost += lines[whole..].iter().filter(|byte| **byte == b'\n').count() as u64;
    }
}

/// Never waits for anybody, never follows a link, and is nobody's terminal.
const CAREFUL: OFlag =
    OFlag::O_NOFOLLOW.union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY).union(OFlag::O_CLOEXEC);

/// Opens a regular file, without following a link and without waiting for anybody.
pub(super) fn open_regular(path: &Path, flags: OFlag) -> io::Result<File> {
    let how = OpenHow::new().flags(flags | CAREFUL).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    regular(openat2(AT_FDCWD, path, how)?)
}

fn regular(file: OwnedFd) -> io::Result<File> {
    let file = File::from(file);
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(file)
}

/// The rotated files of a log that are there, in no order.
fn stamps(directory: &OwnedFd, name: &[u8]) -> io::Result<Vec<Stamp>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut entries = Dir::openat(directory, ".", flags, Mode::empty())?;
    let stamp = |found: &[u8]| {
        let ending = found.strip_prefix(name)?.strip_prefix(b".")?;
        std::str::from_utf8(ending).ok()?.parse().ok()
    };
    Ok(entries.iter().flatten().filter_map(|entry| stamp(entry.file_name().to_bytes())).collect())
}

#[cfg(test)]
mod tests;
