//! What a client asks before it asks for objects: which versions, groups and kinds there are, and what can be done with each.
//!
//! Both forms are served: a document for each group and version, and the aggregated one (KEP-3352), which tells all at once.
//! Everything follows from `Resource::names`.

mod aggregated;
mod groups;
mod negotiate;
mod resources;

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::auth::reviews;
use super::metrics::names as metrics;
use super::openapi;
use super::resource::{Names, Resource};
use super::rest;
use super::status::Status;

/// The minor version of Kubernetes 1 whose API this is.
pub const KUBERNETES_MINOR: u32 = 37;

/// The kinds that are served.
type Kinds = Arc<[Arc<dyn Resource>]>;

/// Everything that is asked beside objects: discovery, schemas, versions, and who somebody is.
pub fn router<S: Clone + Send + Sync + 'static>(kinds: Vec<Arc<dyn Resource>>) -> Router<S> {
    let openapi = openapi::router(&kinds);
    Router::new()
        .route("/version", get(|| async { Json(version()) }))
        .route("/api", get(core))
        .route("/api/", get(core))
        .route("/api/v1", get(core_resources))
        .route("/api/v1/", get(core_resources))
        .route("/apis", get(all_groups))
        .route("/apis/", get(all_groups))
        .route("/apis/{group}", get(one_group))
        .route("/apis/{group}/{version}", get(group_resources))
        .with_state(Kinds::from(kinds))
        .merge(openapi)
        .merge(reviews::router())
}

/// What `kubectl version` shows: the version of Kubernetes that this API is of, and ours behind it.
pub fn version() -> Value {
    let git = format!("v1.{KUBERNETES_MINOR}.0+mkubelet.{}", env!("CARGO_PKG_VERSION"));
    // The names that Go gives to a machine.
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    json!({
        "major": "1",
        "minor": KUBERNETES_MINOR.to_string(),
        "gitVersion": git,
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{machine}", std::env::consts::OS),
    })
}

async fn core(State(kinds): State<Kinds>, headers: HeaderMap) -> Response {
    let plain = || {
        json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": host(&headers)}],
        })
    };
    negotiate::answer(
        &headers,
        |form| aggregated::list(form, names(&kinds).filter(|names| names.group.is_empty())),
        plain,
    )
}

async fn core_resources(State(kinds): State<Kinds>) -> Response {
    resources_of(&kinds, "", "v1")
}

async fn all_groups(State(kinds): State<Kinds>, headers: HeaderMap) -> Response {
    let of_groups = || names(&kinds).filter(|names| !names.group.is_empty());
    negotiate::answer(&headers, |form| aggregated::list(form, of_groups()), || groups::list(of_groups()))
}

async fn one_group(State(kinds): State<Kinds>, Path(group): Path<String>) -> Response {
    match groups::one(&group, names(&kinds)) {
        Some(document) => Json(document).into_response(),
        None => Status::no_such_path().into_response(),
    }
}

async fn group_resources(
    State(kinds): State<Kinds>,
    Path((group, version)): Path<(String, String)>,
) -> Response {
    resources_of(&kinds, &group, &version)
}

fn resources_of(kinds: &Kinds, group: &str, version: &str) -> Response {
    let of_version: Vec<&Names> =
        names(kinds).filter(|names| names.group == group && names.version == version).collect();
    match of_version.first() {
        Some(first) => Json(resources::list(&first.api_version(), &of_version)).into_response(),
        None => Status::no_such_path().into_response(),
    }
}

fn names(kinds: &Kinds) -> impl Iterator<Item = &Names> {
    kinds.iter().map(|kind| kind.names()).chain(MADE_ONLY).chain(METRICS)
}

/// What can be done with the objects of a kind.
fn verbs(names: &Names) -> &'static [&'static str] {
    match names {
        names if MADE_ONLY.contains(&names) => &["create"],
        names if METRICS.contains(&names) => &metrics::VERBS,
        _ => &VERBS,
    }
}

fn host(headers: &HeaderMap) -> String {
    headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost").to_owned()
}

/// Kinds of which no object is kept.
static MADE_ONLY: [&Names; 4] = [&reviews::WHO_AM_I, &reviews::CAN_I, &reviews::MY_RULES, &rest::BINDINGS];

/// Kinds whose objects are measured.
static METRICS: [&Names; 2] = [&metrics::NODE_METRICS, &metrics::POD_METRICS];

/// What can be done with the objects of every other kind.
const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

#[cfg(test)]
mod tests;
