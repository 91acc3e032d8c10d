//! The paths, with a kubelet that says always the same.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::Request;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use super::requests::Answered;
use super::*;
use crate::api::Api;
use crate::api::store::Store;
use crate::pod::sysctl::Allowed;

/// Its loop does not answer, and everything else does.
#[derive(Default)]
struct Fake(Mutex<Vec<String>>);

impl Kubelet for Fake {
    fn health(&self) -> BoxFuture<'_, Vec<Check>> {
        async { vec![Check { name: "syncloop", problem: Some("no answer".into()) }] }.boxed()
    }

    fn configuration(&self) -> Value {
        json!({"maxPods": 7})
    }

    fn summary(&self) -> BoxFuture<'_, Result<Value, String>> {
        async { Ok(json!({"node": {}, "pods": []})) }.boxed()
    }

    fn metrics(&self, page: Page) -> BoxFuture<'_, Result<String, String>> {
        async move {
            match page {
                Page::Cadvisor => Err("the counters are gone".to_owned()),
                page => Ok(format!("{page:?}\n")),
            }
        }
        .boxed()
    }

    fn answered(&self, answer: Answered<'_>) {
        let Answered { verb, resource, subresource, scope, code, .. } = answer;
        self.0.lock().unwrap().push(format!("{verb} {resource}/{subresource} {scope} {code}"));
    }
}

fn api(directory: &TempDir) -> Api {
    let (store, _) = Store::open(&directory.path().join("store")).unwrap();
    Api::new(Arc::new(store), "here", &Allowed::default()).unwrap()
}

async fn ask(api: &Arc<Api>, path: &str) -> (u16, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = Arc::clone(api).into_router().oneshot(request).await.unwrap();
    let code = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (code, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_part_that_fails_is_named_and_fails_the_whole() {
    let directory = tempfile::tempdir().unwrap();
    let healthy = Arc::new(api(&directory));
    assert_eq!(ask(&healthy, "/healthz").await, (200, "ok".to_owned()));
    assert_eq!(ask(&healthy, "/readyz?verbose").await, (200, "[+]ping ok\nreadyz check passed\n".to_owned()));
    drop(healthy);
    let sick = Arc::new(api(&directory).with_kubelet(Arc::new(Fake::default())));
    let told = "[+]ping ok\n[-]syncloop failed: no answer\nhealthz check failed\n".to_owned();
    assert_eq!(ask(&sick, "/healthz").await, (500, told));
    assert_eq!(ask(&sick, "/healthz/ping").await, (200, "ok".to_owned()));
    assert_eq!(ask(&sick, "/livez?exclude=syncloop").await, (200, "ok".to_owned()));
    assert_eq!(ask(&sick, "/livez/syncloop").await.0, 500);
    assert_eq!(ask(&sick, "/livez/etcd").await.0, 404);
}

#[tokio::test]
async fn a_kubelets_paths_are_served_and_once_more_below_its_nodes_proxy() {
    let directory = tempfile::tempdir().unwrap();
    let api = Arc::new(api(&directory).with_kubelet(Arc::new(Fake::default())));
    for (path, expected) in [
        ("/configz", r#"{"kubeletconfig":{"maxPods":7}}"#),
        ("/stats/summary", r#"{"node":{},"pods":[]}"#),
        ("/metrics", "Agent\n"),
        ("/metrics/resource", "Resource\n"),
        ("/metrics/probes", "Probes\n"),
        ("/healthz?exclude=syncloop", "ok"),
    ] {
        assert_eq!(ask(&api, path).await, (200, expected.to_owned()), "{path}");
        let proxied = format!("/api/v1/nodes/here/proxy{path}");
        assert_eq!(ask(&api, &proxied).await, (200, expected.to_owned()), "{proxied}");
    }
    let (code, list) = ask(&api, "/api/v1/nodes/here/proxy/pods").await;
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!((code, &list["kind"]), (200, &json!("PodList")));
    let (code, status) = ask(&api, "/metrics/cadvisor").await;
    assert!(code == 500 && status.contains("the counters are gone"), "{status}");
    let (code, status) = ask(&api, "/api/v1/nodes/there/proxy/metrics").await;
    assert!(code == 404 && status.contains(r#"nodes \"there\" not found"#), "{status}");
    for path in ["", "/", "/api/v1/pods", "/api/v1/nodes/here/proxy/metrics", "/nothing"] {
        let path = format!("/api/v1/nodes/here/proxy{path}");
        assert_eq!(ask(&api, &path).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn without_a_kubelet_there_is_nothing_to_tell() {
    let directory = tempfile::tempdir().unwrap();
    let api = Arc::new(api(&directory));
    for path in ["/configz", "/stats/summary", "/metrics"] {
        assert_eq!(ask(&api, path).await.0, 503, "{path}");
    }
}

#[tokio::test]
async fn requests_for_objects_are_counted_and_made_up_names_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let fake = Arc::new(Fake::default());
    let api = Arc::new(api(&directory).with_kubelet(Arc::clone(&fake) as Arc<dyn Kubelet>));
    for path in [
        "/api/v1/pods",
        "/api/v1/namespaces/default/pods/none",
        "/api/v1/namespaces/default/pods?watch=true&timeoutSeconds=1",
        "/api/v1/namespaces/default/pods/none/log",
        "/api/v1/madeup",
        "/api/v1/namespaces/default/pods/none/madeup",
        "/configz",
    ] {
        ask(&api, path).await;
    }
    let expected = [
        "LIST pods/ cluster 200",
        "GET pods/ resource 404",
        "WATCH pods/ namespace 200",
        "GET pods/log resource 503",
    ];
    assert_eq!(*fake.0.lock().unwrap(), expected);
}
