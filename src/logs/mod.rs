//! Container logs in the CRI format: written by the shim, read by the agent.
//!
//! A line is `<time> <stream> <tag> <text>`: the time in RFC 3339 with nine digits, `stdout` or `stderr`, and `F` for a
//! line's end or `P` for a part of it that the next line of the same stream continues. See the kubelet's CRI logging
//! documentation. `line` has no clock and no I/O, and is shared by both sides; `follow` is the agent's, with
//! `cut` and `join` for its parts.

pub(crate) mod cut;
pub mod follow;
pub(crate) mod join;
pub mod line;

pub use follow::{Entry, Follower};
pub use line::{Encoder, Stream};
