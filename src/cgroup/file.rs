//! Control files: read whole, written in one call, never created.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{Error, Result};

/// The text of a control file.
pub(crate) fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    File::open(path)
        .and_then(|mut file| file.read_to_string(&mut text))
        .map_err(|source| failed("read", path, source))?;
    Ok(text)
}

/// Likewise; `None` when there is no such file, or its group was removed.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<String>> {
    match read(path) {
        Err(error) if error.is_absent() => Ok(None),
        other => other.map(Some),
    }
}

/// Writes `value` in one call, as control files want it.
pub(crate) fn write(path: &Path, value: &str) -> Result<()> {
    let file = OpenOptions::new().write(true).open(path);
    file.and_then(|mut file| file.write_all(value.as_bytes())).map_err(|source| failed("write", path, source))
}

/// Opens a control file for writes of others, or later ones.
pub(crate) fn open_for_writing(path: &Path) -> Result<OwnedFd> {
    let file = OpenOptions::new().write(true).open(path);
    file.map(OwnedFd::from).map_err(|source| failed("open", path, source))
}

/// Opens a group's directory.
pub(crate) fn open_directory(path: &Path) -> Result<OwnedFd> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(path);
    file.map(OwnedFd::from).map_err(|source| failed("open", path, source))
}

/// The number beside `key` in a file of lines `key number`; 0 when the file or the key is missing.
pub(crate) fn count(path: &Path, key: &str) -> Result<u64> {
    Ok(read_if_there(path)?.and_then(|text| value(&text, key)).unwrap_or(0))
}

/// The number beside `key` in lines `key number`.
pub(crate) fn value(text: &str, key: &str) -> Option<u64> {
    let mut pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.find(|(name, _)| *name == key)?.1.trim().parse().ok()
}

/// The error of a system call on `path`.
pub(crate) fn failed(operation: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Io { operation, path: path.to_owned(), source }
}
