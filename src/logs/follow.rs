//! Follows the logs of containers from attempt to attempt, for `run --logs`.
//!
//! One task reads for all containers, woken by one inotify instance (their number is limited on every host). It reads
//! in turns, a chunk per container, so that a container that floods its log does not keep the others waiting; and it
//! reads no further while the receiver of the lines is busy: what is not read yet is safe in the file.
//!
//! A log may have been replaced by something else, by a pod that can write to the directory of all logs. Files are opened in
//! the container's own directory, no symbolic link is followed on the way there, and only a regular file is read.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::StreamExt;
use inotify::{EventMask, EventOwned, Inotify, WatchDescriptor, WatchMask, Watches};
use jiff::Timestamp;
use nix::dir::Dir;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::Mode;
use tokio::sync::{mpsc, oneshot};

use super::cut::Cutter;
use super::join::{Joined, Joiner};
use super::line::{Line, Stream};

/// Read in one turn, bytes.
const CHUNK: usize = 64 << 10;

/// Room for inotify's events; more wait in the kernel.
const EVENTS: usize = 4 << 10;

/// A line of output, or a piece of one that is longer than a mebibyte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// As given to [`Follower::add`].
    pub label: Arc<str>,
    /// When the end of the line was read from the container.
    pub at: Timestamp,
    /// Where it came from.
    pub stream: Stream,
    /// The output, without its newline.
    pub text: Vec<u8>,
}

/// Why logs cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No inotify instance is to be had.
    #[error("start inotify")]
    Start(#[source] io::Error),
    /// The directory cannot be opened or watched.
    #[error("follow logs in {0}")]
    Watch(PathBuf, #[source] io::Error),
}

/// Follows the logs of any number of containers. The task ends when this is dropped, or nobody receives the lines any more.
#[derive(Debug)]
pub struct Follower {
    watches: Watches,
    commands: mpsc::UnboundedSender<Command>,
}

#[derive(Debug)]
enum Command {
    Add { watch: WatchDescriptor, container: Container },
    Finish { label: Arc<str>, done: oneshot::Sender<()> },
}

impl Follower {
    /// Starts the task; lines go to `lines`.
    pub fn start(lines: mpsc::Sender<Entry>) -> Result<Self, Error> {
        let inotify = Inotify::init().map_err(Error::Start)?;
        let watches = inotify.watches();
        let events = inotify.into_event_stream(vec![0; EVENTS]).map_err(Error::Start)?;
        let (commands, received) = mpsc::unbounded_channel();
        let reader =
            Reader { watches: watches.clone(), lines, containers: HashMap::new(), turns: VecDeque::new() };
        tokio::spawn(reader.run(events, received));
        Ok(Self { watches, commands })
    }

    /// Follows the container whose logs are `<directory>/<attempt>.log`, beginning with `attempt`. The directory exists.
    pub fn add(&self, label: &str, directory: &Path, attempt: u32) -> Result<(), Error> {
        let failed = |error: io::Error| Error::Watch(directory.to_owned(), error);
        let how = OpenHow::new()
            .flags(OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
        let open = openat2(AT_FDCWD, directory, how).map_err(|errno| failed(errno.into()))?;
        let mask = WatchMask::CREATE | WatchMask::MODIFY | WatchMask::MOVED_TO | WatchMask::ONLYDIR;
        // What was opened, whatever the path leads to by now.
        let opened = format!("/proc/self/fd/{}", open.as_raw_fd());
        let watch = self.watches.clone().add(opened, mask).map_err(failed)?;
        let container = Container::new(label.into(), open, attempt);
        // The task has ended only if nobody wants the lines.
        let _ = self.commands.send(Command::Add { watch, container });
        Ok(())
    }

    /// Reads to the end what there is of a container that writes no more, and forgets it. Returns when the last line is sent.
    pub async fn finish(&self, label: &str) {
        let (done, finished) = oneshot::channel();
        let _ = self.commands.send(Command::Finish { label: label.into(), done });
        // An error is the end of the task: nobody wants the lines.
        let _ = finished.await;
    }
}

/// The task.
struct Reader {
    watches: Watches,
    lines: mpsc::Sender<Entry>,
    containers: HashMap<WatchDescriptor, Container>,
    /// Containers that may have something to read; each at most once.
    turns: VecDeque<WatchDescriptor>,
}

/// All that wakes the task.
enum Event {
    Changed(EventOwned),
    Command(Command),
    Turn,
    Stop,
}

impl Reader {
    async fn run(
        mut self,
        mut events: inotify::EventStream<Vec<u8>>,
        mut commands: mpsc::UnboundedReceiver<Command>,
    ) {
        let mut buffer = vec![0; CHUNK];
        loop {
            let event = tokio::select! {
                biased;
                () = self.lines.closed() => Event::Stop,
                command = commands.recv() => command.map_or(Event::Stop, Event::Command),
                event = events.next() => match event {
                    Some(Ok(event)) => Event::Changed(event),
                    Some(Err(error)) => {
                        tracing::warn!(%error, "inotify ended, logs are followed no more");
                        Event::Stop
                    }
                    None => Event::Stop,
                },
                () = std::future::ready(()), if !self.turns.is_empty() => Event::Turn,
            };
            match event {
                Event::Changed(event) if event.mask.contains(EventMask::Q_OVERFLOW) => {
                    // Some events are lost, and nobody knows whose.
                    self.turns = self.containers.keys().cloned().collect();
                }
                Event::Changed(event) => self.wake(event.wd),
                Event::Command(Command::Add { watch, container }) => {
                    self.containers.insert(watch.clone(), container);
                    self.wake(watch);
                }
                Event::Command(Command::Finish { label, done }) => {
                    let found = self.containers.iter_mut().find(|(_, container)| container.label == label);
                    if let Some((watch, container)) = found {
                        container.finishing.push(done);
                        let watch = watch.clone();
                        self.wake(watch);
                    }
                }
                Event::Turn => {
                    if self.turn(&mut buffer).await.is_err() {
                        return;
                    }
                }
                Event::Stop => return,
            }
        }
    }

    fn wake(&mut self, watch: WatchDescriptor) {
        if self.containers.contains_key(&watch) && !self.turns.contains(&watch) {
            self.turns.push_back(watch);
        }
    }

    /// Reads a chunk of the container whose turn it is. An error means that nobody wants the lines.
    async fn turn(&mut self, buffer: &mut [u8]) -> Result<(), mpsc::error::SendError<Entry>> {
        let Some(watch) = self.turns.pop_front() else { return Ok(()) };
        let Some(container) = self.containers.get_mut(&watch) else { return Ok(()) };
        let mut joined = Vec::new();
        let more = container.read(buffer, &mut joined);
        if !more && !container.finishing.is_empty() {
            container.end_attempt(&mut joined);
        }
        for Joined { at, stream, text } in joined {
            self.lines.send(Entry { label: container.label.clone(), at, stream, text }).await?;
        }
        if more {
            self.turns.push_back(watch);
        } else if !container.finishing.is_empty() {
            for done in container.finishing.drain(..) {
                let _ = done.send(());
            }
            self.containers.remove(&watch);
            // It fails when the directory was removed, and the watch with it.
            let _ = self.watches.remove(watch);
        }
        Ok(())
    }
}

/// What is being read of one container.
#[derive(Debug)]
struct Container {
    label: Arc<str>,
    directory: OwnedFd,
    /// The attempt that is read, or the lowest that is looked for. One more than an attempt can be, at most.
    attempt: u64,
    file: Option<File>,
    /// A later attempt, known to have begun before the log was read to its end for the last time.
    next: Option<u32>,
    cutter: Cutter,
    joiner: Joiner,
    finishing: Vec<oneshot::Sender<()>>,
}

impl Container {
    fn new(label: Arc<str>, directory: OwnedFd, attempt: u32) -> Self {
        let (cutter, joiner, finishing) = (Cutter::default(), Joiner::default(), Vec::new());
        let attempt = attempt.into();
        Self { label, directory, attempt, file: None, next: None, cutter, joiner, finishing }
    }

    /// Reads once. False if there is no more to read for now.
    fn read(&mut self, buffer: &mut [u8], joined: &mut Vec<Joined>) -> bool {
        let Some(file) = &mut self.file else {
            return match next_attempt(&self.directory, self.attempt) {
                Some(attempt) => self.open(attempt, joined),
                None => false,
            };
        };
        match file.read(buffer) {
            Ok(0) => match self.next.take() {
                Some(next) => self.open(next, joined),
                None => {
                    // An attempt begins after the last line of the one before is written. So once it is seen, one more
                    // look at the log finds all there will ever be.
                    self.next = next_attempt(&self.directory, self.attempt + 1);
                    self.next.is_some()
                }
            },
            Ok(length) => {
                self.take(&buffer[..length], joined);
                true
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Err(error) => {
                tracing::warn!(container = %self.label, attempt = self.attempt, %error, "log cannot be read");
                self.pass_over();
                true
            }
        }
    }

    /// Goes on to another attempt. One whose log is no file is passed over. True: there may be more to read.
    fn open(&mut self, attempt: u32, joined: &mut Vec<Joined>) -> bool {
        self.end_attempt(joined);
        self.attempt = attempt.into();
        match open_log(&self.directory, attempt) {
            Ok(file) => self.file = Some(file),
            Err(error) => {
                tracing::warn!(container = %self.label, attempt, %error, "log cannot be opened");
                self.pass_over();
            }
        }
        true
    }

    fn pass_over(&mut self) {
        self.file = None;
        self.attempt += 1;
    }

    /// Gives out what never ended.
    fn end_attempt(&mut self, joined: &mut Vec<Joined>) {
        self.cutter.clear();
        joined.extend(self.joiner.finish(Timestamp::now()));
    }

    fn take(&mut self, chunk: &[u8], joined: &mut Vec<Joined>) {
        self.cutter.push(chunk, |line| {
            // A line that is none of ours is not output of the container.
            joined.extend(Line::parse(line).ok().and_then(|line| self.joiner.push(line)));
        });
    }
}

/// The lowest attempt from `from` on that has a log.
fn next_attempt(directory: &OwnedFd, from: u64) -> Option<u32> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut entries = Dir::openat(directory, ".", flags, Mode::empty()).ok()?;
    let attempts = entries.iter().flatten().filter_map(|entry| attempt_of(entry.file_name().to_bytes()));
    attempts.filter(|attempt| u64::from(*attempt) >= from).min()
}

fn attempt_of(name: &[u8]) -> Option<u32> {
    let number = std::str::from_utf8(name).ok()?.strip_suffix(".log")?;
    let attempt: u32 = number.parse().ok()?;
    // One name for each attempt: neither `+1` nor `01`.
    (attempt.to_string() == number).then_some(attempt)
}

fn open_log(directory: &OwnedFd, attempt: u32) -> io::Result<File> {
    let name = format!("{attempt}.log");
    // O_NONBLOCK: a FIFO without a writer would hold the open.
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = File::from(openat(directory, name.as_str(), flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests;
