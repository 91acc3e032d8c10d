//! What volumes, writable layers and logs take of the node's disk, measured while containers write to them.
//!
//! Whoever fills them also decides how deep and wide its tree is, and may move things about meanwhile. So the walk goes from
//! descriptor to descriptor, follows no link and enters no other filesystem; it is not recursive, keeps a bounded number of
//! descriptors and names, and comes to an end in bounded time.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::fmt;
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
use crate::pod::quantity::Amount;
use crate::pod::spec::{Medium, PodSpec, Resources, VolumeSource};
use crate::pod::{ContainerName, ContainerSpec, Pod, resources};

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

/// What of a pod may take so much of the disk and no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limited {
    /// What.
    pub taker: Taker,
    /// Bytes.
    pub limit: u64,
    places: Vec<Place>,
}

/// Who takes of the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taker {
    /// An emptyDir on disk with a `sizeLimit`, by its name.
    Volume(String),
    /// All containers with their writable layers and logs, and the emptyDirs on disk, when containers have limits of
    /// ephemeral-storage. These add up as requests do.
    Pod,
    /// A container with such a limit, by its name: its writable layer and its logs.
    Container(String),
}

/// A directory that is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// No container sees the directories above it.
    path: PathBuf,
    /// Where to go on from there, one directory after the other: no link is followed.
    below: Vec<String>,
}

/// What a walk has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Usage {
    /// What is allocated on the disk.
    bytes: u64,
    /// Files and directories.
    inodes: u64,
    /// Nothing was left out.
    is_whole: bool,
}

/// What something takes of the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// Allocated, bytes.
    pub bytes: u64,
    /// Files and directories.
    pub inodes: u64,
}

/// What a pod takes of the disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodTaken {
    /// Its containers with their writable layers and logs, and its emptyDirs on disk.
    pub whole: Taken,
    /// Each container.
    pub containers: Vec<(ContainerName, Taken)>,
}

/// What of a pod has to be measured, in the order in which a kubelet looks at it.
pub fn limited(pod: &Pod, layout: &Layout) -> Vec<Limited> {
    let empty_dirs = || empty_dirs(pod, layout);
    let mut limited: Vec<Limited> = empty_dirs()
        .filter_map(|(volume, limit, place)| {
            Some(Limited { taker: Taker::Volume(volume.to_owned()), limit: limit?, places: vec![place] })
        })
        .collect();

    let places = |spec: &ContainerSpec| places_of(spec, pod, layout);
    let containers = || pod.spec.init_containers.iter().chain(&pod.spec.containers);
    let of_containers: Vec<_> = containers()
        .filter_map(|spec| {
            let limit = spec.resources.ephemeral_storage_limit.filter(|&limit| limit > 0)?;
            let taker = Taker::Container(spec.name.to_string());
            Some(Limited { taker, limit, places: places(spec).into() })
        })
        .collect();
    let PodSpec { init_containers, containers: others, .. } = &pod.spec;
    let limit_of = |resources: &Resources| Some(resources.ephemeral_storage_limit.unwrap_or(0));
    let total = resources::needed(init_containers, others, limit_of).unwrap_or(u64::MAX);
    if !of_containers.is_empty() {
        let places = containers().flat_map(places).chain(empty_dirs().map(|(_, _, place)| place)).collect();
        limited.push(Limited { taker: Taker::Pod, limit: total, places });
    }
    limited.extend(of_containers);
    limited
}

/// The emptyDirs on disk: their names, limits and directories.
fn empty_dirs<'a>(pod: &'a Pod, layout: &Layout) -> impl Iterator<Item = (&'a str, Option<u64>, Place)> {
    pod.spec.volumes.iter().filter_map(|volume| match volume.source {
        VolumeSource::EmptyDir { medium: Medium::Disk, size_limit } => {
            let path = empty_dir::path(layout, &pod.uid, &volume.name);
            Some((volume.name.as_str(), size_limit, Place { path, below: Vec::new() }))
        }
        _ => None,
    })
}

/// Where a container writes beside its volumes: its layers, and its logs.
fn places_of(spec: &ContainerSpec, pod: &Pod, layout: &Layout) -> [Place; 2] {
    let logs = layout.pod_logs(&pod.key, &pod.uid);
    let logs = logs.file_name().map(|name| name.to_string_lossy().into_owned());
    let path = layout.pod(&pod.uid).join("containers").join(spec.name.as_str());
    let below = logs.into_iter().chain([spec.name.to_string()]).collect();
    [Place { path, below: Vec::new() }, Place { path: layout.log().to_owned(), below }]
}

/// What a pod takes of the disk. What cannot be measured counts as nothing; of what is too large to be looked at as a whole, what has
/// been seen counts.
pub fn of_pod(pod: &Pod, layout: &Layout) -> PodTaken {
    let mut whole = Taken::default();
    let mut taken = |places: &[Place]| {
        let mut sum = Taken::default();
        for place in places {
            let Ok(Some(root)) = place.open() else { continue };
            if let Ok(usage) = measure(root, u64::MAX, BOUNDS) {
                sum.bytes = sum.bytes.saturating_add(usage.bytes);
                sum.inodes += usage.inodes;
            }
        }
        whole.bytes = whole.bytes.saturating_add(sum.bytes);
        whole.inodes += sum.inodes;
        sum
    };
    let containers = pod.spec.every_container();
    let containers =
        containers.map(|spec| (spec.name.clone(), taken(&places_of(spec, pod, layout)))).collect();
    for (_, _, place) in empty_dirs(pod, layout) {
        taken(&[place]);
    }
    PodTaken { whole, containers }
}

impl Limited {
    /// True if it takes more of the disk than it may. What has not been made takes nothing; of what is too large to be looked at as
    /// a whole, what has been seen counts.
    pub fn is_exceeded(&self) -> Result<bool, Error> {
        let mut bytes = 0;
        for place in &self.places {
            let failed =
                |source| Error::Io { action: "measure the usage of", path: place.whole_path(), source };
            let Some(root) = place.open().map_err(|errno| failed(errno.into()))? else { continue };
            let usage = measure(root, self.limit - bytes, BOUNDS).map_err(failed)?;
            if !usage.is_whole {
                let path = place.whole_path();
                tracing::warn!(path = %path.display(), "too many files to measure what they take of the disk");
            }
            bytes += usage.bytes;
            if bytes > self.limit {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl fmt::Display for Limited {
    /// That it takes too much, in the kubelet's words, with the blank at their end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = Amount::Bytes(self.limit);
        match &self.taker {
            Taker::Volume(name) => {
                write!(f, "Usage of EmptyDir volume {name:?} exceeds the limit \"{limit}\". ")
            }
            Taker::Pod => {
                write!(f, "Pod ephemeral local storage usage exceeds the total limit of containers {limit}. ")
            }
            Taker::Container(name) => {
                write!(f, "Container {name} exceeded its local ephemeral storage limit \"{limit}\". ")
            }
        }
    }
}

impl Place {
    #[expect(clippy::disallowed_methods, reason = "no container sees the directories above a place's path")]
    fn open(&self) -> nix::Result<Option<OwnedFd>> {
        let opened = open(&self.path, DIRECTORY, Mode::empty()).and_then(|directory| {
            self.below
                .iter()
                .try_fold(directory, |above, name| openat(&above, name.as_str(), DIRECTORY, Mode::empty()))
        });
        match opened {
            Err(Errno::ENOENT) => Ok(None),
            opened => opened.map(Some),
        }
    }

    fn whole_path(&self) -> PathBuf {
        self.below.iter().fold(self.path.clone(), |path, name| path.join(name))
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
            usage: Usage { bytes: allocated(&found), inodes: 1, is_whole: true },
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
            self.usage.inodes += 1;
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
    use crate::pod::spec::{RestartPolicy, Volume};
    use crate::runtime::fixture;

    const MIB: u64 = 1 << 20;

    fn opened(path: &Path) -> OwnedFd {
        File::open(path).unwrap().into()
    }

    fn bytes(path: &Path) -> u64 {
        // However slow the machine is.
        let bounds = Bounds { time: Duration::from_secs(600), ..BOUNDS };
        let usage = measure(opened(path), u64::MAX, bounds).unwrap();
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
        assert_eq!(measure(u64::MAX, BOUNDS), Usage { bytes: 50 * 4096, inodes: 101, is_whole: true });
        let early = measure(4096, BOUNDS);
        assert_eq!(early, Usage { bytes: 2 * 4096, inodes: 53, is_whole: true });
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
        let place = Place { path: path.clone(), below: Vec::new() };
        let limited = Limited { taker: Taker::Pod, limit: MIB, places: vec![place] };
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

    #[test]
    fn volumes_come_first_then_the_pod_then_each_container() {
        let layout = Layout::new("/root", "/run", "/log");
        let mut pod = fixture::pod(RestartPolicy::Always, &["i"], &["a", "b"]);
        let source = |size_limit| VolumeSource::EmptyDir { medium: Medium::Disk, size_limit };
        pod.spec.volumes = [("v", Some(MIB)), ("w", None)]
            .map(|(name, limit)| Volume { name: name.to_owned(), source: source(limit) })
            .into();
        // Each with the number of its places.
        let told = |pod: &Pod| -> Vec<String> {
            limited(pod, &layout).iter().map(|one| format!("{one}{}", one.places.len())).collect()
        };
        let volume = "Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\". 1";
        assert_eq!(told(&pod), [volume]);
        pod.spec.containers[0].resources.ephemeral_storage_limit = Some(2 * MIB);
        pod.spec.containers[1].resources.ephemeral_storage_limit = Some(0);
        pod.spec.init_containers[0].resources.ephemeral_storage_limit = Some(3 * MIB);
        assert_eq!(
            told(&pod),
            [
                volume,
                "Pod ephemeral local storage usage exceeds the total limit of containers 3Mi. 8",
                "Container i exceeded its local ephemeral storage limit \"3Mi\". 2",
                "Container a exceeded its local ephemeral storage limit \"2Mi\". 2",
            ]
        );
        let container = limited(&pod, &layout).pop().unwrap();
        let paths: Vec<_> = container.places.iter().map(Place::whole_path).collect();
        assert_eq!(
            paths,
            [layout.pod(&pod.uid).join("containers/a"), layout.pod_logs(&pod.key, &pod.uid).join("a")]
        );
    }

    #[test]
    fn what_lies_in_several_places_counts_together_and_no_link_leads_from_one_to_another() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        for name in ["layers", "logs/pod/a", "elsewhere/a"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        let place = |path: &str, below: &[&str]| Place {
            path: dir.path().join(path),
            below: below.iter().map(|&name| name.to_owned()).collect(),
        };
        let places = vec![place("layers", &[]), place("logs", &["pod", "a"])];
        let limited = Limited { taker: Taker::Container("a".to_owned()), limit: MIB, places };
        fs::write(dir.path().join("layers/file"), vec![1; 1 << 20]).unwrap();
        assert!(!limited.is_exceeded().unwrap());
        fs::write(dir.path().join("logs/pod/a/0.log"), "x").unwrap();
        assert!(limited.is_exceeded().unwrap());

        fs::remove_dir_all(dir.path().join("logs/pod")).unwrap();
        assert!(!limited.is_exceeded().unwrap());
        fs::write(dir.path().join("elsewhere/a/0.log"), "x").unwrap();
        symlink("../elsewhere", dir.path().join("logs/pod")).unwrap();
        let error = limited.is_exceeded().unwrap_err().to_string();
        assert!(error.ends_with("/logs/pod/a"), "{error}");
    }
}
