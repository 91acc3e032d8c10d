//! Layers: whatever an archive says, nothing outside of the layer's directory changes, and an error says the same on both sides
//! of a pipe.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::image::unpack::{Error, Limits, fill};
use crate::sys::tree;

const LIMITS: Limits = Limits { entries: 64, bytes: 1 << 20, depth: 16, attributes: 8 };

/// Directories of their own for runs that are side by side.
static RUNS: AtomicU64 = AtomicU64::new(0);

pub(super) fn check(data: &[u8]) {
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let place = Place(std::env::temp_dir().join(format!("mkubelet-fuzz-{}-{run}", std::process::id())));
    let [outside, lower, top] = ["outside", "lower", "top"].map(|name| place.0.join(name));
    for directory in [&outside.join("d"), &lower.join("d/e"), &top] {
        fs::create_dir_all(directory).expect("a directory");
    }
    for file in
        [outside.join("f"), outside.join("d/f"), lower.join("f"), lower.join("d/f"), lower.join("d/e/f")]
    {
        fs::write(file, "as it was").expect("a file");
    }
    // Short names, that a fuzzer finds, which lead out, up and around.
    for (name, target) in [("o", outside.as_path()), ("u", Path::new("../outside")), ("l", Path::new("l"))] {
        symlink(target, lower.join(name)).expect("a link");
        symlink(target, lower.join("d").join(name)).expect("a link");
    }
    let before = [&outside, &lower].map(|directory| look(directory));
    let open = |directory: &Path| File::open(directory).expect("a directory");
    let filled = fill(data, open(&top), vec![open(&lower)], &LIMITS);
    assert_eq!([&outside, &lower].map(|directory| look(directory)), before);
    let mut names: Vec<_> =
        fs::read_dir(&place.0).expect("a list").map(|entry| entry.expect("a name").file_name()).collect();
    names.sort();
    assert_eq!(names, ["lower", "outside", "top"]);

    let said = serde_json::to_vec(&filled).expect("an answer");
    let heard: Result<(), Error> = serde_json::from_slice(&said).expect("an answer that is understood");
    assert_eq!(words(&heard), words(&filled));
}

/// An error with its cause.
fn words(result: &Result<(), Error>) -> Option<(String, Option<String>)> {
    let error = result.as_ref().err()?;
    Some((error.to_string(), std::error::Error::source(error).map(ToString::to_string)))
}

/// All that could change of a directory and what is below it, but for when it was read.
fn look(path: &Path) -> Vec<String> {
    let metadata = path.symlink_metadata().expect("what was there");
    let changed =
        (metadata.ctime(), metadata.ctime_nsec(), metadata.size(), metadata.nlink(), metadata.mode());
    let mut seen = vec![format!("{} {changed:?}", path.display())];
    if metadata.is_dir() {
        let entries = fs::read_dir(path).expect("a list").map(|entry| entry.expect("a name").path());
        let mut entries: Vec<PathBuf> = entries.collect();
        entries.sort();
        seen.extend(entries.iter().flat_map(|entry| look(entry)));
    }
    seen
}

/// A directory that goes with whoever has it.
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = tree::remove(&self.0);
    }
}
