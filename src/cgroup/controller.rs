//! A controller: how OCI limits become the values of control files.

use std::path::Path;

use oci_spec::runtime::LinuxResources;

use super::{Error, Result, devices, file};

/// One controller of one cgroup version. `v1` and `v2` each have a table of them.
#[derive(Debug)]
pub(crate) struct Controller {
    /// As in /proc/cgroups and cgroup.controllers.
    pub(crate) name: &'static str,
    /// What to write for these limits, in this order. Pure.
    pub(crate) settings: fn(&LinuxResources) -> Vec<Setting>,
}

/// A value for a control file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) file: &'static str,
    pub(crate) value: String,
    /// Let go when the kernel has no such file.
    pub(crate) optional: bool,
}

impl Setting {
    pub(crate) fn new(file: &'static str, value: impl ToString) -> Self {
        Self { file, value: value.to_string(), optional: false }
    }

    pub(crate) fn optional(file: &'static str, value: impl ToString) -> Self {
        Self { optional: true, ..Self::new(file, value) }
    }
}

impl Controller {
    /// Writes the limits to the group's files.
    pub(crate) fn apply(&self, directory: &Path, limits: &LinuxResources) -> Result<()> {
        for setting in (self.settings)(limits) {
            match file::write(&directory.join(setting.file), &setting.value) {
                Err(error) if setting.optional && error.is_absent() => {}
                other => other?,
            }
        }
        Ok(())
    }
}

/// Refuses limits that no controller here sets.
pub(crate) fn refuse_unknown(limits: &LinuxResources) -> Result<()> {
    let cpu = limits.cpu().clone().unwrap_or_default();
    let memory = limits.memory().unwrap_or_default();
    let set = [
        ("cpu.cpus", cpu.cpus().is_some()),
        ("cpu.mems", cpu.mems().is_some()),
        ("cpu.idle", cpu.idle().is_some()),
        ("cpu.burst", cpu.burst().is_some()),
        ("cpu.realtimeRuntime", cpu.realtime_runtime().is_some()),
        ("cpu.realtimePeriod", cpu.realtime_period().is_some()),
        ("memory.reservation", memory.reservation().is_some()),
        ("memory.kernelTCP", memory.kernel_tcp().is_some()),
        ("memory.swappiness", memory.swappiness().is_some()),
        ("memory.disableOOMKiller", memory.disable_oom_killer() == Some(true)),
        ("blockIO", limits.block_io().is_some()),
        ("hugepageLimits", limits.hugepage_limits().as_ref().is_some_and(|list| !list.is_empty())),
        ("network", limits.network().is_some()),
        ("rdma", limits.rdma().as_ref().is_some_and(|map| !map.is_empty())),
        ("unified", limits.unified().as_ref().is_some_and(|map| !map.is_empty())),
    ];
    match set.iter().find(|(_, set)| *set) {
        Some((limit, _)) => Err(Error::UnknownLimit(limit)),
        None => devices::refuse_unknown(limits),
    }
}

/// Refuses limits whose controller is not among `available`.
pub(crate) fn refuse_unavailable(available: &[&str], limits: &LinuxResources) -> Result<()> {
    let quota = limits.cpu().as_ref().and_then(|cpu| cpu.quota());
    let memory = limits.memory().and_then(|memory| memory.limit());
    let pids = limits.pids().map(|pids| pids.limit());
    let limited = |value: Option<i64>| value.is_some_and(|value| value > 0);
    let needs = [
        ("cpu.quota", "cpu", limited(quota)),
        ("memory.limit", "memory", limited(memory)),
        ("pids.limit", "pids", limited(pids)),
    ];
    match needs.iter().find(|(_, controller, set)| *set && !available.contains(controller)) {
        Some((limit, controller, _)) => Err(Error::NoController { limit, controller }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn limits(value: Value) -> LinuxResources {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_limit_that_nothing_sets_is_refused_by_name() {
        for (value, name) in [
            (json!({"cpu": {"cpus": "0-1"}}), "cpu.cpus"),
            (json!({"memory": {"swappiness": 10}}), "memory.swappiness"),
            (json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 1}]}), "hugepageLimits"),
            (json!({"unified": {"memory.high": "1"}}), "unified"),
        ] {
            let error = refuse_unknown(&limits(value)).unwrap_err();
            assert_eq!(error.to_string(), format!("limit {name} is not supported"));
        }
        let known = json!({"cpu": {"shares": 2}, "memory": {"limit": 1}, "pids": {"limit": 1}, "devices": [{"allow": false}]});
        assert!(refuse_unknown(&limits(known)).is_ok());
    }

    #[test]
    fn a_limit_without_its_controller_is_refused_and_a_preference_is_not() {
        let check = |value, available: &[&str]| {
            refuse_unavailable(available, &limits(value)).map_err(|e| e.to_string())
        };
        assert_eq!(
            check(json!({"memory": {"limit": 4096}}), &["cpu", "pids"]),
            Err("limit memory.limit needs the cgroup controller memory, which this host has not got"
                .to_owned())
        );
        assert!(check(json!({"memory": {"limit": 4096}}), &["memory"]).is_ok());
        assert!(
            check(json!({"memory": {"limit": -1}, "pids": {"limit": 0}, "cpu": {"shares": 2}}), &[]).is_ok()
        );
    }
}
