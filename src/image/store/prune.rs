//! Throwing away what nobody needs, and how much room that makes.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::super::{durable, pods, references};
use super::{Entry, Error, Store, Stored, uses};

/// What `st_blocks` counts in, bytes (stat(3type)).
const BLOCK: u64 = 512;

/// What was thrown away, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Images with their names.
    pub images: Vec<Stored>,
    /// Blobs that no image has.
    pub blobs: usize,
    /// Unpacked layers that no image has.
    pub layers: usize,
    /// Bytes of the disk.
    pub freed: u64,
}

impl Store {
    /// Removes images whose name has moved on, and what no image has, unless a pod needs it; with `all` every image that no pod
    /// names. `dry_run` removes nothing.
    pub fn prune(&self, all: bool, dry_run: bool) -> Result<Pruned, Error> {
        let goes = |entry: &Entry, _: &[Entry], pods: &[pods::Pod]| {
            (all || entry.replaced) && !pods.iter().any(|pod| uses(pod, entry))
        };
        self.discard(goes, dry_run)
    }

    /// Removes the images for which `goes` holds, which is told of all of them and of all pods, with what no image has.
    pub(super) fn discard(
        &self,
        goes: impl Fn(&Entry, &[Entry], &[pods::Pod]) -> bool,
        dry_run: bool,
    ) -> Result<Pruned, Error> {
        // Whoever takes the lock removes what a process that died left.
        let left: Vec<PathBuf> =
            durable::names(&self.ingest)?.into_iter().map(|name| self.ingest.join(name)).collect();
        let left = taken(&left);
        let _lock = if dry_run { None } else { Some(self.lock()?) };
        if references::is_incomplete(&self.dir) {
            let reason = "its names may be of images that are in use, so none is removed".to_owned();
            return Err(Error::Invalid {
                what: self.dir.join("index.json.bad").display().to_string(),
                reason,
            });
        }
        let entries = references::read(&self.dir)?;
        let pods = pods::read(&self.pods);
        let (mut gone, mut kept): (Vec<Entry>, Vec<Entry>) =
            entries.iter().cloned().partition(|entry| goes(entry, &entries, &pods));
        // One that is damaged goes without a word.
        let mut images: Vec<Stored> = gone.iter().filter_map(|entry| self.stored(entry).ok()).collect();
        if !dry_run {
            gone = self.write_names(&mut kept, gone)?;
            images.retain(|image| gone.iter().any(|entry| entry.reference == image.reference));
        }
        let needed = self.needed(&kept)?;
        let of = |dir: &str, needed: &HashSet<String>| -> Result<Vec<PathBuf>, Error> {
            let dir = self.dir.join(dir);
            let names = durable::names(&dir)?.into_iter().filter(|name| !needed.contains(name));
            Ok(names.map(|name| dir.join(name)).collect())
        };
        let (blobs, layers) = (of("blobs/sha256", &needed.blobs)?, of("layers", &needed.layers)?);
        let pruned = Pruned {
            images,
            blobs: blobs.len(),
            layers: layers.len(),
            freed: left + taken(&blobs) + taken(&layers),
        };
        if !dry_run {
            self.remove_unreferenced(&kept)?;
        }
        Ok(pruned)
    }

    /// Writes the names, and then takes those back that a pod needs by now: it was written down before it looked for its images, and
    /// until this moment it may have found them. What is returned is gone for good.
    pub(super) fn write_names(&self, kept: &mut Vec<Entry>, gone: Vec<Entry>) -> Result<Vec<Entry>, Error> {
        references::write(&self.dir, &self.ingest, kept)?;
        let pods = pods::read(&self.pods);
        let is_needed = |entry: &Entry| pods.iter().any(|pod| uses(pod, entry));
        let (back, gone): (Vec<Entry>, Vec<Entry>) = gone.into_iter().partition(is_needed);
        if !back.is_empty() {
            for entry in back {
                let has_moved = kept.iter().any(|other| other.reference == entry.reference);
                kept.push(Entry { replaced: entry.replaced || has_moved, ..entry });
            }
            references::write(&self.dir, &self.ingest, kept)?;
        }
        Ok(gone)
    }
}

/// Bytes of the disk that these files and directories take, each file once.
fn taken(paths: &[PathBuf]) -> u64 {
    let mut seen = HashSet::new();
    paths.iter().map(|path| of_tree(path, &mut seen)).sum()
}

/// What vanishes meanwhile takes nothing.
fn of_tree(path: &Path, seen: &mut HashSet<u64>) -> u64 {
    let (mut bytes, mut waiting) = (0, vec![path.to_owned()]);
    while let Some(path) = waiting.pop() {
        let Ok(metadata) = path.symlink_metadata() else { continue };
        if metadata.nlink() == 1 || metadata.is_dir() || seen.insert(metadata.ino()) {
            bytes += metadata.blocks() * BLOCK;
        }
        if metadata.is_dir() {
            waiting.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::Digest;
    use super::*;
    use crate::image::tests::is_root;

    #[test]
    fn a_pod_that_comes_while_names_are_removed_keeps_its_image() {
        if !is_root("a_pod_that_comes_while_names_are_removed_keeps_its_image") {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (root, pod) = (dir.path().join("root"), dir.path().join("pods/u1"));
        for path in [&root, &pod] {
            fs::create_dir_all(path).unwrap();
        }
        let store = Store::open(&dir.path().join("images")).unwrap();
        for name in ["wanted", "moved", "unwanted"] {
            store.import(&root, name).unwrap();
        }
        // All of them were chosen to go, one has another image by now, and then a pod was written down.
        let gone = references::read(&store.dir).unwrap();
        let mut kept = vec![Entry { manifest: Digest::of(b"another"), ..gone[1].clone() }];
        let record = r#"{"pod": {"key": {"namespace": "n", "name": "p"}, "spec": {"containers": [
            {"image": "wanted"}, {"image": "moved"}]}}}"#;
        fs::write(pod.join("pod.json"), record).unwrap();
        let gone: Vec<String> =
            store.write_names(&mut kept, gone).unwrap().into_iter().map(|entry| entry.reference).collect();
        assert_eq!(gone, ["docker.io/library/unwanted:latest"]);
        let names: Vec<(String, bool)> = references::read(&store.dir)
            .unwrap()
            .into_iter()
            .map(|entry| (entry.reference, entry.replaced))
            .collect();
        let [wanted, moved] = ["wanted", "moved"].map(|name| format!("docker.io/library/{name}:latest"));
        assert_eq!(names, [(moved.clone(), false), (wanted, false), (moved, true)]);
    }

    #[test]
    fn a_file_with_two_names_takes_its_room_once_and_a_link_leads_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        let before = taken(&[dir.path().to_owned()]);
        fs::write(dir.path().join("d/a"), vec![1; 1 << 16]).unwrap();
        fs::hard_link(dir.path().join("d/a"), dir.path().join("b")).unwrap();
        std::os::unix::fs::symlink("/", dir.path().join("root")).unwrap();
        nix::unistd::sync();
        let more = taken(&[dir.path().to_owned()]) - before;
        assert!((1 << 16..(1 << 16) + (1 << 14)).contains(&more), "{more}");
        assert_eq!(taken(&[dir.path().join("none")]), 0);
    }
}
