//! A working directory that leads out by a descriptor or a process of the runtime (CVE-2024-21626).

use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use super::{attack, image};
use crate::images::layout;
use crate::world::{Container, World, install};

/// Every directory must be refused, or be inside with nothing open but the standard streams.
fn each_is_refused_or_inside(world: &World, pod: &str, containers: Vec<Container>) {
    let count = containers.len();
    let manifest = world.pod(pod, containers).restart_policy("Never");
    let ended = world.run_with(&manifest, &["--logs"]).wait();
    let prefix = format!("container default/{pod}/c");
    let ends =
        ended.stdout.iter().filter_map(|line| line.strip_prefix(&prefix)?.split_once(": Terminated ("));
    let mut seen = 0;
    for (_, end) in ends {
        seen += 1;
        assert!(end == "Completed)" || end.starts_with("StartError, "), "{end}\n{}", ended.transcript());
    }
    assert_eq!(seen, count, "{}", ended.transcript());
}

#[test]
fn a_descriptor_of_the_runtime_is_no_working_directory() {
    attack(|world, _| {
        let containers = (0..=64).map(|fd| {
            let directory = format!("/proc/self/fd/{fd}");
            world.attacker(&format!("c{fd}"), &["inside"]).with("workingDir", json!(directory))
        });
        each_is_refused_or_inside(world, "descriptors", containers.collect());
    });
}

#[test]
fn no_way_through_a_process_is_a_working_directory() {
    attack(|world, _| {
        let image = image(world, "links", |root| {
            for fd in 3..16 {
                symlink(format!("/proc/self/fd/{fd}"), root.join(format!("fd{fd}"))).unwrap();
            }
            symlink("/proc/1/root", root.join("root")).unwrap();
            symlink("../../../../../../../tmp", root.join("up")).unwrap();
        });
        let paths = [
            "/proc/1/root",
            "/proc/1/cwd",
            "/proc/self/root",
            "/proc/self/cwd",
            "/proc/self/cwd/..",
            "/proc/self/task/1/root",
            "/proc/thread-self/root",
            "/proc/self/fd/8/../../../..",
            "/proc/self/fd/7/tmp",
            "/proc/self/ns",
            "/dev/fd/7",
            "/root",
            "/up",
            "/up/../..",
        ];
        let links = (3..16).map(|fd| format!("/fd{fd}"));
        let directories = paths.iter().map(|path| (*path).to_owned()).chain(links);
        let containers = directories.enumerate().map(|(number, directory)| {
            let container = world.attacker(&format!("c{number}"), &["inside"]).image(&image);
            container.with("workingDir", json!(directory))
        });
        each_is_refused_or_inside(world, "processes", containers.collect());
    });
}

#[test]
fn an_image_is_believed_no_more_than_a_manifest() {
    attack(|world, _| {
        install("attacker", &world.path("image"));
        let directories = ["/proc/self/fd/7", "/proc/self/fd/8/..", "/proc/1/root", "proc/self/cwd", "../.."];
        let containers = directories.iter().enumerate().map(|(number, directory)| {
            let config = json!({"WorkingDir": directory, "Entrypoint": ["/bin/attacker", "inside"]});
            let layout = layout(world, &format!("layout{number}"), &config);
            let container = world.attacker(&format!("c{number}"), &[]).with("command", Value::Null);
            container.image(&format!("oci:{}", layout.display()))
        });
        each_is_refused_or_inside(world, "images", containers.collect());
    });
}
