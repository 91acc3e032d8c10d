//! Eviction: what a node does when it runs short of memory, disk or processes, as the kubelet does it.
//!
//! ```text
//!              every 10 s
//!  host ──> Observations ──> state ──> conditions of the node ──> Node object, admission of new pods
//!                              │
//!                              └─ starved ──> reclaim, and if that is not enough: rank ──> one pod ──> its worker
//! ```
//!
//! Signals, thresholds, ranking and words are pure; `manager` is the one loop, and asks whoever it was made with
//! ([`manager::Node`]) for everything else.
//!
//! Source: <https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/>.

pub mod admission;
pub mod host;
pub mod manager;
pub mod message;
pub mod rank;
pub mod signal;
pub mod state;
pub mod threshold;
