//! Known ways out of a container, replayed: each file is a class of attack, named with the CVEs that it was seen in.
//!
//! [`attack`] plants a canary on the host before a test, and looks at it afterwards. docs/escapes.md lists what is replayed.

mod canary;
mod rounds;

mod bombs;
mod floods;
mod host_users;
mod image_paths;
mod last_words;
mod leftovers;
mod live_manifests;
mod log_path;
mod loopback;
mod mask_source;
mod names;
mod own_binaries;
mod pause;
mod sockets;
mod sysctls;
mod users;
mod volume_targets;
mod way_in;
mod working_directory;

use std::fs;
use std::path::Path;

use canary::Canary;

use crate::world::{World, install, world, world_in_memory};

/// Runs a test in a world with a [`Canary`], which must be as it was when the test has ended.
fn attack(test: impl FnOnce(&World, &Canary)) {
    world(|world| beside_a_canary(world, test));
}

/// Likewise for a race, which takes hundreds of containers.
fn attack_in_memory(test: impl FnOnce(&World, &Canary)) {
    world_in_memory(|world| beside_a_canary(world, test));
}

fn beside_a_canary(world: &World, test: impl FnOnce(&World, &Canary)) {
    let canary = Canary::plant(world);
    test(world, &canary);
    canary.check();
}

/// An image with both programs of the tests that differs from the usual one as told.
fn image(world: &World, name: &str, change: impl FnOnce(&Path)) -> String {
    let image = world.path(name);
    fs::create_dir_all(image.join("bin")).unwrap();
    install("ledger", &image);
    install("attacker", &image);
    change(&image);
    format!("dir:{}", image.display())
}
