//! The processes that unpack a layer, beside the one that has started them.

use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{fs, thread};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::images::layout;
use crate::world::{Process, Run, World, until, world};

/// Large enough that whoever looks every millisecond sees it being unpacked, bytes.
const LARGE: usize = 96 << 20;

/// An image of one large layer.
fn large_image(world: &World) -> PathBuf {
    fs::write(world.path("image/large"), vec![b'x'; LARGE]).unwrap();
    let large = layout(world, "large", &json!({}));
    fs::remove_file(world.path("image/large")).unwrap();
    large
}

/// An import of that image whose unpacking is stopped in its middle, and the process that is.
fn stopped_import(world: &World) -> (Run, Process) {
    let source = large_image(world);
    for attempt in 0..10 {
        let mut command = world.mkubelet();
        command.args(["image", "import", source.to_str().unwrap(), "--name"]).arg(format!("large:{attempt}"));
        let import = world.start(command);
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            // It has that name from when it would end with its parent.
            let unpacks = |process: &Process| process.name == "mkubelet-unpack" && !process.is_zombie();
            if let Some(process) = world.processes().into_iter().find(unpacks) {
                kill(Pid::from_raw(process.pid), Signal::SIGSTOP).unwrap();
                let is_over = |process: &Process| process.is_zombie();
                let stopped =
                    until("the process to stop, or to have ended", || match Process::of(process.pid) {
                        Some(process) if process.is_stopped() => Some(true),
                        process if process.as_ref().is_none_or(is_over) => Some(false),
                        _ => None,
                    });
                if stopped {
                    return (import, process);
                }
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        // It was faster.
        import.wait().success();
        assert!(world.output(&["image", "rm", &format!("large:{attempt}")]).status.success());
    }
    panic!("every import was faster than this test");
}

#[test]
fn what_unpacks_a_layer_ends_with_who_wanted_it() {
    world(|world| {
        let (import, process) = stopped_import(world);
        import.kill();
        let is_over = || Process::of(process.pid).is_none_or(|process| process.is_zombie());
        until("the end of what unpacked", || is_over().then_some(()));
        // What it left is in nobody's way.
        world.import(&world.path("large"), "large:again");
        assert!(world.output(&["image", "rm", "large:again"]).status.success());
        let left = |name: &str| fs::read_dir(world.root_dir().join("images").join(name)).unwrap().count();
        assert_eq!(["ingest", "layers", "blobs/sha256"].map(left), [0, 0, 0]);
    });
}
