//! What this node tells an API server: how its pods are, the pods that it has from elsewhere, and what it is itself.
//!
//! ```text
//! status::publish ──> Update ──> reporter ──> a task per pod ──> PATCH pods/NAME/status, DELETE pods/NAME
//!                                                  └── mirror: a static pod's likeness
//! facts of the machine, its health ──> node ──> PUT nodes/NAME/status, again when they change
//! ```
//!
//! The server may be the one of this very process, or one of a cluster: it is the same client. Nothing here decides what runs; a
//! server that is away is asked again later, and the pods go on meanwhile.

pub mod health;
pub mod mirror;
pub mod node;
pub mod pod_status;
pub mod recorder;
pub mod registration;
pub mod reporter;
mod retry;
