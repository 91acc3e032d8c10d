//! Where desired pods come from. A source says which pods should exist; it never touches a container.

pub mod file;
pub mod live;
pub mod manifests;

use crate::pod::Pod;

/// What a source says: all pods that it wants to exist from now on. A pod that is no longer among them should go.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceEvent {
    /// The full set, no two with the same namespace and name.
    pub pods: Vec<Pod>,
}
