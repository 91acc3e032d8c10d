//! The kernel side of one container. Knows the OCI runtime configuration, and nothing of Kubernetes.
//!
//! [`create`] is the parent's part, up to the clone; [`init`] the child's, up to execve; the other files are its steps.

pub mod capabilities;
pub mod create;
pub mod devices;
pub mod exec;
pub mod failure;
pub mod init;
pub mod limits;
pub mod mounts;
pub mod rootfs;
pub mod spec;
pub mod user;
