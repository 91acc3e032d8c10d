//! Input and output of block devices on v1: counted, not limited.

use crate::cgroup::controller::Controller;

/// The controller.
pub(crate) const CONTROLLER: Controller =
    Controller { name: "blkio", settings: |_| Vec::new(), on_demand: false };
