//! Standard output as something that may be slow, stuck or gone, none of which is a pod's business.
//!
//! A thread of its own writes, for a write to a full pipe blocks. What waits for it waits here, outside the agent's tasks.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

/// Pieces of text on their way to the thread.
const QUEUE: usize = 64;

/// A reader that takes nothing for this long is not waited for at the end.
const PATIENCE: Duration = Duration::from_secs(2);

/// Nor is one that has been waited for this long altogether. Time that the node itself takes does not count.
const MOST_PATIENCE: Duration = Duration::from_secs(10);

/// What is written between two looks at the clock, in bytes: as much as a pipe holds.
const PIECE: usize = 64 << 10;

/// How often progress is looked at, where nobody is told of it.
const LOOK: Duration = Duration::from_millis(200);

/// Standard output.
#[derive(Debug)]
pub(super) struct Console {
    queue: mpsc::Sender<Vec<u8>>,
    progress: Progress,
}

/// How much has been written, and how long that took.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    pieces: AtomicU64,
    /// Time in writes.
    milliseconds: AtomicU64,
}

impl Console {
    /// Starts the thread.
    pub(super) fn start(output: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, texts) = mpsc::channel(QUEUE);
        let progress = Progress::default();
        let written = progress.clone();
        std::thread::Builder::new().name("console".into()).spawn(move || write(output, texts, &written))?;
        Ok(Self { queue, progress })
    }

    /// Waits until there is a place in the queue.
    pub(super) async fn has_room(&self) {
        // Closed only if the thread died: then there is room for everything.
        let _ = self.queue.reserve().await;
    }

    /// Prints, if there is a place in the queue.
    pub(super) fn print(&self, text: Vec<u8>) {
        let _ = self.queue.try_send(text);
    }

    /// How much has been written, for [`Progress::stalled`].
    pub(super) fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Waits until all is written, or the reader has stopped reading.
    pub(super) async fn finish(self) {
        let Self { queue, progress } = self;
        let written = async {
            // Every place free again: the thread has taken all. The last text is its to write.
            let _ = queue.reserve_many(QUEUE).await;
            drop(queue);
            while !progress.is_over() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            () = written => {}
            () = progress.stalled() => {}
        }
    }
}

impl Progress {
    const OVER: u64 = u64::MAX;

    /// Returns when nothing has been written for a while, or writing takes too long.
    pub(super) async fn stalled(&self) {
        let before = self.waited();
        let (mut last, mut since) = (self.count(), Instant::now());
        while since.elapsed() < PATIENCE && self.waited() - before < MOST_PATIENCE {
            sleep(LOOK).await;
            if self.count() != last {
                (last, since) = (self.count(), Instant::now());
            }
        }
    }

    fn is_over(&self) -> bool {
        self.count() == Self::OVER
    }

    fn count(&self) -> u64 {
        self.0.pieces.load(Ordering::Acquire)
    }

    fn waited(&self) -> Duration {
        Duration::from_millis(self.0.milliseconds.load(Ordering::Acquire))
    }

    fn written(&self, took: Duration) {
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.0.milliseconds.fetch_add(milliseconds, Ordering::Release);
        self.0.pieces.fetch_add(1, Ordering::Release);
    }
}

/// The thread: writes until there is nothing more to come. Without a reader it takes the texts all the same.
fn write(mut output: impl Write, mut queue: mpsc::Receiver<Vec<u8>>, progress: &Progress) {
    let mut is_read = true;
    let mut texts = Vec::with_capacity(QUEUE);
    while queue.blocking_recv_many(&mut texts, QUEUE) > 0 {
        // Many lines are one call: most of the time for a short one is the call's.
        for piece in texts.concat().chunks(PIECE) {
            let begin = std::time::Instant::now();
            is_read = is_read && output.write_all(piece).and_then(|()| output.flush()).is_ok();
            progress.written(begin.elapsed());
        }
        texts.clear();
    }
    progress.0.pieces.store(Progress::OVER, Ordering::Release);
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn print(console: &Console, text: &str) {
        console.has_room().await;
        console.print(text.into());
    }

    #[tokio::test]
    async fn everything_is_written_before_the_end() {
        let (mut reader, writer) = io::pipe().unwrap();
        let console = Console::start(writer).unwrap();
        for _ in 0..100 {
            print(&console, "x\n").await;
        }
        console.finish().await;
        let mut text = String::new();
        io::Read::read_to_string(&mut reader, &mut text).unwrap();
        assert_eq!(text.len(), 200);
    }

    #[tokio::test]
    async fn a_reader_that_went_away_is_no_error() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let console = Console::start(writer).unwrap();
        for _ in 0..2 * QUEUE {
            print(&console, "x\n").await;
        }
        console.finish().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_given_up_and_a_slow_node_is_not() {
        for (took, is_given_up) in [(Duration::from_millis(999), true), (Duration::ZERO, false)] {
            let progress = Progress::default();
            let stalled = tokio::spawn({
                let progress = progress.clone();
                async move { progress.stalled().await }
            });
            for _ in 0..20 {
                sleep(Duration::from_secs(1)).await;
                progress.written(took);
            }
            assert_eq!(stalled.is_finished(), is_given_up, "{took:?} of each second in a write");
        }
    }

    #[tokio::test]
    async fn a_reader_that_does_not_read_is_not_waited_for_for_ever() {
        let (_reader, writer) = io::pipe().unwrap();
        let console = Console::start(writer).unwrap();
        print(&console, &"x".repeat(1 << 20)).await;
        tokio::time::timeout(Duration::from_secs(30), console.finish()).await.unwrap();
    }
}
