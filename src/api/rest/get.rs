//! GET of one object.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;

use super::super::represent::{Shape, json_response};
use super::super::request::Target;
use super::super::resource::Resource;
use super::super::router::Api;
use super::super::status::Status;
use super::super::store::Entry;
use super::{Call, key, object};

/// The object; a subresource that is part of it is read as the whole.
pub(in crate::api) fn get(call: &Call) -> Result<Response, Status> {
    let shape = call.shape()?;
    let entry = find(&call.api, &*call.kind, &call.target)?;
    match shape {
        // It is kept as it is sent.
        Shape::Whole if call.kind.stored_as() == call.kind.names() => {
            Ok(json_response(StatusCode::OK, entry.json.clone()))
        }
        _ => call.answer(StatusCode::OK, object(&*call.kind, &entry), &[]),
    }
}

/// The object that a path names.
pub(in crate::api) fn find(api: &Api, kind: &dyn Resource, target: &Target) -> Result<Arc<Entry>, Status> {
    let found = api.store().get(&key(kind, &target.namespace, &target.name));
    found.ok_or_else(|| Status::not_found(kind.names(), &target.name))
}
