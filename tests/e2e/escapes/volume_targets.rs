//! Mounts inside a volume whose other user swaps directories for links (CVE-2021-30465, CVE-2021-25741, CVE-2017-1002101).

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use super::rounds::{self, MANY, SOME};
use super::{attack, attack_in_memory, canary::Canary, image};
use crate::world::{Pod, World};

#[test]
fn a_mount_in_a_volume_that_is_being_swapped_ends_up_inside_or_nowhere() {
    attack_in_memory(|world, canary| race(world, canary, SOME));
}

#[test]
#[ignore = "takes minutes; `make test-long` runs it"]
fn a_mount_in_a_volume_that_is_being_swapped_ends_up_inside_or_nowhere_for_a_long_time() {
    attack_in_memory(|world, canary| race(world, canary, MANY));
}

/// The replay of CVE-2021-30465: while the target of a mount is looked up it becomes a link to where the host keeps the
/// pod's volumes. What is mounted there holds a link named like the next volume, which then shows what the link leads to.
fn race(world: &World, canary: &Canary, rounds: usize) {
    let uid = "11111111-2222-3333-4444-555555555555";
    let volumes = world.root_dir().join("pods").join(uid).join("volumes/kubernetes.io~empty-dir");
    let (shared, bait) = (world.path("shared"), world.path("bait"));
    fs::create_dir_all(shared.join("target")).unwrap();
    symlink(&volumes, shared.join("link")).unwrap();
    fs::create_dir(&bait).unwrap();
    symlink(canary.file().parent().unwrap(), bait.join("zz")).unwrap();

    let racer = world.attacker("racer", &["exchange", "/v/target", "/v/link"]).mount("shared", "/v");
    let racer = world.run(&Pod::new("racer", [racer]).grace(1).host_path("shared", &shared));
    racer.expect("container default/racer/racer: Running");
    rounds::run(
        world,
        rounds,
        |pod| {
            pod.uid(uid)
                .host_path("shared", &shared)
                .host_path("bait", &bait)
                .volume(json!({"name": "zz", "emptyDir": {}}))
        },
        |name| {
            let container = world.attacker(name, &["empty", "/zz"]).mount("shared", "/v");
            container.mount("bait", "/v/target").mount("zz", "/zz")
        },
    );
    racer.stop();
}

/// Where a volume may be mounted is the container's own affair, as long as it is inside.
#[test]
fn a_mount_path_over_links_of_the_image_stays_inside() {
    attack(|world, canary| {
        let out = canary.directory().to_str().unwrap().to_owned();
        let image = image(world, "links", |root| {
            symlink(&out, root.join("out")).unwrap();
            symlink("../../../../../..", root.join("up")).unwrap();
            symlink("/proc/self/root", root.join("magic")).unwrap();
            symlink("/proc/self/fd", root.join("fds")).unwrap();
            symlink("loop", root.join("loop")).unwrap();
            symlink("/proc", root.join("kernel")).unwrap();
        });
        // Where to mount, and the error there must be; none when the mount is inside.
        let cases = [
            // Inside there is nothing that it leads to.
            ("/out", Some("")),
            ("/out/deeper/still", Some("")),
            ("/up", None),
            ("/up/x/y", None),
            ("/bin/../../../b", None),
            ("/magic", Some("")),
            ("/magic/tmp/x", Some("")),
            ("/fds/0", Some("")),
            ("/fds/7", Some("")),
            ("/loop", Some("")),
            ("/kernel", Some("nothing may be mounted inside /proc")),
            ("/kernel/self/attr", Some("nothing may be mounted inside /proc")),
            ("/proc", Some("nothing may be mounted inside /proc")),
            ("/proc/self/exe", Some("")),
            ("/proc/sys/kernel", Some("nothing may be mounted inside /proc")),
            ("/proc/1/root/x", Some("")),
        ];
        let containers = cases.iter().enumerate().map(|(number, (path, _))| {
            world.attacker(&format!("c{number}"), &["inside"]).image(&image).mount("data", path)
        });
        let pod = Pod::new("targets", containers).volume(json!({"name": "data", "emptyDir": {}}));
        let ended = world.run_with(&pod.restart_policy("Never"), &["--logs"]).wait();
        for (number, (path, error)) in cases.iter().enumerate() {
            let prefix = format!("container default/targets/c{number}: Terminated (");
            let end = ended.stdout.iter().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_default();
            let fine = match error {
                None => end == "Completed)",
                Some(text) => end.starts_with("StartError, ") && end.contains(text),
            };
            assert!(fine, "{path}: {end}\n{}", ended.transcript());
        }
    });
}
