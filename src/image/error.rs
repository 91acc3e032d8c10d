//! What can go wrong with an image, as told to the person who asked for it.

use std::io;
use std::path::{Path, PathBuf};

use super::reference::InvalidReference;
use super::unpack;

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
    /// The image cannot be removed.
    #[error("image {image:?} is used by pod {pod}")]
    InUse {
        /// The image as asked for.
        image: String,
        /// The pod whose record names it, as `namespace/name`.
        pod: String,
    },
    /// The file or directory that an image was to be read from is not of a kind that is understood.
    #[error("cannot read an image from {}: {reason}", path.display())]
    Source {
        /// What was given.
        path: PathBuf,
        /// Why it does not serve.
        reason: String,
    },
    /// A part of an image is not what it should be.
    #[error("invalid {what}: {reason}")]
    Invalid {
        /// The part: `manifest sha256:…`, `index.json`.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A layer cannot be turned into a directory.
    #[error("cannot unpack layer {layer}")]
    Unpack {
        /// Digest of the blob.
        layer: String,
        /// The entry, and what is wrong with it.
        #[source]
        source: unpack::Error,
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
    /// Turns an `io::Error` or an `Errno` into one that names the operation and the path.
    pub(crate) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> Error + use<E> {
        let path = path.to_owned();
        move |source| Error::Io { action, path, source: source.into() }
    }

    /// Turns any error into one that says which part of the image it is about.
    pub(crate) fn invalid<E: ToString, W: Into<String>>(what: W) -> impl FnOnce(E) -> Error + use<E, W> {
        let what = what.into();
        move |reason| Error::Invalid { what, reason: reason.to_string() }
    }
}
