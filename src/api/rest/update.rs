//! PUT: an object as it is to be from now on; and the steps that every change of an object takes.

use std::sync::Arc;

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::metadata;
use super::super::object::Object;
use super::super::status::Status;
use super::super::store::{Durability, Entry, Error, Expected};
use super::{Call, decode, delete, durability, key, object, refuse, store_failure, write};

/// How often a change is tried again when others write meanwhile and the client did not say which version it means.
const ATTEMPTS: usize = 5;

/// Replaces an object, or a part of it, and answers with what it is then.
pub(in crate::api) async fn update(call: &Call, body: Body) -> Result<Response, Status> {
    let dry_run = call.dry_run()?;
    let (object, warnings) = decode::decode(call, body).await?;
    check_place(call, &object)?;
    let is_particular = !object.resource_version().is_empty();
    let changed = change(call, dry_run, is_particular, |_| Ok(object.clone())).await?;
    call.answer(StatusCode::OK, changed, &warnings)
}

/// Changes an object into what `make` makes of its present state. When somebody else was faster it is made again, unless a
/// particular version was meant.
pub(super) async fn change(
    call: &Call,
    dry_run: bool,
    is_particular: bool,
    mut make: impl FnMut(&Object) -> Result<Object, Status>,
) -> Result<Object, Status> {
    for _ in 0..ATTEMPTS {
        let entry = super::find(&call.api, &*call.kind, &call.target)?;
        let old = object(&*call.kind, &entry);
        let new = make(&old)?;
        let new = prepare(call, new, &old)?;
        if dry_run || new == old {
            return Ok(new);
        }
        match commit(call, &entry, new).await? {
            Ok(object) => return Ok(object),
            Err(Error::Changed(_)) if !is_particular => {}
            Err(Error::Changed(_)) => return Err(Status::stale(call.kind.names(), &call.target.name)),
            Err(Error::Gone(_)) => return Err(Status::not_found(call.kind.names(), &call.target.name)),
            Err(error) => return Err(store_failure(error)),
        }
    }
    Err(Status::stale(call.kind.names(), &call.target.name))
}

/// The body is to be about the object that the path names.
pub(super) fn check_place(call: &Call, object: &Object) -> Result<(), Status> {
    let name = call.target.name.as_str();
    if object.name().is_empty() {
        return Err(Status::bad_request(format!(
            "the name of the object ({name} based on URL) was undeterminable: name must be provided"
        )));
    }
    if object.name() != name {
        return Err(Status::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({name})",
            object.name()
        )));
    }
    if !object.namespace().is_empty() && object.namespace() != call.target.namespace {
        return Err(Status::bad_request(format!(
            "the namespace of the object ({}) does not match the namespace on the request ({})",
            object.namespace(),
            call.target.namespace
        )));
    }
    Ok(())
}

/// Makes of what somebody wrote the next state of the object, if it can be that.
fn prepare(call: &Call, mut new: Object, old: &Object) -> Result<Object, Status> {
    let (kind, name) = (&*call.kind, call.target.name.as_str());
    if !new.uid().is_empty() && new.uid() != old.uid() {
        let why = format!(
            "Precondition failed: UID in precondition: {}, UID in object meta: {}",
            new.uid(),
            old.uid()
        );
        return Err(Status::conflict(kind.names(), name, why));
    }
    if !new.resource_version().is_empty() && new.resource_version() != old.resource_version() {
        return Err(Status::stale(kind.names(), name));
    }
    if new.namespace().is_empty() {
        new.set_meta("namespace", old.meta("namespace").cloned());
    }
    metadata::keep(&mut new, old);
    kind.default(&mut new);
    kind.prepare_for_update(call.part(), &mut new, old);
    let mut errors = metadata::validate_update(&new, old);
    errors.extend(kind.validate_update(call.part(), &new, old));
    refuse(kind, &new, &errors)?;
    Ok(new)
}

/// Writes the change. An object that was only kept by its finalizers goes with the last of them.
async fn commit(call: &Call, old: &Arc<Entry>, new: Object) -> Result<Result<Object, Error>, Status> {
    let durability = match call.kind.is_last_word(&new) {
        true => Durability::PowerLoss,
        false => durability(&*call.kind, call.part()),
    };
    let key = key(&*call.kind, &call.target.namespace, &call.target.name);
    let revision = old.revision;
    let ends = delete::is_over(&new);
    let new = call.kind.kept(new);
    let written = write(&call.api, move |api| {
        if ends {
            api.store().remove(&key, new, revision, durability)
        } else {
            api.store().put(&key, new, Expected::Revision(revision), durability)
        }
    });
    Ok(written.await?.map(|entry| object(&*call.kind, &entry)))
}
