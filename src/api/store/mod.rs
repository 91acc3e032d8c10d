//! Where the objects are: all in memory as JSON, and in one file, from which they come back after a restart.
//!
//! ```text
//! write ──> precondition ──> revision ──> file (redb) ──> memory, history ──> those who watch
//! ```
//!
//! Nobody is shown what is not in the file. What is wanted survives the loss of power before its writer has an answer; what can be
//! found out again (a status, an event) reaches the disk within a second.
//!
//! There is one revision for everything. It grows with each write, it is the `resourceVersion` of what was written, and it
//! never goes back, not even when the file is lost (`revisions`).

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};

use super::object::Object;
use crate::failpoint;

mod disk;
mod history;
mod revisions;
#[cfg(test)]
mod tests;

use disk::Disk;
use history::History;
pub use history::{Change, Event, Expired};
use revisions::Revisions;

/// How long what need not survive the loss of power may stay out of the file.
const FLUSH_DELAY: Duration = Duration::from_secs(1);
/// What could not be flushed is tried again in this time.
const FLUSH_AGAIN: Duration = Duration::from_secs(10);

/// The objects of a node.
pub struct Store {
    /// Held by the one who writes, from the precondition to the end.
    writer: Mutex<Writer>,
    memory: RwLock<Memory>,
    /// The latest revision, to wake those who watch.
    latest: watch::Sender<u64>,
    /// Something waits to be flushed.
    unflushed: Notify,
}

struct Writer {
    disk: Disk,
    revisions: Revisions,
}

struct Memory {
    objects: BTreeMap<Key, Arc<Entry>>,
    history: History,
}

/// What an object is found by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// `pods`, or `deployments.apps`.
    pub resource: String,
    /// `""` for objects of the whole cluster.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// One version of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is found by.
    pub key: Key,
    /// When it was written: its resourceVersion.
    pub revision: u64,
    /// It, as it is served.
    pub json: Bytes,
}

/// Objects at one revision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Of the store.
    pub revision: u64,
    /// By namespace and name.
    pub entries: Vec<Arc<Entry>>,
}

/// What a writer takes for granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// There is no such object.
    Absent,
    /// It is still of this revision.
    Revision(u64),
}

/// How much a write must survive before it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The loss of power.
    PowerLoss,
    /// Nothing: it can be found out again.
    Soon,
}

/// Why something was not written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is an object already.
    #[error("{0} exists")]
    Exists(Key),
    /// It is not there, or no longer.
    #[error("{0} is gone")]
    Gone(Key),
    /// Somebody else has written it.
    #[error("{0} was written meanwhile")]
    Changed(Key),
    /// It cannot be written as JSON.
    #[error("cannot encode {key}")]
    Encode {
        /// What.
        key: Key,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The disk is full.
    #[error("no room for the objects: cannot {action} {}", path.display())]
    Full {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file cannot be written.
    #[error("cannot {action} {}", path.display())]
    Disk {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// A failure of the disk, which may be that it is full.
    fn of_disk(action: &'static str, path: &Path, source: Box<dyn std::error::Error + Send + Sync>) -> Self {
        let path = path.to_owned();
        if is_full(&*source) {
            Self::Full { action, path, source }
        } else {
            Self::Disk { action, path, source }
        }
    }
}

/// Whether it is for want of room, on the disk or in somebody's quota.
fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.any(|error| {
        let of_database = match error.downcast_ref() {
            Some(redb::Error::Io(error)) => Some(error),
            _ => None,
        };
        let error = of_database.or_else(|| error.downcast_ref::<std::io::Error>());
        error.is_some_and(|error| matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
    })
}

/// A file that could not be trusted, and was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Where it is now.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store of a directory, which is made if need be. A file that cannot be trusted is set aside, and the store is then empty.
    pub fn open(dir: &Path) -> Result<(Self, Option<Quarantined>), Error> {
        let (disk, objects, quarantined) = Disk::open(dir)?;
        let highest = objects.values().map(|entry| entry.revision).max().unwrap_or(0);
        let (revisions, start) = Revisions::open(dir, highest, quarantined.is_some())?;
        let memory = Memory { objects, history: History::new(start) };
        let store = Self {
            writer: Mutex::new(Writer { disk, revisions }),
            memory: RwLock::new(memory),
            latest: watch::Sender::new(start),
            unflushed: Notify::new(),
        };
        Ok((store, quarantined))
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        self.memory().objects.get(key).cloned()
    }

    /// All objects of a resource, of one namespace or of all.
    pub fn list(&self, resource: &str, namespace: Option<&str>) -> Listing {
        let memory = self.memory();
        let entries = memory.entries(resource, namespace).cloned().collect();
        Listing { revision: memory.history.latest(), entries }
    }

    /// What has happened to a resource after a revision, and up to which one that tells.
    pub fn changes(&self, resource: &str, after: u64) -> Result<(Vec<Arc<Event>>, u64), Expired> {
        let memory = self.memory();
        Ok((memory.history.changes(resource, after)?, memory.history.latest()))
    }

    /// The latest revision, which wakes when it grows.
    pub fn latest(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    /// Writes an object, and gives it its resourceVersion. Waits for the disk if it is to survive the loss of power.
    pub fn put(
        &self,
        key: &Key,
        object: Object,
        expected: Expected,
        durability: Durability,
    ) -> Result<Arc<Entry>, Error> {
        self.write(key, object, expected, durability, false)
    }

    /// Removes an object; `last` is what it was at its end, which those who watch are told.
    pub fn remove(
        &self,
        key: &Key,
        last: Object,
        revision: u64,
        durability: Durability,
    ) -> Result<Arc<Entry>, Error> {
        self.write(key, last, Expected::Revision(revision), durability, true)
    }

    /// Writes what waits to be written, for good.
    pub fn flush(&self) -> Result<(), Error> {
        let mut writer = self.writer();
        if writer.disk.is_closed() {
            return self.start_over(&mut writer);
        }
        writer.disk.flush().or_else(|_| self.start_over(&mut writer))
    }

    /// Brings the file to what memory has, after a failure.
    fn start_over(&self, writer: &mut Writer) -> Result<(), Error> {
        let memory = self.memory();
        writer.disk.start_over(memory.objects.values().map(|entry| &**entry))
    }

    /// Flushes, a second after there is something to flush, for as long as it is polled.
    pub async fn keep_flushed(self: Arc<Self>) {
        loop {
            self.unflushed.notified().await;
            tokio::time::sleep(FLUSH_DELAY).await;
            let store = Arc::clone(&self);
            let why = match tokio::task::spawn_blocking(move || store.flush()).await {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => chain(&error),
                Err(error) => error.to_string(),
            };
            tracing::error!("objects are not on the disk, which is tried again: {why}");
            tokio::time::sleep(FLUSH_AGAIN).await;
            self.unflushed.notify_one();
        }
    }

    fn write(
        &self,
        key: &Key,
        mut object: Object,
        expected: Expected,
        durability: Durability,
        removed: bool,
    ) -> Result<Arc<Entry>, Error> {
        let mut writer = self.writer();
        let old = self.get(key);
        match (expected, &old) {
            (Expected::Absent, None) => {}
            (Expected::Absent, Some(_)) => return Err(Error::Exists(key.clone())),
            (Expected::Revision(_), None) => return Err(Error::Gone(key.clone())),
            (Expected::Revision(revision), Some(old)) if old.revision == revision => {}
            (Expected::Revision(_), Some(_)) => return Err(Error::Changed(key.clone())),
        }
        if writer.disk.is_closed() {
            self.start_over(&mut writer)?;
        }
        let revision = writer.revisions.next()?;
        object.set_meta("resourceVersion", Some(revision.to_string().into()));
        let json =
            serde_json::to_vec(&object).map_err(|source| Error::Encode { key: key.clone(), source })?;
        let entry = Arc::new(Entry { key: key.clone(), revision, json: json.into() });
        let written = (!removed).then_some(&*entry);
        if let Err(error) = writer.disk.write(key, written, durability) {
            if let Err(error) = self.start_over(&mut writer) {
                tracing::error!("objects cannot be written for now: {}", chain(&error));
            }
            return Err(error);
        }
        if durability == Durability::Soon {
            self.unflushed.notify_one();
        }
        self.apply(Arc::clone(&entry), old, removed);
        failpoint::reached("objects.applied");
        Ok(entry)
    }

    fn apply(&self, entry: Arc<Entry>, old: Option<Arc<Entry>>, removed: bool) {
        let mut memory = self.memory.write().unwrap_or_else(PoisonError::into_inner);
        let revision = entry.revision;
        let change = match (removed, &old) {
            (true, _) => Change::Deleted,
            (false, Some(_)) => Change::Modified,
            (false, None) => Change::Added,
        };
        if removed {
            memory.objects.remove(&entry.key);
        } else {
            memory.objects.insert(entry.key.clone(), Arc::clone(&entry));
        }
        memory.history.add(Event { change, entry, old });
        drop(memory);
        self.latest.send_replace(revision);
    }

    /// Nothing that is done under the locks leaves half of it behind, so a panic elsewhere need not spread.
    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn memory(&self) -> RwLockReadGuard<'_, Memory> {
        self.memory.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Err(error) = self.flush() {
            tracing::error!("objects are not on the disk: {}", chain(&error));
        }
    }
}

impl Memory {
    fn entries(&self, resource: &str, namespace: Option<&str>) -> impl Iterator<Item = &Arc<Entry>> {
        let start = Key::new(resource, namespace.unwrap_or_default(), "");
        let of_namespace = move |key: &Key| namespace.is_none_or(|namespace| key.namespace == namespace);
        let range = self.objects.range((Bound::Included(start), Bound::Unbounded));
        range
            .take_while(move |(key, _)| key.resource == resource && of_namespace(key))
            .map(|(_, entry)| entry)
    }
}

impl Key {
    /// Of these parts.
    pub fn new(resource: &str, namespace: &str, name: &str) -> Self {
        Self { resource: resource.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.resource, self.namespace, self.name)
    }
}

impl Entry {
    /// The object, as a value of its own.
    pub fn object(&self) -> Object {
        // It was an object when it was stored, and is checked when it comes back from the disk.
        serde_json::from_slice(&self.json).unwrap_or_default()
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
