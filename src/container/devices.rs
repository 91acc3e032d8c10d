//! The device files of a container's /dev, made on a tmpfs that nobody else has seen yet.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{Mode, SFlag, fstat, fstatat, makedev, mkdirat, mknodat};
use nix::unistd::{Gid, Uid, fchownat, symlinkat};

use super::failure::{Failure, Step};

/// Name, major and minor number of each character device (Documentation/admin-guide/devices.txt of the kernel).
const DEVICES: [(&str, u64, u64); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

const LINKS: [(&str, &str); 5] = [
    ("ptmx", "pts/ptmx"),
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

const DIRECTORIES: [&str; 3] = ["pts", "shm", "mqueue"];

/// Fills a tmpfs that is not attached anywhere yet. Expects umask 0.
pub fn populate(dev: BorrowedFd<'_>) -> Result<(), Failure> {
    for (name, major, minor) in DEVICES {
        mknodat(dev, name, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(major, minor))
            .step(|| format!("mknod /dev/{name}"))?;
    }
    for (name, target) in LINKS {
        symlinkat(target, dev, name).step(|| format!("symlink /dev/{name}"))?;
    }
    for name in DIRECTORIES {
        mkdirat(dev, name, Mode::from_bits_truncate(0o755)).step(|| format!("mkdir /dev/{name}"))?;
    }
    Ok(())
}

/// Directories of the host's /dev that are another container's, or have a mount of their own here; as containerd leaves them out.
const NOT_COPIED: [&[u8]; 7] = [b"pts", b"shm", b"fd", b"mqueue", b".lxc", b".lxd-mounts", b".udev"];

/// Makes every device file of the host's /dev in `dev`, with owner and mode, and the directories on the way. What is there already stays.
///
/// Its console is left out: it is the host's terminal. Links and sockets are no devices.
#[expect(clippy::disallowed_methods, reason = "the host's own /dev")]
pub fn copy_host(dev: BorrowedFd<'_>) -> Result<(), Failure> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let host = open("/dev", flags, Mode::empty()).step(|| "open /dev")?;
    copy_devices(host, dev).step(|| "copy the host's /dev")
}

fn copy_devices(from: OwnedFd, to: BorrowedFd<'_>) -> nix::Result<()> {
    let mut directory = Dir::from_fd(from.try_clone().map_err(|_| Errno::EMFILE)?)?;
    for entry in directory.iter() {
        let entry = entry?;
        let name = entry.file_name();
        // Gone again: the host's devices come and go.
        let Ok(found) = fstatat(&from, name, AtFlags::AT_SYMLINK_NOFOLLOW) else { continue };
        let mode = Mode::from_bits_truncate(found.st_mode);
        let made = match SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits()) {
            SFlag::S_IFDIR if !NOT_COPIED.contains(&name.to_bytes()) && !is_dots(name.to_bytes()) => {
                let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                let Ok(below) = openat(&from, name, flags, Mode::empty()) else { continue };
                match mkdirat(to, name, mode) {
                    Ok(()) | Err(Errno::EEXIST) => {}
                    Err(errno) => return Err(errno),
                }
                let target = openat(to, name, flags, Mode::empty())?;
                copy_devices(below, target.as_fd())?;
                Ok(())
            }
            kind @ (SFlag::S_IFCHR | SFlag::S_IFBLK) if name.to_bytes() != b"console" => {
                mknodat(to, name, kind, mode, found.st_rdev)
            }
            _ => continue,
        };
        match made {
            Ok(()) => {
                let (owner, group) = (Uid::from_raw(found.st_uid), Gid::from_raw(found.st_gid));
                fchownat(to, name, Some(owner), Some(group), AtFlags::AT_SYMLINK_NOFOLLOW)?;
            }
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn is_dots(name: &[u8]) -> bool {
    name == b"." || name == b".."
}

/// The `null` of a /dev that [`populate`] has just filled: a container's standard input, which then shows as /dev/null
/// inside.
pub fn open_own_null(dev: BorrowedFd<'_>) -> Result<OwnedFd, Failure> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(dev, "null", flags, Mode::empty()).step(|| "open /dev/null").and_then(proven_null)
}

/// The host's /dev/null, opened with `flags`, and proven to be character device 1:3: what masks are made of never comes from
/// a directory that a container can write to (CVE-2025-31133).
#[expect(clippy::disallowed_methods, reason = "the host's own, and proven to be what it should be")]
pub fn open_null(flags: OFlag) -> Result<OwnedFd, Failure> {
    open("/dev/null", flags | OFlag::O_CLOEXEC, Mode::empty()).step(|| "open /dev/null").and_then(proven_null)
}

fn proven_null(null: OwnedFd) -> Result<OwnedFd, Failure> {
    let found = fstat(null.as_fd()).step(|| "fstat /dev/null")?;
    let character = found.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFCHR.bits();
    if character && found.st_rdev == makedev(1, 3) {
        Ok(null)
    } else {
        Err(Failure::new("open /dev/null", "it is not the character device 1:3"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_proven_to_be_null() {
        assert!(open_null(OFlag::O_RDONLY).is_ok());
    }
}
