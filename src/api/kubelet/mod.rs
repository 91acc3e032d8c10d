//! What a kubelet serves on its own port, beside the Kubernetes API and below `/api/v1/nodes/NAME/proxy`: health, configuration, statistics
//! and metrics.
//!
//! Who knows all this is the agent, a [`Kubelet`]: the API touches no cgroup.

pub mod health;
pub mod requests;
pub mod routes;

#[cfg(test)]
mod tests;

use futures::future::BoxFuture;
use serde_json::Value;

pub use health::Check;

/// Knows how the node is.
pub trait Kubelet: Send + Sync + 'static {
    /// Whether it works, part by part.
    fn health(&self) -> BoxFuture<'_, Vec<Check>>;

    /// The KubeletConfiguration in force.
    fn configuration(&self) -> Value;

    /// The Summary API's document. An error is why it cannot be told; as with the others below.
    fn summary(&self) -> BoxFuture<'_, Result<Value, String>>;

    /// A text of metrics, in Prometheus' exposition format.
    fn metrics(&self, page: Page) -> BoxFuture<'_, Result<String, String>>;

    /// Learns that a request for objects was answered.
    fn answered(&self, answer: requests::Answered<'_>);
}

/// A page of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// `/metrics`: the agent's own.
    Agent,
    /// `/metrics/resource`: what autoscalers read.
    Resource,
    /// `/metrics/cadvisor`: containers in all detail.
    Cadvisor,
    /// `/metrics/probes`: what probes have found.
    Probes,
}
