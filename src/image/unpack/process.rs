//! Unpacks a layer in processes of their own, and keeps between them what must be believed.
//!
//! ```text
//! blob -> decompresses -> this process: digest, size -> unpacks -> the layer's directory
//! ```
//!
//! Both read a stranger's bytes, so both are confined (see `sandbox`). A decompressor that a stranger has taken over can
//! send other bytes, which then have another digest; one that unpacks can spoil the layer that it was made of, and no
//! other. This process parses nothing but their answers. A fork of a process with several threads could do little, so they are this program once
//! more, told so by its first argument. It is executed through /proc/self/exe: the same, whatever has been installed since.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::child::{Role, WORD};
use super::patient::Patient;
use super::{Error, Limits};
use crate::image::digest::{Digest, Digesting};
use crate::image::manifest::Compression;
use crate::program::Spared;

/// One that has neither read nor written for so long is stuck. Disks that are slow are faster.
const PATIENCE: Duration = Duration::from_secs(120);

/// The longest answer that is read, bytes. A name in it is cut, and is six times as long when it is escaped.
const MAX_ANSWER: u64 = 64 << 10;

/// What is passed on at once, bytes.
const PIECE: usize = 256 * 1024;

/// Unpacks a layer's blob into the empty directory `top`; `lowers` are the layers below it, topmost first. Gives the digest of
/// the uncompressed archive.
///
/// What is left in the directory after an error is of no use.
pub(in crate::image) fn unpack(
    blob: File,
    compression: Compression,
    top: &Path,
    lowers: &[PathBuf],
    limits: &Limits,
) -> Result<Digest, Error> {
    let role = Role::Unpack { limits: *limits, top: top.to_owned(), lowers: lowers.to_vec() };
    let (mut unpacker, input, _) = Process::start(&role, Stdio::piped(), Stdio::null(), PATIENCE)?;
    let mut source = Source::open(blob, compression)?;
    let mut archive = Digesting::new(&mut source, limits.bytes);
    let mut input = unpacker.pipe(input.map(OwnedFd::from))?;
    let mut buffer = vec![0; PIECE];
    loop {
        let count = match archive.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(source.failed(error)),
        };
        match input.write_all(&buffer[..count]) {
            // It has ended, and says why.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                unpacker.answer()?;
                return Err(unpacker.failed("has ended before the archive"));
            }
            Err(error) => return Err(unpacker.broken(error)),
            Ok(()) => {}
        }
    }
    let (digest, _) = archive.finish();
    // Its end is that of the archive only if the decompressor says so.
    source.finish()?;
    drop(input);
    unpacker.answer()?;
    Ok(digest)
}

/// Where the archive comes from.
enum Source {
    /// It is not compressed.
    Plain(File),
    Decompressed(Process, Patient),
}

impl Source {
    fn open(blob: File, compression: Compression) -> Result<Self, Error> {
        if compression == Compression::None {
            return Ok(Self::Plain(blob));
        }
        let role = Role::Decompress(compression);
        let (process, _, output) = Process::start(&role, blob.into(), Stdio::piped(), PATIENCE)?;
        let output = process.pipe(output.map(OwnedFd::from))?;
        Ok(Self::Decompressed(process, output))
    }

    fn failed(&self, error: io::Error) -> Error {
        match self {
            Self::Decompressed(process, _) if error.kind() == io::ErrorKind::TimedOut => {
                process.broken(error)
            }
            _ => Error::Archive(error),
        }
    }

    fn finish(self) -> Result<(), Error> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Decompressed(mut process, _) => process.answer(),
        }
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(blob) => blob.read(buffer),
            Self::Decompressed(_, output) => output.read(buffer),
        }
    }
}

/// One of the processes. It is killed when this is dropped.
pub(super) struct Process {
    role: &'static str,
    child: Child,
    answer: Option<Patient>,
    patience: Duration,
    /// Its end is nobody else's, until it has been waited for.
    _spared: Spared,
}

impl Process {
    /// Starts one. Gives the ends of its pipes, too.
    pub(super) fn start(
        role: &Role,
        input: Stdio,
        output: Stdio,
        patience: Duration,
    ) -> Result<(Self, Option<ChildStdin>, Option<ChildStdout>), Error> {
        let failed = |error: io::Error| Error::Process {
            role: role.verb().to_owned(),
            reason: format!("cannot be started: {error}"),
        };
        let mut command = Command::new("/proc/self/exe");
        command.arg0("mkubelet").arg(WORD).args(role.words(std::process::id()));
        // A signal of the terminal is for this process, which then ends the other.
        command.env_clear().process_group(0).stdin(input).stdout(output).stderr(Stdio::piped());
        let started = Spared::start(|| {
            let child = command.spawn()?;
            let pid = child.id();
            Ok((child, Some(pid)))
        });
        let (mut child, spared) = started.map_err(failed)?;
        let (input, output, answer) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let mut process = Self { role: role.verb(), child, answer: None, patience, _spared: spared };
        process.answer = Some(process.pipe(answer.map(OwnedFd::from))?);
        Ok((process, input, output))
    }

    /// Its number.
    #[cfg(test)]
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// An end of one of its pipes.
    pub(super) fn pipe(&self, end: Option<OwnedFd>) -> Result<Patient, Error> {
        let end = end.ok_or_else(|| self.failed("has no pipe"))?;
        Patient::new(end, self.patience).map_err(|error| self.broken(error))
    }

    /// What it says at its end. Its input must have ended, or it itself.
    pub(super) fn answer(&mut self) -> Result<(), Error> {
        let mut text = Vec::new();
        if let Some(answer) = self.answer.take() {
            answer.take(MAX_ANSWER).read_to_end(&mut text).map_err(|error| self.broken(error))?;
        }
        if let Ok(answer) = serde_json::from_slice::<Result<(), Error>>(&text) {
            return answer;
        }
        // Whoever has closed its answer has nothing more to do.
        let _ = self.child.kill();
        let ended = self.child.wait().map_or_else(|error| error.to_string(), ended);
        let text = String::from_utf8_lossy(&text);
        let words = text.lines().map(str::trim).filter(|line| !line.is_empty()).take(3).collect::<Vec<_>>();
        Err(self.failed(&[vec![ended.as_str()], words].concat().join(": ")))
    }

    fn failed(&self, reason: &str) -> Error {
        Error::Process { role: self.role.to_owned(), reason: reason.to_owned() }
    }

    fn broken(&self, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::TimedOut => {
                self.failed(&format!("has done nothing for {} seconds", self.patience.as_secs()))
            }
            _ => self.failed(&format!("cannot be spoken to: {error}")),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fine when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ended(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) => {
            let name =
                Signal::try_from(signal).map_or_else(|_| signal.to_string(), |signal| signal.to_string());
            format!("was ended by {name}")
        }
        None => format!("has ended with the exit code {}", status.code().unwrap_or_default()),
    }
}
