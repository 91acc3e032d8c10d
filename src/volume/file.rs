//! A file of a volume, read for the pod: whoever can write to the volume may have put anything in its place.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::stat::{SFlag, fstat};
use pathrs::Handle;
use pathrs::flags::OpenFlags;

use crate::sys::beneath;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not to be got at. A link that leads out of the volume is EXDEV.
    #[error("open it below the volume: {0}")]
    Open(Errno),
    /// A directory, a FIFO, a device.
    #[error("it is no regular file")]
    NoFile,
    /// More than was allowed.
    #[error("it is longer than {0} bytes")]
    TooLong(u64),
    /// It could not be opened for reading, or read.
    #[error("read it: {0}")]
    Read(io::Error),
}

/// Reads the file at `path` below the volume's root, of at most so many bytes; `None` if nothing is there.
///
/// Links are followed as long as they stay in the volume. Nothing but a regular file is ever opened: to open a FIFO may take
/// forever, and to open a device may do anything.
pub fn read(root: BorrowedFd<'_>, path: &Path, most: u64) -> Result<Option<Vec<u8>>, Error> {
    let found = match beneath::open(root, path) {
        Err(Errno::ENOENT) => return Ok(None),
        found => found.map_err(Error::Open)?,
    };
    let stat = fstat(&found).map_err(Error::Open)?;
    if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
        return Err(Error::NoFile);
    }
    let flags = OpenFlags::O_RDONLY | OpenFlags::from_bits_retain(libc::O_NONBLOCK as u64);
    let opened = Handle::from_fd(found).reopen(flags);
    let file: File = opened.map_err(|error| Error::Read(io::Error::other(error)))?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(Error::Read)?;
    if bytes.len() as u64 > most { Err(Error::TooLong(most)) } else { Ok(Some(bytes)) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;

    use nix::sys::stat::Mode;

    use super::*;

    #[test]
    fn only_a_regular_file_of_the_volume_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("v/sub")).unwrap();
        fs::write(at("v/sub/file"), "12345678").unwrap();
        fs::write(at("v/long"), "123456789").unwrap();
        fs::write(at("outside"), "secret").unwrap();
        nix::unistd::mkfifo(&at("v/fifo"), Mode::S_IRWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("v/socket")).unwrap();
        for (name, to) in [
            ("in", "sub/file"),
            ("out", "../outside"),
            ("absolute", "/etc/passwd"),
            ("magic", "/proc/self/root/etc/passwd"),
            ("dangling", "nowhere"),
            ("loop", "loop"),
            ("pipe", "fifo"),
        ] {
            symlink(to, at("v").join(name)).unwrap();
        }
        let root = File::open(at("v")).unwrap();
        for (path, expected) in [
            ("sub/file", "12345678"),
            ("in", "12345678"),
            ("none", "nothing"),
            ("none/file", "nothing"),
            ("dangling", "nothing"),
            ("long", "it is longer than 8 bytes"),
            ("sub", "it is no regular file"),
            ("fifo", "it is no regular file"),
            ("pipe", "it is no regular file"),
            ("socket", "it is no regular file"),
            ("out", "open it below the volume: EXDEV: Cross-device link"),
            ("absolute", "open it below the volume: EXDEV: Cross-device link"),
            ("magic", "open it below the volume: EXDEV: Cross-device link"),
            ("../outside", "open it below the volume: EXDEV: Cross-device link"),
            ("loop", "open it below the volume: ELOOP: Too many symbolic links encountered"),
            ("long/file", "open it below the volume: ENOTDIR: Not a directory"),
        ] {
            let read = match read(root.as_fd(), Path::new(path), 8) {
                Ok(Some(bytes)) => String::from_utf8(bytes).unwrap(),
                Ok(None) => "nothing".to_owned(),
                Err(error) => error.to_string(),
            };
            assert_eq!(read, expected, "{path}");
        }
    }
}
