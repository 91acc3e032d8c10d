//! Memory on v1: a limit, one for memory and swap together, and an amount that is taken back last.

use std::path::Path;

use oci_spec::runtime::LinuxResources;

use crate::cgroup::controller::{Controller, Setting};
use crate::cgroup::hierarchy::children;
use crate::cgroup::stats::{Memory, Stats, counters, number};
use crate::cgroup::{Result, file};

/// The controller.
pub(crate) const CONTROLLER: Controller = Controller { name: "memory", settings, count, on_demand: false };

/// How many processes of this group and those below were killed for want of memory. Each group counts its own (Linux 4.13).
pub(crate) fn oom_kills(directory: &Path) -> Result<u64> {
    let own = file::count(&directory.join("memory.oom_control"), "oom_kill")?;
    let below: Vec<u64> = children(directory)?.iter().map(|child| oom_kills(child)).collect::<Result<_>>()?;
    Ok(below.into_iter().fold(own, u64::saturating_add))
}

/// Lets a group whose limits are there already have more: the kernel keeps memory and swap together from being less than memory
/// alone, so that of the two limits the former grows first, and shrinks last.
pub(crate) fn make_room(directory: &Path, limits: &LinuxResources) -> Result<()> {
    let Some(Setting { file: name, value, .. }) = limit(limits).into_iter().nth(1) else { return Ok(()) };
    let together = number(directory, &name)?;
    let grows = value.parse().map_or(true, |wanted: u64| together.is_some_and(|now| now < wanted));
    if together.is_some() && grows { file::write(&directory.join(name.as_ref()), &value) } else { Ok(()) }
}

/// A limit that is none is the largest number of whole pages.
const NO_LIMIT: u64 = 1 << 62;

/// The figures of `memory.stat` that begin with `total_` have those of the groups below in them.
fn count(directory: &Path, stats: &mut Stats) -> Result<()> {
    let (usage, stat) = (number(directory, "memory.usage_in_bytes")?, counters(directory, "memory.stat")?);
    if let (Some(usage), Some(stat)) = (usage, stat) {
        stats.memory = Some(Memory {
            usage,
            working_set: usage.saturating_sub(stat.get("total_inactive_file")),
            rss: stat.get("total_rss"),
            cache: stat.get("total_cache"),
            mapped: stat.get("total_mapped_file"),
            swap: stat.get("total_swap"),
            peak: number(directory, "memory.max_usage_in_bytes")?,
            limit: number(directory, "memory.limit_in_bytes")?.filter(|limit| *limit < NO_LIMIT),
            oom_kills: oom_kills(directory)?,
            faults: stat.get("total_pgfault"),
            major_faults: stat.get("total_pgmajfault"),
        });
    }
    Ok(())
}

fn settings(limits: &LinuxResources) -> Vec<Setting> {
    let reservation = limits.memory().and_then(|memory| memory.reservation()).filter(|bytes| *bytes != 0);
    let protected = reservation.map(|bytes| Setting::new("memory.soft_limit_in_bytes", bytes.max(-1)));
    limit(limits).into_iter().chain(protected).collect()
}

fn limit(limits: &LinuxResources) -> Vec<Setting> {
    let Some(limit) = limits.memory().and_then(|memory| memory.limit()).filter(|limit| *limit != 0) else {
        return Vec::new();
    };
    // Without a word about swap there is none: memory and swap together are then limited to the same figure.
    let together = limits.memory().and_then(|memory| memory.swap()).unwrap_or(limit);
    vec![
        Setting::new("memory.limit_in_bytes", limit.max(-1)),
        // Missing where the kernel does not account swap.
        Setting::optional("memory.memsw.limit_in_bytes", together.max(-1)),
    ]
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
            (
                json!({"memory": {"limit": 1048576}}),
                "memory.limit_in_bytes=1048576 memory.memsw.limit_in_bytes=1048576?",
            ),
            (
                json!({"memory": {"limit": 10, "swap": 15}}),
                "memory.limit_in_bytes=10 memory.memsw.limit_in_bytes=15?",
            ),
            (json!({"memory": {"reservation": 7}}), "memory.soft_limit_in_bytes=7"),
            (json!({"memory": {"limit": -1}}), "memory.limit_in_bytes=-1 memory.memsw.limit_in_bytes=-1?"),
        ] {
            assert_eq!(written(&CONTROLLER, &limits), expected, "{limits}");
        }
    }
}
