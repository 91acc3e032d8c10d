//! What a volume on the node's disk takes of it, measured while containers write to it.
//!
//! Whoever fills the volume also decides how deep and wide its tree is, and may move things about meanwhile. So the walk goes from
//! descriptor to descriptor, follows no link and enters no other filesystem; it is not recursive, keeps a bounded number of
//! descriptors and names, and comes to an end in bounded time.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};

use super::{Error, empty_dir};
use crate::config::Layout;
use crate::pod::Pod;
use crate::pod::spec::{Medium, VolumeSource};

const DIRECTORY: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// What `st_blocks` counts in, bytes (stat(3type)).
const BLOCK: u64 = 512;

/// Levels of a tree whose directories are kept open. The way back to one below these is its `..`.
const KEPT_OPEN: usize = 32;

/// How much work a walk is.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// Files and directories looked at.
    entries: usize,
    /// Directories whose turn is still to come.
    waiting: usize,
    /// How long it takes.
    time: Duration,
}

const BOUNDS: Bounds = Bounds { entries: 2_000_000, waiting: 100_000, time: Duration::from_secs(5) };

/// An emptyDir on disk with a `sizeLimit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limited {
    /// The volume's name.
    pub name: String,
    /// Bytes.
    pub limit: u64,
    path: PathBuf,
}

/// What a walk has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Usage {
    /// What is allocated on the disk.
    bytes: u64,
    /// Nothing was left out.
    is_whole: bool,
}

/// The volumes of a pod that have to be measured.
pub fn limited(pod: &Pod, layout: &Layout) -> Vec<Limited> {
    let limited = pod.spec.volumes.iter().filter_map(|volume| match volume.source {
        VolumeSource::EmptyDir { medium: Medium::Disk, size_limit: Some(limit) } => {
            let path = empty_dir::path(layout, &pod.uid, &volume.name);
            Some(Limited { name: volume.name.clone(), limit, path })
        }
        _ => None,
    });
    limited.collect()
}

impl Limited {
    /// True if the volume takes more of the disk than it may. One that has not been made takes nothing; of one that is too large
    /// to be looked at as a whole, what has been seen counts.
    #[expect(clippy::disallowed_methods, reason = "no container sees the directories above the volume's own")]
    pub fn is_exceeded(&self) -> Result<bool, Error> {
        let failed = |source| Error::Io { action: "measure the usage of", path: self.path.clone(), source };
        let root = match open(&self.path, DIRECTORY, Mode::empty()) {
            Ok(root) => root,
            Err(Errno::ENOENT) => return Ok(false),
            Err(errno) => return Err(failed(errno.into())),
        };
        let usage = measure(root, self.limit, BOUNDS).map_err(failed)?;
        if !usage.is_whole {
            tracing::warn!(volume = self.name, "too many files to measure what the volume takes of the disk");
        }
        Ok(usage.bytes > self.limit)
    }
}

/// Counts what is allocated below `root`, and for it; a file with several names counts once. Ends early when that is more than
/// `enough`, bytes.
fn measure(root: OwnedFd, enough: u64, bounds: Bounds) -> io::Result<Usage> {
    let mut walk = Walk::new(root, bounds)?;
    while walk.usage.bytes <= enough && walk.step()? {}
    Ok(walk.usage)
}

/// A directory on the way from the root to where the walk is.
struct Level {
    /// Closed while the walk is deep below it.
    directory: Option<OwnedFd>,
    inode: u64,
    /// Its directories whose turn is still to come.
    waiting: Vec<CString>,
}

struct Walk {
    device: u64,
    levels: Vec<Level>,
    /// Files with several names that have been counted.
    counted: HashSet<u64>,
    usage: Usage,
    entries: usize,
    waiting: usize,
    bounds: Bounds,
    ends_at: Instant,
}

impl Walk {
    fn new(root: OwnedFd, bounds: Bounds) -> io::Result<Self> {
        let found = fstat(&root)?;
        let mut walk = Self {
            device: found.st_dev,
            levels: Vec::new(),
            counted: HashSet::new(),
            usage: Usage { bytes: allocated(&found), is_whole: true },
            entries: 0,
            waiting: 0,
            bounds,
            ends_at: Instant::now() + bounds.time,
        };
        walk.enter(root, found.st_ino)?;
        Ok(walk)
    }

    /// Looks at one more directory; false if there is none.
    fn step(&mut self) -> io::Result<bool> {
        let Some(level) = self.levels.last_mut() else { return Ok(false) };
        // It has been moved away from below the one that was above it: what waits there is left to the next walk.
        let Some(directory) = &level.directory else {
            self.waiting -= level.waiting.len();
            self.usage.is_whole &= level.waiting.is_empty();
            self.levels.pop();
            return Ok(true);
        };
        let Some(name) = level.waiting.pop() else {
            self.leave();
            return Ok(true);
        };
        self.waiting -= 1;
        let (below, found) = match open_directory(directory.as_fd(), &name) {
            Ok(opened) => opened,
            Err(errno) if is_gone(errno) => return Ok(true),
            Err(errno) => return Err(errno.into()),
        };
        if found.st_dev == self.device {
            if let Some(far) = self.levels.len().checked_sub(1).filter(|level| *level >= KEPT_OPEN) {
                self.levels[far].directory = None;
            }
            self.enter(below, found.st_ino)?;
        }
        Ok(true)
    }

    /// Counts what is in a directory, and goes on below it.
    fn enter(&mut self, directory: OwnedFd, inode: u64) -> io::Result<()> {
        let mut waiting = Vec::new();
        for entry in Dir::openat(&directory, ".", DIRECTORY, Mode::empty())?.iter() {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            if self.entries >= self.bounds.entries || Instant::now() >= self.ends_at {
                self.usage.is_whole = false;
                self.levels.clear();
                return Ok(());
            }
            self.entries += 1;
            match fstatat(&directory, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(found) => self.count(&found, name, &mut waiting),
                Err(errno) if is_gone(errno) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        self.levels.push(Level { directory: Some(directory), inode, waiting });
        Ok(())
    }

    fn count(&mut self, found: &FileStat, name: &CStr, waiting: &mut Vec<CString>) {
        if found.st_dev != self.device {
            return;
        }
        let is_directory = SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR;
        if is_directory || found.st_nlink < 2 || self.counted.insert(found.st_ino) {
            self.usage.bytes = self.usage.bytes.saturating_add(allocated(found));
        }
        if is_directory && self.waiting < self.bounds.waiting {
            self.waiting += 1;
            waiting.push(name.to_owned());
        } else if is_directory {
            self.usage.is_whole = false;
        }
    }

    /// Goes up from a directory with which the walk is done.
    fn leave(&mut self) {
        let done = self.levels.pop().and_then(|level| level.directory);
        let (Some(above), Some(done)) = (self.levels.last_mut(), done) else { return };
        if above.directory.is_none() {
            let opened = open_directory(done.as_fd(), c"..").ok();
            let is_same = |found: &FileStat| found.st_dev == self.device && found.st_ino == above.inode;
            above.directory = opened.filter(|(_, found)| is_same(found)).map(|(directory, _)| directory);
        }
    }
}

fn open_directory(at: BorrowedFd<'_>, name: &CStr) -> nix::Result<(OwnedFd, FileStat)> {
    let directory = openat(at, name, DIRECTORY, Mode::empty())?;
    let found = fstat(&directory)?;
    Ok((directory, found))
}

/// Bytes. A hole takes none, and what is only reserved for a file counts.
fn allocated(found: &FileStat) -> u64 {
    u64::try_from(found.st_blocks).unwrap_or_default().saturating_mul(BLOCK)
}

/// Somebody has removed it meanwhile, or put something else in its place.
fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::path::Path;

    use nix::fcntl::{FallocateFlags, fallocate};
    use nix::sys::stat::mkdirat;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn opened(path: &Path) -> OwnedFd {
        File::open(path).unwrap().into()
    }

    fn bytes(path: &Path) -> u64 {
        let usage = measure(opened(path), u64::MAX, BOUNDS).unwrap();
        assert!(usage.is_whole);
        usage.bytes
    }

    /// What the path itself takes, without what is below it.
    fn own(path: &Path) -> u64 {
        fs::symlink_metadata(path).unwrap().blocks() * BLOCK
    }

    #[test]
    fn everything_allocated_counts_once_and_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let (volume, beside) = (dir.path().join("volume"), dir.path().join("beside"));
        fs::create_dir_all(volume.join("a/b/c")).unwrap();
        fs::create_dir_all(&beside).unwrap();
        fs::write(beside.join("large"), vec![1; 8 << 20]).unwrap();
        fs::write(volume.join("one"), vec![1; 1 << 20]).unwrap();
        fs::write(volume.join("a/b/c/two"), vec![1; 2 << 20]).unwrap();
        fs::hard_link(volume.join("one"), volume.join("a/one")).unwrap();
        symlink(&beside, volume.join("a/link")).unwrap();
        symlink(beside.join("large"), volume.join("file-link")).unwrap();
        File::create(volume.join("hole")).unwrap().set_len(64 * MIB).unwrap();
        fallocate(
            File::create(volume.join("reserved")).unwrap(),
            FallocateFlags::FALLOC_FL_KEEP_SIZE,
            0,
            4 << 20,
        )
        .unwrap();
        let names = ["", "one", "a", "a/b", "a/b/c", "a/b/c/two", "a/link", "file-link", "hole", "reserved"];
        let expected: u64 = names.iter().map(|name| own(&volume.join(name))).sum();
        assert_eq!(bytes(&volume), expected);
        assert!((7 * MIB..8 * MIB).contains(&expected), "{expected}");
    }

    #[test]
    fn another_filesystem_is_not_entered() {
        // /dev has /dev/shm, /dev/pts and their like mounted below it.
        let dir = tempfile::Builder::new().prefix("usage").tempdir_in("/dev/shm").unwrap();
        fs::write(dir.path().join("large"), vec![1; 4 << 20]).unwrap();
        if fs::metadata("/dev").unwrap().dev() != fs::metadata("/dev/shm").unwrap().dev() {
            assert!(bytes(Path::new("/dev")) < 4 * MIB);
        }
        assert!(bytes(dir.path()) >= 4 * MIB);
    }

    #[test]
    fn depth_takes_few_descriptors_and_hides_nothing() {
        // In memory: a disk may take milliseconds for each.
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir(&tree).unwrap();
        let mut level = opened(&tree);
        for depth in 0..5000 {
            mkdirat(&level, "d", Mode::S_IRWXU).unwrap();
            mkdirat(&level, "e", Mode::S_IRWXU).unwrap();
            if depth % 1000 == 7 {
                let flags = OFlag::O_CREAT | OFlag::O_WRONLY;
                let file = openat(&level, "e/file", flags, Mode::S_IRWXU).unwrap();
                fallocate(file, FallocateFlags::empty(), 0, 1 << 20).unwrap();
            }
            level = openat(&level, "d", DIRECTORY, Mode::empty()).unwrap();
        }
        drop(level);
        let walked = bytes(&tree);
        crate::sys::tree::remove(&tree).unwrap();
        assert!(walked >= 5 * MIB, "{walked}");
    }

    #[test]
    fn a_walk_ends_when_it_has_seen_enough_or_has_worked_enough() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        for name in 0..50 {
            fs::create_dir(dir.path().join(name.to_string())).unwrap();
            fs::write(dir.path().join(format!("{name}/file")), vec![1; 4096]).unwrap();
        }
        let measure = |enough, bounds| measure(opened(dir.path()), enough, bounds).unwrap();
        assert_eq!(measure(u64::MAX, BOUNDS), Usage { bytes: 50 * 4096, is_whole: true });
        let early = measure(4096, BOUNDS);
        assert_eq!(early, Usage { bytes: 2 * 4096, is_whole: true });
        for bounds in [
            Bounds { entries: 60, ..BOUNDS },
            Bounds { waiting: 10, ..BOUNDS },
            Bounds { time: Duration::ZERO, ..BOUNDS },
        ] {
            let usage = measure(u64::MAX, bounds);
            assert!(!usage.is_whole && usage.bytes <= 10 * 4096, "{usage:?}");
        }
    }

    #[test]
    fn a_limit_is_exceeded_by_more_than_it_and_not_by_what_is_not_there() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = dir.path().join("volume");
        let limited = Limited { name: "v".to_owned(), limit: MIB, path: path.clone() };
        assert!(!limited.is_exceeded().unwrap());
        fs::create_dir(&path).unwrap();
        fs::write(path.join("file"), vec![1; 1 << 20]).unwrap();
        assert!(!limited.is_exceeded().unwrap());
        fs::write(path.join("more"), "x").unwrap();
        assert!(limited.is_exceeded().unwrap());
        fs::rename(&path, dir.path().join("elsewhere")).unwrap();
        symlink("elsewhere", &path).unwrap();
        let error = limited.is_exceeded().unwrap_err().to_string();
        assert_eq!(error, format!("cannot measure the usage of {}", path.display()));
    }
}
