//! The decision: which action a pod needs next, one task per pod UID.
