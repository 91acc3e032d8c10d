//! DELETE of one object: at once, with grace, or when its finalizers are done.
//!
//! Source: `k8s.io/apiserver/pkg/registry/rest/delete.go`, `generic/registry/store.go`.

use std::sync::Arc;

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::super::body;
use super::super::object::Object;
use super::super::represent::json_response;
use super::super::resource::{DeleteOptions, Deletion, Part, Propagation, Resource};
use super::super::router::Api;
use super::super::status::{FieldError, Status};
use super::super::store::{Entry, Error, Expected, Key};
use super::{Call, durability, key, object, store_failure, write};

/// How often a deletion is tried again when others write meanwhile.
const ATTEMPTS: usize = 10;

/// What is left of an object after a delete.
pub(in crate::api) enum Deleted {
    /// It is gone; this is what it was.
    Gone(Object),
    /// It goes; this is what it is until then.
    Going(Object),
}

/// Deletes an object. What kubectl prints of it follows from the answer.
pub(in crate::api) async fn delete(call: &Call, body: Body) -> Result<Response, Status> {
    let options = options(call, body).await?;
    let names = call.kind.names();
    let key = key(&*call.kind, &call.target.namespace, &call.target.name);
    match delete_one(&call.api, &*call.kind, &key, &options).await? {
        Deleted::Gone(object) if call.kind.answers_with_deleted() => call.answer(StatusCode::OK, object, &[]),
        Deleted::Going(object) => call.answer(StatusCode::OK, object, &[]),
        Deleted::Gone(object) => {
            let mut details = json!({"name": object.name(), "kind": names.plural, "uid": object.uid()});
            if !names.group.is_empty() {
                details["group"] = names.group.into();
            }
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
            });
            Ok(json_response(StatusCode::OK, status.to_string()))
        }
    }
}

/// Deletes the object of this key, whoever else writes it meanwhile.
pub(in crate::api) async fn delete_one(
    api: &Arc<Api>,
    kind: &dyn Resource,
    key: &Key,
    options: &DeleteOptions,
) -> Result<Deleted, Status> {
    let (names, name) = (kind.names(), key.name.as_str());
    for _ in 0..ATTEMPTS {
        let entry = api.store().get(key).ok_or_else(|| Status::not_found(names, name))?;
        let old = object(kind, &entry);
        check_preconditions(kind, &old, options)?;
        if let Some(why) = kind.deletion_forbidden(name) {
            return Err(Status::forbidden(names, name, why));
        }
        let new = marked(kind, &old, options, api.context().now);
        let ends = is_over(&new);
        if options.dry_run || (!ends && new == old) {
            return Ok(if ends { Deleted::Gone(new) } else { Deleted::Going(new) });
        }
        let durability = durability(kind, Part::Whole);
        let (key, revision, new) = (key.clone(), entry.revision, kind.kept(new));
        let written = write(api, move |api| {
            if ends {
                api.store().remove(&key, new, revision, durability)
            } else {
                api.store().put(&key, new, Expected::Revision(revision), durability)
            }
        });
        match written.await? {
            Ok(entry) if ends => return Ok(Deleted::Gone(object(kind, &entry))),
            Ok(entry) => return Ok(Deleted::Going(object(kind, &entry))),
            Err(Error::Changed(_)) => {}
            Err(Error::Gone(_)) => return Err(Status::not_found(names, name)),
            Err(error) => return Err(store_failure(error)),
        }
    }
    Err(Status::stale(names, name))
}

/// Whether nothing keeps a deleted object any more: neither grace nor finalizers, among them those that a namespace has in its spec.
pub(super) fn is_over(object: &Object) -> bool {
    let has_grace = object.deletion_grace_period().is_some_and(|seconds| seconds > 0);
    let of_spec = object.at(&["spec", "finalizers"]).and_then(Value::as_array);
    let has_finalizers = object.finalizers().next().is_some() || of_spec.is_some_and(|all| !all.is_empty());
    object.deletion_timestamp().is_some() && !has_grace && !has_finalizers
}

/// The object with the marks of its deletion. A second one may only shorten its time.
fn marked(kind: &dyn Resource, old: &Object, options: &DeleteOptions, now: jiff::Timestamp) -> Object {
    let seconds = match kind.deletion(old, options) {
        Deletion::Now => 0,
        Deletion::Graceful { seconds } => seconds.max(0),
    };
    let mut new = old.clone();
    let seconds = match (old.deletion_timestamp(), old.deletion_grace_period()) {
        (Some(_), Some(left)) if seconds >= left => return new,
        _ => seconds,
    };
    let until = now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(jiff::Timestamp::MAX);
    new.set_meta_time("deletionTimestamp", until);
    new.set_meta("deletionGracePeriodSeconds", Some(seconds.into()));
    if old.deletion_timestamp().is_none()
        && let Some(finalizer) = options.propagation.and_then(Propagation::finalizer)
    {
        let others = old.finalizers().filter(|other| *other != finalizer);
        let all: Vec<Value> = others.chain([finalizer]).map(Value::from).collect();
        new.set_meta("finalizers", Some(all.into()));
    }
    if old.deletion_timestamp().is_none() && old.generation() > 0 {
        new.set_meta("generation", Some((old.generation() + 1).into()));
    }
    kind.mark_going(&mut new);
    new
}

/// Writes a change of an object, which goes if nothing keeps it any more. That somebody else was faster is no failure: their write is a
/// reason to look again.
pub(in crate::api) async fn settle(
    api: &Arc<Api>,
    kind: &dyn Resource,
    entry: &Entry,
    new: Object,
) -> Result<(), Status> {
    let (key, revision, ends) = (entry.key.clone(), entry.revision, is_over(&new));
    let durability = durability(kind, Part::Whole);
    let written = write(api, move |api| {
        if ends {
            api.store().remove(&key, new, revision, durability)
        } else {
            api.store().put(&key, new, Expected::Revision(revision), durability)
        }
    });
    match written.await? {
        Ok(_) | Err(Error::Changed(_) | Error::Gone(_)) => Ok(()),
        Err(error) => Err(store_failure(error)),
    }
}

fn propagation(text: &str) -> Result<Option<Propagation>, Status> {
    match (text, Propagation::parse(text)) {
        ("", _) => Ok(None),
        (_, Some(known)) => Ok(Some(known)),
        _ => {
            let known = ["Foreground", "Background", "Orphan", "nil"];
            let error = FieldError::not_supported("propagationPolicy", text, &known);
            Err(Status::plain(422, "Invalid", format!("DeleteOptions.meta.k8s.io \"\" is invalid: {error}")))
        }
    }
}

fn check_preconditions(kind: &dyn Resource, object: &Object, options: &DeleteOptions) -> Result<(), Status> {
    let failed = |what: &str, wanted: &str, found: &str| {
        let why =
            format!("Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}");
        Err(Status::conflict(kind.names(), object.name(), why))
    };
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != object.uid()) {
        return failed("UID", uid, object.uid());
    }
    let version = options.resource_version.as_deref();
    if let Some(version) = version.filter(|version| *version != object.resource_version()) {
        return failed("ResourceVersion", version, object.resource_version());
    }
    Ok(())
}

/// What the body says, and where there is none the query.
pub(super) async fn options(call: &Call, body: Body) -> Result<DeleteOptions, Status> {
    let bytes = body::read(body).await?;
    let mut options = DeleteOptions { dry_run: call.dry_run()?, ..DeleteOptions::default() };
    options.grace_period_seconds = call.parameters.number("gracePeriodSeconds")?;
    options.propagation = propagation(call.parameters.text("propagationPolicy"))?;
    if !bytes.is_empty() {
        let value = body::parse(&call.headers, &bytes)?.value;
        read(&value, &mut options)?;
    }
    // A negative time is a second, as the API server has it.
    options.grace_period_seconds =
        options.grace_period_seconds.map(|seconds| if seconds < 0 { 1 } else { seconds });
    Ok(options)
}

/// What `DeleteOptions` say.
pub(super) fn read(value: &Value, options: &mut DeleteOptions) -> Result<(), Status> {
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or("DeleteOptions");
    if !value.is_object() || kind != "DeleteOptions" {
        return Err(Status::bad_request(format!(
            "{kind} in version \"v1\" cannot be handled as a DeleteOptions"
        )));
    }
    if let Some(seconds) = value.get("gracePeriodSeconds").filter(|seconds| !seconds.is_null()) {
        let seconds = seconds.as_i64().ok_or_else(|| {
            Status::bad_request("gracePeriodSeconds: json: cannot unmarshal into Go value of type int64")
        })?;
        options.grace_period_seconds = Some(seconds);
    }
    let precondition = |name: &str| {
        Some(value.get("preconditions")?.get(name)?.as_str()?.to_owned()).filter(|text| !text.is_empty())
    };
    if let Some(policy) = value.get("propagationPolicy").and_then(Value::as_str) {
        options.propagation = propagation(policy)?;
    }
    options.uid = precondition("uid");
    options.resource_version = precondition("resourceVersion");
    let dry_run = value.get("dryRun").and_then(Value::as_array);
    options.dry_run |= dry_run.is_some_and(|values| values.iter().any(|value| value == "All"));
    Ok(())
}
