//! What a pod's status is, derived from its spec and what was observed.
