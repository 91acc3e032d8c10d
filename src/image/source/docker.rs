//! An image as `docker save` writes it: manifest.json names the configuration and the layers' files.

use serde::Deserialize;

use super::{Files, Named, Offer, refuse, require};
use crate::image::blobs::read_document;
use crate::image::digest::Digest;
use crate::image::error::Error;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    layers: Vec<String>,
    repo_tags: Option<Vec<String>>,
}

/// The one image that there must be.
pub(super) fn offer(files: &dyn Files) -> Result<Offer, Error> {
    let mut images = saved(files)?;
    if images.len() > 1 {
        let names: Vec<&str> =
            images.iter().flat_map(|image| image.repo_tags.iter().flatten()).map(String::as_str).collect();
        return Err(refuse(files.origin(), &format!("it has several images: {}", names.join(", "))));
    }
    let image = images.pop().ok_or_else(|| refuse(files.origin(), "it has no image"))?;
    image.offer(files)
}

/// All images.
pub(super) fn all(files: &dyn Files) -> Result<Vec<Named>, Error> {
    let named = |mut image: Saved| {
        let names = image.repo_tags.take().unwrap_or_default();
        Ok(Named { names, tag: None, offer: image.offer(files)? })
    };
    saved(files)?.into_iter().map(named).collect()
}

/// Gives images of an index their names, where manifest.json alone has them: docker writes both.
pub(super) fn complete_names(files: &dyn Files, images: &mut [Named]) -> Result<(), Error> {
    let saved = saved(files)?;
    for image in images.iter_mut().filter(|image| image.names.is_empty()) {
        let Offer::Oci { config, .. } = &image.offer else { continue };
        let path = format!("blobs/sha256/{}", Digest::of(config).hex());
        let tags =
            saved.iter().filter(|saved| saved.config == path).filter_map(|saved| saved.repo_tags.clone());
        image.names = tags.flatten().collect();
    }
    Ok(())
}

fn saved(files: &dyn Files) -> Result<Vec<Saved>, Error> {
    let (file, _) = require(files, "manifest.json")?;
    let bytes = read_document(file, "manifest.json")?;
    serde_json::from_slice(&bytes).map_err(Error::invalid("manifest.json"))
}

impl Saved {
    /// Reads the configuration.
    fn offer(self, files: &dyn Files) -> Result<Offer, Error> {
        let (config, _) = require(files, &self.config)?;
        let config = read_document(config, &self.config)?;
        Ok(Offer::Docker { config, layers: self.layers })
    }
}
