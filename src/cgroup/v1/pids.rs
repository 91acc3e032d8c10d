//! The number of processes and threads on v1.

use crate::cgroup::controller::Controller;
use crate::cgroup::v2;

/// The controller: the same file and values as on v2.
pub(crate) const CONTROLLER: Controller = v2::pids::CONTROLLER;
