//! Which names the store has, and which manifests they mean: its index.json.
//!
//! An OCI image index whose entries carry the normalised name, as other tools expect it, and what else we keep of each
//! in annotations of our own. It is replaced as a whole, by whoever holds the store's lock.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use oci_spec::image::{ANNOTATION_REF_NAME, Descriptor, ImageIndex, ImageIndexBuilder, MediaType};

use super::blobs::read_document;
use super::digest::Digest;
use super::durable;
use super::error::Error;
use super::manifest;
use super::reference::Reference;
use crate::state::store::quarantine;

/// When the image was imported, as RFC 3339.
const IMPORTED: &str = "dev.mkubelet.image.imported";

/// `true` on an entry whose name has moved on to another image.
const REPLACED: &str = "dev.mkubelet.image.replaced";

/// On an image that was pulled, the digest that its registry knows it by: of an index, or of the manifest itself.
const PULLED: &str = "dev.mkubelet.image.pulled";

/// On an image that was pulled with somebody's credentials, who has those: see [`Access`].
const ACCESS: &str = "dev.mkubelet.image.access";

/// Who may use an image that was pulled, without asking its registry again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Everybody on the node: it was pulled without credentials, or with the node's own.
    Everyone,
    /// Whoever has one of these credentials, by their [`super::registry::Credential::fingerprint`].
    Holders(BTreeSet<String>),
}

impl Access {
    /// Who may use an image that both of these were granted for.
    #[must_use]
    pub fn or(self, other: Access) -> Access {
        match (self, other) {
            (Access::Holders(mut all), Access::Holders(more)) => {
                all.extend(more);
                Access::Holders(all)
            }
            _ => Access::Everyone,
        }
    }
}

/// Where an image came from that was pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pulled {
    /// What its registry knows it by: the digest of an index, or of the manifest itself.
    pub(super) digest: Digest,
    /// Who may use it.
    pub(super) access: Access,
}

/// One name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// A normalised reference, or a source (`oci:/path`).
    pub(super) reference: String,
    /// Digest of the image's manifest.
    pub(super) manifest: Digest,
    /// Size of the manifest in bytes.
    pub(super) size: u64,
    /// When the name was given.
    pub(super) imported: Timestamp,
    /// The name means another image now; this one is kept for the pods that were started from it.
    pub(super) replaced: bool,
    /// `None` for an image that was imported.
    pub(super) pulled: Option<Pulled>,
}

impl Entry {
    /// True for an image that was imported or loaded under a name: nobody can say where it could be had again.
    pub(super) fn is_local(&self) -> bool {
        self.pulled.is_none() && matches!(Name::parse(&self.reference), Ok(Name::Stored(_)))
    }

    /// What the registry of a pulled image knows it by: `registry/repository@sha256:<hex>`.
    pub(super) fn repo_digest(&self) -> Option<String> {
        let reference: Reference = self.reference.parse().ok()?;
        Some(format!("{}@{}", reference.repository(), self.pulled.as_ref()?.digest))
    }

    fn has_digest(&self, digest: &str) -> bool {
        let pulled = self.pulled.as_ref().is_some_and(|pulled| pulled.digest.to_string() == digest);
        pulled || self.manifest.to_string() == digest
    }
}

/// What an image is asked for by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// A name in the store.
    Stored(Reference),
    /// A source that the image was read from.
    Source(String),
}

impl Name {
    /// Reads what a person or a pod wrote.
    pub(super) fn parse(image: &str) -> Result<Name, Error> {
        if ["dir:", "oci:", "archive:"].iter().any(|scheme| image.starts_with(&format!("{scheme}/"))) {
            Ok(Name::Source(image.to_owned()))
        } else {
            Ok(Name::Stored(image.parse()?))
        }
    }

    /// True if an entry has this name, now or before it was replaced.
    pub(super) fn matches(&self, entry: &Entry) -> bool {
        match self {
            Name::Source(source) => *source == entry.reference,
            Name::Stored(wanted) => entry.reference.parse::<Reference>().is_ok_and(|named| {
                named.repository() == wanted.repository()
                    && match wanted.digest() {
                        Some(digest) => entry.has_digest(digest),
                        None => named.tag() == wanted.tag(),
                    }
            }),
        }
    }
}

/// Reads the index of a store. One that is not there is empty, and so is one that cannot be understood, with a warning.
pub(super) fn read(store: &Path) -> Result<Vec<Entry>, Error> {
    match read_whole(&path(store)) {
        Err(error @ Error::Invalid { .. }) => {
            tracing::warn!(%error, "the names of the images are lost; import them again");
            Ok(Vec::new())
        }
        read => read,
    }
}

/// Likewise, by whoever holds the lock: what cannot be understood is set aside as `index.json.bad`.
pub(super) fn read_to_change(store: &Path) -> Result<Vec<Entry>, Error> {
    let path = path(store);
    match read_whole(&path) {
        Err(Error::Invalid { reason, .. }) => {
            quarantine(&path, &reason);
            Ok(Vec::new())
        }
        read => read,
    }
}

/// Whether an index is set aside. Nobody knows which images it named, so none may be removed for having no name.
pub(super) fn is_incomplete(store: &Path) -> bool {
    store.join("index.json.bad").exists()
}

fn path(store: &Path) -> PathBuf {
    store.join("index.json")
}

fn read_whole(path: &Path) -> Result<Vec<Entry>, Error> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("open", path)(error)),
    };
    let what = path.display().to_string();
    let descriptors = manifest::index(&read_document(file, &what)?, &what)?;
    descriptors.iter().map(|descriptor| entry(descriptor, &what)).collect()
}

/// Replaces the index of a store, whose lock is held.
pub(super) fn write(store: &Path, ingest: &Path, entries: &[Entry]) -> Result<(), Error> {
    let path = path(store);
    let what = path.display().to_string();
    let manifests = entries.iter().map(descriptor).collect::<Result<Vec<_>, _>>()?;
    let index: ImageIndex = ImageIndexBuilder::default()
        .schema_version(2u32)
        .media_type(MediaType::ImageIndex)
        .manifests(manifests)
        .build()
        .map_err(Error::invalid(&what))?;
    let bytes = serde_json::to_vec_pretty(&index).map_err(Error::invalid(&what))?;
    durable::write(&path, &ingest.join("index.json"), &bytes)
}

fn entry(descriptor: &Descriptor, what: &str) -> Result<Entry, Error> {
    let annotations = descriptor.annotations().clone().unwrap_or_default();
    let annotation = |name: &str| {
        annotations.get(name).cloned().ok_or_else(|| Error::Invalid {
            what: what.to_owned(),
            reason: format!("an entry has no annotation {name}"),
        })
    };
    let access = || match annotations.get(ACCESS) {
        Some(holders) => Access::Holders(holders.split(',').map(str::to_owned).collect()),
        None => Access::Everyone,
    };
    let pulled = annotations.get(PULLED).map(|digest| digest.parse()).transpose()?;
    Ok(Entry {
        pulled: pulled.map(|digest| Pulled { digest, access: access() }),
        reference: annotation(ANNOTATION_REF_NAME)?,
        manifest: manifest::digest(descriptor)?,
        size: descriptor.size(),
        imported: annotation(IMPORTED)?.parse().map_err(Error::invalid(what))?,
        replaced: annotations.get(REPLACED).is_some_and(|value| value == "true"),
    })
}

fn descriptor(entry: &Entry) -> Result<Descriptor, Error> {
    let digest: oci_spec::image::Digest =
        entry.manifest.to_string().parse().map_err(Error::invalid(&entry.reference))?;
    let mut annotations = HashMap::from([
        (ANNOTATION_REF_NAME.to_owned(), entry.reference.clone()),
        (IMPORTED.to_owned(), entry.imported.to_string()),
    ]);
    if entry.replaced {
        annotations.insert(REPLACED.to_owned(), "true".to_owned());
    }
    if let Some(pulled) = &entry.pulled {
        annotations.insert(PULLED.to_owned(), pulled.digest.to_string());
        if let Access::Holders(holders) = &pulled.access {
            let holders: Vec<&str> = holders.iter().map(String::as_str).collect();
            annotations.insert(ACCESS.to_owned(), holders.join(","));
        }
    }
    let mut descriptor = Descriptor::new(MediaType::ImageManifest, entry.size, digest);
    descriptor.set_annotations(Some(annotations));
    Ok(descriptor)
}
