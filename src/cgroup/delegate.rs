//! Life under systemd: the group that `Delegate=yes` gives away, and the agent's place in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::group::Group;
use super::hierarchy::Hierarchy as _;
use super::{Result, file, v2};

/// Name of the group, right below the delegated one, that the agent keeps itself in.
pub const AGENT_LEAF: &str = "agent";

/// Either of them, with the value `1`, is systemd's mark on a group that it gave away.
const MARKS: [&str; 2] = ["trusted.delegate", "user.delegate"];

/// The delegated group that this process is in, directly or in its agent leaf.
pub(crate) fn delegated_root(hierarchy: &v2::Hierarchy) -> Option<PathBuf> {
    let own = own_group(&fs::read_to_string("/proc/self/cgroup").ok()?)?;
    let above = own.parent().filter(|_| own.ends_with(AGENT_LEAF)).map(Path::to_owned);
    let mut candidates = [Some(own), above].into_iter().flatten();
    candidates.find(|path| Group::new(path).is_ok_and(|group| is_marked(&hierarchy.directory(group))))
}

/// Moves every process of `delegated` itself to the agent leaf.
pub(crate) fn settle(hierarchy: &v2::Hierarchy, delegated: Group<'_>) -> Result<()> {
    let directory = hierarchy.directory(delegated);
    let leaf = directory.join(AGENT_LEAF);
    match fs::create_dir(&leaf) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(file::failed("mkdir", &leaf, error));
        }
        _ => {}
    }
    for pid in file::read(&directory.join("cgroup.procs"))?.lines() {
        match file::write(&leaf.join("cgroup.procs"), pid) {
            // It ended meanwhile.
            Err(error) if error.errno() == Some(libc::ESRCH) => {}
            other => other?,
        }
    }
    Ok(())
}

/// The v2 group in the text of /proc/self/cgroup, relative to the root.
fn own_group(text: &str) -> Option<PathBuf> {
    let group = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(PathBuf::from(group)).filter(|group| !group.as_os_str().is_empty())
}

fn is_marked(directory: &Path) -> bool {
    MARKS.iter().any(|mark| matches!(xattr::get(directory, mark), Ok(Some(value)) if value == b"1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_group_is_the_line_of_v2() {
        for (text, expected) in [
            ("0::/system.slice/mkubelet.service\n", Some("system.slice/mkubelet.service")),
            ("2:cpu,cpuacct:/user.slice\n0::/init.scope\n", Some("init.scope")),
            ("0::/\n", None),
            ("1:cpu:/a\n", None),
        ] {
            assert_eq!(own_group(text), expected.map(PathBuf::from), "{text}");
        }
    }
}
