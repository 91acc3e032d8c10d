//! What the kernel says of the mount that a file is on: /proc/self/mountinfo (proc_pid_mountinfo(5)).

use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd};

/// A mount of this process's mount namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountInfo {
    /// Where it is mounted, as the kernel writes it: blanks are `\\040`.
    pub target: String,
    /// What is mounted on it shows in its peers, and the other way round.
    pub is_shared: bool,
    /// The type of its filesystem.
    pub kind: String,
}

impl MountInfo {
    /// The mount that an open file is on; `None` if it is on none of this mount namespace.
    #[expect(clippy::disallowed_methods, reason = "procfs, and only asked what a descriptor is")]
    pub fn of(file: BorrowedFd<'_>) -> Option<Self> {
        let about = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).ok()?;
        let id = about.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim();
        Self::find(&fs::read_to_string("/proc/self/mountinfo").ok()?, id)
    }

    fn find(mountinfo: &str, id: &str) -> Option<Self> {
        let line = mountinfo.lines().find(|line| line.split(' ').next() == Some(id))?;
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(4);
        let target = fields.next()?.to_owned();
        // Its options, then any number of words on its propagation.
        let is_shared = fields.skip(1).any(|word| word.starts_with("shared:"));
        Some(Self { target, is_shared, kind: filesystem.split(' ').next()?.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_line_tells_place_propagation_and_type() {
        let mountinfo = "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
                         23 22 0:21 / /proc rw shared:5 - proc proc rw\n\
                         24 22 0:22 / /a\\040b rw master:1 shared:6 propagate_from:2 - tmpfs shared:9 rw\n\
                         25 22 0:23 / /shared:1 rw master:1 - tmpfs shared:9 rw\n";
        for (id, expected) in [
            ("22", Some(("/", false, "ext4"))),
            ("23", Some(("/proc", true, "proc"))),
            ("24", Some(("/a\\040b", true, "tmpfs"))),
            ("25", Some(("/shared:1", false, "tmpfs"))),
            ("2", None),
        ] {
            let found = MountInfo::find(mountinfo, id);
            let found = found.as_ref().map(|found| (&*found.target, found.is_shared, &*found.kind));
            assert_eq!(found, expected, "{id}");
        }
    }

    #[test]
    fn a_file_is_on_a_mount() {
        let found = MountInfo::of(File::open("/proc/sys").unwrap().as_fd()).unwrap();
        assert_eq!((found.target.as_str(), found.kind.as_str()), ("/proc", "proc"));
    }
}
