//! What has happened lately, for those who watch. Bounded: who comes too late is told so, and lists anew.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Entry;

/// At most so many events are remembered,
const MAX_EVENTS: usize = 1000;
/// and those only while their objects have no more bytes than this together.
const MAX_BYTES: usize = 2 << 20;

/// Something that has happened to an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub change: Change,
    /// The object since then; when it was deleted, at its end. Its revision is the event's.
    pub entry: Arc<Entry>,
    /// The object until then.
    pub old: Option<Arc<Entry>>,
}

/// What can happen to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was not there.
    Added,
    /// It is another one.
    Modified,
    /// It is gone.
    Deleted,
}

/// That revision is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version: {asked} ({oldest})")]
pub struct Expired {
    /// After which somebody wants to know what has happened.
    pub asked: u64,
    /// After which it is still known.
    pub oldest: u64,
}

/// The events after a revision.
pub(super) struct History {
    /// In the order of their revisions.
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    /// Everything after this revision is in `events`.
    oldest: u64,
    latest: u64,
}

impl History {
    /// Nothing is known of what was up to `start`.
    pub(super) fn new(start: u64) -> Self {
        Self { events: VecDeque::new(), bytes: 0, oldest: start, latest: start }
    }

    /// Of the last event.
    pub(super) fn latest(&self) -> u64 {
        self.latest
    }

    pub(super) fn add(&mut self, event: Event) {
        self.latest = event.entry.revision;
        self.bytes += size(&event);
        self.events.push_back(Arc::new(event));
        // The last one stays, however long it is.
        while self.events.len() > MAX_EVENTS || (self.bytes > MAX_BYTES && self.events.len() > 1) {
            let Some(forgotten) = self.events.pop_front() else { break };
            self.bytes -= size(&forgotten);
            self.oldest = forgotten.entry.revision;
        }
    }

    /// What has happened to a resource after a revision.
    pub(super) fn changes(&self, resource: &str, after: u64) -> Result<Vec<Arc<Event>>, Expired> {
        if after < self.oldest {
            return Err(Expired { asked: after, oldest: self.oldest });
        }
        let first = self.events.partition_point(|event| event.entry.revision <= after);
        let later = self.events.range(first..);
        Ok(later.filter(|event| event.entry.key.resource == resource).cloned().collect())
    }
}

/// The old state is mostly the new one of an event before.
fn size(event: &Event) -> usize {
    event.entry.json.len()
}

#[cfg(test)]
mod tests {
    use super::super::Key;
    use super::*;

    fn event(revision: u64, resource: &str, bytes: usize) -> Event {
        let entry = Entry { key: Key::new(resource, "a", "b"), revision, json: vec![b' '; bytes].into() };
        Event { change: Change::Added, entry: Arc::new(entry), old: None }
    }

    fn revisions(history: &History, resource: &str, after: u64) -> Result<Vec<u64>, Expired> {
        Ok(history.changes(resource, after)?.iter().map(|event| event.entry.revision).collect())
    }

    #[test]
    fn changes_are_those_of_the_resource_after_the_revision() {
        let mut history = History::new(10);
        [(11, "a"), (12, "b"), (15, "a")].into_iter().for_each(|(at, of)| history.add(event(at, of, 1)));
        assert_eq!(revisions(&history, "a", 10), Ok(vec![11, 15]));
        assert_eq!(revisions(&history, "a", 11), Ok(vec![15]));
        assert_eq!(revisions(&history, "a", 13), Ok(vec![15]));
        assert_eq!(revisions(&history, "b", 15), Ok(vec![]));
        assert_eq!(history.latest(), 15);
        assert_eq!(revisions(&history, "a", 9), Err(Expired { asked: 9, oldest: 10 }));
    }

    #[test]
    fn too_many_events_and_too_long_ones_are_forgotten_first_come_first() {
        let mut history = History::new(0);
        (1..=1500).for_each(|at| history.add(event(at, "a", 1)));
        assert_eq!(history.changes("a", 500).unwrap().len(), MAX_EVENTS);
        assert_eq!(history.changes("a", 499).unwrap_err().to_string(), "too old resource version: 499 (500)");
        history.add(event(1501, "a", MAX_BYTES));
        assert_eq!(revisions(&history, "a", 1500), Ok(vec![1501]));
        assert!(history.changes("a", 1499).is_err());
        history.add(event(1502, "a", MAX_BYTES + 1));
        assert_eq!(revisions(&history, "a", 1501), Ok(vec![1502]));
    }
}
