//! Namespaces that go: what is in them goes first.

use std::sync::Arc;

use serde_json::json;

use super::object::Object;
use super::resource::{DeleteOptions, Resource};
use super::rest;
use super::router::Api;
use super::status::Status;
use super::store::{Durability, Entry, Expected};

/// Empties deleted namespaces, and takes those away in which nothing is left, for as long as it is polled.
pub(super) async fn empty_namespaces(api: Arc<Api>) {
    let mut latest = api.store().latest();
    loop {
        latest.borrow_and_update();
        for entry in api.store().list("namespaces", None).entries {
            let namespace = entry.object();
            if namespace.deletion_timestamp().is_some()
                && let Err(status) = empty(&api, &entry, namespace).await
            {
                // Whatever it was, the next write tries again.
                tracing::warn!("namespace {} cannot be emptied: {status}", entry.key.name);
            }
        }
        if latest.changed().await.is_err() {
            return;
        }
    }
}

async fn empty(api: &Arc<Api>, entry: &Entry, mut namespace: Object) -> Result<(), Status> {
    let mut is_empty = true;
    let is_own = |kind: &&Arc<dyn Resource>| kind.names().namespaced && kind.stored_as() == kind.names();
    for kind in api.kinds().iter().filter(is_own) {
        for inner in api.store().list(&kind.names().resource(), Some(&entry.key.name)).entries {
            is_empty = false;
            if inner.object().deletion_timestamp().is_some() {
                continue;
            }
            match rest::delete_one(api, &**kind, &inner.key, &DeleteOptions::default()).await {
                Err(status) if status.code != 404 => return Err(status),
                _ => {}
            }
        }
    }
    let spec = json!({"finalizers": []});
    // What is gone at once has woken this again.
    if !is_empty || namespace.get("spec") == Some(&spec) {
        return Ok(());
    }
    namespace.set("spec", Some(spec));
    let (api, key, revision) = (Arc::clone(api), entry.key.clone(), entry.revision);
    let written = tokio::task::spawn_blocking(move || {
        if namespace.finalizers().next().is_some() {
            api.store().put(&key, namespace, Expected::Revision(revision), Durability::PowerLoss)
        } else {
            api.store().remove(&key, namespace, revision, Durability::PowerLoss)
        }
    });
    // Another writer was faster, and that has woken this again.
    written.await.map_err(Status::internal)?.map(drop).or(Ok(()))
}
