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

/// Nor is one that is this slow.
const MOST_PATIENCE: Duration = Duration::from_secs(10);

/// How often progress is looked at, where nobody is told of it.
const LOOK: Duration = Duration::from_millis(200);

/// Standard output.
#[derive(Debug)]
pub(super) struct Console {
    queue: mpsc::Sender<Vec<u8>>,
    progress: Progress,
}

/// How much has been written.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<AtomicU64>);

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

    /// Returns when nothing has been written for a while.
    pub(super) async fn stalled(&self) {
        let begin = Instant::now();
        let (mut last, mut since) = (self.count(), begin);
        while since.elapsed() < PATIENCE && begin.elapsed() < MOST_PATIENCE {
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
        self.0.load(Ordering::Acquire)
    }
}

/// The thread: writes until there is nothing more to come. Without a reader it takes the texts all the same.
fn write(mut output: impl Write, mut texts: mpsc::Receiver<Vec<u8>>, progress: &Progress) {
    let mut is_read = true;
    while let Some(text) = texts.blocking_recv() {
        is_read = is_read && output.write_all(&text).and_then(|()| output.flush()).is_ok();
        progress.0.fetch_add(1, Ordering::Release);
    }
    progress.0.store(Progress::OVER, Ordering::Release);
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

    #[tokio::test]
    async fn a_reader_that_does_not_read_is_not_waited_for_for_ever() {
        let (_reader, writer) = io::pipe().unwrap();
        let console = Console::start(writer).unwrap();
        print(&console, &"x".repeat(1 << 20)).await;
        tokio::time::timeout(Duration::from_secs(30), console.finish()).await.unwrap();
    }
}
