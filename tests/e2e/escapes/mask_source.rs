//! What hides a path of /proc must be the null device, whatever is at /dev/null of the container at that moment
//! (CVE-2025-31133, CVE-2025-52565).

use std::fs;
use std::os::unix::fs::symlink;

use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use super::attack_in_memory;
use super::rounds::{self, MANY, SOME};
use crate::world::{Pod, World};

#[test]
fn a_device_that_is_swapped_for_a_link_never_becomes_a_mask() {
    attack_in_memory(|world, _| race(world, SOME));
}

#[test]
#[ignore = "takes minutes; `make test-long` runs it"]
fn a_device_that_is_swapped_for_a_link_never_becomes_a_mask_for_a_long_time() {
    attack_in_memory(|world, _| race(world, MANY));
}

/// One pod swaps `null` of a directory; others have that directory for their /dev.
fn race(world: &World, rounds: usize) {
    let dev = world.path("dev");
    fs::create_dir(&dev).unwrap();
    mknod(&dev.join("null"), SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(1, 3)).unwrap();
    symlink("/proc/sys/kernel/core_pattern", dev.join("link")).unwrap();

    let racer = world.attacker("racer", &["exchange", "/v/null", "/v/link"]).mount("dev", "/v");
    let racer = world.run(&Pod::new("racer", [racer]).grace(1).host_path("dev", &dev));
    racer.expect("container default/racer/racer: Running");
    let ends = rounds::run(
        world,
        rounds,
        |pod| pod.host_path("dev", &dev),
        |name| world.attacker(name, &["masks"]).mount("dev", "/dev"),
    );
    assert_eq!(ends.refused, 0, "a start does not depend on what is in /dev");
    racer.stop();
}
