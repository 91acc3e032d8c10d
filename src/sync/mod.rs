//! The decision: which action a pod needs next, one task per pod UID.

pub mod event_loop;
pub mod init;
pub mod outcome;
pub mod plan;
mod probing;
pub mod resize;
pub mod restart;
pub mod room;
pub mod worker;
