//! Measures how long it takes from asking for a pod to the first answer of its HTTP server, and what it costs to keep it, to
//! probe it, and to execute a program in it.
//!
//! - `bin/server.rs`: the workload of every contestant, a static HTTP server.
//! - `bin/floor.rs`: makes a pod with nothing but system calls: what the kernel alone charges.
//! - `bin/compare.rs`: runs the contestants and prints the table.
//! - `bin/upkeep.rs`: what pods cost that run: `probes` and `exec`, with `bin/floor_exec.rs` as the floor of the latter, and `node`; `upkeep`: what
//!   these have in common.
//! - `contestant`: how each of them is started, and how it tells the pod's IP.
//! - `answer`: waits for the first answers; `memory` and `cpu`: what processes hold and have used; `clone`: fork with flags; `table`:
//!   figures and their presentation.

pub mod answer;
pub mod clone;
pub mod contestant;
pub mod cpu;
pub mod exec;
pub mod memory;
pub mod net;
pub mod node;
pub mod probes;
pub mod table;
pub mod upkeep;
