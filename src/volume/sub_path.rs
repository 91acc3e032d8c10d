//! subPath: a part of a volume, made when it is missing. Whoever can write to the volume may have put links in its way.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fchmod, fstat, mkdirat};

use crate::sys::beneath;

/// Permissions that a new directory takes from the volume's root, as the kubelet has it.
const INHERITED: u32 = 0o2777;

/// Sees to it that something is at `path` below the volume's root: directories are made where nothing is.
///
/// Links are followed as long as they stay in the volume. One that leads out of it is EXDEV.
pub fn ensure(root: BorrowedFd<'_>, path: &Path) -> nix::Result<()> {
    match beneath::open(root, path) {
        Err(Errno::ENOENT) => {}
        found => return found.map(drop),
    }
    let mode = Mode::from_bits_truncate(fstat(root)?.st_mode & INHERITED);
    let (mut directory, missing) = existing(root, path)?;
    for name in missing {
        match mkdirat(&directory, &name, Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
        // A link that somebody has just put there is none of ours.
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        directory = openat(&directory, &name, flags, Mode::empty())?;
        fchmod(&directory, mode)?;
    }
    Ok(())
}

/// The longest part of the path that is there, and the names that are missing.
fn existing(root: BorrowedFd<'_>, path: &Path) -> nix::Result<(OwnedFd, Vec<PathBuf>)> {
    let names: Vec<PathBuf> = path
        .components()
        .filter(|part| matches!(part, Component::Normal(_)))
        .map(|part| part.as_os_str().into())
        .collect();
    for there in (1..names.len()).rev() {
        let prefix: PathBuf = names[..there].iter().collect();
        match beneath::open(root, &prefix) {
            Ok(opened) => return Ok((opened, names[there..].to_vec())),
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    let root = beneath::open(root, Path::new("."))?;
    Ok((root, names))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::fd::AsFd;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn each_path_has_the_kubelets_verdict() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("v/there/deep")).unwrap();
        fs::create_dir(at("outside")).unwrap();
        fs::write(at("v/file"), "").unwrap();
        fs::set_permissions(at("v"), fs::Permissions::from_mode(0o2770)).unwrap();
        nix::unistd::mkfifo(&at("v/fifo"), Mode::S_IRWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("v/socket")).unwrap();
        for (name, to) in [
            ("in", "there"),
            ("out", "../outside"),
            ("absolute", "/tmp"),
            ("dangling", "nowhere"),
            ("loop", "loop"),
        ] {
            symlink(to, at("v").join(name)).unwrap();
        }
        let root = File::open(at("v")).unwrap();
        for (path, expected) in [
            ("there", Ok(())),
            ("file", Ok(())),
            ("fifo", Ok(())),
            ("socket", Ok(())),
            ("in", Ok(())),
            ("new", Ok(())),
            ("new/er", Ok(())),
            ("a/b/c", Ok(())),
            ("./there//deep/x", Ok(())),
            ("in/made", Ok(())),
            ("out", Err(Errno::EXDEV)),
            ("out/made", Err(Errno::EXDEV)),
            ("absolute", Err(Errno::EXDEV)),
            ("absolute/made", Err(Errno::EXDEV)),
            ("..", Err(Errno::EXDEV)),
            ("a/../../outside", Err(Errno::EXDEV)),
            ("loop", Err(Errno::ELOOP)),
            ("file/below", Err(Errno::ENOTDIR)),
        ] {
            assert_eq!(ensure(root.as_fd(), Path::new(path)), expected, "{path}");
        }
        let dangling = ensure(root.as_fd(), Path::new("dangling"));
        assert!(matches!(dangling, Err(Errno::ELOOP | Errno::ENOTDIR)), "{dangling:?}");
        assert!(at("v/there/made").is_dir() && at("v/there/deep/x").is_dir());
        assert_eq!(fs::metadata(at("v/a/b/c")).unwrap().permissions().mode() & 0o7777, 0o2770);
        assert_eq!(fs::read_dir(at("outside")).unwrap().count(), 0);
    }
}
