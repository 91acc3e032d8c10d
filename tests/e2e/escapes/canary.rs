//! The canary: what an attack would love to touch, written down before a test and compared after it.
//!
//! The host's mount table, links, cgroups, processes and zombies are in the leak snapshot of every test.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::world::World;

const BYTES: &str = "nobody in a container has read this, or changed it\n";

/// What a container that runs as root could use to become root of the host, had it a way to it.
const SETTINGS: [&str; 17] = [
    "/proc/sys/fs/protected_hardlinks",
    "/proc/sys/fs/protected_symlinks",
    "/proc/sys/fs/suid_dumpable",
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/core_pipe_limit",
    "/proc/sys/kernel/domainname",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/kptr_restrict",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/poweroff_cmd",
    "/proc/sys/kernel/randomize_va_space",
    "/proc/sys/kernel/sysrq",
    "/proc/sys/kernel/usermodehelper/bset",
    "/proc/sys/net/ipv4/conf/all/route_localnet",
    "/proc/sys/vm/mmap_min_addr",
    "/proc/sys/vm/overcommit_memory",
    "/sys/kernel/uevent_helper",
];

/// A file with known bytes, an empty directory, and settings of the kernel.
pub(super) struct Canary {
    file: PathBuf,
    directory: PathBuf,
    before: BTreeMap<String, String>,
}

impl Canary {
    pub(super) fn plant(world: &World) -> Self {
        let (file, directory) = (world.path("canary"), world.path("canaries"));
        fs::write(&file, BYTES).unwrap();
        fs::create_dir(&directory).unwrap();
        let before = look(&file, &directory);
        Self { file, directory, before }
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn check(&self) {
        assert_eq!(look(&self.file, &self.directory), self.before, "the host has been touched");
    }
}

fn look(file: &Path, directory: &Path) -> BTreeMap<String, String> {
    let identity = |path: &Path| {
        let found = fs::symlink_metadata(path).unwrap();
        let (mode, owner) = (found.mode(), (found.uid(), found.gid()));
        format!(
            "inode {} mode {mode:o} owner {owner:?} mtime {}.{}",
            found.ino(),
            found.mtime(),
            found.mtime_nsec()
        )
    };
    let names: Vec<_> = fs::read_dir(directory).unwrap().flatten().map(|entry| entry.file_name()).collect();
    let mut seen = BTreeMap::from([
        ("file".to_owned(), format!("{} {}", identity(file), fs::read_to_string(file).unwrap())),
        ("directory".to_owned(), format!("{} {names:?}", identity(directory))),
    ]);
    for path in SETTINGS {
        // Not every kernel has every one of them.
        seen.insert(path.to_owned(), fs::read_to_string(path).unwrap_or_default());
    }
    seen
}
