//! What a pod's status is, derived from its spec and what was observed.

pub mod conditions;
pub mod derive;
pub mod echo;
pub mod publish;
