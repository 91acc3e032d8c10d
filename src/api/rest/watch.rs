//! GET with `watch`: what happens to objects, as it happens.
//!
//! A watch keeps no events of its own. It has a place in the store's history, and reads on from there when the client has taken what came before. One that
//! falls behind what history remembers is told so, and its client lists anew.
//!
//! Source: `k8s.io/apiserver/pkg/storage/cacher`, KEP-956 (bookmarks), KEP-3157 (sendInitialEvents).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::super::object::Object;
use super::super::represent::{Shape, json_response};
use super::super::resource::Resource;
use super::super::router::Api;
use super::super::selector::Filter;
use super::super::status::{FieldError, Status};
use super::super::store::{Change, Event};
use super::list::{not_newer, parse_version};
use super::{Call, object};

/// The time between bookmarks when nothing else is told.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);
/// A watch without a timeout ends after this time, and up to as much again: clients of the same hour do not come back together.
const SHORTEST: u64 = 1800;

/// Events, a line each, until the client's time is over.
pub(in crate::api) fn watch(call: Call) -> Result<Response, Status> {
    let start = Start::of(&call)?;
    let mut filter = Filter::of(&call.parameters, &*call.kind)?;
    if !call.target.name.is_empty() {
        filter = filter.named(&call.target.name);
    }
    let shape = call.shape()?;
    let timeout = match call.parameters.number("timeoutSeconds")? {
        Some(seconds) if seconds > 0 => seconds.unsigned_abs(),
        _ => SHORTEST + getrandom::u64().unwrap_or_default() % SHORTEST,
    };
    let mut watch = Watch {
        latest: call.api.store().latest(),
        resource: call.kind.stored_as().resource(),
        namespace: call.target.namespace.clone(),
        bookmarks: call.parameters.flag("allowWatchBookmarks").then(|| Instant::now() + BOOKMARK_INTERVAL),
        deadline: Instant::now() + Duration::from_secs(timeout),
        api: call.api,
        kind: call.kind,
        filter,
        shape,
        seen: 0,
        queue: VecDeque::new(),
        columns: true,
        ended: false,
    };
    watch.begin(start);
    let lines = futures::stream::unfold(watch, |mut watch| async move {
        let line = watch.next().await?;
        Some((Ok::<_, Infallible>(line), watch))
    });
    Ok(json_response(StatusCode::OK, Body::from_stream(lines)))
}

/// Where a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// With what there is, as if it were added now; and a mark behind it if that is wanted.
    Present { mark: bool },
    /// With what happens from now on.
    Now,
    /// After a revision.
    After(u64),
}

impl Start {
    fn of(call: &Call) -> Result<Self, Status> {
        let parameters = &call.parameters;
        let asked = match parameters.text("resourceVersion") {
            "" => 0,
            text => parse_version(text)?,
        };
        let matching = parameters.text("resourceVersionMatch");
        let refused = |words: &str| {
            let error = FieldError::forbidden("resourceVersionMatch", words);
            Err(Status::plain(422, "Invalid", format!("ListOptions.meta.k8s.io \"\" is invalid: {error}")))
        };
        match parameters.optional_flag("sendInitialEvents") {
            None if !matching.is_empty() => {
                refused("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")
            }
            None if asked == 0 => Ok(Self::Present { mark: false }),
            None => Ok(Self::After(asked)),
            Some(_) if matching != "NotOlderThan" => {
                refused("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
            }
            Some(true) => {
                not_newer(asked, *call.api.store().latest().borrow())?;
                Ok(Self::Present { mark: parameters.flag("allowWatchBookmarks") })
            }
            Some(false) if asked == 0 => Ok(Self::Now),
            Some(false) => Ok(Self::After(asked)),
        }
    }
}

struct Watch {
    api: Arc<Api>,
    kind: Arc<dyn Resource>,
    resource: String,
    /// `""` for all.
    namespace: String,
    filter: Filter,
    shape: Shape,
    /// Wakes when there may be something to tell.
    latest: watch::Receiver<u64>,
    /// Everything up to this revision is told, or in `queue`.
    seen: u64,
    queue: VecDeque<Bytes>,
    /// When the next bookmark is due, if any are wanted.
    bookmarks: Option<Instant>,
    deadline: Instant,
    /// The next table is the first, which says what its columns are.
    columns: bool,
    ended: bool,
}

impl Watch {
    fn begin(&mut self, start: Start) {
        match start {
            Start::Now => self.seen = *self.latest.borrow(),
            Start::After(revision) => self.seen = revision,
            Start::Present { mark } => {
                let namespace = Some(self.namespace.as_str()).filter(|namespace| !namespace.is_empty());
                let listing = self.api.store().list(&self.resource, namespace);
                self.seen = listing.revision;
                for entry in listing.entries {
                    let object = object(&*self.kind, &entry);
                    if self.filter.matches(&*self.kind, &object) {
                        self.tell("ADDED", object);
                    }
                }
                if mark {
                    self.bookmark(json!({"k8s.io/initial-events-end": "true"}));
                }
            }
        }
    }

    /// The next line; nothing at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.queue.pop_front() {
                return Some(line);
            }
            if self.ended {
                return None;
            }
            // Before history is read: what comes after that wakes again.
            self.latest.borrow_and_update();
            self.read();
            if self.queue.is_empty() && !self.ended {
                self.wait().await;
            }
        }
    }

    /// Until something happens, or it is time to say so.
    async fn wait(&mut self) {
        let bookmark = self.bookmarks.unwrap_or(self.deadline).min(self.deadline);
        tokio::select! {
            changed = self.latest.changed() => self.ended = changed.is_err(),
            () = tokio::time::sleep_until(bookmark) => {
                if self.bookmarks.is_some() {
                    self.bookmark(json!({}));
                }
                self.ended = Instant::now() >= self.deadline;
            }
        }
    }

    /// Reads on in history.
    fn read(&mut self) {
        let history = self.api.store().changes(&self.resource, self.seen);
        let (events, latest) = match history {
            Ok(read) => read,
            Err(expired) => return self.fail(&Status::expired(expired.to_string())),
        };
        if let Err(status) = not_newer(self.seen, latest) {
            return self.fail(&status);
        }
        self.seen = latest;
        for event in events {
            if self.namespace.is_empty() || event.entry.key.namespace == self.namespace {
                self.see(&event);
            }
        }
    }

    /// To who sees only some of the objects, one that begins to be among them is new, and one that is no longer is gone.
    fn see(&mut self, event: &Event) {
        let matches = |object: &Object| self.filter.matches(&*self.kind, object);
        let new = object(&*self.kind, &event.entry);
        let old = event.old.as_ref().map(|old| object(&*self.kind, old));
        let was_seen = old.as_ref().is_some_and(matches);
        let is_seen = event.change != Change::Deleted && matches(&new);
        match (was_seen, is_seen) {
            (false, false) => {}
            (false, true) => self.tell("ADDED", new),
            (true, true) => self.tell("MODIFIED", new),
            (true, false) if event.change == Change::Deleted => self.tell("DELETED", new),
            (true, false) => {
                let mut gone = old.unwrap_or_default();
                gone.set_meta("resourceVersion", Some(event.entry.revision.to_string().into()));
                self.tell("DELETED", gone);
            }
        }
    }

    fn tell(&mut self, what: &str, object: Object) {
        let object = self.shape.object(&*self.kind, object, self.api.context().now, self.columns);
        self.columns = false;
        self.put(what, object);
    }

    /// Says up to where everything has been told.
    fn bookmark(&mut self, annotations: Value) {
        let names = self.kind.names();
        let revision = self.seen.to_string();
        let mut object = Object::new(&names.api_version(), names.kind);
        object.set_meta("resourceVersion", Some(revision.clone().into()));
        object.set_meta("creationTimestamp", Some(Value::Null));
        object.set_meta(
            "annotations",
            Some(annotations).filter(|all| all.as_object().is_some_and(|all| !all.is_empty())),
        );
        let object = match self.shape {
            Shape::Table(_) => json!({
                "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": revision},
                "columnDefinitions": null, "rows": [],
            }),
            shape => shape.object(&*self.kind, object, self.api.context().now, false),
        };
        self.put("BOOKMARK", object);
        self.bookmarks = self.bookmarks.map(|_| Instant::now() + BOOKMARK_INTERVAL);
    }

    fn fail(&mut self, status: &Status) {
        self.put("ERROR", status.to_json());
        self.ended = true;
    }

    fn put(&mut self, what: &str, object: Value) {
        let mut line = json!({"type": what, "object": object}).to_string();
        line.push('\n');
        self.queue.push_back(line.into());
    }
}
