//! Where desired pods come from. A source says which pods should exist; it never touches a container.
//!
//! Each source of an agent sends [`SourceEvent`]s into the event loop ([`crate::sync::event_loop::Event::Source`]), each the full
//! set of what it wants from then on; [`merge::Merge`] puts the sets together. To add a source:
//!
//! 1. name its [`SourceKind`] among those that [`crate::agent::Agent::keep`] is to expect: nothing that an earlier agent left
//!    is ended before each of them has told its first set, be it empty;
//! 2. send it sets. A pod that is being deleted stays in them, with its [`Wanted::deletion`], until
//!    [`Change::Deleted`](crate::status::publish::Change::Deleted) is told of it; one that is dropped from them is ended gracefully.
//!    `objects` are the ConfigMaps and Secrets that the pods of this source see.
//!
//! What becomes of the pods goes to the channel of [`Update`](crate::status::publish::Update)s that the agent was made with; each names
//! the [`Origin`](crate::pod::Origin) of its pod. Whoever wants to hear of them, too, stands in between: takes the receiver, looks at each
//! update, and passes it on.

pub mod api;
pub mod file;
pub mod files;
pub mod follow;
mod immutable;
pub mod live;
pub mod manifests;
pub mod merge;
pub mod stdin;
pub mod url;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::pod::objects::Objects;
use crate::pod::update::Written;
use crate::pod::{Pod, PodKey, SourceKind};

/// What a source says: all pods that it wants to exist from now on. A pod that is no longer among them should go.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceEvent {
    /// Who says so.
    pub source: SourceKind,
    /// The full set, no two with the same namespace and name.
    pub pods: Vec<Wanted>,
    /// What they may refer to.
    pub objects: Arc<Objects>,
    /// Places that could not be understood, and of which nothing is known from before: pods that an earlier agent has had
    /// from there are left alone.
    pub unread: BTreeSet<String>,
}

/// A pod that a source wants.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// The pod.
    pub pod: Pod,
    /// The file or the URL that it stands in; see [`crate::pod::Origin`].
    pub place: String,
    /// It is being deleted. A later set may bring its end nearer, never put it off.
    pub deletion: Option<Deletion>,
    /// It has ended for good, as its source knows: if the node has nothing of it any more, it is not begun again.
    pub is_over: bool,
    /// Its fields as they are written; none of a pod that the API has.
    pub written: Option<Written>,
}

/// How long a pod that is being deleted has, of two the shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deletion {
    /// From the moment in which its node hears of it.
    pub grace: Duration,
    /// Until then, whenever its node hears of it.
    pub deadline: Timestamp,
}

impl Wanted {
    /// A pod of the manifest at `place`, with these fields.
    fn of(pod: Pod, place: String, written: &BTreeMap<PodKey, Written>) -> Self {
        let written = written.get(&pod.key).cloned();
        Self { pod, place, deletion: None, is_over: false, written }
    }
}
