//! DELETE of many objects.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::represent::{ListMeta, json_response};
use super::super::selector::Filter;
use super::super::status::Status;
use super::delete::{self, delete_one};
use super::{Call, object};

/// Deletes what the selectors let through, one after another, and answers with what it was. What somebody else deletes meanwhile is
/// no failure.
pub(in crate::api) async fn delete_collection(call: &Call, body: Body) -> Result<Response, Status> {
    let options = delete::options(call, body).await?;
    let shape = call.shape()?;
    let filter = Filter::of(&call.parameters, &*call.kind)?;
    let namespace = Some(call.target.namespace.as_str()).filter(|namespace| !namespace.is_empty());
    let listing = call.api.store().list(&call.kind.stored_as().resource(), namespace);
    let mut deleted = Vec::new();
    for entry in &listing.entries {
        let object = object(&*call.kind, entry);
        if !filter.matches(&*call.kind, &object) {
            continue;
        }
        match delete_one(&call.api, &*call.kind, &entry.key, &options).await {
            Err(status) if status.code == 404 => {}
            Err(status) => return Err(status),
            Ok(_) => deleted.push(object),
        }
    }
    let meta = ListMeta { revision: listing.revision, ..ListMeta::default() };
    let value = shape.list(&*call.kind, deleted.into_iter(), &meta, call.context.now);
    Ok(json_response(StatusCode::OK, value.to_string()))
}
