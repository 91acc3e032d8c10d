//! Replaces all files of a volume at once, in the layout that Kubernetes' own volumes have.
//!
//! ```text
//!   name           -> ..data/name               what programs open; a symlink for each first part of a path
//!   ..data         -> ..2026_11_25_10_04_05.6   swapped by one rename(2)
//!   ..2026_11_25_10_04_05.6/name                the files
//! ```
//!
//! Whoever opens the volume sees the old files or the new ones, never some of each. Containers see the volume read-only.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, readlinkat, renameat};
use nix::sys::stat::{Mode, fchmod, fstat, mkdirat};
use nix::unistd::{Gid, UnlinkatFlags, fchown, symlinkat, unlinkat};
use pathrs::Root;

use super::Error;
use crate::failpoint;

/// The link to the directory that counts.
const DATA: &str = "..data";

/// The link on its way to being that.
const NEXT: &str = "..data_tmp";

/// Directories can be entered and listed by all; who may not see a file is up to its own mode.
const DIRECTORY_MODE: u32 = 0o755;

/// What a group of the volume's may do with a directory, and that new files are the group's.
const GROUP_DIRECTORY_MODE: u32 = 0o2550;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    /// What it says.
    pub(super) bytes: Vec<u8>,
    /// Its permissions.
    pub(super) mode: u32,
}

/// The files of a volume, by their paths: relative, of plain names.
pub(super) type Payload = BTreeMap<PathBuf, Content>;

/// Sees to it that the volume with this root holds the payload and nothing else; true if that needed a change.
/// What is made belongs to `group`.
pub(super) fn write(root: BorrowedFd<'_>, payload: &Payload, group: Option<u32>) -> Result<bool, Error> {
    let group = group.map(Gid::from_raw);
    let current = current(root)?;
    if let Some(current) = &current
        && holds(root, current, payload, group)
    {
        return Ok(false);
    }
    let (name, directory) = new_directory(root, group)?;
    for (path, content) in payload {
        write_file(directory.as_fd(), path, content, group)?;
    }
    failpoint::reached("files.written");
    let visible: BTreeSet<&OsStr> = payload.keys().filter_map(|path| path.iter().next()).collect();
    for name in &visible {
        let target = Path::new(DATA).join(name);
        match symlinkat(target.as_path(), root, *name) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(failed("link", Path::new(name))(errno)),
        }
    }
    match unlinkat(root, NEXT, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(errno) => return Err(failed("remove", Path::new(NEXT))(errno)),
    }
    symlinkat(name.as_str(), root, NEXT).map_err(failed("link", Path::new(NEXT)))?;
    failpoint::reached("files.linked");
    renameat(root, NEXT, root, DATA).map_err(failed("rename", Path::new(NEXT)))?;
    failpoint::reached("files.renamed");
    remove_stale(root, &visible, &name)?;
    Ok(true)
}

/// True once something has been written.
pub(super) fn is_written(root: BorrowedFd<'_>) -> Result<bool, Error> {
    Ok(current(root)?.is_some())
}

/// The directory that counts.
fn current(root: BorrowedFd<'_>) -> Result<Option<PathBuf>, Error> {
    match readlinkat(root, DATA) {
        Ok(target) => Ok(Some(PathBuf::from(target))),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(failed("read the link", Path::new(DATA))(errno)),
    }
}

/// True if the directory has these files, as they should be. What cannot be read is written anew.
fn holds(root: BorrowedFd<'_>, directory: &Path, payload: &Payload, group: Option<Gid>) -> bool {
    let mut found = Payload::new();
    open_directory(root, directory)
        .and_then(|opened| read_all(&opened, Path::new(""), group, &mut found))
        .is_ok_and(|()| found == *payload)
}

/// All files below a directory. A file of another group than it should be is an error.
fn read_all(directory: &OwnedFd, below: &Path, group: Option<Gid>, found: &mut Payload) -> nix::Result<()> {
    for (name, kind) in entries(directory.as_fd())? {
        let path = below.join(&name);
        if kind == Some(Type::Directory) {
            read_all(&open_directory(directory.as_fd(), Path::new(&name))?, &path, group, found)?;
            continue;
        }
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = openat(directory, name.as_os_str(), flags, Mode::empty())?;
        let stat = fstat(&file)?;
        if group.is_some_and(|group| stat.st_gid != group.as_raw()) {
            return Err(Errno::EPERM);
        }
        let mut bytes = Vec::new();
        File::from(file).read_to_end(&mut bytes).map_err(|_| Errno::EIO)?;
        found.insert(path, Content { bytes, mode: stat.st_mode & 0o7777 });
    }
    Ok(())
}

/// A new, empty directory named after the time.
fn new_directory(root: BorrowedFd<'_>, group: Option<Gid>) -> Result<(String, OwnedFd), Error> {
    let mut at = Timestamp::now();
    loop {
        let name = at.strftime("..%Y_%m_%d_%H_%M_%S.%9N").to_string();
        match mkdirat(root, name.as_str(), Mode::S_IRWXU) {
            Ok(()) => {
                let path = Path::new(&name);
                let opened = open_directory(root, path).map_err(failed("open the directory", path))?;
                own_directory(&opened, group).map_err(failed("set the owner of", path))?;
                return Ok((name, opened));
            }
            // Another one, of the same nanosecond.
            Err(Errno::EEXIST) => at = at.saturating_add(jiff::SignedDuration::from_nanos(1)).unwrap_or(at),
            Err(errno) => return Err(failed("create the directory", Path::new(&name))(errno)),
        }
    }
}

fn write_file(
    directory: BorrowedFd<'_>,
    path: &Path,
    content: &Content,
    group: Option<Gid>,
) -> Result<(), Error> {
    let mut parent = directory.try_clone_to_owned().map_err(|source| Error::Io {
        action: "open the directory",
        path: path.to_owned(),
        source,
    })?;
    let names: Vec<&OsStr> = path.components().map(Component::as_os_str).collect();
    let Some((name, above)) = names.split_last() else { return Ok(()) };
    for name in above {
        parent = subdirectory(&parent, name, group).map_err(failed("create the directory of", path))?;
    }
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    // Closed to all until its mode is set.
    let file = openat(&parent, *name, flags, Mode::empty()).map_err(failed("create", path))?;
    let mut file = File::from(file);
    let written = file.write_all(&content.bytes);
    written.map_err(|source| Error::Io { action: "write", path: path.to_owned(), source })?;
    fchown(&file, None, group).map_err(failed("set the group of", path))?;
    fchmod(&file, Mode::from_bits_truncate(content.mode)).map_err(failed("set the mode of", path))
}

fn subdirectory(parent: &OwnedFd, name: &OsStr, group: Option<Gid>) -> nix::Result<OwnedFd> {
    let made = match mkdirat(parent, name, Mode::S_IRWXU) {
        Ok(()) => true,
        Err(Errno::EEXIST) => false,
        Err(errno) => return Err(errno),
    };
    let opened = open_directory(parent.as_fd(), Path::new(name))?;
    if made {
        own_directory(&opened, group)?;
    }
    Ok(opened)
}

fn own_directory(directory: &OwnedFd, group: Option<Gid>) -> nix::Result<()> {
    fchown(directory, None, group)?;
    let mode = DIRECTORY_MODE | if group.is_some() { GROUP_DIRECTORY_MODE } else { 0 };
    fchmod(directory, Mode::from_bits_truncate(mode))
}

/// Removes links to what is no more, and every directory but `kept`: also those of an agent that died while it wrote.
fn remove_stale(root: BorrowedFd<'_>, visible: &BTreeSet<&OsStr>, kept: &str) -> Result<(), Error> {
    let listed = entries(root).map_err(failed("list", Path::new(".")))?;
    let handle = root.try_clone_to_owned().map(Root::from_fd);
    let handle = handle.map_err(|source| Error::Io { action: "open", path: ".".into(), source })?;
    for (name, _) in listed {
        let is_ours = name.as_bytes().starts_with(b"..");
        if name == DATA || name == kept || (!is_ours && visible.contains(name.as_os_str())) {
            continue;
        }
        handle.remove_all(&name).map_err(|error| Error::Path {
            action: "remove",
            path: PathBuf::from(&name),
            source: Box::new(error),
        })?;
    }
    Ok(())
}

fn entries(directory: BorrowedFd<'_>) -> nix::Result<Vec<(std::ffi::OsString, Option<Type>)>> {
    // A descriptor of its own: reading moves the offset.
    let own = open_directory(directory, Path::new("."))?;
    let mut listed = Vec::new();
    for entry in Dir::from_fd(own)?.iter() {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            listed.push((name.to_owned(), entry.file_type()));
        }
    }
    Ok(listed)
}

fn open_directory(parent: BorrowedFd<'_>, name: &Path) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(Errno) -> Error {
    move |errno| Error::Io { action, path: path.to_owned(), source: errno.into() }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    fn payload(files: &[(&str, &str, u32)]) -> Payload {
        let content = |text: &str, mode| Content { bytes: text.as_bytes().to_vec(), mode };
        files.iter().map(|(path, text, mode)| (PathBuf::from(path), content(text, *mode))).collect()
    }

    struct Volume(tempfile::TempDir, OwnedFd);

    impl Volume {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let root = File::open(dir.path()).unwrap().into();
            Self(dir, root)
        }

        fn write(&self, files: &[(&str, &str, u32)]) -> bool {
            super::write(self.1.as_fd(), &payload(files), None).unwrap()
        }

        fn read(&self, path: &str) -> String {
            fs::read_to_string(self.0.path().join(path)).unwrap()
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.0.path()).unwrap();
            let mut names: Vec<String> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    #[test]
    fn files_are_reached_through_the_data_link() {
        let volume = Volume::new();
        assert!(!is_written(volume.1.as_fd()).unwrap());
        assert!(volume.write(&[("a", "one", 0o640), ("deep/er/b", "two", 0o400)]));
        assert!(is_written(volume.1.as_fd()).unwrap());
        assert_eq!((volume.read("a"), volume.read("deep/er/b")), ("one".to_owned(), "two".to_owned()));
        let at = |path: &str| volume.0.path().join(path);
        assert_eq!(fs::read_link(at("a")).unwrap(), Path::new("..data/a"));
        assert_eq!(fs::read_link(at("deep")).unwrap(), Path::new("..data/deep"));
        let stamped = fs::read_link(at("..data")).unwrap().into_os_string().into_string().unwrap();
        let shape: String = stamped.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "..0000_00_00_00_00_00.000000000");
        assert_eq!(
            volume.names(),
            ["..data", "a", "deep"]
                .map(str::to_owned)
                .into_iter()
                .chain([stamped])
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect::<Vec<_>>()
        );
        let mode = |path: &str| fs::metadata(at(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(
            (mode("a"), mode("deep/er/b"), mode("deep/er"), mode("..data/")),
            (0o640, 0o400, 0o755, 0o755)
        );
    }

    #[test]
    fn an_update_swaps_all_files_at_once_and_the_same_again_changes_nothing() {
        let volume = Volume::new();
        assert!(volume.write(&[("kept", "1", 0o644), ("gone/x", "1", 0o644)]));
        let before = volume.names();
        assert!(!volume.write(&[("kept", "1", 0o644), ("gone/x", "1", 0o644)]));
        assert_eq!(volume.names(), before);
        let open = File::open(volume.0.path().join("kept")).unwrap();
        assert!(volume.write(&[("kept", "2", 0o644), ("new", "2", 0o644)]));
        assert_eq!((volume.read("kept"), volume.read("new")), ("2".to_owned(), "2".to_owned()));
        assert_eq!(volume.names().len(), 4, "{:?}", volume.names());
        assert!(fs::symlink_metadata(volume.0.path().join("gone")).is_err());
        // Whoever had it open still reads what was.
        assert_eq!(std::io::read_to_string(open).unwrap(), "1");
        assert!(volume.write(&[("kept", "2", 0o600), ("new", "2", 0o644)]), "a mode alone is a change");
        assert!(volume.write(&[]));
        assert_eq!(volume.names().len(), 2, "{:?}", volume.names());
    }

    #[test]
    fn what_a_writer_left_that_died_is_cleared_away() {
        let volume = Volume::new();
        let at = |path: &str| volume.0.path().join(path);
        fs::create_dir(at("..2020_01_01_00_00_00.000000000")).unwrap();
        fs::write(at("..2020_01_01_00_00_00.000000000/a"), "half").unwrap();
        std::os::unix::fs::symlink("..2020_01_01_00_00_00.000000000", at("..data_tmp")).unwrap();
        assert!(volume.write(&[("a", "whole", 0o644)]));
        assert_eq!((volume.read("a"), volume.names().len()), ("whole".to_owned(), 3));
    }

    #[test]
    fn no_link_is_followed_on_the_way_to_a_file() {
        let volume = Volume::new();
        let elsewhere = tempfile::tempdir().unwrap();
        assert!(volume.write(&[("a", "1", 0o644)]));
        let stamped = volume.0.path().join(fs::read_link(volume.0.path().join("..data")).unwrap());
        std::os::unix::fs::symlink(elsewhere.path(), stamped.join("dir")).unwrap();
        // It is another payload than what is there, and goes into a directory of its own.
        assert!(volume.write(&[("a", "1", 0o644), ("dir/b", "2", 0o644)]));
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
        assert_eq!(volume.read("dir/b"), "2");
    }

    #[test]
    fn a_group_owns_every_file_and_directory() {
        let volume = Volume::new();
        let group = if nix::unistd::geteuid().is_root() { 4711 } else { nix::unistd::getegid().as_raw() };
        let files = payload(&[("d/a", "1", 0o440)]);
        assert!(super::write(volume.1.as_fd(), &files, Some(group)).unwrap());
        assert!(!super::write(volume.1.as_fd(), &files, Some(group)).unwrap());
        for (path, mode) in [("..data/", 0o2755), ("d/", 0o2755), ("d/a", 0o440)] {
            let found = fs::metadata(volume.0.path().join(path)).unwrap();
            assert_eq!((found.gid(), found.mode() & 0o7777), (group, mode), "{path}");
        }
    }

    #[test]
    fn a_file_where_another_ones_directory_should_be_is_an_error() {
        let volume = Volume::new();
        let files = payload(&[("a", "1", 0o644), ("a/b", "2", 0o644)]);
        let error = super::write(volume.1.as_fd(), &files, None).unwrap_err();
        assert_eq!(error.to_string(), "cannot create the directory of a/b");
        assert!(!is_written(volume.1.as_fd()).unwrap());
    }
}
