//! The shim's command line, which only an agent writes.

use std::ffi::OsString;
use std::path::PathBuf;

/// What an agent tells a new shim. The listening socket comes as standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The pod, for the process list.
    pub pod_uid: String,
    /// The pod's run directory: journal, shared memory.
    pub run_dir: PathBuf,
    /// The pod's cgroup, relative to the hierarchies' roots.
    pub cgroup: PathBuf,
    /// Where the cgroup hierarchies are mounted, such as /sys/fs/cgroup.
    pub cgroup_mount: PathBuf,
}

impl Options {
    /// Reads `--pod-uid UID --run-dir DIR --cgroup GROUP --cgroup-mount DIR`, all of them needed, in any order.
    pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let (mut pod_uid, mut run_dir, mut cgroup, mut cgroup_mount) = (None, None, None, None);
        let mut words = words.into_iter();
        while let Some(flag) = words.next() {
            let slot = match flag.to_str() {
                Some("--pod-uid") => &mut pod_uid,
                Some("--run-dir") => &mut run_dir,
                Some("--cgroup") => &mut cgroup,
                Some("--cgroup-mount") => &mut cgroup_mount,
                _ => return Err(format!("unknown argument {flag:?}")),
            };
            *slot = Some(words.next().ok_or_else(|| format!("{flag:?} needs a value"))?);
        }
        let needed = |value: Option<OsString>, flag: &str| value.ok_or_else(|| format!("{flag} is missing"));
        Ok(Self {
            pod_uid: needed(pod_uid, "--pod-uid")?.to_string_lossy().into_owned(),
            run_dir: needed(run_dir, "--run-dir")?.into(),
            cgroup: needed(cgroup, "--cgroup")?.into(),
            cgroup_mount: needed(cgroup_mount, "--cgroup-mount")?.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn every_option_is_needed_and_nothing_else_is_taken() {
        let whole = "--pod-uid u --run-dir /r --cgroup kubepods/podu --cgroup-mount /sys/fs/cgroup";
        assert_eq!(parse(whole).unwrap().cgroup, PathBuf::from("kubepods/podu"));
        assert_eq!(parse("--pod-uid u --run-dir /r --cgroup c").unwrap_err(), "--cgroup-mount is missing");
        assert_eq!(parse("--pod-uid").unwrap_err(), "\"--pod-uid\" needs a value");
        assert_eq!(parse("run").unwrap_err(), "unknown argument \"run\"");
    }
}
