//! The number of processes and threads.

use std::path::Path;

use oci_spec::runtime::LinuxResources;

use crate::cgroup::Result;
use crate::cgroup::controller::{Controller, Setting};
use crate::cgroup::stats::{Pids, Stats, number};

/// The controller.
pub(crate) const CONTROLLER: Controller = Controller { name: "pids", settings, count, on_demand: false };

fn count(directory: &Path, stats: &mut Stats) -> Result<()> {
    let limit = number(directory, "pids.max")?;
    stats.pids = number(directory, "pids.current")?.map(|current| Pids { current, limit });
    Ok(())
}

fn settings(limits: &LinuxResources) -> Vec<Setting> {
    let Some(pids) = limits.pids() else { return Vec::new() };
    let value = if pids.limit() > 0 { pids.limit().to_string() } else { "max".to_owned() };
    vec![Setting::new("pids.max", value)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::tests::written;
    use serde_json::json;

    #[test]
    fn a_limit_of_zero_or_less_is_none() {
        for (limits, expected) in [
            (json!({}), ""),
            (json!({"pids": {"limit": 4096}}), "pids.max=4096"),
            (json!({"pids": {"limit": 0}}), "pids.max=max"),
            (json!({"pids": {"limit": -1}}), "pids.max=max"),
        ] {
            assert_eq!(written(&CONTROLLER, &limits), expected, "{limits}");
        }
    }
}
