//! kill -9 of pulls at any moment: no half of anything is ever used, and nothing piles up.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use super::server::{Registry, with_registry};
use crate::images::layout;
use crate::world::{World, world_in_memory};

/// Files of the layer, and bytes of each.
const FILES: u64 = 64;
const SIZE: usize = 64 << 10;

/// Numbers that are the same every time, and follow no order (xorshift).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// An image whose layer no compression makes small.
fn push(world: &World, registry: &Registry, dice: &mut Dice) -> String {
    let files = world.path("image/files");
    fs::create_dir(&files).unwrap();
    for number in 0..FILES {
        let bytes: Vec<u8> = (0..SIZE / 8).flat_map(|_| dice.next().to_le_bytes()).collect();
        fs::write(files.join(number.to_string()), bytes).unwrap();
    }
    registry.push(&layout(world, "layout", &json!({})), "app:1", "oci");
    fs::remove_dir_all(files).unwrap();
    registry.name("app:1")
}

fn names(world: &World, directory: &str) -> BTreeSet<String> {
    let directory = world.root_dir().join("images").join(directory);
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Every file below a directory, with its length.
fn content(directory: &Path) -> BTreeSet<(String, u64)> {
    let (mut found, mut waiting) = (BTreeSet::new(), vec![directory.to_owned()]);
    while let Some(path) = waiting.pop() {
        let metadata = path.symlink_metadata().unwrap();
        let length = if metadata.is_file() { metadata.len() } else { 0 };
        found.insert((path.strip_prefix(directory).unwrap().display().to_string(), length));
        if metadata.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found
}

fn kill_pulls(kills: u32) {
    world_in_memory(|world| {
        with_registry(world, |registry| {
            let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
            let image = push(world, registry, &mut dice);
            let succeed = |words: &[&str]| {
                let output = world.output(&[&["image"], words].concat());
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                String::from_utf8_lossy(&output.stdout).into_owned()
            };
            let layers = || -> Vec<_> {
                let directory = world.root_dir().join("images/layers");
                names(world, "layers").iter().map(|name| content(&directory.join(name))).collect()
            };
            let start = Instant::now();
            succeed(&["pull", &image]);
            let whole = layers();
            let duration = u64::try_from(start.elapsed().as_micros()).unwrap();
            succeed(&["rm", &image]);

            for number in 0..kills {
                let mut command = world.mkubelet();
                command.args(["image", "pull", &image]);
                let pull = world.start(command);
                let moment = Duration::from_micros(dice.next() % duration);
                std::thread::sleep(moment);
                pull.kill();
                // Whatever has its final name is whole.
                assert!(layers().iter().all(|layer| *layer == whole[0]), "kill {number} after {moment:?}");
                let listed = succeed(&["list"]).contains("app:1");
                assert!(!listed || layers() == whole, "kill {number} after {moment:?}");
                let left = ["downloads", "unpacking", "ingest"].map(|name| names(world, name).len());
                assert!(
                    left[0] <= 1 && left[1] <= 2 && left[2] <= 1,
                    "kill {number} after {moment:?}: {left:?}"
                );

                succeed(&["pull", &image]);
                assert_eq!(layers(), whole, "kill {number} after {moment:?}");
                succeed(&["rm", &image]);
                for name in ["downloads", "unpacking", "ingest", "layers", "blobs/sha256"] {
                    assert_eq!(names(world, name), BTreeSet::new(), "{name}: kill {number} after {moment:?}");
                }
            }
        });
    });
}

#[test]
fn a_pull_that_is_killed_at_any_moment_is_made_good_by_the_next_one() {
    kill_pulls(20);
}

#[test]
#[ignore = "takes minutes; `make test-long` runs it"]
fn a_pull_that_is_killed_at_any_of_200_moments_is_made_good_by_the_next_one() {
    kill_pulls(200);
}
