//! The journal: a line of JSON for each thing that happened, written before anybody is told of it. The last field of each is a
//! checksum of the others: a code or a process id with a flipped bit would still be JSON.
//!
//! It lives on a tmpfs and is gone at reboot, so it needs no fsync; a shim that is killed leaves at most half a line at its
//! end, which the next shim of the pod cuts off before it writes on.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::protocol::{Attempt, Event, Exit, Record};
use crate::failpoint;

/// What stands between a record's own fields and its checksum: CRC-32, in hexadecimal digits.
const SEAL: &[u8] = b",\"crc32\":\"";

/// Digits of a checksum.
const DIGITS: usize = 8;

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    last: u64,
}

/// What earlier shims of the pod left running as far as their journal knows.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// Pause was started, and its end not seen.
    pub sandbox: bool,
    /// So were these, or may have been.
    pub containers: Vec<Attempt>,
}

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {path}")]
pub struct JournalError {
    operation: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl Journal {
    /// Opens the journal, or begins one, and tells what had not ended by then.
    ///
    /// A journal that cannot be understood is renamed to `journal.corrupt` and a new one begun.
    pub fn open(path: &Path) -> Result<(Self, Unfinished), JournalError> {
        let failed = |operation| move |source| JournalError { operation, path: path.to_owned(), source };
        let open = || {
            OpenOptions::new()
                .read(true)
                .append(true)
                .create(true)
                .mode(0o600)
                .custom_flags(libc::O_NOFOLLOW)
                .open(path)
        };
        let mut file = open().map_err(failed("open"))?;
        failpoint::reached("journal.opened");
        let past = match replay(&file).map_err(failed("read"))? {
            Replay::Understood(past) => past,
            Replay::Corrupt => {
                std::fs::rename(path, path.with_extension("corrupt")).map_err(failed("set aside"))?;
                file = open().map_err(failed("open"))?;
                Past::default()
            }
        };
        file.set_len(past.length).map_err(failed("truncate"))?;
        Ok((Self { path: path.to_owned(), file, last: past.last }, past.unfinished))
    }

    /// Number of the newest record, 0 when there is none.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Writes an event down, with one write of one line.
    pub fn append(&mut self, at: Timestamp, event: Event) -> Result<Record, JournalError> {
        let failed = |source| JournalError { operation: "append to", path: self.path.clone(), source };
        let record = Record { seq: self.last + 1, at, event };
        let line = serde_json::to_vec(&record).map_err(|error| failed(error.into()))?;
        failpoint::reached_of(record.event.name(), "next");
        self.file.write_all(&sealed(line)).map_err(failed)?;
        failpoint::reached_of(record.event.name(), "written");
        self.last = record.seq;
        Ok(record)
    }

    /// The records from number `from` on, read again from the file. All that were written must be there: an agent waits for the last one.
    pub fn records(&self, from: u64) -> Result<Vec<Record>, JournalError> {
        let failed = |source| JournalError { operation: "read", path: self.path.clone(), source };
        let damaged = || failed(io::Error::new(io::ErrorKind::InvalidData, "records are missing"));
        let (mut records, mut last) = (Vec::new(), 0);
        for line in BufReader::new(File::open(&self.path).map_err(failed)?).split(b'\n') {
            let record = line.and_then(|line| unsealed(&line)).map_err(failed)?;
            if record.seq != last + 1 {
                return Err(damaged());
            }
            last = record.seq;
            if last >= from {
                records.push(record);
            }
        }
        if last == self.last { Ok(records) } else { Err(damaged()) }
    }
}

/// The whole records of a journal, for whoever is not its shim. One that is being written, and what cannot be understood, ends them.
pub fn read(path: &Path) -> io::Result<Vec<Record>> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut records = Vec::new();
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        let Some(Ok(record)) = line.strip_suffix(b"\n").map(unsealed) else { break };
        records.push(record);
        line.clear();
    }
    Ok(records)
}

/// A record's line: its fields and their checksum.
fn sealed(mut record: Vec<u8>) -> Vec<u8> {
    let sum = crc32fast::hash(&record);
    // It is an object: the brace is put back behind the checksum.
    record.pop();
    record.extend_from_slice(SEAL);
    record.extend_from_slice(format!("{sum:0DIGITS$x}\"}}\n").as_bytes());
    record
}

/// The record of a line without its newline. Shims of earlier releases wrote no checksum.
fn unsealed(line: &[u8]) -> io::Result<Record> {
    let start = line.len().saturating_sub(SEAL.len() + DIGITS + "\"}".len());
    let Some(rest) = line[start..].strip_prefix(SEAL) else {
        return Ok(serde_json::from_slice(line)?);
    };
    let record = [&line[..start], b"}"].concat();
    let sum = format!("{:0DIGITS$x}\"}}", crc32fast::hash(&record));
    if rest != sum.as_bytes() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "its checksum is another"));
    }
    Ok(serde_json::from_slice(&record)?)
}

/// What a journal says of the time before.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Past {
    /// Bytes up to the end of the last whole line.
    pub(crate) length: u64,
    /// Number of the newest record, 0 when there is none.
    pub(crate) last: u64,
    /// What had not ended.
    pub(crate) unfinished: Unfinished,
}

/// What came of reading a journal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Replay {
    /// Every whole line is a record, and they count up from 1.
    Understood(Past),
    /// Somebody else wrote to it.
    Corrupt,
}

/// Reads a journal up to its last whole line.
pub(crate) fn replay(file: impl Read) -> io::Result<Replay> {
    let mut past = Past::default();
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)?;
        if read == 0 || line.last() != Some(&b'\n') {
            return Ok(Replay::Understood(past));
        }
        match unsealed(line.trim_ascii_end()) {
            Ok(record) if record.seq == past.last + 1 => {
                past.unfinished.fold(&record.event);
                past.last = record.seq;
                past.length += read as u64;
            }
            _ => return Ok(Replay::Corrupt),
        }
    }
}

impl Unfinished {
    /// Takes note of the next event.
    pub(crate) fn fold(&mut self, event: &Event) {
        match event {
            Event::ShimStarted { .. } | Event::ContainersReset => {}
            Event::SandboxStarted { .. } => self.sandbox = true,
            Event::SandboxExited { .. } => self.sandbox = false,
            Event::ContainerStarting { container } => self.containers.push(container.clone()),
            // Shims of earlier releases did not write down that they were about to.
            Event::ContainerStarted { container, .. } => {
                if self.containers.iter().all(|begun| begun.id != container.id) {
                    self.containers.push(container.clone());
                }
            }
            Event::ContainerStartFailed { container, .. } | Event::ContainerExited { container, .. } => {
                self.containers.retain(|running| running.id != container.id);
            }
        }
    }

    /// The ends of what nobody saw end: its shim was gone. Exit code 137 stands for "not known".
    pub fn into_lost(self) -> impl Iterator<Item = Event> {
        let exit = Exit { code: 137, signal: None, oom_killed: false, lost: true };
        let containers = self.containers.into_iter().map(move |container| Event::ContainerExited {
            container,
            exit,
            message: None,
        });
        containers.chain(self.sandbox.then_some(Event::SandboxExited { exit }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shim::protocol::StartFailure;

    fn attempt(id: &str) -> Attempt {
        Attempt { id: id.to_owned(), name: "web".to_owned(), attempt: 0, image_id: None }
    }

    fn exit() -> Exit {
        Exit { code: 0, signal: None, oom_killed: false, lost: false }
    }

    fn write(path: &Path, events: &[Event]) {
        let (mut journal, _) = Journal::open(path).unwrap();
        for event in events {
            journal.append(Timestamp::UNIX_EPOCH, event.clone()).unwrap();
        }
    }

    fn starting(id: &str) -> Event {
        Event::ContainerStarting { container: attempt(id) }
    }

    fn started(id: &str) -> Event {
        Event::ContainerStarted { container: attempt(id), pid: 7, user: None }
    }

    #[test]
    fn the_next_shim_knows_what_had_not_ended() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let ended = Event::ContainerExited { container: attempt("a"), exit: exit(), message: None };
        write(&path, &[Event::SandboxStarted { pid: 3 }, started("a"), started("b"), ended]);

        let (journal, unfinished) = Journal::open(&path).unwrap();
        assert_eq!(journal.last(), 4);
        assert_eq!(unfinished, Unfinished { sandbox: true, containers: vec![attempt("b")] });
        assert_eq!(unfinished.into_lost().count(), 2);
        assert_eq!(journal.records(3).unwrap().len(), 2);
    }

    #[test]
    fn a_container_whose_start_was_begun_is_lost_once_unless_its_end_was_seen() {
        let failed = Event::ContainerStartFailed {
            container: attempt("a"),
            failure: StartFailure { step: "execve".to_owned(), errno: None, text: "no".to_owned() },
        };
        let ended = Event::ContainerExited { container: attempt("a"), exit: exit(), message: None };
        for (events, lost) in [
            (vec![starting("a")], 1),
            (vec![starting("a"), started("a")], 1),
            // As shims of earlier releases wrote it.
            (vec![started("a")], 1),
            (vec![starting("a"), failed], 0),
            (vec![starting("a"), ended.clone()], 0),
            (vec![starting("a"), started("a"), ended], 0),
            (vec![starting("a"), starting("b")], 2),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("journal");
            write(&path, &events);
            let (_, unfinished) = Journal::open(&path).unwrap();
            let ends: Vec<Event> = unfinished.into_lost().collect();
            assert_eq!(ends.len(), lost, "{events:?}");
            assert!(ends.iter().all(
                |end| matches!(end, Event::ContainerExited { exit, .. } if exit.lost && exit.code == 137)
            ));
        }
    }

    #[test]
    fn a_torn_last_line_is_cut_off_and_its_number_used_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        write(&path, &[started("a"), started("b")]);
        let whole = std::fs::read(&path).unwrap();
        for torn in whole.len() / 2 + 1..whole.len() {
            std::fs::write(&path, &whole[..torn]).unwrap();
            assert_eq!(read(&path).unwrap().len(), 1);
            assert_eq!(std::fs::read(&path).unwrap(), &whole[..torn], "left alone");
            let (mut journal, unfinished) = Journal::open(&path).unwrap();
            assert_eq!((journal.last(), unfinished.containers.len()), (1, 1), "cut at {torn}");
            assert_eq!(journal.append(Timestamp::UNIX_EPOCH, started("c")).unwrap().seq, 2);
            assert_eq!(journal.records(1).unwrap().len(), 2);
        }
    }

    #[test]
    fn a_journal_that_lost_records_while_it_was_open_is_not_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        write(&path, &[started("a"), started("b")]);
        let (mut journal, _) = Journal::open(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let first = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for damaged in [&b""[..], &whole[..first], &whole[..first + 9], &whole[first..], &whole.repeat(2)] {
            std::fs::write(&path, damaged).unwrap();
            assert!(journal.records(1).is_err(), "{}", String::from_utf8_lossy(damaged));
        }
        std::fs::write(&path, b"").unwrap();
        journal.append(Timestamp::UNIX_EPOCH, started("c")).unwrap();
        assert!(journal.records(1).is_err(), "those before it are gone");
    }

    #[test]
    fn no_flipped_bit_makes_another_record() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let ended = Event::ContainerExited { container: attempt("a"), exit: exit(), message: None };
        write(&path, &[Event::SandboxStarted { pid: 3 }, started("a"), ended]);
        let (whole, records) = (std::fs::read(&path).unwrap(), read(&path).unwrap());
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &bytes).unwrap();
            // Those before it are as they were, and it is itself or nothing.
            let found = read(&path).unwrap();
            assert!(records.starts_with(&found), "bit {bit}: {found:?}");
            if let Replay::Understood(past) = replay(&bytes[..]).unwrap() {
                let understood = &bytes[..usize::try_from(past.length).unwrap()];
                let lines = understood.split_inclusive(|byte| *byte == b'\n');
                let found: Vec<Record> = lines.map(|line| unsealed(line.trim_ascii_end()).unwrap()).collect();
                assert!(records.starts_with(&found), "bit {bit}: {found:?}");
            }
        }
    }

    #[test]
    fn lines_of_an_earlier_release_have_no_checksum() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let record = Record { seq: 1, at: Timestamp::UNIX_EPOCH, event: started("a") };
        std::fs::write(&path, format!("{}\n", serde_json::to_string(&record).unwrap())).unwrap();
        assert_eq!(read(&path).unwrap(), [record]);
        assert_eq!(Journal::open(&path).unwrap().1.containers, [attempt("a")]);
    }

    #[test]
    fn a_journal_that_cannot_be_understood_is_set_aside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        write(&path, &[started("a"), started("b")]);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[5] ^= 0x20;
        std::fs::write(&path, &bytes).unwrap();

        let (journal, unfinished) = Journal::open(&path).unwrap();
        assert_eq!((journal.last(), unfinished), (0, Unfinished::default()));
        assert_eq!(std::fs::read(directory.path().join("journal.corrupt")).unwrap(), bytes);
    }
}
