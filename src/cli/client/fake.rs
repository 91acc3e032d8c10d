//! For tests of verbs: their arguments, and a server that answers by method and path, and keeps what it was asked.

use std::ffi::OsString;
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::response::{IntoResponse, Response};
use http::{Request, StatusCode};
use kube::Client;
use serde_json::{Value, json};
use tower::service_fn;

/// The arguments of a command line, whose first word is the verb.
pub(in crate::cli) fn parsed<A: clap::Args>(
    line: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<A, clap::Error> {
    let mut matches = A::augment_args(clap::Command::new("verb")).try_get_matches_from(line)?;
    A::from_arg_matches_mut(&mut matches)
}

/// One request that came: `POST /api/v1/namespaces/default/pods`, with its body.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) struct Asked {
    pub(in crate::cli) line: String,
    pub(in crate::cli) content_type: String,
    pub(in crate::cli) body: Value,
}

/// What it was asked so far.
#[derive(Debug, Clone, Default)]
pub(in crate::cli) struct Requests(Arc<Mutex<Vec<Asked>>>);

impl Requests {
    /// Everything but discovery.
    pub(in crate::cli) fn all(&self) -> Vec<Asked> {
        self.0.lock().unwrap().clone()
    }

    /// The lines alone.
    pub(in crate::cli) fn lines(&self) -> Vec<String> {
        self.all().into_iter().map(|asked| asked.line).collect()
    }
}

/// A client of a server with Pods, ConfigMaps and Nodes that answers everything else by `answer`: code and body for a request.
pub(in crate::cli) fn server(
    answer: impl Fn(&Asked) -> (u16, Value) + Send + Sync + 'static,
) -> (Client, Requests) {
    let requests = Requests::default();
    let (kept, answer) = (requests.clone(), Arc::new(answer));
    let service = service_fn(move |request: Request<kube::client::Body>| {
        let (kept, answer) = (kept.clone(), Arc::clone(&answer));
        async move {
            let (head, body) = request.into_parts();
            let bytes = to_bytes(Body::new(body), usize::MAX).await.unwrap();
            let content_type = head.headers.get(http::header::CONTENT_TYPE);
            let asked = Asked {
                line: format!("{} {}", head.method, head.uri),
                content_type: content_type
                    .map(|value| value.to_str().unwrap().to_owned())
                    .unwrap_or_default(),
                body: serde_json::from_slice(&bytes).unwrap_or_default(),
            };
            let (code, body) = discovery(head.uri.path()).map_or_else(
                || {
                    let answered = answer(&asked);
                    kept.0.lock().unwrap().push(asked.clone());
                    answered
                },
                |body| (200, body),
            );
            let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
            let response: Response = (StatusCode::from_u16(code).unwrap(), body).into_response();
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    (Client::new(service, "default"), requests)
}

fn discovery(path: &str) -> Option<Value> {
    let of = |plural: &str, singular: &str, kind: &str, short: &str, namespaced: bool| json!({"name": plural, "singularName": singular, "kind": kind, "shortNames": [short], "namespaced": namespaced, "verbs": ["get", "list"]});
    match path {
        "/api" => Some(json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})),
        "/api/v1" => Some(json!({"kind": "APIResourceList", "groupVersion": "v1", "resources": [
            of("pods", "pod", "Pod", "po", true),
            of("configmaps", "configmap", "ConfigMap", "cm", true),
            of("nodes", "node", "Node", "no", false),
        ]})),
        "/apis" => Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []})),
        _ => None,
    }
}

/// The answer to a request for what there is none of.
pub(in crate::cli) fn not_found(name: &str) -> (u16, Value) {
    let message = format!("pods {name:?} not found");
    (
        404,
        json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, "message": message}),
    )
}
