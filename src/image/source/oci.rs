//! Which images of an OCI image layout are meant: those for this machine.

use oci_spec::image::{ANNOTATION_REF_NAME, Arch, Descriptor};

use super::{Files, Named, Offer, blob, refuse, require};
use crate::image::blobs::read_document;
use crate::image::digest::Digest;
use crate::image::error::Error;
use crate::image::manifest;

/// Where containerd and docker write an image's whole name.
pub(in crate::image) const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// Indexes within indexes.
const MAX_DEPTH: usize = 4;

/// The one image, with its configuration.
pub(super) fn offer(files: &dyn Files) -> Result<Offer, Error> {
    follow(files, choose(files, index(files)?)?)
}

/// All images by their names. Several of one name, or of none, are one for several platforms.
pub(super) fn all(files: &dyn Files) -> Result<Vec<Named>, Error> {
    let mut groups: Vec<(Called, Vec<Descriptor>)> = Vec::new();
    for descriptor in index(files)?.into_iter().filter(|descriptor| !is_attestation(descriptor)) {
        let called = Called::of(&descriptor);
        match groups.iter_mut().find(|(known, _)| *known == called) {
            Some((_, group)) => group.push(descriptor),
            None => groups.push((called, vec![descriptor])),
        }
    }
    if groups.is_empty() {
        return Err(refuse(files.origin(), "it has no image"));
    }
    let named = |(called, group): (Called, Vec<Descriptor>)| {
        let offer = follow(files, choose(files, group)?)?;
        Ok(Named { names: called.name.into_iter().collect(), tag: called.tag, offer })
    };
    groups.into_iter().map(named).collect()
}

/// What a layout calls an image.
#[derive(PartialEq, Eq)]
struct Called {
    name: Option<String>,
    /// A tag whose name the layout does not say.
    tag: Option<String>,
}

impl Called {
    /// The annotation of the specification is a tag or a whole name, whoever wrote it; containerd and docker have the whole name in
    /// another one beside it.
    fn of(descriptor: &Descriptor) -> Self {
        let annotation = |key| descriptor.annotations().as_ref().and_then(|all| all.get(key)).cloned();
        match (annotation(CONTAINERD_NAME), annotation(ANNOTATION_REF_NAME)) {
            (Some(name), _) => Self { name: Some(name), tag: None },
            (None, Some(name)) if name.contains(['/', ':']) => Self { name: Some(name), tag: None },
            (None, tag) => Self { name: None, tag },
        }
    }
}

/// What a builder attests of an image stands beside it as another one, for no platform
/// (<https://docs.docker.com/build/metadata/attestations/attestation-storage/>).
fn is_attestation(descriptor: &Descriptor) -> bool {
    descriptor.platform().as_ref().is_some_and(|platform| platform.os().to_string() == "unknown")
}

fn index(files: &dyn Files) -> Result<Vec<Descriptor>, Error> {
    let (index, _) = require(files, "index.json")?;
    manifest::index(&read_document(index, "index.json")?, "index")
}

/// Follows the indexes to an image's manifest, and reads it with its configuration.
fn follow(files: &dyn Files, mut chosen: Descriptor) -> Result<Offer, Error> {
    for _ in 0..MAX_DEPTH {
        let bytes = document(files, &manifest::digest(&chosen)?)?;
        if !manifest::is_index(&chosen) {
            let config = document(files, &manifest::config_digest(&bytes, "manifest")?)?;
            return Ok(Offer::Oci { manifest: bytes, config });
        }
        chosen = choose(files, manifest::index(&bytes, "index")?)?;
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
