//! Processors and memory nodes.

use oci_spec::runtime::LinuxResources;

use crate::cgroup::controller::{Controller, Setting};
use crate::cgroup::stats::nothing;

/// The controller.
pub(crate) const CONTROLLER: Controller =
    Controller { name: "cpuset", settings, count: nothing, on_demand: true };

fn settings(limits: &LinuxResources) -> Vec<Setting> {
    let Some(cpu) = limits.cpu() else { return Vec::new() };
    let lists = [("cpuset.cpus", cpu.cpus()), ("cpuset.mems", cpu.mems())];
    let set = lists.into_iter().filter_map(|(file, list)| Some(Setting::new(file, list.as_deref()?)));
    set.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::tests::written;
    use serde_json::json;

    #[test]
    fn lists_are_written_as_they_are() {
        for (limits, expected) in [
            (json!({"cpu": {"shares": 2}}), ""),
            (json!({"cpu": {"cpus": "0-1,3"}}), "cpuset.cpus=0-1,3"),
            (json!({"cpu": {"cpus": "0", "mems": "0"}}), "cpuset.cpus=0 cpuset.mems=0"),
        ] {
            assert_eq!(written(&CONTROLLER, &limits), expected, "{limits}");
        }
    }
}
