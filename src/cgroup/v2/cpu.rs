//! CPU time on v2: a weight, and a quota per period.

use std::path::Path;
use std::time::Duration;

use oci_spec::runtime::LinuxResources;

use crate::cgroup::controller::{Controller, Setting};
use crate::cgroup::stats::{Cpu, Stats, Throttling, counters};
use crate::cgroup::{Result, file};

/// The controller.
pub(crate) const CONTROLLER: Controller =
    Controller { name: "cpu", settings, count: throttling, on_demand: false };

/// The kernel's default, microseconds.
const DEFAULT_PERIOD: u64 = 100_000;

/// CPU time, which v2 counts for every group, whoever has the controller.
pub(crate) fn time(directory: &Path, stats: &mut Stats) -> Result<()> {
    stats.cpu = counters(directory, "cpu.stat")?.map(|stat| Cpu {
        usage: Duration::from_micros(stat.get("usage_usec")),
        user: Duration::from_micros(stat.get("user_usec")),
        system: Duration::from_micros(stat.get("system_usec")),
    });
    Ok(())
}

/// Microseconds, and of how many. `None` is no limit, or no such group.
pub(crate) fn quota(directory: &Path) -> Result<Option<(u64, u64)>> {
    let text = file::read_if_there(&directory.join("cpu.max"))?;
    Ok(text.and_then(|text| {
        let (quota, period) = text.trim().split_once(' ')?;
        // Without a limit the quota is `max`.
        quota.parse().ok().zip(period.parse().ok())
    }))
}

fn throttling(directory: &Path, stats: &mut Stats) -> Result<()> {
    stats.throttling = counters(directory, "cpu.stat")?.map(|stat| Throttling {
        periods: stat.get("nr_periods"),
        throttled: stat.get("nr_throttled"),
        time: Duration::from_micros(stat.get("throttled_usec")),
    });
    Ok(())
}

fn settings(limits: &LinuxResources) -> Vec<Setting> {
    let Some(cpu) = limits.cpu() else { return Vec::new() };
    let mut settings = Vec::new();
    if let Some(shares) = cpu.shares().filter(|shares| *shares > 0) {
        settings.push(Setting::optional("cpu.weight", weight(shares)));
    }
    let quota = cpu.quota().filter(|quota| *quota != 0);
    let period = cpu.period().filter(|period| *period > 0);
    if quota.is_some() || period.is_some() {
        let quota =
            quota.filter(|quota| *quota > 0).map_or_else(|| "max".to_owned(), |quota| quota.to_string());
        settings.push(Setting::new("cpu.max", format!("{quota} {}", period.unwrap_or(DEFAULT_PERIOD))));
    }
    settings
}

/// Shares (2 to 262144) as a weight (1 to 10000): the curve through both ends on which the defaults, 1024 and 100, meet. Container
/// runtimes convert so since 2025 (runc 1.3.2, crun 1.23; kubernetes/kubernetes#131216); the straight line of KEP-2254 gave a
/// container of one CPU 39 beside the 100 of everything else on the host.
fn weight(shares: u64) -> u64 {
    let exponent = (shares.clamp(2, 262_144) as f64).log2();
    let power = (exponent * exponent + 125.0 * exponent) / 612.0 - 7.0 / 34.0;
    (10_f64.powf(power).ceil() as u64).clamp(1, 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::tests::written;
    use serde_json::json;

    #[test]
    fn shares_become_a_weight_and_the_defaults_meet() {
        for (shares, expected) in
            [(1, 1), (2, 1), (102, 17), (512, 59), (1024, 100), (262_144, 10_000), (u64::MAX, 10_000)]
        {
            assert_eq!(weight(shares), expected, "{shares}");
        }
    }

    #[test]
    fn quota_and_period_go_to_one_file() {
        for (limits, expected) in [
            (json!({}), ""),
            (json!({"cpu": {"shares": 0, "quota": 0, "period": 0}}), ""),
            (json!({"cpu": {"shares": 1024}}), "cpu.weight=100?"),
            (json!({"cpu": {"quota": 50000}}), "cpu.max=50000 100000"),
            (json!({"cpu": {"quota": 50000, "period": 20000}}), "cpu.max=50000 20000"),
            (json!({"cpu": {"quota": -1, "period": 20000}}), "cpu.max=max 20000"),
            (json!({"cpu": {"period": 20000}}), "cpu.max=max 20000"),
        ] {
            assert_eq!(written(&CONTROLLER, &limits), expected, "{limits}");
        }
    }
}
