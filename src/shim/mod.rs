//! The shim: one process per pod, one thread, parent of everything that the pod runs.
pub mod frame;
pub mod protocol;
