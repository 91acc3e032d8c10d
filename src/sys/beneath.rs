//! Opens a path that somebody else can change, and never leaves the directory that it is below: openat2(2).

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

/// The kernel gives up where a rename races with a `..`; this often it is asked again.
const ATTEMPTS: u32 = 64;

/// What is at `path` below `root`, as O_PATH. Symbolic links are followed as long as they stay below; one that leaves, or is
/// absolute, is EXDEV.
pub fn open(root: BorrowedFd<'_>, path: &Path) -> nix::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    for _ in 1..ATTEMPTS {
        match openat2(root, path, how) {
            Err(Errno::EAGAIN) => {}
            opened => return opened,
        }
    }
    openat2(root, path, how)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::fd::AsFd;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

    use super::*;

    #[test]
    fn links_are_followed_below_and_refused_beyond() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("v/a/b")).unwrap();
        fs::write(at("v/a/file"), "").unwrap();
        fs::write(at("outside"), "").unwrap();
        for (name, to) in [
            ("in", "a/b"),
            ("up", "a/b/../file"),
            ("out", "../outside"),
            ("root", "/"),
            ("loop", "loop"),
            ("back", "a/../../v/a"),
            ("magic", "/proc/self/root"),
        ] {
            symlink(to, at("v").join(name)).unwrap();
        }
        let root = File::open(at("v")).unwrap();
        for (path, expected) in [
            ("a/b", Ok(())),
            ("in", Ok(())),
            ("up", Ok(())),
            (".", Ok(())),
            ("out", Err(Errno::EXDEV)),
            ("root", Err(Errno::EXDEV)),
            ("root/etc", Err(Errno::EXDEV)),
            ("back", Err(Errno::EXDEV)),
            ("magic", Err(Errno::EXDEV)),
            ("..", Err(Errno::EXDEV)),
            ("a/../../outside", Err(Errno::EXDEV)),
            ("/etc", Err(Errno::EXDEV)),
            ("loop", Err(Errno::ELOOP)),
            ("none", Err(Errno::ENOENT)),
            ("a/file/x", Err(Errno::ENOTDIR)),
        ] {
            assert_eq!(open(root.as_fd(), Path::new(path)).map(drop), expected, "{path}");
        }
    }

    #[test]
    fn whoever_swaps_a_directory_for_a_link_gets_nothing_outside() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("v/dir/sub")).unwrap();
        fs::create_dir_all(at("outside/sub")).unwrap();
        symlink("../outside", at("v/link")).unwrap();
        let inside = fs::metadata(at("v/dir/sub")).unwrap().ino();
        let root = File::open(at("v")).unwrap();
        let over = AtomicBool::new(false);
        let (mut opened, mut refused) = (0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let exchange = RenameFlags::RENAME_EXCHANGE;
                    renameat2(AT_FDCWD, &at("v/dir"), AT_FDCWD, &at("v/link"), exchange).unwrap();
                }
            });
            let started = Instant::now();
            while (opened < 500 || refused < 500) && started.elapsed() < Duration::from_secs(60) {
                match open(root.as_fd(), Path::new("dir/sub")) {
                    Ok(found) => {
                        let found = nix::sys::stat::fstat(found).unwrap().st_ino;
                        assert_eq!(found, inside, "it is the one outside");
                        opened += 1;
                    }
                    Err(Errno::EXDEV | Errno::EAGAIN) => refused += 1,
                    Err(errno) => panic!("{errno}"),
                }
            }
            over.store(true, Ordering::Relaxed);
        });
        assert!(opened >= 500 && refused >= 500, "{opened} opened, {refused} refused: nobody raced");
    }
}
