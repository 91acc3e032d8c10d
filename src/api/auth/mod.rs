//! Who asks, and whether they may: for the port, that is. Whoever opens the unix socket is root already.
//!
//! A client says who it is with a certificate of the node's authority or with a bearer token. One group may do everything,
//! `system:masters`, as in Kubernetes; there are no roles. Whoever does not say who they are may ask how the server is and which
//! version it has.

mod attributes;
pub mod gate;
pub mod reviews;
mod subject;
mod tokens;

use std::collections::BTreeSet;

pub use tokens::Tokens;

/// The group that may do everything.
pub const MASTERS: &str = "system:masters";

/// Somebody who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Such as `admin`.
    pub name: String,
    /// Such as `system:masters`.
    pub groups: BTreeSet<String>,
}

impl User {
    /// Somebody who is known.
    pub fn new(name: impl Into<String>, groups: impl IntoIterator<Item = String>) -> Self {
        let mut groups: BTreeSet<String> = groups.into_iter().collect();
        groups.insert("system:authenticated".to_owned());
        Self { name: name.into(), groups }
    }

    /// Whoever comes by the unix socket, which only root can open.
    pub fn admin() -> Self {
        Self::new("system:admin", [MASTERS.to_owned()])
    }

    /// Somebody who has not said who they are.
    pub fn anonymous() -> Self {
        let groups = BTreeSet::from(["system:unauthenticated".to_owned()]);
        Self { name: "system:anonymous".to_owned(), groups }
    }

    /// Whether they may do everything.
    pub fn is_master(&self) -> bool {
        self.groups.contains(MASTERS)
    }
}
