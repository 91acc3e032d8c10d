//! Unpacked layers: `layers/<chain id>`, shared by every image that has the same layers below.
//!
//! Unpacking takes minutes, and the store's lock is not held meanwhile. A layer has a lock of its own, `unpacking/<chain id>.lock`: whoever
//! unpacks it has that alone, in `unpacking/<chain id>`, and the others who want it wait and find the work done. Whoever needs it for
//! an image that has no name yet has the lock together with others; what is locked is not removed.
//!
//! The directory above them is 0700: what they hold (setuid programs, devices) is out of reach for the host's users,
//! while each layer's own root has the mode that the image says.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::fcntl::Flock;
use nix::unistd::syncfs;

use super::durable;
use super::error::Error;
use super::manifest::LayerInfo;
use super::unpack;
use crate::failpoint;

/// Ends the name of a layer's lock.
const LOCK: &str = ".lock";

/// The layers of a store.
#[derive(Debug, Clone)]
pub(super) struct Layers {
    dir: PathBuf,
    /// Where layers grow until they are complete, and their locks; on the same file system.
    unpacking: PathBuf,
    /// Where those go that are being removed.
    ingest: PathBuf,
}

/// A layer that is there, and that nobody removes as long as this lives.
#[derive(Debug)]
pub(super) struct Held(#[expect(dead_code, reason = "it is dropped")] Flock<File>);

impl Layers {
    /// Layers below `store`; makes the directory.
    pub(super) fn open(store: &Path, ingest: &Path) -> Result<Layers, Error> {
        let dir = store.join("layers");
        let unpacking = store.join("unpacking");
        durable::make_directory(&dir)?;
        durable::make_directory(&unpacking)?;
        Ok(Layers { dir, unpacking, ingest: ingest.to_owned() })
    }

    /// Where a layer is, once it is there.
    pub(super) fn path(&self, layer: &LayerInfo) -> PathBuf {
        self.dir.join(layer.chain_id.hex())
    }

    /// True if the layer is there, complete and verified.
    pub(super) fn has(&self, layer: &LayerInfo) -> bool {
        self.path(layer).is_dir()
    }

    /// Sees to it that a layer is there: unpacks it out of its blob, or waits for whoever does. Those below it are held.
    pub(super) fn provide(
        &self,
        layer: &LayerInfo,
        below: &[PathBuf],
        blob: impl Fn() -> Result<File, Error>,
    ) -> Result<Held, Error> {
        let name = self.lock_of(layer.chain_id.hex());
        loop {
            // A file without its name was somebody's who tidied up.
            if self.has(layer) {
                let lock = durable::lock_shared(&name)?;
                if durable::is_at(&lock, &name) && self.has(layer) {
                    return Ok(Held(lock));
                }
            } else {
                let lock = durable::lock(&name)?;
                if durable::is_at(&lock, &name) && !self.has(layer) {
                    let scratch = self.unpacking.join(layer.chain_id.hex());
                    let unpacked = self.unpack(layer, below, blob()?, &scratch);
                    if unpacked.is_err() {
                        // The error is what counts; what cannot be removed now goes with the next change.
                        let _ = durable::remove(&scratch).and_then(|()| durable::remove(&name));
                    }
                    unpacked?;
                }
            }
        }
    }

    fn lock_of(&self, chain_id: &str) -> PathBuf {
        self.unpacking.join(format!("{chain_id}{LOCK}"))
    }

    fn unpack(&self, layer: &LayerInfo, below: &[PathBuf], blob: File, scratch: &Path) -> Result<(), Error> {
        clear(scratch)?;
        fs::create_dir(scratch).map_err(Error::io("create", scratch))?;
        fs::set_permissions(scratch, Permissions::from_mode(0o755))
            .map_err(Error::io("set the mode of", scratch))?;
        failpoint::reached("layer.begun");

        let fail = |source| Error::Unpack { layer: layer.blob.to_string(), source };
        let found = unpack::unpack(blob, layer.compression, scratch, below, &unpack::LIMITS).map_err(fail)?;
        if found != layer.diff_id {
            let expected = layer.diff_id.to_string();
            return Err(fail(unpack::Error::DiffId { expected, found: found.to_string() }));
        }

        // Thousands of files: one call for all of them rather than one for each.
        File::open(scratch)
            .and_then(|directory| syncfs(directory).map_err(Into::into))
            .map_err(Error::io("write", scratch))?;
        failpoint::reached("layer.unpacked");
        durable::rename(scratch, &self.path(layer))?;
        failpoint::reached("layer.kept");
        Ok(())
    }

    /// Removes every layer for which `keep` is false and that nobody holds. The store's lock is held.
    pub(super) fn retain(&self, keep: impl Fn(&str) -> bool) -> Result<(), Error> {
        for name in durable::names(&self.dir)? {
            if keep(&name) {
                continue;
            }
            let lock = self.lock_of(&name);
            let Some(held) = durable::try_lock(&lock)? else { continue };
            if durable::is_at(&held, &lock) {
                // First its name, so that nobody finds half of it.
                let scratch = self.ingest.join("removed");
                durable::remove(&scratch)?;
                durable::rename(&self.dir.join(&name), &scratch)?;
                failpoint::reached("layer.moved");
                durable::remove(&lock)?;
                durable::remove(&scratch)?;
                failpoint::reached("layer.removed");
            }
        }
        Ok(())
    }

    /// Removes what is left of processes that died, and locks that nobody has.
    pub(super) fn sweep(&self) -> Result<(), Error> {
        for name in durable::names(&self.unpacking)? {
            let chain_id = name.strip_suffix(LOCK).unwrap_or(&name);
            let lock = self.lock_of(chain_id);
            let Some(held) = durable::try_lock(&lock)? else { continue };
            if durable::is_at(&held, &lock) {
                clear(&self.unpacking.join(chain_id))?;
                durable::remove(&lock)?;
            }
        }
        Ok(())
    }
}

/// Removes what somebody left who died. The process that unpacked for them dies a moment later.
fn clear(scratch: &Path) -> Result<(), Error> {
    const WAIT: Duration = Duration::from_millis(10);
    for _ in 0..500 {
        match durable::remove(scratch) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::DirectoryNotEmpty => {
                thread::sleep(WAIT);
            }
            removed => return removed,
        }
    }
    durable::remove(scratch)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::image::digest::Digest;
    use crate::image::manifest::Compression;
    use crate::image::tests::{Tar, is_root};

    struct Fixture {
        dir: tempfile::TempDir,
        layers: Layers,
        layer: LayerInfo,
    }

    impl Fixture {
        fn new(blob: &[u8]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let ingest = dir.path().join("ingest");
            fs::create_dir(&ingest).unwrap();
            fs::write(dir.path().join("blob"), blob).unwrap();
            let digest = Digest::of(blob);
            let layer = LayerInfo {
                blob: digest.clone(),
                size: blob.len() as u64,
                compression: Compression::None,
                diff_id: digest.clone(),
                chain_id: digest,
            };
            Self { layers: Layers::open(dir.path(), &ingest).unwrap(), dir, layer }
        }

        fn blob(&self) -> Result<File, Error> {
            Ok(File::open(self.dir.path().join("blob")).unwrap())
        }

        fn names(&self) -> [usize; 3] {
            ["layers", "unpacking", "ingest"]
                .map(|name| durable::names(&self.dir.path().join(name)).unwrap().len())
        }
    }

    #[test]
    fn what_is_held_is_not_removed_and_what_is_not_leaves_no_lock() {
        if !is_root("what_is_held_is_not_removed_and_what_is_not_leaves_no_lock") {
            return;
        }
        let fixture = Fixture::new(&Tar::new().file("a", "a").finish());
        let (layers, layer) = (&fixture.layers, &fixture.layer);
        let held = [(); 2].map(|()| layers.provide(layer, &[], || fixture.blob()).unwrap());
        layers.retain(|_| false).unwrap();
        layers.sweep().unwrap();
        assert!(layers.has(layer));
        assert_eq!(fixture.names(), [1, 1, 0]);
        drop(held);
        layers.sweep().unwrap();
        assert_eq!(fixture.names(), [1, 0, 0]);
        layers.retain(|_| false).unwrap();
        assert_eq!(fixture.names(), [0, 0, 0]);
    }

    #[test]
    fn of_those_who_want_a_layer_one_unpacks_it() {
        if !is_root("of_those_who_want_a_layer_one_unpacks_it") {
            return;
        }
        let fixture = Fixture::new(&Tar::new().file("a", &"a".repeat(1 << 20)).finish());
        let opened = AtomicUsize::new(0);
        let provide = || {
            let blob = || {
                opened.fetch_add(1, Ordering::Relaxed);
                fixture.blob()
            };
            drop(fixture.layers.provide(&fixture.layer, &[], blob).unwrap());
            fixture.layers.sweep().unwrap();
        };
        thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(provide))));
        assert_eq!(opened.load(Ordering::Relaxed), 1);
        assert_eq!(fixture.names(), [1, 0, 0]);
    }

    #[test]
    fn one_that_fails_leaves_nothing() {
        if !is_root("one_that_fails_leaves_nothing") {
            return;
        }
        let fixture = Fixture::new(&Tar::new().file("a", "a").file("../b", "").finish());
        for _ in 0..2 {
            fixture.layers.provide(&fixture.layer, &[], || fixture.blob()).unwrap_err();
            assert_eq!(fixture.names(), [0, 0, 0]);
        }
        // As somebody leaves it who is killed.
        let left = fixture.dir.path().join("unpacking").join(fixture.layer.chain_id.hex());
        fs::create_dir_all(left.join("half")).unwrap();
        fixture.layers.sweep().unwrap();
        assert_eq!(fixture.names(), [0, 0, 0]);
    }
}
