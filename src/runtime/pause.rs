//! A pod's pause, found without asking its shim: the journal has its number, and its cgroup proves that the number is still its own.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::config::Layout;
use crate::pod::PodUid;
use crate::shim::journal;
use crate::shim::protocol::{Event, Record};
use crate::sys::process::open_pidfd;

/// The number of the pause that runs after these records of a journal.
pub fn of_records(records: &[Record]) -> Option<i32> {
    records.iter().fold(None, |pause, record| match record.event {
        Event::SandboxStarted { pid } => Some(pid),
        Event::SandboxExited { .. } | Event::ShimStarted { .. } => None,
        _ => pause,
    })
}

/// A descriptor of the pause of a pod; `None` when it has none that runs. Blocks.
pub fn open(layout: &Layout, uid: &PodUid) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = of_records(&journal::read(&layout.journal(uid))?) else { return Ok(None) };
    let gone = |error: &io::Error| matches!(error.raw_os_error(), Some(libc::ESRCH | libc::ENOENT));
    let found = open_pidfd(pid).and_then(|pidfd| {
        // Asked for after the pidfd was there: a process of this pod is behind it, and they all have its network.
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        Ok(pod_group(&groups, uid).map(|_| pidfd))
    });
    match found {
        Err(error) if gone(&error) => Ok(None),
        found => found,
    }
}

/// The pod's group in /proc/PID/cgroup of one of its processes (cgroups(7)). `None` for a process of somebody else, who has the
/// number now.
pub fn pod_group(text: &str, uid: &PodUid) -> Option<PathBuf> {
    let name = format!("pod{uid}");
    let mut paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let group = paths.find_map(|path| Path::new(path).ancestors().find(|group| group.ends_with(&name)))?;
    group.strip_prefix("/").ok().map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pods_group_is_found_on_every_kind_of_host_and_never_a_strangers() {
        let uid: PodUid = "u-1".parse().unwrap();
        for (text, expected) in [
            ("0::/kubepods/podu-1/abc\n", Some("kubepods/podu-1")),
            (
                "0::/system.slice/m.service/kubepods/burstable/podu-1/abc\n",
                Some("system.slice/m.service/kubepods/burstable/podu-1"),
            ),
            ("4:memory:/\n3:cpu,cpuacct:/kubepods/podu-1/abc\n", Some("kubepods/podu-1")),
            ("0::/kubepods/podu-12/abc\n", None),
            ("0::/\n", None),
            ("", None),
        ] {
            assert_eq!(pod_group(text, &uid), expected.map(PathBuf::from), "{text}");
        }
    }
}
