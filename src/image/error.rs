//! What can go wrong with an image, as told to the person who asked for it.

use std::io;
use std::path::{Path, PathBuf};

use super::reference::InvalidReference;

/// Why an image cannot be resolved, imported or removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such image: the text says what was looked for, and where.
    #[error("image {image:?} {detail}")]
    NotFound {
        /// The image as asked for.
        image: String,
        /// Where it was looked for, and what would help.
        detail: String,
    },
    /// The name of an image that cannot be one.
    #[error(transparent)]
    Reference(#[from] InvalidReference),
    /// The file or directory that an image was to be read from is not one of the kinds that are understood.
    #[error("{}: {reason}", path.display())]
    Source {
        /// What was given.
        path: PathBuf,
        /// Why it does not serve.
        reason: String,
    },
    /// A system call failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// An infinitive, such as `read`.
        action: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// Turns an `io::Error` into one that names the operation and the path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { action, path, source }
    }
}
