//! The group among the API's paths.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::Value;

use super::names::{NODE_METRICS, POD_METRICS};
use super::{Measured, document};
use crate::api::object::Object;
use crate::api::request::Parameters;
use crate::api::resource::Names;
use crate::api::router::Api;
use crate::api::selector::Filter;
use crate::api::status::Status;
use crate::api::store::Key;

type Answer = Result<Json<Value>, Status>;

/// Get and list, of nodes and of pods.
pub fn router() -> Router<Arc<Api>> {
    Router::new()
        .route("/apis/metrics.k8s.io/v1beta1/nodes", get(nodes))
        .route("/apis/metrics.k8s.io/v1beta1/nodes/{name}", get(node))
        .route("/apis/metrics.k8s.io/v1beta1/pods", get(all_pods))
        .route("/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods", get(pods))
        .route("/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods/{name}", get(pod))
}

async fn nodes(State(api): State<Arc<Api>>, RawQuery(query): RawQuery) -> Answer {
    let own = api.context().node_name;
    let chosen = chosen(&api, "nodes", None, query.as_deref())?;
    let measured = measure(&api).await?;
    let items = chosen.iter().filter(|node| node.name() == own).map(|node| document::node(node, &measured));
    Ok(Json(document::list(&NODE_METRICS, items.collect())))
}

async fn node(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Answer {
    let not_found = || Status::not_found(&NODE_METRICS_BY_KIND, &name);
    let node = api.store().get(&Key::new("nodes", "", &name)).filter(|_| api.context().node_name == name);
    let node = node.ok_or_else(not_found)?.object();
    Ok(Json(document::node(&node, &*measure(&api).await?)))
}

async fn all_pods(State(api): State<Arc<Api>>, RawQuery(query): RawQuery) -> Answer {
    pods_of(&api, None, query.as_deref()).await
}

async fn pods(
    State(api): State<Arc<Api>>,
    Path(namespace): Path<String>,
    RawQuery(query): RawQuery,
) -> Answer {
    pods_of(&api, Some(&namespace), query.as_deref()).await
}

async fn pods_of(api: &Api, namespace: Option<&str>, query: Option<&str>) -> Answer {
    let chosen = chosen(api, "pods", namespace, query)?;
    let measured = measure(api).await?;
    let items = chosen.iter().filter_map(|pod| document::pod(pod, &measured));
    Ok(Json(document::list(&POD_METRICS, items.collect())))
}

async fn pod(State(api): State<Arc<Api>>, Path((namespace, name)): Path<(String, String)>) -> Answer {
    let not_found = || Status::not_found(&POD_METRICS_BY_KIND, &format!("{namespace}/{name}"));
    let pod = api.store().get(&Key::new("pods", &namespace, &name)).ok_or_else(not_found)?.object();
    document::pod(&pod, &*measure(api.as_ref()).await?).map(Json).ok_or_else(not_found)
}

/// What metrics-server's messages call them.
const NODE_METRICS_BY_KIND: Names = Names { plural: "nodemetrics", ..NODE_METRICS };
const POD_METRICS_BY_KIND: Names = Names { plural: "podmetrics", ..POD_METRICS };

/// The nodes or pods that the selectors of a request let through.
fn chosen(
    api: &Api,
    plural: &str,
    namespace: Option<&str>,
    query: Option<&str>,
) -> Result<Vec<Object>, Status> {
    let uri = format!("/?{}", query.unwrap_or_default());
    let uri = uri.parse().map_err(|error| Status::bad_request(format!("{error}")))?;
    let parameters = Parameters::of(&uri)?;
    let kind = api.kind("", "v1", plural).ok_or_else(Status::no_such_path)?;
    let filter = Filter::of(&parameters, &**kind)?;
    let entries = api.store().list(plural, namespace).entries;
    let objects = entries.iter().map(|entry| entry.object());
    Ok(objects.filter(|object| filter.matches(&**kind, object)).collect())
}

async fn measure(api: &Api) -> Result<Arc<Measured>, Status> {
    let meter = api.meter().ok_or_else(|| Status::unavailable("nobody measures here"))?;
    meter.measure().await.map_err(Status::internal)
}
