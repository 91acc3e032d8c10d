//! Reads what is left on this host.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{Statvfs, statvfs};

use super::signal::{Observation, Observations, Signal};

/// Where to look.
#[derive(Debug, Clone)]
pub struct Host {
    /// A directory of the node's filesystem.
    pub root: PathBuf,
    /// The directory of images.
    pub images: PathBuf,
}

impl Host {
    /// What there is now. Blocks on what the kernel knows, never on a disk.
    pub fn observe(&self) -> Observations {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let [node, images] = [&self.root, &self.images].map(|path| statvfs(path.as_path()).ok());
        let process_ids = processes(
            &text("/proc/loadavg"),
            &text("/proc/sys/kernel/pid_max"),
            &text("/proc/sys/kernel/threads-max"),
        );
        let seen = [
            (Signal::MemoryAvailable, memory(&text("/proc/meminfo"))),
            (Signal::NodeFsAvailable, node.as_ref().map(bytes)),
            (Signal::NodeFsInodesFree, node.as_ref().and_then(inodes)),
            (Signal::ImageFsAvailable, images.as_ref().map(bytes)),
            (Signal::ImageFsInodesFree, images.as_ref().and_then(inodes)),
            (Signal::PidAvailable, process_ids),
        ];
        seen.into_iter().filter_map(|(signal, seen)| Some((signal, seen?))).collect()
    }

    /// True if images are on a filesystem of their own, so that room for them is no room for pods.
    pub fn has_image_fs(&self) -> bool {
        let id = |path: &Path| statvfs(path).map(|found| found.filesystem_id());
        matches!((id(&self.root), id(&self.images)), (Ok(node), Ok(images)) if node != images)
    }
}

fn bytes(found: &Statvfs) -> Observation {
    let bytes = |blocks: u64| blocks.saturating_mul(found.fragment_size());
    Observation { available: bytes(found.blocks_available()), capacity: bytes(found.blocks()) }
}

/// `None`: the filesystem makes inodes as it needs them.
fn inodes(found: &Statvfs) -> Option<Observation> {
    let seen = Observation { available: found.files_available(), capacity: found.files() };
    (seen.capacity > 0).then_some(seen)
}

/// The kubelet's memory.available, of /proc/meminfo: all memory without the working set, which is what is used without file pages
/// that have not been used for long.
fn memory(meminfo: &str) -> Option<Observation> {
    let bytes = |name: &str| -> Option<u64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kibibytes.checked_mul(1024)
    };
    let capacity = bytes("MemTotal")?;
    let available = bytes("MemFree")?.saturating_add(bytes("Inactive(file)")?);
    Some(Observation { available: available.min(capacity), capacity })
}

/// How many processes and threads there may still be: proc_loadavg(5) has their number behind a slash.
fn processes(loadavg: &str, pid_max: &str, threads_max: &str) -> Option<Observation> {
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let there_are = number(loadavg.split_whitespace().nth(3)?.split_once('/')?.1)?;
    let capacity = [number(pid_max), number(threads_max)].into_iter().flatten().min()?;
    Some(Observation { available: capacity.saturating_sub(there_are), capacity })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_could_be_taken_back_easily_is_available() {
        let text = "MemTotal:  1000 kB\nMemFree:   100 kB\nInactive:  900 kB\nInactive(file):  50 kB\n";
        assert_eq!(memory(text), Some(Observation { available: 150 << 10, capacity: 1000 << 10 }));
        for bad in ["", "MemTotal: 1 kB\n", "MemTotal: x kB\nMemFree: 1 kB\nInactive(file): 1 kB\n"] {
            assert_eq!(memory(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn process_ids_are_bounded_by_the_lower_of_two_limits() {
        let loadavg = "0.20 0.18 0.12 1/80 11206\n";
        let seen = |available, capacity| Some(Observation { available, capacity });
        assert_eq!(processes(loadavg, "32768\n", "100\n"), seen(20, 100));
        assert_eq!(processes(loadavg, "50\n", "100\n"), seen(0, 50));
        assert_eq!(processes(loadavg, "4194304", ""), seen(4_194_224, 4_194_304));
        assert_eq!(processes("", "1", "1"), None);
    }

    #[test]
    fn this_host_tells_every_signal_but_inodes_where_there_are_none_to_count() {
        let host = Host { root: "/".into(), images: "/proc".into() };
        let seen = host.observe();
        for signal in [Signal::MemoryAvailable, Signal::NodeFsAvailable, Signal::PidAvailable] {
            let Observation { available, capacity } = seen[&signal];
            assert!(available > 0 && available <= capacity, "{signal}: {available} of {capacity}");
        }
        assert!(!seen.contains_key(&Signal::ImageFsInodesFree));
        assert!(host.has_image_fs());
        assert!(!Host { root: "/".into(), images: "/".into() }.has_image_fs());
    }
}
