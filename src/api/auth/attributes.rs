//! What a request is about, in the words in which it is refused: verb, resource, namespace.
//!
//! Source: `k8s.io/apiserver/pkg/endpoints/request/requestinfo.go`.

use axum::http::{Method, Uri};
use serde_json::Value;

use crate::api::status::Status;

/// A request, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Attributes {
    /// Of objects. What is `""` is not said.
    Resource {
        verb: String,
        group: String,
        namespace: String,
        resource: String,
        subresource: String,
        name: String,
    },
    /// Of anything else.
    Path { verb: String, path: String },
}

impl Attributes {
    /// Of a request of this method to this address.
    pub(super) fn of(method: &Method, uri: &Uri) -> Self {
        let path = uri.path();
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, rest) = match parts.as_slice() {
            ["api", _, rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => ("", [].as_slice()),
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() && !is_of_namespace(rest) => {
                (*namespace, rest)
            }
            _ => ("", rest),
        };
        let [resource, rest @ ..] = rest else {
            return Self::Path { verb: method.as_str().to_lowercase(), path: path.to_owned() };
        };
        let name = rest.first().copied().unwrap_or_default();
        let subresource = rest.get(1).copied().unwrap_or_default();
        // A namespace is in itself.
        let namespace = if *resource == "namespaces" { name } else { namespace };
        Self::Resource {
            verb: verb(method, name, uri.query().unwrap_or_default()).to_owned(),
            group: group.to_owned(),
            namespace: namespace.to_owned(),
            resource: (*resource).to_owned(),
            subresource: subresource.to_owned(),
            name: name.to_owned(),
        }
    }

    /// Of what the `spec` of a `SelfSubjectAccessReview` asks about; `None` unless that is one thing.
    pub(super) fn asked(spec: &Value) -> Option<Self> {
        let text = |of: &Value, field: &str| of[field].as_str().unwrap_or_default().to_owned();
        match (&spec["resourceAttributes"], &spec["nonResourceAttributes"]) {
            (of @ Value::Object(_), Value::Null) => Some(Self::Resource {
                verb: text(of, "verb"),
                group: text(of, "group"),
                namespace: text(of, "namespace"),
                resource: text(of, "resource"),
                subresource: text(of, "subresource"),
                name: text(of, "name"),
            }),
            (Value::Null, of @ Value::Object(_)) => {
                Some(Self::Path { verb: text(of, "verb"), path: text(of, "path") })
            }
            _ => None,
        }
    }

    /// That a user may not do it, and what.
    pub(super) fn refusal(&self, user: &str) -> Status {
        match self {
            Self::Path { verb, path } => {
                let message = format!("forbidden: User {user:?} cannot {verb} path {path:?}");
                Status::plain(403, "Forbidden", message)
            }
            Self::Resource { verb, group, namespace, resource, subresource, name } => {
                let subject = if group.is_empty() { resource.clone() } else { format!("{resource}.{group}") };
                let subject = if name.is_empty() { subject } else { format!("{subject} {name:?}") };
                let what = match subresource.as_str() {
                    "" => resource.clone(),
                    subresource => format!("{resource}/{subresource}"),
                };
                let scope = match namespace.as_str() {
                    "" => "at the cluster scope".to_owned(),
                    namespace => format!("in the namespace {namespace:?}"),
                };
                let message = format!(
                    "{subject} is forbidden: User {user:?} cannot {verb} resource {what:?} in API group {group:?} {scope}"
                );
                let mut status = Status::plain(403, "Forbidden", message);
                let details = &mut status.details;
                (details.name, details.group, details.kind) = (name.clone(), group.clone(), resource.clone());
                status
            }
        }
    }
}

/// Whether what stands behind `namespaces/NAME` is a subresource of the namespace.
fn is_of_namespace(rest: &[&str]) -> bool {
    matches!(rest, ["status" | "finalize"])
}

fn verb(method: &Method, name: &str, query: &str) -> &'static str {
    let watches = || query.split('&').any(|pair| matches!(pair, "watch" | "watch=true" | "watch=1"));
    match (method.as_str(), name) {
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", "") => "deletecollection",
        ("DELETE", _) => "delete",
        (_, "") if watches() => "watch",
        (_, "") => "list",
        _ => "get",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_was_asked_for() {
        for (method, address, expected) in [
            (Method::GET, "/metrics", "forbidden: User \"u\" cannot get path \"/metrics\""),
            (Method::GET, "/api/v1", "forbidden: User \"u\" cannot get path \"/api/v1\""),
            (
                Method::GET,
                "/api/v1/namespaces/default/pods?limit=500",
                "pods is forbidden: User \"u\" cannot list resource \"pods\" in API group \"\" in the namespace \
                 \"default\"",
            ),
            (
                Method::GET,
                "/api/v1/pods?watch=true",
                "pods is forbidden: User \"u\" cannot watch resource \"pods\" in API group \"\" at the cluster scope",
            ),
            (
                Method::POST,
                "/api/v1/namespaces/a/pods/b/exec?command=sh",
                "pods \"b\" is forbidden: User \"u\" cannot create resource \"pods/exec\" in API group \"\" in the \
                 namespace \"a\"",
            ),
            (
                Method::DELETE,
                "/apis/apps/v1/namespaces/a/deployments/b",
                "deployments.apps \"b\" is forbidden: User \"u\" cannot delete resource \"deployments\" in API group \
                 \"apps\" in the namespace \"a\"",
            ),
            (
                Method::PATCH,
                "/api/v1/namespaces/a/status",
                "namespaces \"a\" is forbidden: User \"u\" cannot patch resource \"namespaces/status\" in API \
                 group \"\" in the namespace \"a\"",
            ),
            (
                Method::GET,
                "/api/v1/nodes",
                "nodes is forbidden: User \"u\" cannot list resource \"nodes\" in API group \"\" at the cluster scope",
            ),
        ] {
            let uri: Uri = address.parse().unwrap();
            assert_eq!(Attributes::of(&method, &uri).refusal("u").message, expected, "{method} {address}");
        }
    }
}
