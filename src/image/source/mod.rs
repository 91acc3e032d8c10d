//! Where images are read from: an OCI image layout, an archive (of a layout, or by `docker save`), a plain directory.
//!
//! Nothing of a source is trusted: its files are regular ones inside it, and documents are bounded. What is offered
//! here is checked in `manifest` and by the store.

mod archive;
mod directory;
mod docker;
mod layout;
mod oci;

use std::io::Read;
use std::path::Path;

use super::error::Error;

pub(super) use directory::{config as directory_config, write_layer};

/// A file's content, and how many bytes it should have.
pub(super) type Content<'a> = (Box<dyn Read + 'a>, u64);

/// Files by name: those of a layout's directory, or of an archive.
pub(super) trait Files {
    /// Opens a regular file, and says how many bytes it has; `None` when there is nothing of that name.
    fn open(&self, name: &str) -> Result<Option<Content<'_>>, Error>;

    /// What the person called it.
    fn origin(&self) -> &Path;
}

/// An image that a source has, before anything of it was checked.
pub(super) enum Offer {
    /// Its layers are blobs, by the manifest.
    Oci {
        /// The manifest's bytes.
        manifest: Vec<u8>,
        /// The configuration's bytes.
        config: Vec<u8>,
    },
    /// As `docker save` writes it: without a manifest of this kind.
    Docker {
        /// The configuration's bytes.
        config: Vec<u8>,
        /// Names of the layers' files, the lowest first.
        layers: Vec<String>,
    },
}

/// A source, by what is at its path.
pub(super) enum Source {
    /// A layout or an archive.
    Files(Box<dyn Files>),
    /// A plain directory: the root filesystem itself.
    Directory,
}

/// Looks at what is at a path.
pub(super) fn open(path: &Path) -> Result<Source, Error> {
    let metadata = std::fs::metadata(path).map_err(Error::io("open", path))?;
    if metadata.is_file() {
        Ok(Source::Files(Box::new(archive::Archive::open(path)?)))
    } else if !metadata.is_dir() {
        Err(refuse(path, "it is neither a directory nor a file"))
    } else if path.join("oci-layout").is_file() || path.join("index.json").is_file() {
        Ok(Source::Files(Box::new(layout::Layout::open(path)?)))
    } else {
        Ok(Source::Directory)
    }
}

/// Finds the one image of a source that is for this machine.
pub(super) fn offer(files: &dyn Files) -> Result<Offer, Error> {
    if files.open("index.json")?.is_some() {
        oci::offer(files)
    } else if files.open("manifest.json")?.is_some() {
        docker::offer(files)
    } else {
        Err(refuse(
            files.origin(),
            "it has neither an index.json (OCI image layout) nor a manifest.json (docker save)",
        ))
    }
}

/// Opens the file of a blob in an OCI image layout.
pub(super) fn blob<'a>(
    files: &'a dyn Files,
    digest: &super::digest::Digest,
) -> Result<Box<dyn Read + 'a>, Error> {
    require(files, &format!("blobs/sha256/{}", digest.hex())).map(|(file, _)| file)
}

/// Opens a file that must be there.
pub(super) fn require<'a>(files: &'a dyn Files, name: &str) -> Result<Content<'a>, Error> {
    files.open(name)?.ok_or_else(|| refuse(files.origin(), &format!("it has no {name}")))
}

fn refuse(path: &Path, reason: &str) -> Error {
    Error::Source { path: path.to_owned(), reason: reason.to_owned() }
}
