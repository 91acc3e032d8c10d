//! Reads a container's logs as one: over rotated files and from attempt to attempt, also while they are written and rotated.
//!
//! Files are opened as soon as they are known and held until they are read, so that one that is removed meanwhile is not
//! lost. What is held is bounded: a reader that falls further behind misses something, and is told how much.
//!
//! A log may have been replaced by something else, by a pod that can write to the directory of all logs. Files are opened in
//! the container's own directory, no symbolic link is followed on the way there, and only a regular file is read.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::dir::Dir;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{Mode, fstatat};

use super::name::{Name, Part};
use super::stamp::Stamp;

/// Held beside the file that is read, files.
const HELD_FILES: usize = 256;

/// Of files that are removed already, bytes: they take room on the disk for this reader alone.
const HELD_BYTES: u64 = 256 << 20;

/// A container's directory of logs.
#[derive(Debug)]
pub(crate) struct Directory(OwnedFd);

impl Directory {
    /// Opens it. A symbolic link on the way is an error.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
        Ok(Self(openat2(AT_FDCWD, path, how)?))
    }

    /// A path by which only this process finds it, whatever its own path leads to by now.
    pub(crate) fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.0.as_raw_fd())
    }

    /// The log files in it, oldest first.
    fn names(&self) -> io::Result<Vec<Name>> {
        let mut names = self.names_once()?;
        // A file that is renamed meanwhile may not show; the next look has it.
        for _ in 0..8 {
            let again = self.names_once()?;
            if again == names {
                break;
            }
            names = again;
        }
        Ok(names)
    }

    fn names_once(&self) -> io::Result<Vec<Name>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut entries = Dir::openat(&self.0, ".", flags, Mode::empty())?;
        let mut names = Vec::new();
        for entry in entries.iter() {
            names.extend(entry?.file_name().to_str().ok().and_then(|name| name.parse::<Name>().ok()));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Which file an attempt writes to; `None` when there is none.
    fn live(&self, attempt: u32) -> Option<(u64, u64)> {
        let name = Name::live(attempt).to_string();
        let found = fstatat(&self.0, name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
        Some((found.st_dev, found.st_ino))
    }

    fn open_file(&self, name: Name) -> io::Result<Held> {
        // O_NONBLOCK: a FIFO without a writer would hold the open.
        let flags =
            OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let file = File::from(openat(&self.0, name.to_string().as_str(), flags, Mode::empty())?);
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(Held { attempt: name.attempt, identity: (found.dev(), found.ino()), file })
    }

    /// All files of an attempt's log, oldest first, and the stamp of the newest rotated one. What cannot be opened is passed
    /// over; a `complaint` says so.
    fn open_all(
        &self,
        attempt: u32,
        after: Option<Stamp>,
        complaint: &mut dyn FnMut(Name, &io::Error),
    ) -> (Vec<Held>, Option<Stamp>) {
        // First of all: whatever is rotated from now on is found among the rotated.
        let live = self.open_if_there(Name::live(attempt), complaint);
        let names = self.names().unwrap_or_default();
        let mut newest = after;
        let mut files = Vec::new();
        for name in names {
            if let Name { attempt: of, part: Part::Rotated(stamp) } = name
                && of == attempt
                && Some(stamp) > after
            {
                newest = Some(stamp);
                files.extend(self.open_if_there(name, complaint));
            }
        }
        if let Some(live) = live
            && files.iter().all(|file| file.identity != live.identity)
        {
            files.push(live);
        }
        (files, newest)
    }

    fn open_if_there(&self, name: Name, complaint: &mut dyn FnMut(Name, &io::Error)) -> Option<Held> {
        match self.open_file(name) {
            Ok(held) => Some(held),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                complaint(name, &error);
                None
            }
        }
    }
}

/// An open file of a log. As long as it is open nobody else has its identity.
#[derive(Debug)]
struct Held {
    attempt: u32,
    identity: (u64, u64),
    file: File,
}

impl Held {
    /// What it takes of the disk only because it is held, bytes.
    fn of_reader_alone(&self) -> u64 {
        self.file.metadata().map_or(0, |found| if found.nlink() == 0 { found.len() } else { 0 })
    }

    /// What of it is not read yet, bytes.
    fn rest(&self) -> u64 {
        let position = (&self.file).stream_position().unwrap_or(0);
        self.file.metadata().map_or(0, |found| found.len().saturating_sub(position))
    }
}

/// What came of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// So many bytes, which go on where the last ones ended.
    Bytes(usize),
    /// The attempt is over, and what comes next is another's.
    NextAttempt,
    /// The reader was too slow for so many bytes, or they could not be read.
    Missed(u64),
    /// There is no more for now.
    Nothing,
}

/// Reads on and on. Files that are found later are read when their turn comes.
#[derive(Debug)]
pub(crate) struct Trail {
    directory: Directory,
    /// The attempt whose files are looked for, or the lowest that may be.
    attempt: u32,
    /// That attempt has been found.
    begun: bool,
    /// The last attempt that is read.
    last: u32,
    /// The newest rotated file that was found of that attempt.
    rotated: Option<Stamp>,
    /// What is read, then what is known to follow. The last one stays, even when it is read to its end.
    held: VecDeque<Held>,
    missed: u64,
    /// Of this attempt something could not be opened, and it was said.
    complained: Option<u32>,
}

impl Trail {
    /// Begins with the oldest file of `attempt`, or of the next one that there is, and ends with those of `last`.
    pub(crate) fn new(directory: Directory, attempt: u32, last: u32) -> Self {
        let (held, rotated, complained) = (VecDeque::new(), None, None);
        Self { directory, attempt, begun: false, last, rotated, held, missed: 0, complained }
    }

    /// Reads what comes next.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Progress {
        loop {
            match std::mem::take(&mut self.missed) {
                0 => {}
                bytes => return Progress::Missed(bytes),
            }
            let Some(front) = self.held.front_mut() else {
                if self.look() {
                    continue;
                }
                return Progress::Nothing;
            };
            let result = front.file.read(buffer);
            match result {
                // Before its successor was found it was written to its end.
                Ok(0) if self.held.len() > 1 => {
                    if self.leave_front() {
                        return Progress::NextAttempt;
                    }
                }
                // Between that read and this look more may have been written: it is read again.
                Ok(0) if self.look() => {}
                Ok(0) => return Progress::Nothing,
                Ok(length) => return Progress::Bytes(length),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::warn!(%error, "log cannot be read");
                    self.missed = self.skip_front();
                    if self.missed == 0 {
                        return Progress::Nothing;
                    }
                }
            }
        }
    }

    /// Goes to a place in what is held, which is a file's index and an offset in it. Only before the first read.
    pub(crate) fn skip_to(
        &mut self,
        find: impl FnOnce(&[&File]) -> io::Result<(usize, u64)>,
    ) -> io::Result<()> {
        let files: Vec<&File> = self.held.iter().map(|held| &held.file).collect();
        let (index, offset) = find(&files)?;
        self.held.drain(..index);
        if let Some(front) = self.held.front_mut() {
            front.file.seek(SeekFrom::Start(offset))?;
        }
        Ok(())
    }

    /// Opens what has come since the last look. False if nothing has.
    pub(crate) fn look(&mut self) -> bool {
        let mut any = false;
        loop {
            // An attempt begins after the last line of the one before is written. So what is found of this one once the next
            // is seen is all that there will ever be.
            let next = self.next_attempt();
            any |= self.begun && self.look_at_attempt();
            let Some(next) = next else { return any };
            (self.attempt, self.begun, self.rotated) = (next, true, None);
            any = true;
        }
    }

    fn next_attempt(&self) -> Option<u32> {
        let from = if self.begun { self.attempt.checked_add(1)? } else { self.attempt };
        let names = self.directory.names_once().ok()?;
        names.into_iter().map(|name| name.attempt).find(|attempt| (from..=self.last).contains(attempt))
    }

    fn look_at_attempt(&mut self) -> bool {
        let back = self.held.back().filter(|back| back.attempt == self.attempt).map(|back| back.identity);
        if back.is_some() && self.directory.live(self.attempt) == back {
            return false;
        }
        let (attempt, complained) = (self.attempt, &mut self.complained);
        let mut complaint = |name: Name, error: &io::Error| {
            if complained.replace(attempt) != Some(attempt) {
                tracing::warn!(log = %name, %error, "log cannot be opened");
            }
        };
        let (mut files, rotated) = self.directory.open_all(attempt, self.rotated, &mut complaint);
        self.rotated = rotated;
        files.retain(|file| Some(file.identity) != back);
        let any = !files.is_empty();
        self.held.extend(files);
        self.let_go();
        any
    }

    /// Gives up what is held beyond the bounds, the oldest first.
    fn let_go(&mut self) {
        while self.held.len() > HELD_FILES + 1
            || self.held.iter().map(Held::of_reader_alone).sum::<u64>() > HELD_BYTES
        {
            let Some(front) = self.held.pop_front() else { return };
            self.missed += front.rest();
        }
    }

    /// Goes to the end of what is read, where nothing can fail; returns how many bytes that leaves out.
    fn skip_front(&mut self) -> u64 {
        self.held.front_mut().map_or(0, |front| {
            let rest = front.rest();
            let _ = front.file.seek(SeekFrom::End(0));
            rest
        })
    }

    /// True when the next file is another attempt's.
    fn leave_front(&mut self) -> bool {
        let left = self.held.pop_front().map(|held| held.attempt);
        left != self.held.front().map(|held| held.attempt)
    }
}

#[cfg(test)]
mod tests;
