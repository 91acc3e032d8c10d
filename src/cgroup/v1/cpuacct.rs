//! CPU time that was used, which v1 counts in a controller of its own.

use std::path::Path;
use std::time::Duration;

use crate::cgroup::Result;
use crate::cgroup::controller::Controller;
use crate::cgroup::stats::{Cpu, Stats, number};

/// The controller.
pub(crate) const CONTROLLER: Controller =
    Controller { name: "cpuacct", settings: |_| Vec::new(), count, on_demand: false };

/// Nanoseconds; the parts since Linux 4.6.
fn count(directory: &Path, stats: &mut Stats) -> Result<()> {
    let time = |name: &str| Ok(number(directory, name)?.map(Duration::from_nanos));
    if let Some(usage) = time("cpuacct.usage")? {
        let (user, system) = (time("cpuacct.usage_user")?, time("cpuacct.usage_sys")?);
        stats.cpu = Some(Cpu { usage, user: user.unwrap_or_default(), system: system.unwrap_or_default() });
    }
    Ok(())
}
