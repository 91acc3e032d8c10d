//! All that is known of one image.

use jiff::Timestamp;
use serde_json::Value;

use super::super::references;
use super::{Error, Store};

/// An image, whatever names it has.
#[derive(Debug, Clone, PartialEq)]
pub struct Details {
    /// Digest of its configuration, `sha256:<hex>`.
    pub id: String,
    /// Digest of its manifest.
    pub manifest: String,
    /// Its normalised names, or the source that it was read from.
    pub names: Vec<String>,
    /// What it is found by as well, whatever becomes of its tags: `registry/repository@sha256:<hex>`.
    pub digests: Vec<String>,
    /// Bytes of its blobs.
    pub size: u64,
    /// When it came into the store.
    pub imported: Timestamp,
    /// It was imported or loaded, not pulled.
    pub is_local: bool,
    /// The lowest first.
    pub layers: Vec<Layer>,
    /// As its author wrote it.
    pub configuration: Value,
}

/// A layer of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Digest of the blob, `sha256:<hex>`.
    pub digest: String,
    /// Bytes of the blob.
    pub size: u64,
    /// Digest of the archive in it.
    pub diff_id: String,
}

impl Store {
    /// Tells of the image that has this name, or this id.
    pub fn inspect(&self, name: &str) -> Result<Details, Error> {
        let entries = references::read(&self.dir)?;
        let found = self.find(&entries, name)?;
        let Some(first) = found.first() else {
            let detail = format!("is not in the store {}", self.dir.display());
            return Err(Error::NotFound { image: name.to_owned(), detail });
        };
        let checked = self.checked(&first.manifest)?;
        let mut details = Details {
            id: checked.id.to_string(),
            manifest: checked.manifest.to_string(),
            names: Vec::new(),
            digests: Vec::new(),
            size: 0,
            imported: first.imported,
            is_local: false,
            layers: Vec::new(),
            configuration: serde_json::from_slice(&self.blobs.document(&checked.id)?)
                .map_err(Error::invalid(format!("image configuration {}", checked.id)))?,
        };
        for entry in entries.iter().filter(|entry| !entry.replaced) {
            // Another image that is damaged is in nobody's way.
            let Ok(stored) = self.stored(entry) else { continue };
            if stored.id != details.id {
                continue;
            }
            details.digests.extend(stored.by_digest());
            details.is_local |= stored.is_local;
            details.imported = details.imported.min(stored.imported);
            if entry.manifest == first.manifest {
                details.size = stored.size;
            }
            details.names.push(stored.reference);
        }
        details.names.sort();
        details.digests.sort();
        details.digests.dedup();
        details.layers = checked
            .layers
            .iter()
            .map(|layer| Layer {
                digest: layer.blob.to_string(),
                size: layer.size,
                diff_id: layer.diff_id.to_string(),
            })
            .collect();
        Ok(details)
    }
}
