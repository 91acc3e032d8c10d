//! The kernel side of one container. Knows the OCI runtime configuration, and nothing of Kubernetes.
pub mod spec;
pub mod user;
