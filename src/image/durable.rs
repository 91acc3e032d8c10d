//! Files and directories that are seen complete or not at all, and are still there after a power loss.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::error::Error;
use crate::state::replace::{self, HostDisk, Survive};
use crate::sys::tree;

/// Makes a directory, and those above it, that only root can enter.
pub(super) fn make_directory(path: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(Error::io("create", path))
}

/// Opens a file, which is made when it is missing, and waits until nobody else has it locked.
pub(super) fn lock(path: &Path) -> Result<Flock<File>, Error> {
    lock_as(path, FlockArg::LockExclusive)?.ok_or_else(|| Error::io("lock", path)(Errno::EWOULDBLOCK))
}

/// Likewise together with others who do the same.
pub(super) fn lock_shared(path: &Path) -> Result<Flock<File>, Error> {
    lock_as(path, FlockArg::LockShared)?.ok_or_else(|| Error::io("lock", path)(Errno::EWOULDBLOCK))
}

/// Likewise alone, without waiting; `None` when somebody has it locked.
pub(super) fn try_lock(path: &Path) -> Result<Option<Flock<File>>, Error> {
    lock_as(path, FlockArg::LockExclusiveNonblock)
}

fn lock_as(path: &Path, how: FlockArg) -> Result<Option<Flock<File>>, Error> {
    let options = File::options().create(true).read(true).write(true).truncate(false).open(path);
    let mut file = options.map_err(Error::io("open", path))?;
    loop {
        match Flock::lock(file, how) {
            Ok(lock) => return Ok(Some(lock)),
            Err((unlocked, Errno::EINTR)) => file = unlocked,
            Err((_, Errno::EWOULDBLOCK)) => return Ok(None),
            Err((_, errno)) => return Err(Error::io("lock", path)(errno)),
        }
    }
}

/// True if this is the file that has the name now: one that was locked may have been removed meanwhile.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(mine), Ok(named)) => identity(mine) == identity(named),
        _ => false,
    }
}

/// A file on the file system of a directory that has no name: whatever happens to this process, nothing of it stays.
pub(super) fn unnamed(dir: &Path) -> Result<File, Error> {
    let mut options = File::options();
    options.read(true).write(true).mode(0o600).custom_flags(nix::libc::O_TMPFILE);
    options.open(dir).map_err(Error::io("create a file in", dir))
}

/// Replaces a file. `scratch` is a name of the same file system that nobody else uses.
pub(super) fn write(path: &Path, scratch: &Path, bytes: &[u8]) -> Result<(), Error> {
    replace::file(&HostDisk, path, scratch, bytes, Survive::PowerLoss).map_err(failed)
}

/// Renames a file or directory whose content is on the disk, and puts its new name there too.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    replace::name(&HostDisk, from, to, Survive::PowerLoss).map_err(failed)
}

fn failed(error: replace::Error) -> Error {
    let replace::Error { action, path, source } = error;
    Error::io(action, &path)(source)
}

/// Removes a file or directory with all that is in it, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    tree::remove(path).map_err(Error::io("remove", path))
}

/// The names in a directory of the store; those that are not UTF-8 are nobody's.
pub(super) fn names(dir: &Path) -> Result<Vec<String>, Error> {
    let entries = fs::read_dir(dir).map_err(Error::io("list", dir))?;
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(Error::io("list", dir))?.file_name().into_string().ok());
    }
    Ok(names)
}
