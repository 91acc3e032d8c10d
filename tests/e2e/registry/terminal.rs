//! What a person at a terminal sees of a pull, and what Ctrl-C leaves of it.

use std::fs;
use std::process::Command;

use serde_json::json;

use super::server::{Registry, with_registry};
use super::slow::Slow;
use crate::images::layout;
use crate::world::{Terminal, World, world};

/// Written before each line about a pull, and when there is none any more.
const ERASE: &str = "\r\x1b[K";

/// A layer's beginning, of which more than one piece is written to the disk, bytes.
const BEGINNING: usize = 5 << 19;

fn slow(world: &World, registry: &Registry) -> Slow {
    registry.push(&layout(world, "layout", &json!({})), "team/app:1", "oci");
    Slow::before(&registry.host(), BEGINNING)
}

fn pull(world: &World, registry: &Slow) -> Command {
    let mut command = world.mkubelet();
    command.args(["image", "pull", &registry.name("team/app:1")]);
    command
}

/// Everything between erasures, but for what begins another line.
fn lines(shown: &str) -> Vec<String> {
    let parts = shown.split(ERASE).filter(|part| part.starts_with("pulling "));
    parts.map(str::to_owned).collect()
}

#[test]
fn a_pull_is_told_in_one_line_of_the_terminal_as_wide_as_that_is_at_the_time() {
    world(|world| {
        with_registry(world, |registry| {
            let registry = slow(world, registry);
            let mut terminal = Terminal::start_with(&pull(world, &registry), 70);
            terminal.expect(&format!("pulling {}: ", registry.name("team/app:1")));
            terminal.expect("MB of ");
            terminal.resize(36);
            terminal.expect("pulling …");
            terminal.expect("MB of ");
            registry.open();
            terminal.expect(&format!("{ERASE}{} sha256:", registry.name("team/app:1")));
            let shown = terminal.shown();
            assert_eq!(terminal.end(), 0, "{shown:?}");
            let lines = lines(&shown);
            for line in &lines {
                let room = if line.contains('…') { 36 } else { 70 };
                assert!(line.chars().count() < room && !line.contains('\n'), "{line:?}");
            }
            assert!(lines.len() > 2, "{shown:?}");

            // Nobody looks on.
            let again = pull(world, &registry).output().unwrap();
            assert!(again.status.success() && again.stderr.is_empty(), "{again:?}");
        });
    });
}

#[test]
fn a_run_tells_its_pulls_between_its_lines_and_leaves_none_of_it() {
    world(|world| {
        with_registry(world, |registry| {
            let registry = slow(world, registry);
            let a = world.container("a", &["exit=0"]).image(&registry.name("team/app:1"));
            let manifest = world.write("p.json", &world.pod("p", [a]).restart_policy("Never").to_json());
            let mut command = world.mkubelet();
            command.arg("run").arg(manifest);
            let mut terminal = Terminal::start_with(&command, 40);
            terminal.expect(&format!("{ERASE}pulling …"));
            terminal.expect("MB of ");
            registry.open();
            terminal.expect("Terminated");
            let shown = terminal.shown();
            assert_eq!(terminal.end(), 0, "{shown:?}");
            for line in lines(&shown) {
                assert!(line.chars().count() < 40 && !line.contains('\n'), "{line:?}");
            }
        });
    });
}

#[test]
fn ctrl_c_in_the_middle_of_a_pull_leaves_a_download_that_the_next_one_goes_on_with() {
    world(|world| {
        with_registry(world, |registry| {
            let registry = slow(world, registry);
            let mut terminal = Terminal::start(&pull(world, &registry));
            terminal.expect("MB of ");
            terminal.press("\x03");
            terminal.expect(ERASE);
            terminal.expect("interrupted; what has come of ");
            assert_eq!(terminal.end(), 1);
            let images = world.root_dir().join("images");
            let count = |name: &str| fs::read_dir(images.join(name)).unwrap().count();
            assert_eq!((count("downloads"), count("layers")), (1, 0));
            let list = String::from_utf8(world.output(&["image", "list"]).stdout).unwrap();
            assert!(!list.contains("team/app"), "{list}");

            assert!(!registry.asked().to_lowercase().contains("range: bytes="));
            registry.open();
            let pulled = pull(world, &registry).output().unwrap();
            assert!(pulled.status.success(), "{pulled:?}");
            assert!(registry.asked().to_lowercase().contains("range: bytes="), "{}", registry.asked());
            assert_eq!((count("downloads"), count("layers")), (0, 1));
        });
    });
}
