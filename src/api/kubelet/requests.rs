//! Requests for objects, counted as kube-apiserver counts them.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use crate::api::request::{Parameters, Target};
use crate::api::router::Api;

/// A request that was answered, in the words of `apiserver_request_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered<'a> {
    /// Such as `LIST`.
    pub verb: &'static str,
    /// `""` for the core group.
    pub group: &'a str,
    /// `v1`
    pub version: &'a str,
    /// `pods`
    pub resource: &'a str,
    /// `""` for the object itself.
    pub subresource: &'a str,
    /// `resource` for one object, `namespace` or `cluster` for several.
    pub scope: &'static str,
    /// Of HTTP.
    pub code: u16,
}

/// Stands before all handlers. What is no kind of this API is not counted: anybody may make up names.
pub async fn count(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let known = Target::parse(request.uri().path()).filter(|target| {
        let kind = api.kind(&target.group, &target.version, &target.resource);
        kind.is_some_and(|kind| {
            target.subresource.is_empty() || kind.names().subresource(&target.subresource).is_some()
        })
    });
    let verb = known.as_ref().map(|target| {
        let watches = Parameters::of(request.uri()).is_ok_and(|parameters| parameters.flag("watch"));
        verb(request.method(), target, watches)
    });
    let response = next.run(request).await;
    if let (Some(kubelet), Some(target), Some(verb)) = (api.kubelet(), &known, verb) {
        kubelet.answered(Answered {
            verb,
            group: &target.group,
            version: &target.version,
            resource: &target.resource,
            subresource: &target.subresource,
            scope: match (target.name.as_str(), target.namespace.as_str()) {
                ("", "") => "cluster",
                ("", _) => "namespace",
                _ => "resource",
            },
            code: response.status().as_u16(),
        });
    }
    response
}

fn verb(method: &Method, target: &Target, watches: bool) -> &'static str {
    let is_stream = ["exec", "attach", "portforward"].contains(&target.subresource.as_str());
    match (method.as_str(), target.name.is_empty()) {
        _ if is_stream => "CONNECT",
        ("GET" | "HEAD", true) if watches => "WATCH",
        ("GET" | "HEAD", true) => "LIST",
        ("GET" | "HEAD", false) => "GET",
        ("POST", _) => "POST",
        ("PUT", _) => "PUT",
        ("PATCH", _) => "PATCH",
        ("DELETE", true) => "DELETECOLLECTION",
        ("DELETE", false) => "DELETE",
        _ => "other",
    }
}
