//! Unpacked layers: `layers/<chain id>`, shared by every image that has the same layers below.
//!
//! The directory above them is 0700: what they hold (setuid programs, devices) is out of reach for the host's users,
//! while each layer's own root has the mode that the image says.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::unistd::syncfs;

use super::blobs::Blobs;
use super::durable;
use super::error::Error;
use super::manifest::LayerInfo;
use super::unpack;
use crate::failpoint;

/// The layers of a store.
#[derive(Debug, Clone)]
pub(super) struct Layers {
    dir: PathBuf,
    /// Where a layer grows until it is complete; on the same file system.
    ingest: PathBuf,
}

impl Layers {
    /// Layers below `store`; makes the directory.
    pub(super) fn open(store: &Path, ingest: &Path) -> Result<Layers, Error> {
        let dir = store.join("layers");
        durable::make_directory(&dir)?;
        Ok(Layers { dir, ingest: ingest.to_owned() })
    }

    /// Where a layer is, once it is there.
    pub(super) fn path(&self, layer: &LayerInfo) -> PathBuf {
        self.dir.join(layer.chain_id.hex())
    }

    /// True if the layer is there, complete and verified.
    pub(super) fn has(&self, layer: &LayerInfo) -> bool {
        self.path(layer).is_dir()
    }

    /// Unpacks a layer out of its blob; those below it are there. The store's lock is held.
    pub(super) fn add(&self, layer: &LayerInfo, below: &[PathBuf], blobs: &Blobs) -> Result<(), Error> {
        let scratch = self.ingest.join("layer");
        durable::remove(&scratch)?;
        fs::create_dir(&scratch).map_err(Error::io("create", &scratch))?;
        fs::set_permissions(&scratch, Permissions::from_mode(0o755))
            .map_err(Error::io("set the mode of", &scratch))?;

        let blob = blobs.open_blob(&layer.blob)?;
        let fail = |source| Error::Unpack { layer: layer.blob.to_string(), source };
        let found =
            unpack::unpack(blob, layer.compression, &scratch, below, &unpack::LIMITS).map_err(fail)?;
        if found != layer.diff_id {
            let expected = layer.diff_id.to_string();
            return Err(fail(unpack::Error::DiffId { expected, found: found.to_string() }));
        }

        // Thousands of files: one call for all of them rather than one for each.
        File::open(&scratch)
            .and_then(|directory| syncfs(directory).map_err(Into::into))
            .map_err(Error::io("write", &scratch))?;
        failpoint::reached("layer.unpacked");
        durable::rename(&scratch, &self.path(layer))?;
        failpoint::reached("layer.kept");
        Ok(())
    }

    /// Removes every layer for which `keep` is false.
    pub(super) fn retain(&self, keep: impl Fn(&str) -> bool) -> Result<(), Error> {
        for name in durable::names(&self.dir)? {
            if !keep(&name) {
                // First its name, so that nobody finds half of it.
                let scratch = self.ingest.join("removed");
                durable::remove(&scratch)?;
                durable::rename(&self.dir.join(&name), &scratch)?;
                failpoint::reached("layer.moved");
                durable::remove(&scratch)?;
                failpoint::reached("layer.removed");
            }
        }
        Ok(())
    }
}
