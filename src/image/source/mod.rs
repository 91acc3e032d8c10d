//! Where images are read from: an OCI image layout, an archive (of a layout, or by `docker save`), a plain directory.
//!
//! Nothing of a source is trusted: its files are regular ones inside it, and documents are bounded. What is offered
//! here is checked in `manifest` and by the store.

mod archive;
mod directory;
mod docker;
mod layout;
mod oci;
mod spool;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::error::Error;

pub(super) use directory::{config as directory_config, write_layer};
pub(super) use oci::CONTAINERD_NAME;

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

/// An image of a source that may have several, and what the source calls it.
pub(super) struct Named {
    /// Names as they are written there; none when it does not say.
    pub(super) names: Vec<String>,
    /// A tag without the name that it belongs to, as an OCI image layout may have it.
    pub(super) tag: Option<String>,
    /// The image.
    pub(super) offer: Offer,
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

/// Looks at what is to be loaded: a layout, or an archive that may be compressed. `scratch` has room for what is in it.
pub(super) fn open_to_load(path: &Path, scratch: &Path) -> Result<Box<dyn Files>, Error> {
    if std::fs::metadata(path).map_err(Error::io("open", path))?.is_file() {
        let file = archive::open_file(path)?;
        let archive = if spool::is_compressed(&file) { spool::spool(file, path, scratch)? } else { file };
        return Ok(Box::new(archive::Archive::of(archive, path)?));
    }
    match open(path)? {
        Source::Files(files) => Ok(files),
        Source::Directory => {
            Err(refuse(path, "it is not an OCI image layout; a plain directory is taken in by image import"))
        }
    }
}

/// Likewise an archive that comes as a stream, which is called `origin`.
pub(super) fn receive(stream: impl Read, origin: &Path, scratch: &Path) -> Result<Box<dyn Files>, Error> {
    let archive: File = spool::spool(stream, origin, scratch)?;
    Ok(Box::new(archive::Archive::of(archive, origin)?))
}

/// All images of a source that are for this machine, with their names.
pub(super) fn all(files: &dyn Files) -> Result<Vec<Named>, Error> {
    let has_saved = files.open("manifest.json")?.is_some();
    if files.open("index.json")?.is_none() {
        return if has_saved { docker::all(files) } else { Err(neither(files)) };
    }
    let mut images = oci::all(files)?;
    if has_saved {
        docker::complete_names(files, &mut images)?;
    }
    Ok(images)
}

/// Finds the one image of a source that is for this machine.
pub(super) fn offer(files: &dyn Files) -> Result<Offer, Error> {
    if files.open("index.json")?.is_some() {
        oci::offer(files)
    } else if files.open("manifest.json")?.is_some() {
        docker::offer(files)
    } else {
        Err(neither(files))
    }
}

fn neither(files: &dyn Files) -> Error {
    refuse(
        files.origin(),
        "it has neither an index.json (OCI image layout) nor a manifest.json (docker save)",
    )
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
