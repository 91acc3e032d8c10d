//! Measures how long it takes from asking for a pod to the first answer of its HTTP server, and what it costs to keep it.
//!
//! - `bin/server.rs`: the workload of every contestant, a static HTTP server.
//! - `bin/floor.rs`: makes a pod with nothing but system calls: what the kernel alone charges.
//! - `bin/compare.rs`: runs the contestants and prints the table.
//! - `contestant`: how each of them is started, and how it tells the pod's IP.
//! - `answer`: waits for the first answers; `memory`: what processes hold; `table`: figures and their presentation.

pub mod answer;
pub mod contestant;
pub mod memory;
pub mod net;
pub mod table;
