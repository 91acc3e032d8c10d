//! The name of a group, checked before it becomes a path.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{Error, Result};

/// A relative path of one component or more, none of which is `.` or `..`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group<'a>(&'a Path);

impl<'a> Group<'a> {
    pub(crate) fn new(path: &'a Path) -> Result<Self> {
        let bytes = path.as_os_str().as_bytes();
        // `components` skips an inner `.` and doubled slashes; taken from the bytes, the check is exact.
        let plain = |part: &[u8]| !matches!(part, b"" | b"." | b"..") && !part.contains(&0);
        if bytes.split(|b| *b == b'/').all(plain) {
            Ok(Self(path))
        } else {
            Err(Error::InvalidGroup(path.to_owned()))
        }
    }

    pub(crate) fn as_path(self) -> &'a Path {
        self.0
    }

    /// The group above, `None` below the root.
    pub(crate) fn parent(self) -> Option<Self> {
        self.0.parent().filter(|parent| !parent.as_os_str().is_empty()).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_cannot_leave_its_hierarchy() {
        for bad in
            ["", "/", "/kubepods", "..", "a/..", "../a", "a/../b", ".", "./a", "a/./b", "a//b", "a/", "a\0b"]
        {
            assert!(matches!(Group::new(Path::new(bad)), Err(Error::InvalidGroup(_))), "{bad:?}");
        }
        for good in ["a", "kubepods/besteffort/pod1", "system.slice/mkubelet.service/kubepods", "a/..b/c.."] {
            assert!(Group::new(Path::new(good)).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn a_group_knows_the_group_above() {
        for (group, parent) in [("a", None), ("a/b", Some("a")), ("a/b/c", Some("a/b"))] {
            let group = Group::new(Path::new(group)).unwrap();
            assert_eq!(group.parent().map(Group::as_path), parent.map(Path::new));
        }
    }
}
