//! Wakes those who follow logs: one inotify instance for all of them, since a host has few.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask, Watches};
use tokio::sync::watch;

use super::trail::Directory;

/// Room for inotify's events; more wait in the kernel.
const EVENTS: usize = 4 << 10;

/// Tells of changes in directories. Its task ends when this and every [`Watch`] is dropped.
#[derive(Debug, Clone)]
pub struct Watcher {
    watches: Watches,
    watched: Arc<Mutex<Watched>>,
    _task: Arc<Task>,
}

type Watched = HashMap<WatchDescriptor, watch::Sender<()>>;

#[derive(Debug)]
struct Task(tokio::task::JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Changes in one directory.
#[derive(Debug)]
pub(crate) struct Watch {
    watcher: Watcher,
    descriptor: WatchDescriptor,
    /// Gone while this is dropped.
    changes: Option<watch::Receiver<()>>,
}

impl Watcher {
    /// Starts the task.
    ///
    /// # Errors
    ///
    /// The host has no inotify instance left (`/proc/sys/fs/inotify/max_user_instances`).
    pub fn start() -> io::Result<Self> {
        let inotify = Inotify::init()?;
        let watches = inotify.watches();
        let mut events = inotify.into_event_stream(vec![0; EVENTS])?;
        let watched = Arc::new(Mutex::new(Watched::new()));
        let waking = Arc::clone(&watched);
        let task = tokio::spawn(async move {
            while let Some(Ok(event)) = events.next().await {
                let mut watched = lock(&waking);
                if event.mask.contains(EventMask::Q_OVERFLOW) {
                    // Some events are lost, and nobody knows whose.
                    watched.values().for_each(|changes| changes.send_replace(()));
                } else if event.mask.contains(EventMask::IGNORED) {
                    watched.remove(&event.wd);
                } else if let Some(changes) = watched.get(&event.wd) {
                    changes.send_replace(());
                }
            }
            lock(&waking).clear();
        });
        Ok(Self { watches, watched, _task: Arc::new(Task(task)) })
    }

    /// Watches a directory. What changes from now on is told.
    pub(crate) fn watch(&self, directory: &Directory) -> io::Result<Watch> {
        let mask = WatchMask::CREATE | WatchMask::MODIFY | WatchMask::MOVED_TO | WatchMask::ONLYDIR;
        let mut watched = lock(&self.watched);
        let descriptor = self.watches.clone().add(directory.path(), mask)?;
        let sender = watched.entry(descriptor.clone()).or_insert_with(|| watch::Sender::new(()));
        Ok(Watch { watcher: self.clone(), descriptor, changes: Some(sender.subscribe()) })
    }
}

impl Watch {
    /// Waits for a change since the last one. False when none will be told any more.
    pub(crate) async fn changed(&mut self) -> bool {
        match &mut self.changes {
            Some(changes) => changes.changed().await.is_ok(),
            None => false,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watched = lock(&self.watcher.watched);
        self.changes = None;
        // The kernel has one watch for all who watch the same directory.
        if watched.get(&self.descriptor).is_some_and(|changes| changes.receiver_count() == 0) {
            watched.remove(&self.descriptor);
            // It fails when the directory was removed, and the watch with it.
            let _ = self.watcher.watches.remove(self.descriptor.clone());
        }
    }
}

fn lock(watched: &Mutex<Watched>) -> MutexGuard<'_, Watched> {
    // Whole after every operation.
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn everybody_who_watches_a_directory_is_told_and_nothing_is_kept_of_who_left() {
        let directory = tempfile::tempdir().unwrap();
        let watcher = Watcher::start().unwrap();
        let opened = Directory::open(directory.path()).unwrap();
        let mut watches = [watcher.watch(&opened).unwrap(), watcher.watch(&opened).unwrap()];
        std::fs::write(directory.path().join("0.log"), "x").unwrap();
        for watch in &mut watches {
            assert!(watch.changed().await);
        }
        let [first, mut second] = watches;
        drop(first);
        // What was told before is behind it.
        while tokio::time::timeout(Duration::from_millis(20), second.changed()).await.is_ok() {}
        std::fs::write(directory.path().join("1.log"), "x").unwrap();
        assert!(second.changed().await);
        drop(second);
        assert!(lock(&watcher.watched).is_empty());
    }
}
