//! An OCI image layout in a directory.

use std::path::{Path, PathBuf};

use pathrs::Root;
use pathrs::error::ErrorKind;
use pathrs::flags::OpenFlags;

use super::{Content, Files, refuse};
use crate::image::error::Error;

/// The directory, as a root that its symlinks cannot leave.
pub(super) struct Layout {
    path: PathBuf,
    root: Root,
}

impl Layout {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let root = Root::open(path).map_err(|error| refuse(path, &error.to_string()))?;
        Ok(Self { path: path.to_owned(), root })
    }
}

impl Files for Layout {
    fn open(&self, name: &str) -> Result<Option<Content<'_>>, Error> {
        // Not blocking: a FIFO is refused below, but would be waited for here.
        let flags = OpenFlags::O_RDONLY | OpenFlags::O_NONBLOCK | OpenFlags::O_CLOEXEC | OpenFlags::O_NOCTTY;
        let file = match self.root.open_subpath(name, flags) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::OsError(Some(nix::libc::ENOENT)) => return Ok(None),
            Err(error) => return Err(refuse(&self.path, &format!("cannot open {name}: {error}"))),
        };
        let metadata = file.metadata().map_err(Error::io("look at", &self.path.join(name)))?;
        if !metadata.is_file() {
            return Err(refuse(&self.path, &format!("{name} is not a regular file")));
        }
        Ok(Some((Box::new(file), metadata.len())))
    }

    fn origin(&self) -> &Path {
        &self.path
    }
}
