//! The Kubernetes API of what this node owns. It knows Kubernetes types and HTTP, and never a shim, a cgroup or a container.

pub mod spdy;
pub mod streams;
