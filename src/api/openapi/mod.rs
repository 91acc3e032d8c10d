//! OpenAPI: from it kubectl knows what fields there are (`explain`), that the server checks them (`fieldValidation`), and how lists are
//! merged (`apply`).
//!
//! A document is made when it is asked for and kept by nobody: its schemas are a quarter of a megabyte, and compressed within the
//! program. Only its hash is kept, by which clients cache it.

mod paths;
mod schemas;
mod v2;

use std::fmt::Write;
use std::sync::{Arc, OnceLock};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::discovery::version;
use super::resource::{Names, Resource};
use super::status::Status;

/// A group and version with the names of its kinds.
struct Group {
    /// `api/v1` or `apis/GROUP/VERSION`.
    path: String,
    names: Vec<Names>,
    hash: OnceLock<String>,
}

type Groups = Arc<[Group]>;

/// The routes of both versions of OpenAPI.
pub fn router<S: Clone + Send + Sync + 'static>(kinds: &[Arc<dyn Resource>]) -> Router<S> {
    let mut groups: Vec<Group> = Vec::new();
    for names in kinds.iter().map(|kind| kind.names()) {
        let path = paths::root(names);
        match groups.iter_mut().find(|group| group.path == path) {
            Some(group) => group.names.push(names.clone()),
            None => groups.push(Group { path, names: vec![names.clone()], hash: OnceLock::new() }),
        }
    }
    Router::new()
        .route("/openapi/v2", get(v2))
        .route("/openapi/v3", get(index))
        .route("/openapi/v3/{*path}", get(v3))
        .with_state(Groups::from(groups))
}

async fn index(State(groups): State<Groups>) -> Json<Value> {
    let paths: Map<String, Value> = groups
        .iter()
        .map(|group| {
            let hash = group.hash.get_or_init(|| hash(&group.document()));
            let url = format!("/openapi/v3/{}?hash={hash}", group.path);
            (group.path.clone(), json!({ "serverRelativeURL": url }))
        })
        .collect();
    Json(json!({ "paths": paths }))
}

async fn v3(State(groups): State<Groups>, Path(path): Path<String>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("*/*");
    let takes_json = accept.split(',').any(|range| {
        matches!(range.split(';').next().map(str::trim), Some("application/json" | "application/*" | "*/*"))
    });
    if !takes_json {
        return Status::not_acceptable(&["application/json"]).into_response();
    }
    match groups.iter().find(|group| group.path == path) {
        Some(group) => {
            let mut response = Json(group.document()).into_response();
            // Another document has another hash, and so another address.
            let forever = HeaderValue::from_static("public, immutable, max-age=31536000");
            response.headers_mut().insert(header::CACHE_CONTROL, forever);
            response
        }
        None => Status::no_such_path().into_response(),
    }
}

/// What kubectl before 1.27 asks for. It takes protobuf alone, and asks for it by a name with an `@`, which is none by RFC 6838: newer clients of Go
/// do not understand an answer of that name, so every answer has the name of today.
async fn v2(State(groups): State<Groups>, headers: HeaderMap) -> Response {
    const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
    const ASKED_ONCE: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if [PROTOBUF, ASKED_ONCE].iter().any(|name| accept.contains(name)) {
        let names: Vec<&Names> = groups.iter().flat_map(|group| &group.names).collect();
        return ([(header::CONTENT_TYPE, PROTOBUF)], v2::document(&names)).into_response();
    }
    Json(json!({"swagger": "2.0", "info": info(), "paths": {}})).into_response()
}

impl Group {
    fn document(&self) -> Value {
        json!({
            "openapi": "3.0.0",
            "info": info(),
            "paths": paths::of(&self.names),
            "components": {"schemas": schemas::of(&self.names)},
        })
    }
}

fn info() -> Value {
    json!({"title": "Kubernetes", "version": version()["gitVersion"]})
}

fn hash(document: &Value) -> String {
    Sha256::digest(document.to_string()).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}

#[cfg(test)]
mod tests;
