//! An API of its own for each test, and ways to ask it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, header};
use axum::response::IntoResponse;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use super::super::super::router::Api;
use super::super::super::store::Store;
use crate::pod::sysctl::Allowed;

pub(super) struct World {
    pub(super) api: Arc<Api>,
    pub(super) router: Router,
    dir: TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) warnings: Vec<String>,
    pub(super) json: Value,
}

impl World {
    pub(super) fn new() -> Self {
        Self::of(tempfile::tempdir().unwrap())
    }

    /// The same after a restart.
    pub(super) fn restarted(self) -> Self {
        drop((self.router, self.api));
        Self::of(self.dir)
    }

    fn of(dir: TempDir) -> Self {
        let (store, quarantined) = Store::open(dir.path()).unwrap();
        assert_eq!(quarantined, None);
        let api = Arc::new(Api::new(Arc::new(store), "this-node", &Allowed::default()).unwrap());
        Self { router: Arc::clone(&api).into_router(), api, dir }
    }

    pub(super) fn client(&self) -> Client {
        Client::new(self.router.clone(), "default")
    }

    pub(super) fn config_maps(&self) -> kube::Api<ConfigMap> {
        kube::Api::default_namespaced(self.client())
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap().into_response()
    }

    pub(super) async fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
        self.ask_as(method, path, "application/json", body).await
    }

    pub(super) async fn ask_as(&self, method: &str, path: &str, media_type: &str, body: Value) -> Answer {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, media_type);
        answer(self.send(request.body(body).unwrap()).await).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, Value::Null).await
    }
}

pub(super) async fn answer(response: Response<Body>) -> Answer {
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let warnings =
        parts.headers.get_all(header::WARNING).iter().map(|value| value.to_str().unwrap().to_owned());
    Answer {
        code: parts.status.as_u16(),
        warnings: warnings.collect(),
        json: serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{error}: {bytes:?}")),
    }
}

/// The manifest of a ConfigMap with one key.
pub(super) fn config_map(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": value}})
}

pub(super) const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
