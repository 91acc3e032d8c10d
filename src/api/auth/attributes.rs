//! What a request is about, in the words in which it is refused: verb, resource, namespace.
//!
//! Source: `k8s.io/apiserver/pkg/endpoints/request/requestinfo.go`.

use axum::http::{Method, Uri};

/// A request, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Attributes<'a> {
    /// Of objects.
    Resource { verb: &'static str, group: &'a str, namespace: &'a str, resource: String, name: &'a str },
    /// Of anything else.
    Path { verb: String, path: &'a str },
}

impl<'a> Attributes<'a> {
    /// Of a request of this method to this address.
    pub(super) fn of(method: &Method, uri: &'a Uri) -> Self {
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
            return Self::Path { verb: method.as_str().to_lowercase(), path };
        };
        let name = rest.first().copied().unwrap_or_default();
        let resource = match rest.get(1) {
            Some(subresource) => format!("{resource}/{subresource}"),
            None => (*resource).to_owned(),
        };
        // A namespace is in itself.
        let namespace = if resource.starts_with("namespaces") { name } else { namespace };
        Self::Resource {
            verb: verb(method, name, uri.query().unwrap_or_default()),
            group,
            namespace,
            resource,
            name,
        }
    }

    /// Why somebody may not do it.
    pub(super) fn refusal(&self, user: &str) -> String {
        match self {
            Self::Path { verb, path } => format!("forbidden: User {user:?} cannot {verb} path {path:?}"),
            Self::Resource { verb, group, namespace, resource, name } => {
                let subject = match (*name, *group) {
                    ("", "") => format!("{resource} is forbidden"),
                    ("", group) => format!("{resource}.{group} is forbidden"),
                    (name, "") => format!("{resource} {name:?} is forbidden"),
                    (name, group) => format!("{resource}.{group} {name:?} is forbidden"),
                };
                let scope = match *namespace {
                    "" => "at the cluster scope".to_owned(),
                    namespace => format!("in the namespace {namespace:?}"),
                };
                format!(
                    "{subject}: User {user:?} cannot {verb} resource {resource:?} in API group {group:?} {scope}"
                )
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
                "pods/exec \"b\" is forbidden: User \"u\" cannot create resource \"pods/exec\" in API group \"\" in the \
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
                "namespaces/status \"a\" is forbidden: User \"u\" cannot patch resource \"namespaces/status\" in API \
                 group \"\" in the namespace \"a\"",
            ),
            (
                Method::GET,
                "/api/v1/nodes",
                "nodes is forbidden: User \"u\" cannot list resource \"nodes\" in API group \"\" at the cluster scope",
            ),
        ] {
            let uri: Uri = address.parse().unwrap();
            assert_eq!(Attributes::of(&method, &uri).refusal("u"), expected, "{method} {address}");
        }
    }
}
