//! An image as `docker save` writes it: manifest.json names the configuration and the layers' files.

use serde::Deserialize;

use super::{Files, Offer, refuse, require};
use crate::image::blobs::read_document;
use crate::image::error::Error;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    layers: Vec<String>,
    repo_tags: Option<Vec<String>>,
}

/// Reads manifest.json and the configuration. There must be one image.
pub(super) fn offer(files: &dyn Files) -> Result<Offer, Error> {
    let (file, _) = require(files, "manifest.json")?;
    let bytes = read_document(file, "manifest.json")?;
    let mut images: Vec<Saved> = serde_json::from_slice(&bytes).map_err(Error::invalid("manifest.json"))?;
    if images.len() > 1 {
        let names: Vec<&str> =
            images.iter().flat_map(|image| image.repo_tags.iter().flatten()).map(String::as_str).collect();
        return Err(refuse(files.origin(), &format!("it has several images: {}", names.join(", "))));
    }
    let image = images.pop().ok_or_else(|| refuse(files.origin(), "it has no image"))?;
    let (config, _) = require(files, &image.config)?;
    let config = read_document(config, &image.config)?;
    Ok(Offer::Docker { config, layers: image.layers })
}
