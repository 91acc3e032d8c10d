//! CPU time on v1: shares, and a quota per period.

use std::path::Path;
use std::time::Duration;

use oci_spec::runtime::LinuxResources;

use crate::cgroup::controller::{Controller, Setting};
use crate::cgroup::stats::{Stats, Throttling, counters};
use crate::cgroup::{Result, file};

/// The controller.
pub(crate) const CONTROLLER: Controller = Controller { name: "cpu", settings, count, on_demand: false };

fn count(directory: &Path, stats: &mut Stats) -> Result<()> {
    stats.throttling = counters(directory, "cpu.stat")?.map(|stat| Throttling {
        periods: stat.get("nr_periods"),
        throttled: stat.get("nr_throttled"),
        time: Duration::from_nanos(stat.get("throttled_time")),
    });
    Ok(())
}

/// Microseconds, and of how many. `None` is no limit, or no such group.
pub(crate) fn quota(directory: &Path) -> Result<Option<(u64, u64)>> {
    let of = |file: &str| -> Result<Option<u64>> {
        Ok(file::read_if_there(&directory.join(file))?.and_then(|text| text.trim().parse().ok()))
    };
    // Without a limit the quota is -1.
    Ok(of("cpu.cfs_quota_us")?.zip(of("cpu.cfs_period_us")?))
}

fn settings(limits: &LinuxResources) -> Vec<Setting> {
    let Some(cpu) = limits.cpu() else { return Vec::new() };
    let mut settings = Vec::new();
    // The kernel raises 0 and 1 to 2 by itself; 0 is OCI's word for "not set".
    if let Some(shares) = cpu.shares().filter(|shares| *shares > 0) {
        settings.push(Setting::new("cpu.shares", shares));
    }
    if let Some(period) = cpu.period().filter(|period| *period > 0) {
        settings.push(Setting::new("cpu.cfs_period_us", period));
    }
    if let Some(quota) = cpu.quota().filter(|quota| *quota != 0) {
        settings.push(Setting::new("cpu.cfs_quota_us", quota.max(-1)));
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::tests::written;
    use serde_json::json;

    #[test]
    fn shares_are_as_they_are_and_the_period_comes_before_the_quota() {
        for (limits, expected) in [
            (json!({}), ""),
            (json!({"cpu": {}}), ""),
            (json!({"cpu": {"shares": 0, "quota": 0, "period": 0}}), ""),
            (json!({"cpu": {"shares": 512}}), "cpu.shares=512"),
            (
                json!({"cpu": {"quota": 50000, "period": 100000}}),
                "cpu.cfs_period_us=100000 cpu.cfs_quota_us=50000",
            ),
            (json!({"cpu": {"quota": -5}}), "cpu.cfs_quota_us=-1"),
        ] {
            assert_eq!(written(&CONTROLLER, &limits), expected, "{limits}");
        }
    }
}
