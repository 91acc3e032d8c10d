//! `mkubelet image` dies while it changes the store: the store has the image or not, and the next one makes it whole.

use std::fs;

use serde_json::json;

use super::{Failing, at_each};
use crate::images::layout;
use crate::registry::with_registry;
use crate::world::World;

/// Where it dies in each scenario.
pub(super) const POINTS: &[&[&str]] = &[IMPORT, PULL, REMOVAL];

const IMPORT: &[&str] = &[
    "download.received",
    "download.kept",
    "layer.begun",
    "layer.unpacked",
    "layer.kept",
    "blob.received",
    "blob.kept",
    "index.json.created",
    "index.json.written",
    "index.json.synced",
    "index.json.renamed",
    "index.json.kept",
];

const PULL: &[&str] = &[
    "download.received",
    "download.kept",
    "layer.begun",
    "layer.unpacked",
    "layer.kept",
    "blob.received",
    "blob.kept",
    "index.json.created",
    "index.json.written",
    "index.json.synced",
    "index.json.renamed",
    "index.json.kept",
];

const REMOVAL: &[&str] = &[
    "index.json.created",
    "index.json.written",
    "index.json.synced",
    "index.json.renamed",
    "index.json.kept",
    "layer.moved",
    "layer.removed",
];

const NAME: &str = "localhost/mine:1";

/// Whether the store has the image.
fn listed(world: &World, name: &str) -> bool {
    let output = world.output(&["image", "list"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).contains(name)
}

fn count(world: &World, directory: &str) -> usize {
    fs::read_dir(world.root_dir().join("images").join(directory)).unwrap().count()
}

/// `mkubelet image WORD...` dies at the point.
fn die(failing: &Failing<'_>, point: &str, words: &[&str]) {
    failing.arm(point);
    let mut command = failing.mkubelet();
    command.arg("image").args(words);
    failing.world.start(command).wait().killed();
    failing.expect_death(point);
}

/// The image runs, and when it is removed nothing of it is left.
fn expect_whole(world: &World, name: &str) {
    assert!(listed(world, name));
    let content =
        || ["layers", "blobs/sha256", "ingest", "downloads"].map(|directory| count(world, directory));
    assert_eq!(content(), [1, 3, 0, 0]);
    let container = world.container("a", &["exit=0"]).image(name);
    world.run(&world.pod("p", [container]).restart_policy("Never")).wait().success();
    assert_eq!(world.ledger().ends("a"), [Some(0)]);
    assert!(world.output(&["image", "rm", name]).status.success());
    assert_eq!((content(), count(world, "unpacking")), ([0; 4], 0));
}

#[test]
fn a_pull_that_dies_is_finished_by_the_next_one() {
    at_each(PULL, |failing, point| {
        let world = failing.world;
        with_registry(world, |registry| {
            registry.push(&layout(world, "layout", &json!({})), "mine:1", "oci");
            let name = registry.name("mine:1");
            die(failing, point, &["pull", &name]);
            assert_eq!(listed(world, &name), ["index.json.renamed", "index.json.kept"].contains(&point));
            let pulled = world.output(&["image", "pull", &name]);
            assert!(pulled.status.success(), "{}", String::from_utf8_lossy(&pulled.stderr));
            expect_whole(world, &name);
        });
    });
}

#[test]
fn an_import_that_dies_is_finished_by_the_next_one() {
    at_each(IMPORT, |failing, point| {
        let world = failing.world;
        let source = world.path("image");
        die(failing, point, &["import", source.to_str().unwrap(), "--name", NAME]);
        assert_eq!(listed(world, NAME), ["index.json.renamed", "index.json.kept"].contains(&point));
        world.import(&source, NAME);
        expect_whole(world, NAME);
    });
}

#[test]
fn a_removal_that_dies_leaves_the_image_whole_or_nothing_that_stays() {
    at_each(REMOVAL, |failing, point| {
        let world = failing.world;
        let source = world.path("image");
        world.import(&source, NAME);
        die(failing, point, &["rm", NAME]);
        let is_there = ["index.json.created", "index.json.written", "index.json.synced"].contains(&point);
        assert_eq!(
            (listed(world, NAME), world.output(&["image", "rm", NAME]).status.success()),
            (is_there, is_there)
        );
        // Whatever was left of it is in no import's way.
        world.import(&source, NAME);
        expect_whole(world, NAME);
    });
}
