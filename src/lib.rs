//! mkubelet: a Kubernetes node agent that runs Pods itself.
//!
//! Data flows one way, and the modules below are listed in that order:
//!
//! ```text
//! source -> pod (validated) -> sync (decide) -> runtime (ask) -> shim (do) -> container, cgroup -> sys (kernel)
//! sys -> shim (exit record, log line) -> runtime::observe -> sync -> status -> cli
//! ```
//!
//! Three kinds of process come from two binaries: the agent (tokio), one shim per pod (a single thread, parent of the
//! pod's processes, outlives its agent), and one pause per pod (holds the namespaces). ARCHITECTURE.md is the map of the
//! rooms and states their invariants.

pub mod cli;
pub mod config;

pub mod agent;

pub mod api;

pub mod source;

pub mod pod;

pub mod sync;

pub mod runtime;

pub mod image;
pub mod network;
pub mod volume;

pub mod shim;

pub mod pause;

pub mod container;

pub mod cgroup;

pub mod probe;

pub mod hook;

pub mod logs;

pub mod status;

pub mod events;

pub mod cluster;

pub mod eviction;
pub mod shutdown;

pub mod usage;

pub mod metrics;

pub mod program;

pub mod state;

pub mod sys;

pub mod failpoint;

#[cfg(any(test, fuzzing))]
pub mod fuzz;
