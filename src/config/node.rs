//! How the node looks after itself: what an agent does, and `mkubelet run` does not.

use crate::eviction::threshold::Eviction;

/// What an agent does for its node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeCare {
    /// When pods have to go for want of something.
    pub eviction: Eviction,
}
