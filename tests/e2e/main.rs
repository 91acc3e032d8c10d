//! End-to-end tests: the real binaries, as root, on the kernel of this machine. See docs/testing.md.
//!
//! Each test is named after the promise it keeps, and lives in a [`world::World`] of its own: directories, bridge,
//! addresses and cgroups. When it ends, two oracles speak: the leak snapshot and the ledger.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod world;

mod agent;
mod api;
mod apparmor;
mod crash;
mod deadline;
mod environment;
mod ephemeral;
mod escapes;
mod exit_status;
mod failpoints;
mod hooks;
mod identity;
mod image_archives;
mod images;
mod init;
mod inside;
mod isolation;
mod kubectl;
mod limits;
mod liveness;
mod logs;
mod manifests;
mod namespaces;
mod network;
mod nginx;
mod objects;
mod output;
mod probe_accuracy;
mod probes;
mod registry;
mod resize;
mod restart;
mod seccomp;
mod security;
mod several;
mod sharing;
mod sidecars;
mod stats;
mod status;
mod stop;
mod streams;
mod termination_message;
mod unpacking;
mod user_namespaces;
mod volumes;
mod walkthroughs;
