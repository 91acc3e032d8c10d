//! What a user may do: as kube-apiserver's own cluster roles have it, by group. There are no others.
//!
//! Source: `plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go`: `cluster-admin`, `system:basic-user`, `system:discovery`,
//! `system:public-info-viewer`.

use serde_json::{Value, json};

use super::attributes::Attributes;
use super::{AUTHENTICATED, MASTERS, UNAUTHENTICATED, User};

/// Something that may be done.
#[derive(Debug, PartialEq, Eq)]
enum Rule {
    /// With objects.
    Resources {
        verbs: &'static [&'static str],
        groups: &'static [&'static str],
        resources: &'static [&'static str],
    },
    /// With paths that are not of objects; one that ends in `*` stands for all that begin so.
    Paths { verbs: &'static [&'static str], paths: &'static [&'static str] },
}

/// A cluster role, with the groups that it is bound to.
struct Role {
    groups: &'static [&'static str],
    rules: &'static [Rule],
}

const ROLES: [Role; 4] = [
    Role {
        groups: &[MASTERS],
        rules: &[
            Rule::Resources { verbs: &["*"], groups: &["*"], resources: &["*"] },
            Rule::Paths { verbs: &["*"], paths: &["*"] },
        ],
    },
    Role {
        groups: &[AUTHENTICATED],
        rules: &[
            Rule::Resources {
                verbs: &["create"],
                groups: &["authorization.k8s.io"],
                resources: &["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
            },
            Rule::Resources {
                verbs: &["create"],
                groups: &["authentication.k8s.io"],
                resources: &["selfsubjectreviews"],
            },
        ],
    },
    Role {
        groups: &[AUTHENTICATED],
        rules: &[Rule::Paths {
            verbs: &["get"],
            paths: &[
                "/api",
                "/api/*",
                "/apis",
                "/apis/*",
                "/healthz",
                "/livez",
                "/openapi",
                "/openapi/*",
                "/readyz",
                "/version",
                "/version/",
            ],
        }],
    },
    Role {
        groups: &[AUTHENTICATED, UNAUTHENTICATED],
        rules: &[Rule::Paths {
            verbs: &["get"],
            paths: &["/healthz", "/livez", "/readyz", "/version", "/version/"],
        }],
    },
];

/// Whether somebody may do this.
pub(super) fn allow(user: &User, attributes: &Attributes) -> bool {
    of(user).any(|rule| rule.allows(attributes))
}

/// All that somebody may do: the status of a `SelfSubjectRulesReview`.
pub(super) fn status(user: &User) -> Value {
    let (mut resources, mut paths) = (Vec::new(), Vec::new());
    for rule in of(user) {
        match rule {
            Rule::Resources { verbs, groups, resources: names } => {
                resources.push(json!({"verbs": verbs, "apiGroups": groups, "resources": names}));
            }
            Rule::Paths { verbs, paths: names } => {
                paths.push(json!({"verbs": verbs, "nonResourceURLs": names}))
            }
        }
    }
    json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false})
}

fn of(user: &User) -> impl Iterator<Item = &'static Rule> {
    let is_bound = |role: &&Role| role.groups.iter().any(|group| user.groups.contains(*group));
    ROLES.iter().filter(is_bound).flat_map(|role| role.rules)
}

impl Rule {
    fn allows(&self, attributes: &Attributes) -> bool {
        let has = |list: &[&str], what: &str| list.iter().any(|one| *one == "*" || *one == what);
        match (self, attributes) {
            (
                Self::Resources { verbs, groups, resources },
                Attributes::Resource { verb, group, resource, subresource, .. },
            ) => {
                let full = match subresource.as_str() {
                    "" => resource.clone(),
                    subresource => format!("{resource}/{subresource}"),
                };
                has(verbs, verb) && has(groups, group) && has(resources, &full)
            }
            (Self::Paths { verbs, paths }, Attributes::Path { verb, path }) => {
                let is_covered = |pattern: &&str| match pattern.strip_suffix('*') {
                    Some(start) => path.starts_with(start),
                    None => pattern == path,
                };
                has(verbs, verb) && paths.iter().any(is_covered)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Method;

    use super::*;

    #[test]
    fn groups_may_do_what_their_roles_say() {
        let (master, guest, nobody) =
            (User::new("m", [MASTERS.to_owned()]), User::new("g", []), User::anonymous());
        for (method, address, expected) in [
            (Method::GET, "/healthz", [true, true, true]),
            (Method::GET, "/version/", [true, true, true]),
            (Method::POST, "/healthz", [true, false, false]),
            (Method::GET, "/metrics", [true, false, false]),
            (Method::GET, "/healthz/syncloop", [true, false, false]),
            (Method::GET, "/", [true, false, false]),
            (Method::GET, "/api", [true, true, false]),
            (Method::GET, "/api/v1", [true, true, false]),
            (Method::GET, "/apis/metrics.k8s.io/v1beta1", [true, true, false]),
            (Method::GET, "/openapi/v3/api/v1", [true, true, false]),
            (Method::GET, "/api/v1/pods", [true, false, false]),
            (Method::POST, "/api/v1/namespaces/default/pods/web/exec", [true, false, false]),
            (Method::POST, "/apis/authentication.k8s.io/v1/selfsubjectreviews", [true, true, false]),
            (Method::POST, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", [true, true, false]),
            (Method::POST, "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", [true, true, false]),
            (Method::GET, "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", [true, false, false]),
        ] {
            let attributes = Attributes::of(&method, &address.parse().unwrap());
            let allowed = [&master, &guest, &nobody].map(|user| allow(user, &attributes));
            assert_eq!(allowed, expected, "{method} {address}");
        }
    }
}
