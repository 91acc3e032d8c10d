//! Files and directories that are seen complete or not at all, and are still there after a power loss.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
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
    let options = File::options().create(true).read(true).write(true).truncate(false).open(path);
    let mut file = options.map_err(Error::io("open", path))?;
    loop {
        match Flock::lock(file, FlockArg::LockExclusive) {
            Ok(lock) => return Ok(lock),
            Err((unlocked, Errno::EINTR)) => file = unlocked,
            Err((_, errno)) => return Err(Error::io("lock", path)(errno)),
        }
    }
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
