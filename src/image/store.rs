//! The content store: which image a name means, and where its layers are.

use std::path::{Path, PathBuf};

use oci_spec::image::Config;

use super::error::Error;

/// An image that is ready to be started from.
#[derive(Debug, Clone)]
pub struct Image {
    /// Digest of the image's configuration, `sha256:<hex>`.
    pub id: String,
    /// The normalised name; or the source as it was written (`dir:/path`).
    pub reference: String,
    /// Directories, the topmost layer first; at least one. Never written to.
    pub layers: Vec<PathBuf>,
    /// Env, Entrypoint, Cmd, User, WorkingDir, StopSignal. Free of NULs; else as the image's author wrote it.
    pub config: Config,
}

/// A row of [`Store::list`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The normalised name, or the source that an unnamed image was read from (`oci:/path`).
    pub reference: String,
    /// Digest of the image's configuration, `sha256:<hex>`.
    pub id: String,
    /// Bytes of its blobs.
    pub size: u64,
    /// When it was imported.
    pub imported: jiff::Timestamp,
    /// Another image has taken its name since; it goes when no pod uses that name any more.
    pub replaced: bool,
}

/// Images on disk. Several processes may use one store at the same time.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

impl Store {
    /// Opens the store in a directory, which is made (0700) when it is missing.
    pub fn open(dir: &Path) -> Result<Store, Error> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(Error::io("create", dir))?;
        Ok(Store { dir: dir.to_owned() })
    }

    /// The image of a name in the store (`nginx:1.14`), or of a source: `dir:/path`, `oci:/path`, `archive:/path.tar`.
    ///
    /// A directory is used as it is. A layout or an archive is imported on first use and found by its digests later.
    pub fn resolve(&self, image: &str) -> Result<Image, Error> {
        if let Some(path) = image.strip_prefix("dir:") {
            let path = PathBuf::from(path);
            return if path.is_dir() {
                Ok(Image {
                    id: String::new(),
                    reference: image.to_owned(),
                    layers: vec![path],
                    config: Config::default(),
                })
            } else {
                Err(Error::NotFound { image: image.to_owned(), detail: "is not a directory".to_owned() })
            };
        }
        Err(Error::NotFound {
            image: image.to_owned(),
            detail: format!(
                "is not in the store {}; import one with: mkubelet image import LAYOUT_OR_DIR --name {image}",
                self.dir.display()
            ),
        })
    }

    /// Takes an image into the store under a name: from an OCI image layout, an archive, or a plain root directory.
    pub fn import(&self, source: &Path, name: &str) -> Result<Stored, Error> {
        let _: super::Reference = name.parse()?;
        Err(Error::Source { path: source.to_owned(), reason: "cannot be imported yet".to_owned() })
    }

    /// What is in the store, by name.
    pub fn list(&self) -> Result<Vec<Stored>, Error> {
        Ok(Vec::new())
    }

    /// Forgets a name, and removes what no other image needs.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        Err(Error::NotFound {
            image: name.to_owned(),
            detail: format!("is not in the store {}", self.dir.display()),
        })
    }
}
