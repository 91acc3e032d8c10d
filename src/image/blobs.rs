//! Blobs on disk, by digest: `blobs/sha256/<hex>`, as in an OCI image layout.
//!
//! A blob is seen under its name only when its bytes have been checked against it and are on the disk.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::digest::{Digest, Digesting};
use super::durable;
use super::error::Error;
use crate::failpoint;

/// Largest manifest, configuration or index.
pub(super) const MAX_DOCUMENT: u64 = 4 << 20;

/// The blobs of a store.
#[derive(Debug, Clone)]
pub(super) struct Blobs {
    dir: PathBuf,
    /// Where a blob grows until it is complete; on the same file system.
    ingest: PathBuf,
}

impl Blobs {
    /// Blobs below `store`; makes the directory.
    pub(super) fn open(store: &Path, ingest: &Path) -> Result<Blobs, Error> {
        let dir = store.join("blobs/sha256");
        durable::make_directory(&dir)?;
        Ok(Blobs { dir, ingest: ingest.to_owned() })
    }

    /// True if the blob is there. Its bytes were checked when it came.
    pub(super) fn has(&self, digest: &Digest) -> bool {
        self.path(digest).is_file()
    }

    /// Opens a blob.
    pub(super) fn open_blob(&self, digest: &Digest) -> Result<File, Error> {
        let path = self.path(digest);
        File::open(&path).map_err(Error::io("open", &path))
    }

    /// Size of a blob in bytes.
    pub(super) fn size(&self, digest: &Digest) -> Result<u64, Error> {
        let path = self.path(digest);
        Ok(fs::metadata(&path).map_err(Error::io("look at", &path))?.len())
    }

    /// Reads a manifest, a configuration or an index, and checks it again: it is small.
    pub(super) fn document(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        let bytes = read_document(self.open_blob(digest)?, &digest.to_string())?;
        if Digest::of(&bytes) != *digest {
            return Err(damaged(digest, format!("{} has other bytes", self.path(digest).display())));
        }
        Ok(bytes)
    }

    /// Keeps bytes under their own digest.
    pub(super) fn add_document(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::of(bytes);
        if !self.has(&digest) {
            self.add(bytes, &digest, bytes.len() as u64)?;
        }
        Ok(digest)
    }

    /// Copies a blob whose digest and size are known.
    pub(super) fn add(&self, input: impl Read, digest: &Digest, size: u64) -> Result<(), Error> {
        let (file, found, found_size) = self.receive(input, size).map_err(|error| match error {
            // The limit of the copy is the size itself.
            Error::Io { action: "copy", source, .. } if source.kind() == io::ErrorKind::Other => {
                damaged(digest, format!("it has {source}, its size by the manifest"))
            }
            other => other,
        })?;
        if found_size != size {
            return Err(damaged(digest, format!("it has {found_size} bytes, and {size} by the manifest")));
        }
        if found != *digest {
            return Err(damaged(digest, format!("its bytes have the digest {found}")));
        }
        self.publish(&file, digest)
    }

    /// Takes in a file of the same file system that has been checked and is on the disk.
    pub(super) fn adopt(&self, file: &Path, digest: &Digest) -> Result<(), Error> {
        self.publish(file, digest)
    }

    /// Removes every blob for which `keep` is false.
    pub(super) fn retain(&self, keep: impl Fn(&str) -> bool) -> Result<(), Error> {
        for name in durable::names(&self.dir)? {
            if !keep(&name) {
                let path = self.dir.join(&name);
                fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Where a blob is.
    pub(super) fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(digest.hex())
    }

    fn receive(&self, input: impl Read, limit: u64) -> Result<(PathBuf, Digest, u64), Error> {
        let path = self.ingest.join("blob");
        let mut file = File::create(&path).map_err(Error::io("create", &path))?;
        let mut input = Digesting::new(input, limit);
        io::copy(&mut input, &mut file).map_err(Error::io("copy", &path))?;
        file.sync_all().map_err(Error::io("write", &path))?;
        failpoint::reached("blob.received");
        let (digest, size) = input.finish();
        Ok((path, digest, size))
    }

    fn publish(&self, file: &Path, digest: &Digest) -> Result<(), Error> {
        durable::rename(file, &self.path(digest))?;
        failpoint::reached("blob.kept");
        Ok(())
    }
}

/// Reads a document of at most 4 MiB; `what` is named in the error.
pub(super) fn read_document(input: impl Read, what: &str) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    input.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes).map_err(Error::invalid(what))?;
    if bytes.len() as u64 > MAX_DOCUMENT {
        return Err(Error::Invalid { what: what.to_owned(), reason: "it has more than 4 MiB".to_owned() });
    }
    Ok(bytes)
}

fn damaged(digest: &Digest, reason: String) -> Error {
    Error::Invalid { what: format!("blob {digest}"), reason }
}
