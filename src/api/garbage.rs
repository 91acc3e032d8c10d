//! Objects whose owners are gone (`metadata.ownerReferences`): they go too, unless whoever deleted the owner wanted them to stay.
//!
//! An owner that is deleted with `Foreground` stays until its dependents are gone, one that is deleted with `Orphan` until they have
//! forgotten it; finalizers hold it meanwhile. An owner of a kind that is not served here is taken to be there.
//!
//! Source: `pkg/controller/garbagecollector`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::object::Object;
use super::resource::{DeleteOptions, Propagation, Resource};
use super::rest;
use super::router::Api;
use super::status::Status;
use super::store::{Entry, Key};

/// Between looks, so that many writes are one reason to look.
const PAUSE: Duration = Duration::from_millis(500);

/// Looks after each change, for as long as it is polled.
pub(super) async fn collect(api: Arc<Api>) {
    let mut latest = api.store().latest();
    loop {
        latest.borrow_and_update();
        if let Err(status) = pass(&api).await {
            // The next write tries again.
            tracing::warn!("objects without owners cannot be deleted: {status}");
        }
        tokio::time::sleep(PAUSE).await;
        if latest.changed().await.is_err() {
            return;
        }
    }
}

/// An object that has owners, or waits for its dependents.
struct Found {
    kind: Arc<dyn Resource>,
    entry: Arc<Entry>,
    object: Object,
}

/// What has become of an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    There,
    Gone,
    /// It goes after its dependents.
    Waits,
}

/// Does what is to be done now.
pub(super) async fn pass(api: &Arc<Api>) -> Result<(), Status> {
    let found = find(api);
    for owner in found.iter().filter(|one| one.waits_with(Propagation::Orphan)) {
        for dependent in found.iter().filter(|one| one.refers_to(owner.object.uid())) {
            let mut object = dependent.object.clone();
            let left: Vec<Value> =
                dependent.owners().filter(|other| other["uid"] != owner.object.uid()).cloned().collect();
            object
                .set_meta("ownerReferences", Some(left.into()).filter(|left| *left != Value::Array(vec![])));
            rest::settle(api, &*dependent.kind, &dependent.entry, object).await?;
        }
        owner.release(api, Propagation::Orphan).await?;
    }
    for dependent in found.iter().filter(|one| one.object.deletion_timestamp().is_none()) {
        let owners: Vec<Owner> = dependent.owners().map(|owner| dependent.state_of(api, owner)).collect();
        if owners.is_empty() || owners.contains(&Owner::There) {
            continue;
        }
        let propagation = match owners.contains(&Owner::Waits) {
            true => Propagation::Foreground,
            false => Propagation::Background,
        };
        let uid = Some(dependent.object.uid().to_owned());
        // It may have lost or found an owner since, if only above.
        let resource_version = Some(dependent.object.resource_version().to_owned());
        let options = DeleteOptions {
            uid,
            resource_version,
            propagation: Some(propagation),
            ..DeleteOptions::default()
        };
        match rest::delete_one(api, &*dependent.kind, &dependent.entry.key, &options).await {
            Err(status) if !matches!(status.code, 404 | 409) => return Err(status),
            _ => {}
        }
    }
    for owner in found.iter().filter(|one| one.waits_with(Propagation::Foreground)) {
        let blocks = |one: &&Found| {
            let mut owners = one.owners();
            owners.any(|other| other["uid"] == owner.object.uid() && other["blockOwnerDeletion"] == true)
        };
        if !found.iter().any(|one| blocks(&one)) {
            owner.release(api, Propagation::Foreground).await?;
        }
    }
    Ok(())
}

/// Most objects have neither owners nor these finalizers, and are not parsed to find that out.
fn find(api: &Api) -> Vec<Found> {
    const MARKS: [&[u8]; 3] = [b"\"ownerReferences\"", b"\"orphan\"", b"\"foregroundDeletion\""];
    let is_marked =
        |json: &[u8]| MARKS.iter().any(|mark| json.windows(mark.len()).any(|window| window == *mark));
    let mut found = Vec::new();
    for kind in api.kinds().iter().filter(|kind| kind.stored_as() == kind.names()) {
        let entries = api.store().list(&kind.names().resource(), None).entries;
        found.extend(entries.into_iter().filter(|entry| is_marked(&entry.json)).map(|entry| Found {
            kind: Arc::clone(kind),
            object: entry.object(),
            entry,
        }));
    }
    found
}

impl Found {
    fn owners(&self) -> impl Iterator<Item = &Value> {
        self.object.meta("ownerReferences").and_then(Value::as_array).into_iter().flatten()
    }

    fn refers_to(&self, uid: &str) -> bool {
        self.owners().any(|owner| owner["uid"] == uid)
    }

    /// It is deleted, and held until something has been done about its dependents.
    fn waits_with(&self, propagation: Propagation) -> bool {
        waits_with(&self.object, propagation)
    }

    fn state_of(&self, api: &Api, owner: &Value) -> Owner {
        let text = |field: &str| owner[field].as_str().unwrap_or_default();
        let is_of = |kind: &&Arc<dyn Resource>| {
            kind.names().kind == text("kind") && kind.names().api_version() == text("apiVersion")
        };
        let Some(kind) = api.kinds().iter().find(is_of) else { return Owner::There };
        let namespace = if kind.names().namespaced { self.object.namespace() } else { "" };
        let key = Key::new(&kind.stored_as().resource(), namespace, text("name"));
        match api.store().get(&key).map(|entry| entry.object()) {
            Some(object) if object.uid() != text("uid") => Owner::Gone,
            Some(object) if waits_with(&object, Propagation::Foreground) => Owner::Waits,
            Some(_) => Owner::There,
            None => Owner::Gone,
        }
    }

    /// Takes the finalizer away.
    async fn release(&self, api: &Arc<Api>, propagation: Propagation) -> Result<(), Status> {
        let mut object = self.object.clone();
        let ours = propagation.finalizer();
        let left: Vec<Value> =
            object.finalizers().filter(|name| Some(*name) != ours).map(Value::from).collect();
        object.set_meta("finalizers", Some(left.into()).filter(|left| *left != Value::Array(vec![])));
        rest::settle(api, &*self.kind, &self.entry, object).await
    }
}

fn waits_with(object: &Object, propagation: Propagation) -> bool {
    object.deletion_timestamp().is_some()
        && object.finalizers().any(|name| Some(name) == propagation.finalizer())
}
