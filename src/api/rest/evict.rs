//! POST of an Eviction: a delete that asks first. No budget can refuse it here, since nothing else would take the pod in.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::super::body;
use super::super::represent::json_response;
use super::super::resource::DeleteOptions;
use super::super::status::Status;
use super::delete::{delete_one, read};
use super::{Call, key};

/// Deletes an object as its eviction's `deleteOptions` say.
pub(in crate::api) async fn evict(call: &Call, body: Body) -> Result<Response, Status> {
    let bytes = body::read(body).await?;
    let eviction = body::parse(&call.headers, &bytes)?.value;
    let name = call.target.name.as_str();
    match eviction["metadata"]["name"].as_str() {
        Some(given) if given != name && !given.is_empty() => {
            return Err(Status::bad_request(format!(
                "name in URL does not match name in Eviction object: {name}, {given}"
            )));
        }
        _ => {}
    }
    let mut options = DeleteOptions { dry_run: call.dry_run()?, ..DeleteOptions::default() };
    match &eviction["deleteOptions"] {
        given if given.is_null() => {}
        given => read(given, &mut options)?,
    }
    delete_one(&call.api, &*call.kind, &key(&*call.kind, &call.target.namespace, name), &options).await?;
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201,
    });
    Ok(json_response(StatusCode::CREATED, status.to_string()))
}
