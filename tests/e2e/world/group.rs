//! The cgroup of a process, and what its control files say, whichever version they are of.

use std::fs;
use std::path::{Path, PathBuf};

/// A group, as it is named in every hierarchy that has it.
#[derive(Debug, Clone)]
pub(crate) struct Group(PathBuf);

impl Group {
    /// The group that a process is in.
    pub(crate) fn of(pid: i32) -> Self {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        // v2 where it is mounted, else any: the name is the same.
        let line = text.lines().find(|line| line.starts_with("0::")).or_else(|| text.lines().next());
        let path = line.and_then(|line| line.splitn(3, ':').nth(2)).unwrap();
        Self(path.trim_start_matches('/').into())
    }

    /// The group above.
    pub(crate) fn above(&self) -> Self {
        Self(self.0.parent().unwrap().to_owned())
    }

    /// Its name, relative to the roots.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// What one of its files says: by that name on v1 where v1 has the controller, else by its name on v2. (A v2 beside it has
    /// a `cpu.stat` too, of a few lines.)
    pub(crate) fn read(&self, v2: &str, v1: &str) -> String {
        let controller = v1.split('.').next().unwrap();
        let files = [(controller, v1), (".", v2), ("unified", v2)];
        let paths =
            files.map(|(mount, file)| Path::new("/sys/fs/cgroup").join(mount).join(&self.0).join(file));
        let text = paths.iter().find_map(|path| fs::read_to_string(path).ok());
        text.unwrap_or_else(|| panic!("none of {paths:?}")).trim_end().to_owned()
    }

    /// The number beside a key in a file of lines `key number`, whose name is the same on both.
    pub(crate) fn count(&self, file: &str, key: &str) -> u64 {
        let text = self.read(file, file);
        let mut pairs = text.lines().filter_map(|line| line.split_once(' '));
        let value = pairs.find(|(name, _)| *name == key).and_then(|(_, number)| number.parse().ok());
        value.unwrap_or_else(|| panic!("no {key} in {text}"))
    }
}

/// The controllers that the root of v2 hands on; when this is dropped it hands on no more than before.
pub(crate) struct HandedOn(Option<(PathBuf, String)>);

impl HandedOn {
    pub(crate) fn remember() -> Self {
        let files = ["", "unified/"].map(|at| format!("/sys/fs/cgroup/{at}cgroup.subtree_control"));
        Self(files.iter().find_map(|file| Some((file.into(), fs::read_to_string(file).ok()?))))
    }
}

impl Drop for HandedOn {
    fn drop(&mut self) {
        let Some((file, before)) = &self.0 else { return };
        let now = fs::read_to_string(file).unwrap_or_default();
        for new in now.split_whitespace().filter(|name| !before.split_whitespace().any(|old| old == *name)) {
            // Refused while somebody else's groups have a use for it.
            drop(fs::write(file, format!("-{new}")));
        }
    }
}
