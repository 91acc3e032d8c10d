//! A controller: how OCI limits become the values of control files, and what it has counted.

use std::borrow::Cow;
use std::path::Path;

use oci_spec::runtime::LinuxResources;

use super::stats::Stats;
use super::{Error, Result, devices, file, v2};

/// One controller of one cgroup version. `v1` and `v2` each have a table of them.
#[derive(Debug)]
pub(crate) struct Controller {
    /// As in /proc/cgroups and cgroup.controllers.
    pub(crate) name: &'static str,
    /// What to write for these limits, in this order. Pure.
    pub(crate) settings: fn(&LinuxResources) -> Vec<Setting>,
    /// Reads what is counted in a group's directory.
    pub(crate) count: fn(&Path, &mut Stats) -> Result<()>,
    /// Few groups have a use for it: enabled, or joined, only for those with a limit of its own.
    pub(crate) on_demand: bool,
}

/// A value for a control file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) file: Cow<'static, str>,
    pub(crate) value: String,
    /// Let go when the kernel has no such file.
    pub(crate) optional: bool,
}

impl Setting {
    pub(crate) fn new(file: impl Into<Cow<'static, str>>, value: impl ToString) -> Self {
        Self { file: file.into(), value: value.to_string(), optional: false }
    }

    pub(crate) fn optional(file: impl Into<Cow<'static, str>>, value: impl ToString) -> Self {
        Self { optional: true, ..Self::new(file, value) }
    }
}

impl Controller {
    /// Writes the limits to the group's files.
    pub(crate) fn apply(&self, directory: &Path, limits: &LinuxResources) -> Result<()> {
        write_all(directory, (self.settings)(limits))
    }

    /// True if these limits have any of its own.
    pub(crate) fn is_wanted(&self, limits: &LinuxResources) -> bool {
        !(self.settings)(limits).is_empty()
    }
}

/// Writes values to a group's files.
pub(crate) fn write_all(directory: &Path, settings: Vec<Setting>) -> Result<()> {
    for setting in settings {
        match file::write(&directory.join(setting.file.as_ref()), &setting.value) {
            Err(error) if setting.optional && error.is_absent() => {}
            other => other?,
        }
    }
    Ok(())
}

/// Refuses limits that no controller here sets.
pub(crate) fn refuse_unknown(limits: &LinuxResources) -> Result<()> {
    let cpu = limits.cpu().clone().unwrap_or_default();
    let memory = limits.memory().unwrap_or_default();
    let set = [
        ("cpu.idle", cpu.idle().is_some()),
        ("cpu.burst", cpu.burst().is_some()),
        ("cpu.realtimeRuntime", cpu.realtime_runtime().is_some()),
        ("cpu.realtimePeriod", cpu.realtime_period().is_some()),
        ("memory.kernelTCP", memory.kernel_tcp().is_some()),
        ("memory.swappiness", memory.swappiness().is_some()),
        ("memory.disableOOMKiller", memory.disable_oom_killer() == Some(true)),
        ("blockIO", limits.block_io().is_some()),
        ("network", limits.network().is_some()),
        ("rdma", limits.rdma().as_ref().is_some_and(|map| !map.is_empty())),
    ];
    match set.iter().find(|(_, set)| *set) {
        Some((limit, _)) => Err(Error::UnknownLimit(limit)),
        None => devices::refuse_unknown(limits).and(v2::unified::refuse_unknown(limits)),
    }
}

/// Refuses limits whose controller is not among `available`.
pub(crate) fn refuse_unavailable(available: &[&str], limits: &LinuxResources) -> Result<()> {
    let cpu = limits.cpu().clone().unwrap_or_default();
    let memory = limits.memory().unwrap_or_default();
    let pids = limits.pids().map(|pids| pids.limit());
    let huge = limits.hugepage_limits().iter().flatten().any(|size| size.limit() > 0);
    let limited = |value: Option<i64>| value.is_some_and(|value| value > 0);
    let needs = [
        ("cpu.quota", "cpu", limited(cpu.quota())),
        ("cpu.cpus", "cpuset", cpu.cpus().is_some()),
        ("cpu.mems", "cpuset", cpu.mems().is_some()),
        ("memory.limit", "memory", limited(memory.limit())),
        ("memory.reservation", "memory", limited(memory.reservation())),
        // That there shall be none is so anyway where nothing counts them: a limit of 0 is let go.
        ("hugepageLimits", "hugetlb", huge),
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
            (json!({"cpu": {"burst": 1000}}), "cpu.burst"),
            (json!({"memory": {"swappiness": 10}}), "memory.swappiness"),
            (json!({"devices": [{"allow": false, "access": "w"}]}), "devices: a denial of some devices only"),
            (json!({"unified": {"cgroup.procs": "1"}}), "unified: a key that is no limit of a controller"),
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
        for (limits, name) in [
            (json!({"cpu": {"cpus": "0"}}), "cpu.cpus"),
            (json!({"memory": {"reservation": 1}}), "memory.reservation"),
            (json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 1}]}), "hugepageLimits"),
        ] {
            assert!(check(limits, &["cpu"]).unwrap_err().contains(name), "{name}");
        }
        assert!(check(json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}), &[]).is_ok());
        assert!(
            check(json!({"memory": {"limit": -1}, "pids": {"limit": 0}, "cpu": {"shares": 2}}), &[]).is_ok()
        );
    }
}
