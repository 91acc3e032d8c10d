//! Custom resources: there are none. kubectl asks for their definitions before it tells a user that a kind is unknown.

use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

/// The route of the empty list. It is not discovered, since nothing can be defined here.
pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", get(none))
}

async fn none() -> Json<Value> {
    Json(json!({
        "kind": "CustomResourceDefinitionList",
        "apiVersion": "apiextensions.k8s.io/v1",
        "metadata": {"resourceVersion": ""},
        "items": [],
    }))
}
