//! What kubectl finds in the documents.

use axum::body::Body;
use axum::http::Request;
use tower::ServiceExt;

use super::*;
use crate::api::kinds;

async fn asked(path: &str, accept: &str) -> (u16, Vec<u8>) {
    let request = Request::get(path).header(header::ACCEPT, accept).body(Body::empty()).unwrap();
    let response = router::<()>(&kinds::all(&Default::default())).oneshot(request).await.unwrap();
    let code = response.status().as_u16();
    (code, axum::body::to_bytes(response.into_body(), 8 << 20).await.unwrap().to_vec())
}

async fn document() -> Value {
    document_of("api/v1").await
}

async fn document_of(path: &str) -> Value {
    let (code, body) = asked(&format!("/openapi/v3/{path}"), "application/json").await;
    assert_eq!(code, 200);
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test]
async fn every_kind_has_a_schema_with_its_name() {
    for kind in kinds::all(&Default::default()) {
        let names = kind.names();
        let document = document_of(&paths::root(names)).await;
        let schema = &document["components"]["schemas"][schemas::name(names).unwrap()];
        let known = &schema["x-kubernetes-group-version-kind"][0];
        assert_eq!((&known["kind"], &known["version"]), (&json!(names.kind), &json!(names.version)));
        assert!(schema["properties"]["metadata"].is_object(), "{}", names.kind);
    }
}

#[tokio::test]
async fn the_server_says_that_it_checks_fields_and_can_run_dry() {
    let document = document().await;
    let patch = &document["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"];
    assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Pod");
    let parameters: Vec<&str> =
        patch["parameters"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert!(parameters.contains(&"fieldValidation") && parameters.contains(&"dryRun"), "{parameters:?}");
}

#[tokio::test]
async fn every_list_that_is_merged_is_marked() {
    let document = document().await;
    let marks = document.to_string().matches("\"x-kubernetes-patch-strategy\"").count();
    assert_eq!(marks, 24, "each row of the table names a field that is there");
    let containers =
        &document["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
    assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
}

#[tokio::test]
async fn every_reference_leads_somewhere() {
    for (path, largest) in [("api/v1", 200), ("apis/events.k8s.io/v1", 20)] {
        let document = document_of(path).await;
        let text = document.to_string();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for reference in text.split("\"#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name}");
        }
        assert!(schemas.len() < largest, "{path} has what it needs and no more: {}", schemas.len());
    }
}

#[tokio::test]
async fn the_index_names_each_document_by_its_hash() {
    let (_, first) = asked("/openapi/v3", "*/*").await;
    let (_, again) = asked("/openapi/v3", "*/*").await;
    assert_eq!(first, again);
    let index: Value = serde_json::from_slice(&first).unwrap();
    let url = index["paths"]["api/v1"]["serverRelativeURL"].as_str().unwrap();
    assert!(url.starts_with("/openapi/v3/api/v1?hash="), "{url}");
    assert_eq!(asked("/openapi/v3/apis/none/v1", "*/*").await.0, 404);
    assert_eq!(asked("/openapi/v3/api/v1", "application/x-protobuf").await.0, 406);
}

#[tokio::test]
async fn old_clients_get_protobuf_under_a_name_that_they_understand() {
    for accept in ["v2@v1.0", "v2.v1.0"]
        .map(|version| format!("application/com.github.proto-openapi.spec.{version}+protobuf"))
    {
        let request =
            Request::get("/openapi/v2").header(header::ACCEPT, &accept).body(Body::empty()).unwrap();
        let response = router::<()>(&kinds::all(&Default::default())).oneshot(request).await.unwrap();
        let name = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        assert_eq!(name, "application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
        let body = axum::body::to_bytes(response.into_body(), 8 << 20).await.unwrap();
        assert_eq!(body[..5], b"\x0a\x032.0"[..]);
    }
    let (_, body) = asked("/openapi/v2", "application/json").await;
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["swagger"], "2.0");
}
