//! A container's termination message: what it left in a file of its own, or the end of its log.
//!
//! The file is held open from before the container's start. It shows in the container as a mount, which nobody inside can
//! replace by something else; what is in it is the container's word, of any bytes and of any size. The figures are the
//! kubelet's (`pkg/kubelet/container/runtime.go`).

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use nix::fcntl::OFlag;

use super::log::{Log, open_regular};
use crate::logs::line::Line;

/// No message is longer, bytes.
pub const MAX_BYTES: usize = 4 << 10;

/// Of a log, bytes.
const MAX_LOG_BYTES: usize = 2 << 10;

/// Of a log, lines.
const MAX_LOG_LINES: usize = 80;

/// The file that a container may write its message to.
#[derive(Debug)]
pub struct MessageFile(File);

/// The end of a log as it is written, without times and streams.
#[derive(Debug, Default)]
pub struct Tail {
    /// More than is asked for, so that not every line moves all of it.
    text: Vec<u8>,
}

/// The message of a container that ended with that code, if it has one. The file counts, and a log whose tail was kept only
/// for a container that failed without a word.
pub fn of(file: Option<MessageFile>, log: &Log, code: i32) -> Option<String> {
    let written = match file.map(MessageFile::read) {
        Some(Ok(message)) => message,
        Some(Err(error)) => return Some(format!("Error on reading termination log: {error}")),
        None => None,
    };
    written.or_else(|| log.tail().filter(|_| code != 0)?.text())
}

impl MessageFile {
    /// Opens a file. A symlink in its place is an error, and so is anything that is no regular file.
    pub fn open(path: &Path) -> io::Result<Self> {
        open_regular(path, OFlag::O_RDONLY).map(Self)
    }

    /// The end of it, [`MAX_BYTES`] at most; `None` when it is empty. It costs the same however large the file is.
    fn read(mut self) -> io::Result<Option<String>> {
        // The byte before tells whether something is left out.
        const READ: u64 = MAX_BYTES as u64 + 1;
        let from = self.0.metadata()?.len().saturating_sub(READ);
        self.0.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        self.0.take(READ).read_to_end(&mut bytes)?;
        Ok(text(&bytes, MAX_BYTES))
    }
}

impl Tail {
    /// Takes note of lines as they go into the log.
    pub fn push(&mut self, lines: &[u8]) {
        // What is further ahead cannot stay.
        let mut last = Vec::new();
        let mut length = 0;
        for line in lines.rsplit(|byte| *byte == b'\n') {
            if length >= MAX_LOG_BYTES {
                break;
            }
            let Ok(line) = Line::parse(line) else { continue };
            length += line.text.len() + usize::from(line.ends);
            last.push(line);
        }
        for line in last.into_iter().rev() {
            self.text.extend_from_slice(line.text);
            if line.ends {
                self.text.push(b'\n');
            }
        }
        if self.text.len() > 2 * MAX_LOG_BYTES {
            self.text.drain(..self.text.len() - MAX_LOG_BYTES);
        }
    }

    /// The last lines, [`MAX_LOG_LINES`] and [`MAX_LOG_BYTES`] at most; `None` when there is nothing.
    fn text(&self) -> Option<String> {
        let whole = self.text.strip_suffix(b"\n").unwrap_or(&self.text);
        let ends = whole.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
        let first = ends.map(|end| end + 1).nth(MAX_LOG_LINES - 1).unwrap_or(0);
        text(&self.text[first..], MAX_LOG_BYTES)
    }
}

/// The last `max` bytes of what was meant as text, from the beginning of a character. What is no UTF-8 becomes U+FFFD.
fn text(bytes: &[u8], max: usize) -> Option<String> {
    let is_continuation = |byte: &&u8| **byte & 0b1100_0000 == 0b1000_0000;
    let (left_out, kept) = bytes.split_at(bytes.len().saturating_sub(max));
    let rest_of_character = match left_out {
        [] => 0,
        _ => kept.iter().take(3).take_while(is_continuation).count(),
    };
    let text = String::from_utf8_lossy(&kept[rest_of_character..]);
    // A replacement takes more bytes than what it stands for.
    let from = (text.len().saturating_sub(max)..text.len()).find(|at| text.is_char_boundary(*at))?;
    Some(text[from..].to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::symlink;

    use jiff::Timestamp;
    use nix::sys::stat::Mode;

    use super::*;
    use crate::logs::line::{Encoder, Stream};
    use crate::shim::output::{Pipe, Pumped};

    fn read(bytes: &[u8]) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("message");
        std::fs::write(&path, bytes).unwrap();
        MessageFile::open(&path).unwrap().read().unwrap()
    }

    /// A log with these pieces of output in it.
    fn log(dir: &Path, keep_tail: bool, output: &[&[u8]]) -> Log {
        let mut log = Log::open(&dir.join("0.log"), None, keep_tail).unwrap();
        let (reader, mut writer) = io::pipe().unwrap();
        let mut pipe = Pipe::new(File::from(OwnedFd::from(reader)), Stream::Stdout).unwrap();
        let mut buffer = [0; 4096];
        for piece in output {
            writer.write_all(piece).unwrap();
            while pipe.pump(&mut log, &mut buffer, |_| {}) == Pumped::Some {}
        }
        drop(writer);
        pipe.drain(&mut log, &mut buffer, |_| {});
        log
    }

    #[test]
    fn a_file_says_what_it_ends_with() {
        let long = [b"lost".as_slice(), &[b'x'; MAX_BYTES]].concat();
        // The first of the crab's four bytes is out of reach.
        let cut = [&[b'-'; 10][..], "🦀".as_bytes(), &[b'x'; MAX_BYTES - 3]].concat();
        for (bytes, expected) in [
            (&b""[..], None),
            (b"it broke\n", Some("it broke\n".to_owned())),
            (b"\0", Some("\0".to_owned())),
            (b"a\xff\xfeb", Some("a\u{fffd}\u{fffd}b".to_owned())),
            (&long, Some("x".repeat(MAX_BYTES))),
            (&cut, Some("x".repeat(MAX_BYTES - 3))),
        ] {
            assert_eq!(read(bytes), expected, "{:?}", &bytes[..bytes.len().min(20)]);
        }
        let noise = read(&[0xff; 2 * MAX_BYTES]).unwrap();
        assert!(noise.len() <= MAX_BYTES && noise.len() > MAX_BYTES - 3, "{}", noise.len());
        assert!(noise.chars().all(|c| c == char::REPLACEMENT_CHARACTER));
    }

    #[test]
    fn a_file_of_any_size_is_read_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("message");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(MessageFile::open(&path).unwrap().read().unwrap(), Some("\0".repeat(MAX_BYTES)));
    }

    #[test]
    fn only_a_regular_file_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let (link, fifo) = (dir.path().join("link"), dir.path().join("fifo"));
        symlink("/etc/passwd", &link).unwrap();
        nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        for path in [&link, &fifo, &dir.path().to_owned(), &dir.path().join("none")] {
            assert!(MessageFile::open(path).is_err(), "{}", path.display());
        }
    }

    #[test]
    fn a_log_counts_for_who_failed_without_a_word() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("message");
        let kept = log(dir.path(), true, &[b"first\nla", b"st\n"]);
        let not_kept = log(dir.path(), false, &[b"first\n"]);
        for (written, log, code, expected) in [
            ("", &kept, 1, Some("first\nlast\n")),
            ("", &kept, 0, None),
            ("", &not_kept, 1, None),
            ("mine", &kept, 1, Some("mine")),
            ("mine", &not_kept, 0, Some("mine")),
        ] {
            std::fs::write(&path, written).unwrap();
            let file = MessageFile::open(&path).ok();
            assert_eq!(of(file, log, code).as_deref(), expected, "{written:?} {code}");
        }
        assert_eq!(of(None, &kept, 2).as_deref(), Some("first\nlast\n"));
    }

    #[test]
    fn the_tail_of_a_log_is_eighty_lines_and_two_kibibytes_at_most() {
        let dir = tempfile::tempdir().unwrap();
        let tail = |output: &[&[u8]]| log(dir.path(), true, output).tail().unwrap().text();
        assert_eq!(tail(&[]), None);
        assert_eq!(tail(&[b"unfinished"]).as_deref(), Some("unfinished"));

        let lines: String = (0..1000).map(|line| format!("{line}\n")).collect();
        let last: String = (920..1000).map(|line| format!("{line}\n")).collect();
        assert_eq!(tail(&[lines.as_bytes()]).as_deref(), Some(last.as_str()));
        let pieces: Vec<_> = lines.as_bytes().chunks(7).collect();
        assert_eq!(tail(&pieces).as_deref(), Some(last.as_str()));

        let long = format!("{}\nend\n", "x".repeat(5000));
        assert_eq!(tail(&[long.as_bytes()]), Some(format!("{}\nend\n", "x".repeat(MAX_LOG_BYTES - 5))));
    }

    #[test]
    fn a_tail_takes_no_more_memory_than_twice_what_is_asked_for() {
        let mut encoder = Encoder::new(Stream::Stderr);
        let mut tail = Tail::default();
        for piece in 1..200 {
            let mut lines = Vec::new();
            encoder.push(&vec![b'y'; piece * 31], Timestamp::UNIX_EPOCH, &mut lines);
            encoder.push(b"\n", Timestamp::UNIX_EPOCH, &mut lines);
            tail.push(&lines);
            assert!(tail.text.len() <= 2 * MAX_LOG_BYTES, "{}", tail.text.len());
        }
    }
}
