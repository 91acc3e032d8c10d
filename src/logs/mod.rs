//! Container logs in the CRI format: written by the shim, read by the agent.
//!
//! A line is `<time> <stream> <tag> <text>`: the time in RFC 3339 with nine digits, `stdout` or `stderr`, and `F` for a
//! line's end or `P` for a part of it that the next line of the same stream continues. See the kubelet's CRI logging
//! documentation. `line`, `name` and `stamp` have no clock and no I/O, and are shared by both sides. The shim rotates
//! (`shim::log`); the agent reads over rotated files and attempts as if they were one (`trail`): `follow` all containers of a
//! `mkubelet run`, with `cut` and `join` for its parts; `read` one attempt for the API, which `attempt` chooses.

pub mod attempt;
pub(crate) mod cut;
pub mod follow;
pub(crate) mod join;
pub mod line;
pub mod name;
pub mod read;
pub mod stamp;
mod tail;
pub(crate) mod trail;
pub mod watch;

pub use follow::{Entry, Follower};
pub use line::{Encoder, Stream};
pub use watch::Watcher;
