//! POST of a Binding: gives a pod that waits for a scheduler to a node.
//!
//! Source: `pkg/registry/core/pod/storage`, BindingREST; `pkg/apis/core/validation`, ValidatePodBinding.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::body;
use super::super::object::{Object, rfc3339};
use super::super::represent::json_response;
use super::super::resource::Names;
use super::super::status::{FieldError, Status};
use super::super::store::{Durability, Error, Expected};
use super::{Call, key, store_failure, write};

/// `bindings`, which are made and not kept: the pod is what changes.
pub(in crate::api) static BINDINGS: Names = BINDING;

/// What a refusal is about.
static POD_BINDING: Names = Names { plural: "pods/binding", ..BINDING };

const BINDING: Names = Names {
    group: "",
    version: "v1",
    plural: "bindings",
    singular: "binding",
    kind: "Binding",
    short_names: &[],
    categories: &[],
    namespaced: true,
    subresources: &[],
};

/// How often a binding is tried again when others write the pod meanwhile.
const ATTEMPTS: usize = 5;

/// Binds the pod that the path names, or else the Binding.
pub(in crate::api) async fn bind(call: &Call, body: Body) -> Result<Response, Status> {
    let dry_run = call.dry_run()?;
    let binding = body::parse(&call.headers, &body::read(body).await?)?.value;
    let binding = Object::from_value(binding).map_err(|error| Status::bad_request(error.to_string()))?;
    if !matches!(binding.kind(), "" | "Binding") {
        let why = format!("{} in version \"v1\" cannot be handled as a Binding", binding.kind());
        return Err(Status::bad_request(why));
    }
    let name = binding.name();
    if !call.target.name.is_empty() && call.target.name != name {
        return Err(Status::bad_request("name in URL does not match name in Binding object"));
    }
    let errors = validate(&binding);
    if !errors.is_empty() {
        return Err(Status::invalid(&BINDINGS, name, &errors));
    }
    let key = key(&*call.kind, &call.target.namespace, name);
    for _ in 0..ATTEMPTS {
        let entry = call.api.store().get(&key);
        let entry = entry.ok_or_else(|| Status::not_found(call.kind.names(), name))?;
        let new = bound(entry.object(), &binding, call.context.now)
            .map_err(|why| Status::conflict(&POD_BINDING, name, why))?;
        if dry_run {
            return Ok(success());
        }
        let (key, revision) = (key.clone(), entry.revision);
        let written = write(&call.api, move |api| {
            api.store().put(&key, new, Expected::Revision(revision), Durability::PowerLoss)
        });
        match written.await? {
            Ok(_) => return Ok(success()),
            Err(Error::Changed(_)) => {}
            Err(Error::Gone(_)) => return Err(Status::not_found(call.kind.names(), name)),
            Err(error) => return Err(store_failure(error)),
        }
    }
    Err(Status::stale(call.kind.names(), name))
}

fn validate(binding: &Object) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let kind = binding.text_at(&["target", "kind"]);
    if !matches!(kind, "" | "Node") {
        errors.push(FieldError::not_supported("target.kind", kind, &["Node", "<empty>"]));
    }
    if binding.text_at(&["target", "name"]).is_empty() {
        errors.push(FieldError::required("target.name", ""));
    }
    errors
}

/// The pod with its node, or why it cannot have it.
fn bound(mut pod: Object, binding: &Object, now: Timestamp) -> Result<Object, String> {
    let name = pod.name().to_owned();
    for (field, found) in [("uid", pod.uid()), ("resourceVersion", pod.resource_version())] {
        let wanted = binding.text_at(&["metadata", field]);
        if !wanted.is_empty() && wanted != found {
            return Err(format!(
                "Precondition failed: {field} in precondition: {wanted}, {field} in object meta: {found}"
            ));
        }
    }
    if pod.deletion_timestamp().is_some() {
        return Err(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    let node = pod.text_at(&["spec", "nodeName"]);
    if !node.is_empty() {
        return Err(format!("pod {name} is already assigned to node {node:?}"));
    }
    let mut annotations = pod.meta("annotations").cloned().unwrap_or_else(|| json!({}));
    for (key, value) in binding.annotations() {
        annotations[key] = value.into();
    }
    if annotations.as_object().is_some_and(|annotations| !annotations.is_empty()) {
        pod.set_meta("annotations", Some(annotations));
    }
    let node = binding.text_at(&["target", "name"]);
    let map = pod.map_mut();
    map.entry("spec").or_insert_with(|| json!({}))["nodeName"] = node.into();
    let status = map.entry("status").or_insert_with(|| json!({}));
    let mut conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    conditions.retain(|condition| condition["type"] != "PodScheduled");
    conditions.push(scheduled(now));
    status["conditions"] = Value::Array(conditions);
    Ok(pod)
}

/// The condition of a pod that has a node.
pub(in crate::api) fn scheduled(now: Timestamp) -> Value {
    json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": rfc3339(now)})
}

fn success() -> Response {
    let status =
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    json_response(StatusCode::CREATED, status.to_string())
}
