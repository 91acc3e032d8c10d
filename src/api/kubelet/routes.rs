//! The paths, and which of them a node's proxy has.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{Uri, header, uri::PathAndQuery};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tower::ServiceExt;

use super::{Check, Kubelet, Page, health};
use crate::api::request::Parameters;
use crate::api::router::{self, Api};
use crate::api::status::Status;

/// The version of the exposition format.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything, with the same once more below `/api/v1/nodes/NAME/proxy`.
pub fn router() -> Router<Arc<Api>> {
    let root = |api, Path(name), request| proxy(api, Path((name, String::new())), request);
    paths()
        .route("/api/v1/nodes/{name}/proxy", get(root))
        .route("/api/v1/nodes/{name}/proxy/", get(root))
        .route("/api/v1/nodes/{name}/proxy/{*path}", get(proxy))
}

fn paths() -> Router<Arc<Api>> {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/healthz/{part}", get(part))
        .route("/livez/{part}", get(part))
        .route("/readyz/{part}", get(part))
        .route("/configz", get(configz))
        .route("/stats/summary", get(summary))
        .route("/metrics", get(|state| metrics(state, Page::Agent)))
        .route("/metrics/resource", get(|state| metrics(state, Page::Resource)))
        .route("/metrics/cadvisor", get(|state| metrics(state, Page::Cadvisor)))
        .route("/metrics/probes", get(|state| metrics(state, Page::Probes)))
        .route("/pods", get(pods))
}

async fn healthz(api: State<Arc<Api>>, query: RawQuery) -> Response {
    whole("healthz", api, query).await
}

async fn livez(api: State<Arc<Api>>, query: RawQuery) -> Response {
    whole("livez", api, query).await
}

async fn readyz(api: State<Arc<Api>>, query: RawQuery) -> Response {
    whole("readyz", api, query).await
}

async fn whole(name: &str, State(api): State<Arc<Api>>, RawQuery(query): RawQuery) -> Response {
    let mut checks = checks(&api).await;
    let asked = query.unwrap_or_default();
    let asked = Uri::builder().path_and_query(format!("/?{asked}")).build().unwrap_or_default();
    let parameters = Parameters::of(&asked).unwrap_or_default();
    checks.retain(|check| !parameters.all("exclude").any(|name| name == check.name));
    let is_verbose = parameters.all("verbose").next().is_some();
    health::answer(name, &checks, is_verbose)
}

async fn part(State(api): State<Arc<Api>>, Path(part): Path<String>) -> Response {
    match checks(&api).await.into_iter().find(|check| check.name == part) {
        Some(check) => health::answer(&part, &[check], false),
        None => Status::no_such_path().into_response(),
    }
}

async fn checks(api: &Api) -> Vec<Check> {
    let own = match api.kubelet() {
        Some(kubelet) => kubelet.health().await,
        None => Vec::new(),
    };
    [Check::PING].into_iter().chain(own).collect()
}

async fn configz(State(api): State<Arc<Api>>) -> Result<Response, Status> {
    Ok(Json(json!({"kubeletconfig": kubelet(&api)?.configuration()})).into_response())
}

async fn summary(State(api): State<Arc<Api>>) -> Result<Response, Status> {
    let summary = kubelet(&api)?.summary().await.map_err(Status::internal)?;
    Ok(Json(summary).into_response())
}

async fn metrics(State(api): State<Arc<Api>>, page: Page) -> Result<Response, Status> {
    let text = kubelet(&api)?.metrics(page).await.map_err(Status::internal)?;
    Ok(([(header::CONTENT_TYPE, EXPOSITION)], text).into_response())
}

/// All pods of this API are this node's.
async fn pods(State(api): State<Arc<Api>>, mut request: Request) -> Response {
    *request.uri_mut() = Uri::from_static("/api/v1/pods");
    router::serve(State(api), request).await
}

/// A path of the kubelet of a node, which is this one.
async fn proxy(
    State(api): State<Arc<Api>>,
    Path((name, path)): Path<(String, String)>,
    mut request: Request,
) -> Result<Response, Status> {
    if name != api.context().node_name {
        return Err(match api.kind("", "v1", "nodes") {
            Some(kind) => Status::not_found(kind.names(), &name),
            None => Status::no_such_path(),
        });
    }
    let query = request.uri().query().map_or_else(String::new, |query| format!("?{query}"));
    let address: PathAndQuery =
        format!("/{path}{query}").parse().map_err(|error| Status::bad_request(format!("{error}")))?;
    *request.uri_mut() = Uri::from(address);
    // It has no proxy of its own: a path does not lead in a circle.
    let paths = paths().fallback(|| async { Status::no_such_path() }).with_state(api);
    Ok(paths.oneshot(request).await.into_response())
}

fn kubelet(api: &Api) -> Result<&Arc<dyn Kubelet>, Status> {
    api.kubelet().ok_or_else(|| Status::unavailable("there is no kubelet behind this API"))
}
