//! Memory on v2: a limit, one for swap beside it, and an amount that is taken back last.

use std::path::Path;

use oci_spec::runtime::LinuxResources;

use crate::cgroup::controller::{Controller, Setting};
use crate::cgroup::stats::{Memory, Stats, counters, number};
use crate::cgroup::{Result, file};

/// The controller.
pub(crate) const CONTROLLER: Controller = Controller { name: "memory", settings, count, on_demand: false };

/// How many processes of this group and those below were killed for want of memory (Linux 4.13).
pub(crate) fn oom_kills(directory: &Path) -> Result<u64> {
    file::count(&directory.join("memory.events"), "oom_kill")
}

fn count(directory: &Path, stats: &mut Stats) -> Result<()> {
    let (usage, stat) = (number(directory, "memory.current")?, counters(directory, "memory.stat")?);
    if let (Some(usage), Some(stat)) = (usage, stat) {
        stats.memory = Some(Memory {
            usage,
            working_set: usage.saturating_sub(stat.get("inactive_file")),
            rss: stat.get("anon"),
            cache: stat.get("file"),
            mapped: stat.get("file_mapped"),
            swap: number(directory, "memory.swap.current")?.unwrap_or(0),
            peak: number(directory, "memory.peak")?,
            limit: number(directory, "memory.max")?,
            oom_kills: oom_kills(directory)?,
            faults: stat.get("pgfault"),
            major_faults: stat.get("pgmajfault"),
        });
    }
    Ok(())
}

fn settings(limits: &LinuxResources) -> Vec<Setting> {
    let reservation = limits.memory().and_then(|memory| memory.reservation()).filter(|bytes| *bytes != 0);
    let protected = reservation.map(|reservation| Setting::new("memory.low", bytes(reservation)));
    limit(limits).into_iter().chain(protected).collect()
}

fn limit(limits: &LinuxResources) -> Vec<Setting> {
    let Some(limit) = limits.memory().and_then(|memory| memory.limit()).filter(|limit| *limit != 0) else {
        return Vec::new();
    };
    // OCI's figure is memory and swap together, v2's is swap alone. Without a word about it there is no swap.
    let swap = match limits.memory().and_then(|memory| memory.swap()) {
        Some(together) if together < 0 => -1,
        Some(together) if limit > 0 => together.saturating_sub(limit).max(0),
        _ if limit < 0 => -1,
        _ => 0,
    };
    vec![
        Setting::new("memory.max", bytes(limit)),
        // Missing where the kernel does not account swap.
        Setting::optional("memory.swap.max", bytes(swap)),
    ]
}

fn bytes(limit: i64) -> String {
    if limit < 0 { "max".to_owned() } else { limit.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::tests::written;
    use serde_json::json;

    #[test]
    fn a_memory_limit_leaves_no_swap_unless_some_is_given() {
        for (limits, expected) in [
            (json!({}), ""),
            (json!({"memory": {"limit": 0}}), ""),
            (json!({"memory": {"limit": 1048576}}), "memory.max=1048576 memory.swap.max=0?"),
            (json!({"memory": {"limit": 10, "swap": 15}}), "memory.max=10 memory.swap.max=5?"),
            (json!({"memory": {"limit": 10, "swap": 5}}), "memory.max=10 memory.swap.max=0?"),
            (json!({"memory": {"limit": 10, "swap": -1}}), "memory.max=10 memory.swap.max=max?"),
            (json!({"memory": {"reservation": 7}}), "memory.low=7"),
            (json!({"memory": {"limit": -1}}), "memory.max=max memory.swap.max=max?"),
        ] {
            assert_eq!(written(&CONTROLLER, &limits), expected, "{limits}");
        }
    }
}
