//! Reads the log of one attempt for whoever asks: the bytes that a container wrote, as the API's `log` gives them.
//!
//! The options are those of PodLogOptions, and mean what they mean to the kubelet (`pkg/kubelet/kuberuntime/logs`): `tail_lines`
//! chooses lines first, `since` leaves out of them what is older, `limit_bytes` counts what is given out. Rotated files are part of
//! the log. Memory is bounded, whatever is in it.

use std::fmt::Write as _;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;

use bytes::Bytes;
use futures::stream::{self, Stream as Chunks};
use jiff::Timestamp;

use super::cut::Cutter;
use super::line::{Line, Stream};
use super::tail;
use super::trail::{Directory, Progress, Trail};
use super::watch::{Watch, Watcher};

/// Read at a time, bytes.
const CHUNK: usize = 32 << 10;

/// What of a log is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Go on with what is written from now on.
    pub follow: bool,
    /// Only so many lines from the end, and what comes after them.
    pub tail_lines: Option<u64>,
    /// Only what was written then or later.
    pub since: Option<Timestamp>,
    /// Each line begins with its time.
    pub timestamps: bool,
    /// No more than so many bytes.
    pub limit_bytes: Option<u64>,
    /// Of one stream alone.
    pub stream: Option<Stream>,
}

/// Gives the log of an attempt, whose files are in `directory`, in pieces.
///
/// With `follow` it goes on until `ended` is over and all was read: `ended` is the end of the container, after which nothing
/// more is written.
///
/// # Errors
///
/// The directory cannot be opened, or, to follow, not be watched. A file that cannot be read later on is left out, with a warning.
pub async fn read<E>(
    directory: &Path,
    attempt: u32,
    options: Options,
    watcher: &Watcher,
    ended: E,
) -> io::Result<impl Chunks<Item = io::Result<Bytes>> + Send + use<E>>
where
    E: Future<Output = ()> + Send + 'static,
{
    let directory = Directory::open(directory)?;
    // Before the first look at it.
    let watch = if options.follow { Some(watcher.watch(&directory)?) } else { None };
    let trail = Trail::new(directory, attempt, attempt);
    let found = tokio::task::spawn_blocking(move || begin(trail, options)).await;
    let trail = found.map_err(io::Error::other)??;
    let reading = Reading {
        trail,
        cutter: Cutter::default(),
        selection: Selection::new(options),
        watch,
        ended: Box::pin(ended),
        buffer: vec![0; CHUNK],
    };
    Ok(stream::unfold(reading, |mut reading| async move {
        let piece = reading.next().await?;
        Some((Ok(Bytes::from(piece)), reading))
    }))
}

/// Goes to where the asked-for lines begin.
fn begin(mut trail: Trail, options: Options) -> io::Result<Trail> {
    trail.look();
    if let Some(lines) = options.tail_lines {
        trail.skip_to(|files| tail::start(files, lines, options.stream))?;
    }
    Ok(trail)
}

/// A log that is being given out.
struct Reading {
    trail: Trail,
    cutter: Cutter,
    selection: Selection,
    /// `None`: what is there is all that is asked for.
    watch: Option<Watch>,
    ended: Pin<Box<dyn Future<Output = ()> + Send>>,
    buffer: Vec<u8>,
}

impl Reading {
    /// The next piece; `None` when there is no more.
    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if self.selection.is_full() {
                return None;
            }
            let mut piece = Vec::new();
            match self.trail.read(&mut self.buffer) {
                Progress::Bytes(length) => {
                    self.cutter.push(&self.buffer[..length], |line| self.selection.take(line, &mut piece));
                }
                Progress::Missed(bytes) => {
                    tracing::warn!(
                        bytes,
                        "a log is written faster than it is read, and some of it is left out"
                    );
                    self.cutter.clear();
                }
                Progress::NextAttempt => return None,
                Progress::Nothing => self.wait().await?,
            }
            if !piece.is_empty() {
                return Some(piece);
            }
            // Much may be left out; others have their turn.
            tokio::task::yield_now().await;
        }
    }

    /// Waits for more to read; `None` when there will be none.
    async fn wait(&mut self) -> Option<()> {
        let watch = self.watch.as_mut()?;
        let goes_on = tokio::select! {
            biased;
            () = &mut self.ended => false,
            changed = watch.changed() => changed,
        };
        if !goes_on {
            // Once more, to the end.
            self.watch = None;
        }
        Some(())
    }
}

/// Which lines are given out, and how. Pure.
#[derive(Debug)]
struct Selection {
    options: Options,
    /// What may still be given out, bytes.
    left: u64,
    /// What is given out next begins a line.
    begins: bool,
}

impl Selection {
    fn new(options: Options) -> Self {
        Self { options, left: options.limit_bytes.unwrap_or(u64::MAX), begins: true }
    }

    fn is_full(&self) -> bool {
        self.left == 0
    }

    /// Appends to `out` what a line of the log, without its newline, gives.
    fn take(&mut self, line: &[u8], out: &mut Vec<u8>) {
        // A line that is none of ours is not output of the container.
        let Ok(line) = Line::parse(line) else { return };
        let Options { since, stream, timestamps, .. } = self.options;
        if stream.is_some_and(|stream| stream != line.stream) || since.is_some_and(|since| line.at < since) {
            return;
        }
        if timestamps && self.begins {
            let mut time = String::new();
            // It cannot fail.
            let _ = write!(time, "{:.9} ", line.at);
            self.append(time.as_bytes(), out);
        }
        self.append(line.text, out);
        if line.ends {
            self.append(b"\n", out);
        }
        self.begins = line.ends;
    }

    fn append(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        out.extend_from_slice(&bytes[..room]);
        self.left -= room as u64;
    }
}

#[cfg(test)]
mod tests;
