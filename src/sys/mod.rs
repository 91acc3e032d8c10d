//! System calls that the crates we use do not wrap. The only room that may contain unsafe code.
//!
//! Every function here is a thin, safe wrapper that takes and gives owned or borrowed file descriptors, and reports the
//! kernel's errno as it is. Nothing here knows what a container is.
#![allow(unsafe_code)]

pub mod beneath;
pub mod bpf;
pub mod clone;
pub mod fd_passing;
pub mod heap;
pub mod mount_api;
pub mod process;
pub mod seccomp;
pub mod terminal;
#[cfg(test)]
mod test_binary;
pub mod tree;
