//! What decides how long an image is kept: who uses it, and when it was used last.
//!
//! The last use is the time of the manifest's blob (its mtime): the blob itself never changes, and so the time survives whoever wrote
//! it, without a file of its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::time::SystemTime;

use jiff::Timestamp;

use super::super::collect::Kept;
use super::super::{pods, references};
use super::{Digest, Entry, Error, Name, Store, uses};

impl Store {
    /// All images. Those are in use that a pod's record names, or one of `named`; this is remembered as their last use.
    pub fn kept(&self, named: &[String]) -> Result<Vec<Kept>, Error> {
        let entries = references::read(&self.dir)?;
        let (pods, named) = (pods::read(&self.pods), parsed(named));
        let mut images: BTreeMap<&Digest, Kept> = BTreeMap::new();
        for entry in &entries {
            let one = images.entry(&entry.manifest).or_insert_with(|| Kept {
                image: entry.manifest.to_string(),
                names: Vec::new(),
                since: entry.imported,
                last_used: entry.imported,
                in_use: false,
                is_pinned: false,
            });
            one.names.push(entry.reference.clone());
            one.since = one.since.max(entry.imported);
            one.in_use |= is_used(entry, &pods, &named);
            one.is_pinned |= entry.is_local() && !entry.replaced;
        }
        for (manifest, image) in &mut images {
            if image.in_use {
                self.mark_used(manifest);
            }
            let written = self.blobs.path(manifest).metadata().and_then(|metadata| metadata.modified());
            image.last_used = written.ok().and_then(|at| Timestamp::try_from(at).ok()).unwrap_or(image.since);
        }
        Ok(images.into_values().collect())
    }

    /// Removes an image with all its names, and gives the bytes of the disk that this freed; `None` when somebody needs it by now.
    pub fn collect(&self, image: &str, named: &[String]) -> Result<Option<u64>, Error> {
        let (manifest, named): (Digest, _) = (image.parse()?, parsed(named));
        let goes = |entry: &Entry, all: &[Entry], pods: &[pods::Pod]| {
            let mut of_image = all.iter().filter(|other| other.manifest == manifest);
            entry.manifest == manifest && !of_image.any(|other| is_used(other, pods, &named))
        };
        let discarded = self.discard(goes, false)?;
        Ok((!discarded.images.is_empty()).then_some(discarded.freed))
    }

    /// Somebody begins to use an image.
    pub(super) fn mark_used(&self, manifest: &Digest) {
        let marked =
            File::open(self.blobs.path(manifest)).and_then(|blob| blob.set_modified(SystemTime::now()));
        if let Err(error) = marked {
            // It counts as unused for longer than it is.
            tracing::debug!(%manifest, %error, "the use of an image is not remembered");
        }
    }
}

fn parsed(named: &[String]) -> Vec<Name> {
    named.iter().filter_map(|image| Name::parse(image).ok()).collect()
}

fn is_used(entry: &Entry, pods: &[pods::Pod], named: &[Name]) -> bool {
    named.iter().any(|name| name.matches(entry)) || pods.iter().any(|pod| uses(pod, entry))
}
