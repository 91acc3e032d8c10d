//! The processes that unpack a layer, beside the one that has started them.

use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{fs, thread};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::images::layout;
use crate::world::{Process, Run, World, until, world_in_memory};

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
    world_in_memory(|world| {
        let (import, process) = stopped_import(world);
        import.kill();
        let is_over = || Process::of(process.pid).is_none_or(|process| process.is_zombie());
        until("the end of what unpacked", || is_over().then_some(()));
        // What it left is in nobody's way.
        world.import(&world.path("large"), "large:again");
        assert!(world.output(&["image", "rm", "large:again"]).status.success());
        let left = |name: &str| fs::read_dir(world.root_dir().join("images").join(name)).unwrap().count();
        assert_eq!(["ingest", "layers", "blobs/sha256", "unpacking", "downloads"].map(left), [0; 5]);
    });
}

#[test]
fn while_a_layer_is_unpacked_pods_start_and_images_come_and_go() {
    world_in_memory(|world| {
        world.import(&layout(world, "small", &json!({})), "small:1");
        let (import, process) = stopped_import(world);
        let container = |name: &str, image: &str| {
            world.container(name, &["exit=0"]).image(image).with("imagePullPolicy", json!("Never"))
        };
        world.run(&world.pod("small", [container("a", "small:1")]).restart_policy("Never")).wait().success();
        assert_eq!(world.ledger().ends("a"), [Some(0)]);
        world.import(&layout(world, "other", &json!({"Env": ["A=b"]})), "other:1");
        assert!(world.output(&["image", "rm", "other:1"]).status.success());
        // Who wants the same layer waits, and does not do the work again.
        let mut command = world.mkubelet();
        command.args(["image", "import", world.path("large").to_str().unwrap(), "--name", "large:same"]);
        let mut same = world.start(command);
        thread::sleep(Duration::from_millis(500));
        let unpacks = world.processes().into_iter().filter(|process| process.name == "mkubelet-unpack");
        assert_eq!(unpacks.map(|process| process.pid).collect::<Vec<_>>(), [process.pid]);
        assert!(same.is_alive());

        kill(Pid::from_raw(process.pid), Signal::SIGCONT).unwrap();
        import.wait().success();
        same.wait().success();
        let large = world.pod("large", [container("b", "large:same")]).restart_policy("Never");
        world.run(&large).wait().success();
        let left = |name: &str| fs::read_dir(world.root_dir().join("images").join(name)).unwrap().count();
        assert_eq!(["ingest", "unpacking", "downloads"].map(left), [0; 3]);
    });
}
