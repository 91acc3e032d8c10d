//! The number of processes and threads.

use oci_spec::runtime::LinuxResources;

use crate::cgroup::controller::{Controller, Setting};

/// The controller.
pub(crate) const CONTROLLER: Controller = Controller { name: "pids", settings, on_demand: false };

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
