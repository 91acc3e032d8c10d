//! The one way in which a file is replaced: it is the old one or the new one at every instant, whatever crashes.
//!
//! ```text
//!   create scratch, write, fsync ──> rename over the file ──> fsync of the directory
//!            its bytes are on the disk       before its name is        and only then is it told
//! ```
//!
//! The steps are asked of a [`Disk`], so that tests can lose power at each of them (`power_loss`).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::failpoint;

/// How much a written file must survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survive {
    /// The death of this process. Costs next to nothing.
    Crash,
    /// The loss of power: waits for the disk.
    PowerLoss,
}

/// Why a file could not be replaced.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct Error {
    /// What was tried.
    pub action: &'static str,
    /// With what.
    pub path: PathBuf,
    /// Why it failed.
    #[source]
    pub source: io::Error,
}

impl Error {
    /// For `map_err`: an action on a path.
    pub(super) fn of(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { action, path, source }
    }
}

/// What replacing a file asks of the system.
pub trait Disk {
    /// An open file.
    type File;
    /// Makes a file that only root can read, or empties the one that is there.
    fn create(&self, path: &Path) -> io::Result<Self::File>;
    /// Appends all of the bytes.
    fn write(&self, file: &mut Self::File, bytes: &[u8]) -> io::Result<()>;
    /// Waits until all that was written is on the disk.
    fn sync(&self, file: &Self::File) -> io::Result<()>;
    /// Gives a file another name, and takes that from whichever has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Waits until all names in a directory are on the disk.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
}

/// The host's.
#[derive(Debug, Clone, Copy)]
pub struct HostDisk;

impl Disk for HostDisk {
    type File = File;

    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

/// Replaces the file at `path`. `scratch` is a name on the same filesystem that nobody else uses at that time; what is left
/// there by a crash counts for nothing. The directories exist.
pub fn file(
    disk: &impl Disk,
    path: &Path,
    scratch: &Path,
    bytes: &[u8],
    survive: Survive,
) -> Result<(), Error> {
    let mut file = disk.create(scratch).map_err(Error::of("create", scratch))?;
    failpoint::reached_of(path, "created");
    disk.write(&mut file, bytes).map_err(Error::of("write", scratch))?;
    failpoint::reached_of(path, "written");
    if survive == Survive::PowerLoss {
        disk.sync(&file).map_err(Error::of("sync", scratch))?;
        failpoint::reached_of(path, "synced");
    }
    name(disk, scratch, path, survive)
}

/// Gives what is complete, and on the disk, its name.
pub fn name(disk: &impl Disk, from: &Path, to: &Path, survive: Survive) -> Result<(), Error> {
    disk.rename(from, to).map_err(Error::of("replace", to))?;
    failpoint::reached_of(to, "renamed");
    if survive == Survive::PowerLoss {
        let directory = to.parent().unwrap_or(Path::new("/"));
        disk.sync_directory(directory).map_err(Error::of("sync", directory))?;
        failpoint::reached_of(to, "kept");
    }
    Ok(())
}

#[cfg(test)]
mod power_loss;
