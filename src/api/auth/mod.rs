//! Who asks, and whether they may.
//!
//! A client of the port says who it is with a certificate of the node's authority or with a bearer token; whoever opens the unix socket
//! is root already. One group may do everything, `system:masters`, as in Kubernetes; everybody else has the rights that kube-apiserver
//! gives to everybody ([`rules`]). Whoever may do everything may also ask as somebody else ([`impersonation`]).

mod attributes;
pub mod gate;
mod impersonation;
pub mod reviews;
mod rules;
mod subject;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};

pub use tokens::Tokens;

/// The group that may do everything.
pub const MASTERS: &str = "system:masters";
/// Whom nobody knows.
const ANONYMOUS: &str = "system:anonymous";
/// The group of everybody who has said who they are.
const AUTHENTICATED: &str = "system:authenticated";
/// And of those who have not.
const UNAUTHENTICATED: &str = "system:unauthenticated";

/// Somebody who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// Such as `admin`.
    pub name: String,
    /// Tells them from another one of that name; `""` is none.
    pub uid: String,
    /// Such as `system:masters`.
    pub groups: BTreeSet<String>,
    /// What else is said of them.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// Somebody who is known.
    pub fn new(name: impl Into<String>, groups: impl IntoIterator<Item = String>) -> Self {
        let mut groups: BTreeSet<String> = groups.into_iter().collect();
        groups.insert(AUTHENTICATED.to_owned());
        Self { name: name.into(), groups, ..Self::default() }
    }

    /// Whoever comes by the unix socket, which only root can open.
    pub fn admin() -> Self {
        Self::new("system:admin", [MASTERS.to_owned()])
    }

    /// Somebody who has not said who they are.
    pub fn anonymous() -> Self {
        let groups = BTreeSet::from([UNAUTHENTICATED.to_owned()]);
        Self { name: ANONYMOUS.to_owned(), groups, ..Self::default() }
    }

    /// Whether they may do everything.
    pub fn is_master(&self) -> bool {
        self.groups.contains(MASTERS)
    }
}
