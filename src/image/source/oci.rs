//! Which image of an OCI image layout is meant: the one for this machine.

use oci_spec::image::{ANNOTATION_REF_NAME, Arch, Descriptor};

use super::{Files, Offer, blob, refuse, require};
use crate::image::blobs::read_document;
use crate::image::digest::Digest;
use crate::image::error::Error;
use crate::image::manifest;

/// Indexes within indexes.
const MAX_DEPTH: usize = 4;

/// Follows the indexes to an image's manifest, and reads it with its configuration.
pub(super) fn offer(files: &dyn Files) -> Result<Offer, Error> {
    let (index, _) = require(files, "index.json")?;
    let mut bytes = read_document(index, "index.json")?;
    for _ in 0..MAX_DEPTH {
        let chosen = choose(files, manifest::index(&bytes, "index")?)?;
        bytes = document(files, &manifest::digest(&chosen)?)?;
        if !manifest::is_index(&chosen) {
            let config = document(files, &manifest::config_digest(&bytes, "manifest")?)?;
            return Ok(Offer::Oci { manifest: bytes, config });
        }
    }
    Err(refuse(files.origin(), "its indexes are nested too deeply"))
}

fn choose(files: &dyn Files, all: Vec<Descriptor>) -> Result<Descriptor, Error> {
    let count = all.len();
    let mut fitting: Vec<Descriptor> = all
        .into_iter()
        .filter(|descriptor| manifest::is_image(descriptor) || manifest::is_index(descriptor))
        .filter(manifest::may_run_here)
        .collect();
    // One that says it is for this machine is meant rather than one that says nothing.
    if fitting.iter().any(|descriptor| descriptor.platform().is_some()) {
        fitting.retain(|descriptor| descriptor.platform().is_some());
    }
    // Two names of one image are one image.
    fitting.dedup_by(|a, b| a.digest() == b.digest());
    match (fitting.pop(), fitting.as_slice()) {
        (Some(only), []) => Ok(only),
        (None, _) => Err(refuse(
            files.origin(),
            &format!("none of its {count} images is for linux/{}", Arch::default()),
        )),
        (Some(last), others) => {
            let names: Vec<&str> = others.iter().chain([&last]).map(name).collect();
            Err(refuse(
                files.origin(),
                &format!("it has several images for this machine: {}", names.join(", ")),
            ))
        }
    }
}

fn name(descriptor: &Descriptor) -> &str {
    let annotations = descriptor.annotations().as_ref();
    annotations
        .and_then(|all| all.get(ANNOTATION_REF_NAME))
        .map_or(descriptor.digest().as_ref(), String::as_str)
}

fn document(files: &dyn Files, digest: &Digest) -> Result<Vec<u8>, Error> {
    let bytes = read_document(blob(files, digest)?, &format!("blob {digest}"))?;
    let found = Digest::of(&bytes);
    if found != *digest {
        let reason = format!("its bytes have the digest {found}");
        return Err(Error::Invalid { what: format!("blob {digest}"), reason });
    }
    Ok(bytes)
}
