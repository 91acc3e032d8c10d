//! Pulls from a registry of the test's own, which lies, breaks off, stalls and sends elsewhere as it is told. Registries as they are
//! in the world are asked by the end-to-end tests.

mod authority;
mod faults;
mod images;
mod registry;

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use self::registry::Registry;
use super::{Error, Grant, Patience, Progress, Pull, Source};
use crate::image::{Store, Stored};

/// Short enough for a test, and otherwise like the real one.
const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(5),
    stall: Duration::from_millis(300),
    tries: 3,
    first: Duration::from_millis(5),
    longest: Duration::from_secs(3),
};

/// A node that pulls.
struct Node {
    dir: TempDir,
}

impl Node {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn store(&self) -> Store {
        Store::open(&self.dir.path().join("images")).unwrap()
    }

    /// Pulls `repository:tag` or `repository@digest` as nobody in particular.
    async fn pull(&self, registry: &Registry, name: &str) -> Result<Stored, Error> {
        self.pull_as(registry, name, vec![]).await
    }

    async fn pull_as(
        &self,
        registry: &Registry,
        name: &str,
        credentials: Vec<Grant>,
    ) -> Result<Stored, Error> {
        self.pull_from(registry, name, vec![Source { endpoint: registry.endpoint(), credentials }]).await
    }

    async fn pull_from(
        &self,
        registry: &Registry,
        name: &str,
        sources: Vec<Source>,
    ) -> Result<Stored, Error> {
        let reference = format!("{}/{name}", registry.address).parse().unwrap();
        let progress = Arc::new(Progress::default());
        Pull { store: self.store(), reference, sources, patience: PATIENCE, progress }.run().await
    }

    /// The text of a file, as a container from this image would see it.
    fn text(&self, registry: &Registry, name: &str, file: &str) -> String {
        let image = self.store().resolve(&format!("{}/{name}", registry.address)).unwrap();
        let found = image.layers.iter().find_map(|layer| std::fs::read_to_string(layer.join(file)).ok());
        found.unwrap()
    }

    /// Images, blobs, layers and downloads.
    fn content(&self) -> [usize; 4] {
        let count = |dir: &str| std::fs::read_dir(self.dir.path().join("images").join(dir)).unwrap().count();
        [self.store().list().unwrap().len(), count("blobs/sha256"), count("layers"), count("downloads")]
    }
}

/// An error on one line, with its causes.
fn problem(error: &(dyn std::error::Error + 'static)) -> String {
    super::client::causes(error)
}
