//! Files that are there whole or not at all; and what cannot be read is set aside, never trusted, never fatal.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// No record is longer, bytes.
const MAX_BYTES: u64 = 16 << 20;

/// How much a written record must survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survive {
    /// The death of this process. Costs next to nothing.
    Crash,
    /// The loss of power: waits for the disk.
    PowerLoss,
}

/// Why a record could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct Error {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Writes a record: a file of another name first, which then takes the place of the old one. Its directory must exist.
pub fn write<T: Serialize>(path: &Path, record: &T, survive: Survive) -> Result<(), Error> {
    let temporary = path.with_extension("tmp");
    let failed = |action: &'static str, path: &Path| {
        let path = path.to_owned();
        move |source| Error { action, path, source }
    };
    let bytes = serde_json::to_vec(record).map_err(|error| failed("encode", path)(error.into()))?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&temporary).map_err(failed("create", &temporary))?;
    file.write_all(&bytes).map_err(failed("write", &temporary))?;
    if survive == Survive::PowerLoss {
        file.sync_all().map_err(failed("sync", &temporary))?;
    }
    fs::rename(&temporary, path).map_err(failed("replace", path))?;
    if let (Survive::PowerLoss, Some(directory)) = (survive, path.parent()) {
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(failed("sync", directory))?;
    }
    Ok(())
}

/// Reads a record. One that is not there, or that cannot be understood, is `None`; the latter is renamed to `NAME.bad`.
pub fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let reason = match read_bounded(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => error.to_string(),
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(record) => return Some(record),
            Err(error) => error.to_string(),
        },
    };
    quarantine(path, &reason);
    None
}

/// Renames a file that cannot be trusted to `NAME.bad`, with a warning.
pub fn quarantine(path: &Path, reason: &str) {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".bad");
    match fs::rename(path, &aside) {
        Ok(()) => tracing::warn!(path = %path.display(), reason, "set an unreadable record aside"),
        Err(error) => tracing::warn!(path = %path.display(), reason, %error, "ignored an unreadable record"),
    }
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    // Never waits, whatever has been put in the record's place.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other("too long"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pod.json");
        for (record, survive) in [("one", Survive::Crash), ("two", Survive::PowerLoss)] {
            write(&path, &record, survive).unwrap();
            assert_eq!(read::<String>(&path).unwrap(), record);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_understood_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pod.json");
        for bad in [&b""[..], b"{\"version\":", b"\xff", b"[1]"] {
            fs::write(&path, bad).unwrap();
            assert_eq!(read::<String>(&path), None);
            assert!(!path.exists());
            assert!(dir.path().join("pod.json.bad").exists());
        }
        assert_eq!(read::<String>(&path), None, "nothing there is fine");
    }

    #[test]
    fn a_symlink_or_fifo_in_a_records_place_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pod.json");
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert_eq!(read::<String>(&path), None);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(read::<String>(&path), None);
    }
}
