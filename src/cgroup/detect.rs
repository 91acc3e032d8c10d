//! Finds the mounted hierarchies in /proc/self/mountinfo (proc_pid_mountinfo(5)).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::{Cgroups, Error, Result, v1, v2};

/// The v1 controllers that groups are made for: three with limits, two that count, and two that a few groups need.
const JOINED: [&str; 7] = ["memory", "cpu", "cpuacct", "pids", "blkio", "cpuset", "hugetlb"];
/// Joined where there is no v2, which freezes, kills and keeps devices away without a controller.
const WITHOUT_V2: [&str; 2] = ["freezer", "devices"];
/// Options that come first in a v1 hierarchy's line of mountinfo and are no controllers.
const NO_CONTROLLERS: [&str; 9] = [
    "rw",
    "ro",
    "xattr",
    "clone_children",
    "cpuset_v2_mode",
    "noprefix",
    "favordynmods",
    "nofavordynmods",
    "none",
];

/// The hierarchies that are mounted at `mount` or below it.
pub(crate) fn detect(mountinfo: &str, mount: &Path) -> Result<Cgroups> {
    let mounts: Vec<Mount> =
        mountinfo.lines().filter_map(Mount::parse).filter(|found| found.point.starts_with(mount)).collect();
    // v2 is at the mount itself, or beside the v1 hierarchies. Of two mounts of the same thing the upper one serves.
    let unified = mounts
        .iter()
        .filter(|found| found.kind == "cgroup2")
        .min_by_key(|found| found.point.components().count());
    let mut legacy: Vec<v1::Hierarchy> = Vec::new();
    for found in mounts.iter().filter(|found| found.kind == "cgroup") {
        let controllers = found.controllers();
        let used = |name: &String| {
            JOINED.contains(&name.as_str()) || (unified.is_none() && WITHOUT_V2.contains(&name.as_str()))
        };
        // A hierarchy that is mounted twice has the same controllers both times.
        if controllers.iter().any(used) && !legacy.iter().any(|known| known.has(&controllers[0])) {
            legacy.push(v1::Hierarchy::new(found.point.clone(), controllers));
        }
    }
    let unified = unified.map(|found| v2::Hierarchy::open(found.point.clone())).transpose()?;
    if unified.is_none() && legacy.is_empty() {
        return Err(Error::NotMounted(mount.to_owned()));
    }
    Ok(Cgroups { unified, legacy })
}

/// A line of mountinfo, as far as it matters.
struct Mount<'a> {
    point: PathBuf,
    kind: &'a str,
    super_options: &'a str,
}

impl<'a> Mount<'a> {
    /// `36 35 98:0 /root /point options optional... - type source super-options`
    fn parse(line: &'a str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        let (kind, _source, super_options) = (right.next()?, right.next()?, right.next()?);
        Some(Self { point: unescape(left.split(' ').nth(4)?), kind, super_options })
    }

    /// Controllers of a v1 hierarchy; options of the form `name=...` are none.
    fn controllers(&self) -> Vec<String> {
        let options = self.super_options.split(',').filter(|option| !option.contains('='));
        options.filter(|option| !NO_CONTROLLERS.contains(option)).map(str::to_owned).collect()
    }
}

/// Spaces, tabs, newlines and backslashes are written as `\` and three octal digits.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        match tail {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] if *first == b'\\' => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    OsString::from_vec(bytes).into()
}
