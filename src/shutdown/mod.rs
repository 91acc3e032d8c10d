//! Graceful node shutdown: pods have time to end, group after group, before the machine goes down, as with a kubelet.
//!
//! ```text
//!  logind: PrepareForShutdown(true) ──> not ready, no new pods ──> group after group of pods ends ──> the lock is released
//!             ↑                                                                                            │
//!             └─────── delays the shutdown as long as there is a lock, for InhibitDelayMaxSec at most ─────┘
//! ```
//!
//! Source: <https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/>.

pub mod delay;
pub mod groups;
pub mod logind;
pub mod watch;

use std::path::PathBuf;

use self::groups::Groups;

/// What an agent is to do about shutdowns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shutdown {
    /// Which pods end in which order; without any nothing is done.
    pub groups: Groups,
    /// Where logind reads more of its configuration from.
    pub logind_conf_dir: PathBuf,
}
