//! What is measured is told of the nodes and pods that the API has, and of no others.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use futures::FutureExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::api::Api;
use crate::api::object::Object;
use crate::api::store::{Durability, Expected, Key, Store};
use crate::pod::sysctl::Allowed;

/// Always finds the same.
struct Fixed;

impl Meter for Fixed {
    fn measure(&self) -> BoxFuture<'_, Result<Arc<Measured>, String>> {
        let used = |nanocores, mebibytes: u64| Usage { nanocores, working_set: mebibytes << 20 };
        let containers = vec![("a".to_owned(), used(250_000_000, 5)), ("b".to_owned(), used(1, 0))];
        let measured = Measured {
            at: "2026-01-02T03:04:05Z".parse().unwrap(),
            window: Duration::from_millis(1001),
            node: used(1_500_000_000, 700),
            pods: [("n", "web"), ("m", "web"), ("n", "gone")]
                .map(|(namespace, name)| ((namespace.to_owned(), name.to_owned()), containers.clone()))
                .into(),
        };
        async { Ok(Arc::new(measured)) }.boxed()
    }
}

fn api(directory: &tempfile::TempDir) -> Api {
    let (store, _) = Store::open(directory.path()).unwrap();
    for (resource, namespace, name, tier) in [
        ("nodes", "", "node", "x"),
        ("nodes", "", "other", "x"),
        ("pods", "n", "web", "front"),
        ("pods", "m", "web", "back"),
        ("pods", "n", "idle", "front"),
    ] {
        let mut object = Object::new("v1", if resource == "pods" { "Pod" } else { "Node" });
        object.set_meta("name", Some(name.into()));
        object.set_meta("namespace", Some(namespace.into()).filter(|_| !namespace.is_empty()));
        object.set_meta("labels", Some(json!({"tier": tier})));
        store.put(&Key::new(resource, namespace, name), object, Expected::Absent, Durability::Soon).unwrap();
    }
    Api::new(Arc::new(store), "node", &Allowed::default()).unwrap()
}

async fn ask(router: &Router, path: &str) -> (u16, Value) {
    let request = Request::get(format!("/apis/metrics.k8s.io/v1beta1{path}")).body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let code = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (code, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn documents_are_those_of_the_metrics_api() {
    let directory = tempfile::tempdir().unwrap();
    let router = Arc::new(api(&directory).with_meter(Arc::new(Fixed))).into_router();
    let (code, document) = ask(&router, "/namespaces/n/pods/web").await;
    assert_eq!(code, 200);
    assert_eq!(
        document,
        json!({
            "kind": "PodMetrics", "apiVersion": "metrics.k8s.io/v1beta1",
            "metadata": {
                "name": "web", "namespace": "n", "labels": {"tier": "front"},
                "creationTimestamp": "2026-01-02T03:04:05Z",
            },
            "timestamp": "2026-01-02T03:04:05Z",
            "window": "1.001s",
            "containers": [
                {"name": "a", "usage": {"cpu": "250000000n", "memory": "5120Ki"}},
                {"name": "b", "usage": {"cpu": "1n", "memory": "0Ki"}},
            ],
        })
    );
    let (_, list) = ask(&router, "/nodes").await;
    assert_eq!(list["kind"], "NodeMetricsList");
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "of another node nobody knows");
    assert_eq!(list["items"][0]["usage"], json!({"cpu": "1500000000n", "memory": "716800Ki"}));
    let (_, one) = ask(&router, "/nodes/node").await;
    assert_eq!(one, list["items"][0]);
}

#[tokio::test]
async fn pods_are_listed_by_namespace_and_labels_and_those_of_which_nothing_runs_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let router = Arc::new(api(&directory).with_meter(Arc::new(Fixed))).into_router();
    for (path, expected) in [
        ("/pods", vec!["m/web", "n/web"]),
        ("/namespaces/n/pods", vec!["n/web"]),
        ("/pods?labelSelector=tier%3Dback", vec!["m/web"]),
        ("/pods?fieldSelector=metadata.name%3Didle", vec![]),
        ("/namespaces/none/pods", vec![]),
    ] {
        let (code, list) = ask(&router, path).await;
        let name = |item: &Value| {
            let text = |field: &str| item["metadata"][field].as_str().unwrap().to_owned();
            format!("{}/{}", text("namespace"), text("name"))
        };
        let found: Vec<String> = list["items"].as_array().unwrap().iter().map(name).collect();
        assert_eq!((code, found), (200, expected.into_iter().map(str::to_owned).collect()), "{path}");
    }
}

#[tokio::test]
async fn what_is_not_there_or_not_measured_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let router = Arc::new(api(&directory).with_meter(Arc::new(Fixed))).into_router();
    for (path, code, message) in [
        ("/namespaces/n/pods/none", 404, "podmetrics.metrics.k8s.io \"n/none\" not found"),
        ("/namespaces/n/pods/idle", 404, "podmetrics.metrics.k8s.io \"n/idle\" not found"),
        ("/nodes/other", 404, "nodemetrics.metrics.k8s.io \"other\" not found"),
        ("/pods?labelSelector=a%3D%3D%3D", 400, "unable to parse requirement"),
    ] {
        let (found, status) = ask(&router, path).await;
        assert_eq!(found, code, "{path}: {status}");
        assert!(status["message"].as_str().unwrap().starts_with(message), "{status}");
    }
    let directory = tempfile::tempdir().unwrap();
    let unmeasured = Arc::new(api(&directory)).into_router();
    assert_eq!(ask(&unmeasured, "/pods").await.0, 503);
}
