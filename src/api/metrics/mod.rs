//! The resource metrics API (`metrics.k8s.io/v1beta1`): what the node and its pods use just now, as `kubectl top` asks for it.
//!
//! In a cluster metrics-server answers this from what every kubelet measures. Who measures here is a [`Meter`], which is the agent's: the
//! API touches no cgroup. Nothing is measured unless somebody asks.

mod document;
pub mod names;
pub mod routes;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;

/// Measures what this node and its pods use.
pub trait Meter: Send + Sync + 'static {
    /// What is used now. Takes as long as the window over which CPU time is measured. An error is why it cannot be told.
    fn measure(&self) -> BoxFuture<'_, Result<Arc<Measured>, String>>;
}

/// What was found at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The end of the window.
    pub at: Timestamp,
    /// CPU time was counted for so long.
    pub window: Duration,
    /// The whole machine.
    pub node: Usage,
    /// Containers that run, by the namespace and the name of their pod, each by its own name.
    pub pods: BTreeMap<(String, String), Vec<(String, Usage)>>,
}

/// What something uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processors, in billionths of one.
    pub nanocores: u64,
    /// Memory that cannot be taken back without harm, bytes.
    pub working_set: u64,
}
