//! POST: a new object.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::metadata;
use super::super::object::Object;
use super::super::resource::{Context, Part, Resource};
use super::super::status::{Cause, Status};
use super::super::store::{Durability, Error, Expected, Key};
use super::{Call, decode, durability, key, store_failure, validate, write};

/// Makes an object and answers with it.
pub(in crate::api) async fn create(call: &Call, body: Body) -> Result<Response, Status> {
    let dry_run = call.dry_run()?;
    let (mut object, warnings) = decode::decode(call, body).await?;
    let names = call.kind.names();
    if !object.resource_version().is_empty() {
        return Err(Status::plain(500, "", "resourceVersion should not be set on objects to be created"));
    }
    place(call, &mut object)?;
    complete(&*call.kind, &mut object, &call.context)?;
    validate(&*call.kind, &object)?;
    check_namespace(call, object.name())?;
    let name = object.name().to_owned();
    let key = key(&*call.kind, object.namespace(), &name);
    if dry_run {
        if call.api.store().get(&key).is_some() {
            return Err(Status::already_exists(names, &name));
        }
        return call.answer(StatusCode::CREATED, object, &warnings);
    }
    let durability = durability(&*call.kind, Part::Whole);
    let object = call.kind.kept(object);
    let written =
        write(&call.api, move |api| api.store().put(&key, object, Expected::Absent, durability)).await?;
    match written {
        Ok(entry) => {
            let object = super::object(&*call.kind, &entry);
            announce(call, &object).await;
            call.answer(StatusCode::CREATED, object, &warnings)
        }
        Err(Error::Exists(_)) => Err(Status::already_exists(names, &name)),
        Err(error) => Err(store_failure(error)),
    }
}

/// Makes of what somebody wrote the object that begins to exist.
pub(in crate::api) fn complete(
    kind: &dyn Resource,
    object: &mut Object,
    context: &Context,
) -> Result<(), Status> {
    metadata::complete(object, context)?;
    kind.default(object);
    kind.prepare_for_create(object, context);
    Ok(())
}

/// Tells what was decided about a new object. It is there whether that is told or not.
async fn announce(call: &Call, object: &Object) {
    let Some(mut event) = call.kind.announcement(object, &call.context) else { return };
    let Some(events) = call.api.kind("", "v1", "events") else { return };
    if let Err(status) = complete(&**events, &mut event, &call.context) {
        return tracing::debug!("an event is not told: {status}");
    }
    let key = key(&**events, event.namespace(), event.name());
    let told =
        write(&call.api, move |api| api.store().put(&key, event, Expected::Absent, Durability::Soon)).await;
    if let Ok(Err(error)) = told {
        tracing::debug!("an event is not told: {error}");
    }
}

/// The path says the namespace; the object may say it again, and nothing else.
fn place(call: &Call, object: &mut Object) -> Result<(), Status> {
    let namespace = call.target.namespace.as_str();
    if object.namespace().is_empty() {
        object.set_meta("namespace", Some(namespace.into()).filter(|_| !namespace.is_empty()));
    } else if call.kind.names().namespaced && object.namespace() != namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(())
}

/// Nothing begins in a namespace that is not there, or that goes.
fn check_namespace(call: &Call, of: &str) -> Result<(), Status> {
    if !call.kind.names().namespaced {
        return Ok(());
    }
    let name = call.target.namespace.as_str();
    let Some(namespaces) = call.api.kind("", "v1", "namespaces") else { return Ok(()) };
    let namespace = call.api.store().get(&Key::new("namespaces", "", name));
    let namespace = namespace.ok_or_else(|| Status::not_found(namespaces.names(), name))?.object();
    if namespace.deletion_timestamp().is_none() {
        return Ok(());
    }
    let why = format!("unable to create new content in namespace {name} because it is being terminated");
    let mut status = Status::forbidden(call.kind.names(), of, &why);
    status.details.causes = vec![Cause {
        reason: "NamespaceTerminating".to_owned(),
        message: format!("namespace {name} is being terminated"),
        field: "metadata.namespace".to_owned(),
    }];
    Err(status)
}
