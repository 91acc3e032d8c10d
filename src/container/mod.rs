//! The kernel side of one container. Knows the OCI runtime configuration, and nothing of Kubernetes.
//!
//! [`create`] is the parent's part, up to the clone; [`init`] the child's, up to execve; [`enter`] is both for a further
//! process in a container that runs; the other files are their steps.
//!
//! Paths: clippy.toml says which calls are denied here, and why.
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod apparmor;
pub mod capabilities;
pub mod create;
pub mod devices;
pub mod enter;
pub mod exec;
pub mod failure;
pub mod init;
pub mod limits;
pub mod mount_info;
pub mod mounts;
pub mod peers;
pub mod process;
pub mod rootfs;
pub mod seccomp;
pub mod spec;
pub mod stdio;
pub mod sysctls;
pub mod terminal;
pub mod user;
pub mod user_namespace;
