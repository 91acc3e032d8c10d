//! Removal of a directory tree that a stranger has filled: however deep it is, with a handful of descriptors and no recursion.
//!
//! `std::fs::remove_dir_all` keeps a descriptor and a piece of the stack for each level, so that a container with some
//! thousand nested directories would keep its pod from being removed, or end the process that tries.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::NixPath;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

const DIRECTORY: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Removes what is at `path`, and all below it if it is a directory. Links are removed, never followed. Fine when nothing
/// is there. Nobody else may be adding to the tree meanwhile.
pub fn remove(path: &Path) -> io::Result<()> {
    remove_at(AT_FDCWD, path)
}

/// Likewise, what has that name in an open directory.
pub fn remove_at<P: NixPath + ?Sized>(directory: BorrowedFd<'_>, name: &P) -> io::Result<()> {
    let top = match openat(directory, name, DIRECTORY, Mode::empty()) {
        Ok(top) => top,
        Err(Errno::ENOENT) => return Ok(()),
        Err(Errno::ENOTDIR | Errno::ELOOP) => {
            return Ok(unlinkat(directory, name, UnlinkatFlags::NoRemoveDir)?);
        }
        Err(errno) => return Err(errno.into()),
    };
    let mut moved = Moved(0);
    while flatten(top.as_fd(), &mut moved)? {}
    Ok(unlinkat(directory, name, UnlinkatFlags::RemoveDir)?)
}

/// Takes one level away: removes the files of `top`, and of its directories, whose own directories become `top`'s. False if
/// there was nothing.
fn flatten(top: BorrowedFd<'_>, moved: &mut Moved) -> io::Result<bool> {
    let mut any = false;
    for entry in Dir::openat(top, ".", DIRECTORY, Mode::empty())?.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if is_dot(name) || is_removed(top, name)? {
            any |= !is_dot(name);
            continue;
        }
        any = true;
        let inner = openat(top, name, DIRECTORY, Mode::empty())?;
        for entry in Dir::openat(&inner, ".", DIRECTORY, Mode::empty())?.iter() {
            let entry = entry?;
            let below = entry.file_name();
            if !is_dot(below) && !is_removed(inner.as_fd(), below)? {
                moved.raise(inner.as_fd(), below, top)?;
            }
        }
        unlinkat(top, name, UnlinkatFlags::RemoveDir)?;
    }
    Ok(any)
}

fn is_dot(name: &CStr) -> bool {
    name == c"." || name == c".."
}

/// Removes a file or an empty directory. False if it is a directory with something in it.
fn is_removed(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<bool> {
    match unlinkat(directory, name, UnlinkatFlags::NoRemoveDir) {
        Err(Errno::EISDIR) => match unlinkat(directory, name, UnlinkatFlags::RemoveDir) {
            Err(Errno::ENOTEMPTY | Errno::EEXIST) => Ok(false),
            removed => Ok(removed.map(|()| true)?),
        },
        removed => Ok(removed.map(|()| true)?),
    }
}

/// Counts the directories that were moved, for names that nobody has yet.
struct Moved(u64);

impl Moved {
    fn raise(&mut self, from: BorrowedFd<'_>, name: &CStr, to: BorrowedFd<'_>) -> io::Result<()> {
        loop {
            self.0 += 1;
            match renameat(from, name, to, format!(".removed-{}", self.0).as_str()) {
                // Somebody thought of that name.
                Err(Errno::ENOTEMPTY | Errno::EEXIST | Errno::ENOTDIR) => {}
                renamed => return Ok(renamed?),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_tree_goes_with_everything_in_it_and_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        for path in ["a/b/c", "a/b2/c", ".removed-1/x", ".removed-3", "empty"] {
            fs::create_dir_all(tree.join(path)).unwrap();
        }
        for path in ["file", "a/file", "a/b/c/file", ".removed-2", ".removed-1/x/file"] {
            fs::write(tree.join(path), "").unwrap();
        }
        fs::create_dir(dir.path().join("kept")).unwrap();
        fs::write(dir.path().join("kept/file"), "").unwrap();
        symlink(dir.path().join("kept"), tree.join("a/link")).unwrap();
        symlink("nowhere", tree.join("link")).unwrap();
        remove(&tree).unwrap();
        assert!(!tree.exists());
        assert!(dir.path().join("kept/file").exists());
    }

    #[test]
    fn a_link_or_a_file_goes_alone_and_nothing_is_fine() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("kept")).unwrap();
        let (link, file) = (dir.path().join("link"), dir.path().join("file"));
        symlink("kept", &link).unwrap();
        fs::write(&file, "").unwrap();
        for path in [&link, &file, &file] {
            remove(path).unwrap();
            assert!(path.symlink_metadata().is_err());
        }
        assert!(dir.path().join("kept").exists());
    }

    #[test]
    fn depth_takes_neither_descriptors_nor_stack() {
        // In memory: a disk may take milliseconds for each.
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir(&tree).unwrap();
        let mut level = openat(AT_FDCWD, &tree, DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..50_000 {
            nix::sys::stat::mkdirat(&level, "d", Mode::S_IRWXU).unwrap();
            level = openat(&level, "d", DIRECTORY, Mode::empty()).unwrap();
        }
        drop(level);
        remove(&tree).unwrap();
        assert!(!tree.exists());
    }
}
