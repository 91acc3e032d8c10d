//! What kubectl learns before its first request.

use axum::body::Body;
use axum::http::Request;
use tower::ServiceExt;

use super::*;
use crate::api::kinds;

async fn asked(path: &str, accept: &str) -> (u16, String, Value) {
    let request = Request::get(path).header(header::ACCEPT, accept).body(Body::empty()).unwrap();
    let response = router(kinds::all(&Default::default())).oneshot(request).await.unwrap();
    let kind = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
    let code = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (code, kind, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

#[tokio::test]
async fn the_core_group_lists_every_kind_and_its_subresources() {
    let (code, _, document) = asked("/api/v1", "application/json").await;
    assert_eq!((code, &document["groupVersion"]), (200, &json!("v1")));
    let resources = document["resources"].as_array().unwrap();
    let names: Vec<&str> = resources.iter().map(|resource| resource["name"].as_str().unwrap()).collect();
    for name in ["configmaps", "events", "namespaces", "nodes", "pods", "pods/log", "pods/exec", "secrets"] {
        assert!(names.contains(&name), "{names:?} lacks {name}");
    }
    let of = |name: &str| resources.iter().find(|resource| resource["name"] == name).unwrap();
    assert_eq!(of("pods")["shortNames"], json!(["po"]));
    assert_eq!(
        *of("pods/eviction"),
        json!({
            "name": "pods/eviction", "singularName": "", "namespaced": true, "group": "policy", "version": "v1",
            "kind": "Eviction", "verbs": ["create"],
        })
    );
}

#[tokio::test]
async fn the_aggregated_document_says_the_same_at_once() {
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let (code, kind, document) = asked("/api", accept).await;
    assert_eq!(
        (code, kind.as_str()),
        (200, "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
    );
    assert_eq!(document["apiVersion"], "apidiscovery.k8s.io/v2");
    let version = &document["items"][0]["versions"][0];
    assert_eq!((&document["items"][0]["metadata"]["name"], &version["version"]), (&json!(""), &json!("v1")));
    let resources = version["resources"].as_array().unwrap();
    let pods = resources.iter().find(|resource| resource["resource"] == "pods").unwrap();
    assert_eq!(pods["responseKind"], json!({"group": "", "version": "v1", "kind": "Pod"}));
    assert_eq!(pods["scope"], "Namespaced");
    let exec =
        pods["subresources"].as_array().unwrap().iter().find(|one| one["subresource"] == "exec").unwrap();
    assert_eq!(exec["responseKind"]["kind"], "PodExecOptions");
    let (_, _, groups) = asked("/apis", accept).await;
    assert_eq!(groups["kind"], "APIGroupDiscoveryList");
}

#[tokio::test]
async fn old_clients_get_a_document_for_each_version() {
    let (_, _, document) = asked("/api", "application/json").await;
    assert_eq!((&document["kind"], &document["versions"]), (&json!("APIVersions"), &json!(["v1"])));
    let (_, _, document) = asked("/apis", "application/json, */*").await;
    assert_eq!(document["kind"], "APIGroupList");
}

#[tokio::test]
async fn metrics_are_read_and_never_written() {
    let (code, _, document) = asked("/apis/metrics.k8s.io/v1beta1", "application/json").await;
    assert_eq!(code, 200);
    for (index, (name, kind, namespaced)) in
        [("nodes", "NodeMetrics", false), ("pods", "PodMetrics", true)].into_iter().enumerate()
    {
        let expected = json!({
            "name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": ["get", "list"],
        });
        assert_eq!(document["resources"][index], expected);
    }
}

#[tokio::test]
async fn groups_and_versions_that_are_not_served_are_not_found() {
    for path in ["/apis/apps", "/apis/apps/v1"] {
        let (code, _, status) = asked(path, "application/json").await;
        assert_eq!((code, &status["reason"]), (404, &json!("NotFound")), "{path}");
    }
}

#[test]
fn groups_keep_their_kinds_together() {
    let names = |group, version, kind| Names {
        group,
        version,
        plural: "",
        singular: "",
        kind,
        short_names: &[],
        categories: &[],
        namespaced: true,
        subresources: &[],
    };
    let all = [names("apps", "v1", "A"), names("batch", "v1", "B"), names("apps", "v1", "C")];
    let list = groups::list(all.iter());
    assert_eq!(list["groups"][0]["preferredVersion"], json!({"groupVersion": "apps/v1", "version": "v1"}));
    assert_eq!(list["groups"].as_array().unwrap().len(), 2);
    assert_eq!(groups::one("batch", all.iter()).unwrap()["kind"], "APIGroup");
    assert_eq!(groups::one("", all.iter()), None);
    let aggregated = aggregated::list(negotiate::Form::V2, all.iter());
    assert_eq!(aggregated["items"][0]["versions"][0]["resources"].as_array().unwrap().len(), 2);
}
