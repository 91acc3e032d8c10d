//! One manifest file, or standard input: opened without trust in what the path leads to, read up to a limit, decoded.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use crate::pod::sysctl::Allowed;
use crate::pod::{self, Manifest, Problems};

/// A manifest may have this many bytes; it is far beyond what the API server would take (1.5 MiB).
pub const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Why nothing came out of a file. Prints the file's name and the reason; the problems of a manifest a line each.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be opened.
    #[error("open {path}")]
    Open {
        /// As the person wrote it.
        path: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// It is no regular file: reading it could wait or go on for ever.
    #[error("read {path}: it is {kind}, not a regular file")]
    NotRegular {
        /// As the person wrote it.
        path: String,
        /// Such as `a directory`.
        kind: &'static str,
    },
    /// It has more than [`MAX_BYTES`].
    #[error("read {path}: it has more than {MAX_BYTES} bytes")]
    TooLarge {
        /// As the person wrote it.
        path: String,
    },
    /// Reading failed half way.
    #[error("read {path}")]
    Read {
        /// As the person wrote it.
        path: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Of two manifests that were read together, both have it.
    #[error("{path}: {kind} {key} is in another manifest, too")]
    Twice {
        /// The second of them.
        path: String,
        /// Such as `ConfigMap`.
        kind: &'static str,
        /// Namespace and name.
        key: String,
    },
    /// It was read, and is not a valid manifest.
    #[error(transparent)]
    Manifest(#[from] Problems),
}

/// Reads and decodes the manifest at `path`; `-` is standard input. Its pods may set the kernel parameters that are allowed.
pub fn read(path: &str, sysctls: &Allowed) -> Result<Manifest, Error> {
    match path {
        "-" => Ok(pod::decode_allowing(&read_bounded(path, io::stdin().lock())?, path, sysctls)?),
        _ => read_file(Path::new(path), sysctls),
    }
}

/// Likewise of a file, whose name need not be text.
pub fn read_file(path: &Path, sysctls: &Allowed) -> Result<Manifest, Error> {
    let shown = path.display().to_string();
    let bytes = read_bounded(&shown, open_regular(path, &shown)?)?;
    Ok(pod::decode_allowing(&bytes, &shown, sysctls)?)
}

/// Opens without waiting for the other end of a FIFO, then looks at what was opened, so that nothing can be swapped in between.
fn open_regular(path: &Path, shown: &str) -> Result<File, Error> {
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC)
        .open(path)
        .map_err(|source| match source.raw_os_error() {
            // A socket cannot be opened at all; the kernel's word for it would puzzle.
            Some(libc::ENXIO) => Error::NotRegular { path: shown.to_owned(), kind: "a socket" },
            _ => Error::Open { path: shown.to_owned(), source },
        })?;
    let kind = file.metadata().map_err(|source| Error::Read { path: shown.to_owned(), source })?.file_type();
    if kind.is_file() {
        return Ok(file);
    }
    let kind = match () {
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a FIFO",
        () if kind.is_char_device() => "a character device",
        () if kind.is_block_device() => "a block device",
        () => "something else",
    };
    Err(Error::NotRegular { path: shown.to_owned(), kind })
}

/// Reads to the end, or to one byte more than is allowed: the size that the kernel states may be 0 (procfs) or change meanwhile.
fn read_bounded(path: &str, from: impl Read) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    from.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| Error::Read { path: path.to_owned(), source })?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn message(path: &std::path::Path) -> String {
        let error = read(path.to_str().unwrap(), &Allowed::default()).unwrap_err();
        match std::error::Error::source(&error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        }
    }

    #[test]
    fn what_is_not_a_regular_file_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        for (name, to) in [("zero", "/dev/zero"), ("loop", "loop"), ("dangling", "nowhere")] {
            std::os::unix::fs::symlink(to, at(name)).unwrap();
        }
        let started = Instant::now();
        for (name, verb, reason) in [
            ("fifo", "read", "it is a FIFO, not a regular file"),
            ("socket", "read", "it is a socket, not a regular file"),
            ("zero", "read", "it is a character device, not a regular file"),
            (".", "read", "it is a directory, not a regular file"),
            ("loop", "open", "Too many levels of symbolic links (os error 40)"),
            ("dangling", "open", "No such file or directory (os error 2)"),
            ("missing", "open", "No such file or directory (os error 2)"),
        ] {
            let path = at(name);
            assert_eq!(message(&path), format!("{verb} {}: {reason}", path.display()));
        }
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_file_beyond_the_limit_is_refused_however_large() {
        let dir = tempfile::tempdir().unwrap();
        for size in [MAX_BYTES + 1, 1 << 40] {
            let path = dir.path().join("large.yaml");
            File::create(&path).unwrap().set_len(size).unwrap();
            assert_eq!(message(&path), format!("read {}: it has more than 4194304 bytes", path.display()));
        }
    }

    #[test]
    fn problems_of_a_manifest_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("empty.yaml");
        File::create(&path).unwrap();
        assert_eq!(message(&path), format!("{}: no Pod in the file", path.display()));
    }
}
