//! Values that OCI has no words for, by the names of their files: `memory.min`, `memory.high`, `memory.oom.group`.

use oci_spec::runtime::LinuxResources;

use crate::cgroup::controller::Setting;
use crate::cgroup::{Error, Result};

/// Refuses keys that are no file of a controller: `cgroup.procs` would be no limit, a path could be any file.
pub(crate) fn refuse_unknown(limits: &LinuxResources) -> Result<()> {
    let plain = |key: &String| {
        controller_of(key) != "cgroup"
            && key.contains('.')
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"._".contains(&b))
    };
    match limits.unified().iter().flatten().all(|(key, _)| plain(key)) {
        true => Ok(()),
        false => Err(Error::UnknownLimit("unified: a key that is no limit of a controller")),
    }
}

/// What to write, in the order of the names. An error when a controller is not among `available`.
pub(crate) fn settings(limits: &LinuxResources, available: &[&str]) -> Result<Vec<Setting>> {
    let mut pairs: Vec<_> = limits.unified().iter().flatten().collect();
    pairs.sort();
    match pairs.iter().find(|(key, _)| !available.contains(&controller_of(key))) {
        Some((key, _)) => Err(Error::Unified((*key).clone())),
        None => Ok(pairs.into_iter().map(|(key, value)| Setting::new(key.clone(), value)).collect()),
    }
}

fn controller_of(key: &str) -> &str {
    key.split('.').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn limits(unified: Value) -> LinuxResources {
        serde_json::from_value(json!({ "unified": unified })).unwrap()
    }

    #[test]
    fn files_of_controllers_are_written_and_no_others() {
        for key in
            ["cgroup.procs", "cgroup.kill", "memory", "../memory.max", "memory.max/x", "", "memory. max"]
        {
            assert!(refuse_unknown(&limits(json!({ key: "1" }))).is_err(), "{key:?}");
        }
        let limits = limits(json!({"memory.oom.group": "1", "memory.high": "4096"}));
        refuse_unknown(&limits).unwrap();
        let settings = settings(&limits, &["cpu", "memory"]).unwrap();
        assert_eq!(settings, [Setting::new("memory.high", 4096), Setting::new("memory.oom.group", 1)]);
        assert_eq!(
            super::settings(&limits, &["cpu"]).unwrap_err().to_string(),
            "limit memory.high needs its controller on cgroup v2, which this host has not got"
        );
    }
}
