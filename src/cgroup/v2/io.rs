//! Input and output of block devices on v2: counted, not limited.

use crate::cgroup::controller::Controller;

/// The controller.
pub(crate) const CONTROLLER: Controller =
    Controller { name: "io", settings: |_| Vec::new(), on_demand: false };
