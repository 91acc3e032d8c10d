//! Follows the logs of containers from attempt to attempt, for `run --logs`.
//!
//! One task reads for all containers, woken by one inotify instance (their number is limited on every host). It reads
//! in turns, a chunk per container, so that a container that floods its log does not keep the others waiting; and it
//! reads no further while the receiver of the lines is busy, but for opening the files that come: what is not read yet is safe
//! in them, up to the bounds of a [`Trail`].

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::StreamExt;
use inotify::{EventMask, EventOwned, Inotify, WatchDescriptor, WatchMask, Watches};
use jiff::Timestamp;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::cut::Cutter;
use super::join::{Joined, Joiner};
use super::line::{Line, Stream};
use super::trail::{Directory, Progress, Trail};

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
        let reader = Reader {
            watches: watches.clone(),
            lines,
            containers: HashMap::new(),
            turns: VecDeque::new(),
            pending: VecDeque::new(),
        };
        tokio::spawn(reader.run(events, received));
        Ok(Self { watches, commands })
    }

    /// Follows the container whose logs are `<directory>/<attempt>.log`, beginning with `attempt`. The directory exists.
    pub fn add(&self, label: &str, directory: &Path, attempt: u32) -> Result<(), Error> {
        let failed = |error: io::Error| Error::Watch(directory.to_owned(), error);
        let opened = Directory::open(directory).map_err(failed)?;
        let mask = WatchMask::CREATE | WatchMask::MODIFY | WatchMask::MOVED_TO | WatchMask::ONLYDIR;
        let watch = self.watches.clone().add(opened.path(), mask).map_err(failed)?;
        let container = Container::new(label.into(), Trail::new(opened, attempt, u32::MAX));
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
    /// Read, and not taken yet.
    pending: VecDeque<Entry>,
}

/// All that wakes the task.
enum Event {
    Changed(EventOwned),
    Command(Command),
    Turn,
    Room,
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
                permit = self.lines.reserve(), if !self.pending.is_empty() => match permit {
                    Ok(permit) => {
                        if let Some(entry) = self.pending.pop_front() {
                            permit.send(entry);
                        }
                        Event::Room
                    }
                    Err(_) => Event::Stop,
                },
                () = std::future::ready(()), if self.pending.is_empty() && !self.turns.is_empty() => Event::Turn,
            };
            match event {
                Event::Changed(event) if event.mask.contains(EventMask::Q_OVERFLOW) => {
                    // Some events are lost, and nobody knows whose.
                    self.turns = self.containers.keys().cloned().collect();
                    for container in self.containers.values_mut() {
                        container.trail.look();
                    }
                }
                Event::Changed(event) => {
                    let is_new = event.mask.intersects(EventMask::CREATE | EventMask::MOVED_TO);
                    if let Some(container) = self.containers.get_mut(&event.wd).filter(|_| is_new) {
                        // Before it is removed.
                        container.trail.look();
                    }
                    self.wake(event.wd);
                }
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
                Event::Turn => self.turn(&mut buffer),
                Event::Room => self.send(),
                Event::Stop => return,
            }
        }
    }

    fn wake(&mut self, watch: WatchDescriptor) {
        if self.containers.contains_key(&watch) && !self.turns.contains(&watch) {
            self.turns.push_back(watch);
        }
    }

    /// Hands on what the channel has room for.
    fn send(&mut self) {
        while let Some(entry) = self.pending.pop_front() {
            if let Err(TrySendError::Full(entry)) = self.lines.try_send(entry) {
                self.pending.push_front(entry);
                break;
            }
        }
    }

    /// Reads a chunk of the container whose turn it is, when nothing is pending.
    fn turn(&mut self, buffer: &mut [u8]) {
        let Some(watch) = self.turns.pop_front() else { return };
        let Some(container) = self.containers.get_mut(&watch) else { return };
        let mut joined = Vec::new();
        let more = container.read(buffer, &mut joined);
        if !more && !container.finishing.is_empty() {
            container.end_attempt(&mut joined);
        }
        let entry = |Joined { at, stream, text }| Entry { label: container.label.clone(), at, stream, text };
        self.pending.extend(joined.into_iter().map(entry));
        if more || !(container.finishing.is_empty() || self.pending.is_empty()) {
            self.turns.push_back(watch);
        } else if !container.finishing.is_empty() {
            for done in container.finishing.drain(..) {
                let _ = done.send(());
            }
            self.containers.remove(&watch);
            // It fails when the directory was removed, and the watch with it.
            let _ = self.watches.remove(watch);
        }
    }
}

/// What is being read of one container.
#[derive(Debug)]
struct Container {
    label: Arc<str>,
    trail: Trail,
    cutter: Cutter,
    joiner: Joiner,
    finishing: Vec<oneshot::Sender<()>>,
}

impl Container {
    fn new(label: Arc<str>, trail: Trail) -> Self {
        Self { label, trail, cutter: Cutter::default(), joiner: Joiner::default(), finishing: Vec::new() }
    }

    /// Reads once. False if there is no more to read for now.
    fn read(&mut self, buffer: &mut [u8], joined: &mut Vec<Joined>) -> bool {
        match self.trail.read(buffer) {
            Progress::Bytes(length) => self.take(&buffer[..length], joined),
            Progress::NextAttempt => self.end_attempt(joined),
            Progress::Missed(bytes) => {
                tracing::warn!(container = %self.label, bytes, "output comes faster than it is read, and some is not shown");
                self.end_attempt(joined);
            }
            Progress::Nothing => return false,
        }
        true
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

#[cfg(test)]
mod tests;
