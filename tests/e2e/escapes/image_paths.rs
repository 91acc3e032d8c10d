//! An image that brings something else in the place of a mount point (CVE-2019-16884, CVE-2019-19921, CVE-2023-27561).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::{attack, image};

/// Puts something into the place of a directory.
type Swap = fn(place: &Path, canary: &Path);

const SWAPS: [(&str, Swap); 5] = [
    ("link-out", |place, canary| symlink(canary, place).unwrap()),
    ("link-up", |place, _| symlink("../../../../../../..", place).unwrap()),
    ("link-in", |place, _| symlink("/bin", place).unwrap()),
    ("file", |place, _| fs::write(place, "").unwrap()),
    ("fifo", |place, _| nix::unistd::mkfifo(place, nix::sys::stat::Mode::S_IRWXU).unwrap()),
];

#[test]
fn a_mount_point_that_is_no_directory_is_refused_by_its_path() {
    attack(|world, canary| {
        let mut containers = Vec::new();
        for path in ["proc", "sys", "dev"] {
            for (kind, swap) in SWAPS {
                let name = format!("{path}-{kind}");
                let image = image(world, &name, |root| swap(&root.join(path), canary.directory()));
                containers.push((path, world.container(&name, &[]).image(&image), name));
            }
        }
        let pod = world.pod("swapped", containers.iter().map(|(_, container, _)| container.clone()));
        let run = world.run(&pod.restart_policy("Never"));
        for (path, _, name) in &containers {
            let line = run.expect_prefix(&format!("container default/swapped/{name}: Terminated ("));
            let reason =
                if name.contains("link") { "a symbolic link is in the way" } else { "not a directory" };
            let wanted = format!("StartError, exit code 128): mount /{path}: /{path} in the image: {reason}");
            assert!(line.contains(&wanted), "{line}");
            assert_eq!(world.ledger().starts(name), 0, "{name}");
        }
        run.wait().code(128);
    });
}

/// Deeper mount points lie on filesystems of the kernel by the time they are used, and /etc is the container's own affair.
#[test]
fn what_lies_below_a_mount_point_or_in_etc_leads_nowhere() {
    attack(|world, canary| {
        let places = ["sys/fs", "sys/fs/cgroup", "dev/shm", "dev/pts", "dev/mqueue", "dev/null", "etc"];
        let mut containers = Vec::new();
        for path in places {
            for (kind, swap) in SWAPS {
                let name = format!("{}-{kind}", path.replace('/', "-"));
                let image = image(world, &name, |root| {
                    let place = root.join(path);
                    fs::create_dir_all(place.parent().unwrap()).unwrap();
                    swap(&place, canary.directory());
                });
                containers.push((world.attacker(&name, &["masks"]).image(&image), name));
            }
        }
        let pod = world.pod("below", containers.iter().map(|(container, _)| container.clone()));
        let ended = world.run_with(&pod.restart_policy("Never"), &["--logs"]).wait();
        for (_, name) in &containers {
            let prefix = format!("container default/below/{name}: Terminated (");
            let end = ended.stdout.iter().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_default();
            // Where three files cannot lie the container is not started; everything else is inside.
            let is_refused = ["etc-file", "etc-fifo", "etc-link-out"].contains(&name.as_str());
            let refusal = "StartError, exit code 128): mount /etc/hosts: /etc/hosts in the image: ";
            let fine = if is_refused { end.starts_with(refusal) } else { end == "Completed)" };
            assert!(fine, "{name}: {end}\n{}", ended.transcript());
        }
    });
}

/// The three files that are mounted over those of the image.
#[test]
fn a_link_in_the_place_of_a_managed_file_leads_nowhere() {
    attack(|world, canary| {
        let mut containers = Vec::new();
        for file in ["hosts", "hostname", "resolv.conf"] {
            for (kind, target) in [
                ("out", canary.file().to_str().unwrap()),
                ("up", "../../../../../../../../etc/passwd"),
                ("proc", "/proc/self/environ"),
                ("sysctl", "/proc/sys/kernel/core_pattern"),
                ("magic", "/proc/self/fd/0"),
                ("root", "/proc/1/root/etc/passwd"),
            ] {
                let name = format!("{}-{kind}", file.replace('.', "-"));
                let image = image(world, &name, |root| {
                    fs::create_dir(root.join("etc")).unwrap();
                    symlink(target, root.join("etc").join(file)).unwrap();
                });
                containers.push((world.attacker(&name, &["inside"]).image(&image), kind, name));
            }
        }
        let pod = world.pod("managed", containers.iter().map(|(container, ..)| container.clone()));
        let ended = world.run_with(&pod.restart_policy("Never"), &["--logs"]).wait();
        for (_, kind, name) in &containers {
            let prefix = format!("container default/managed/{name}: Terminated (");
            let end = ended.stdout.iter().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_default();
            let refused = end.starts_with("StartError, ");
            let fine = refused || (end == "Completed)" && ["out", "up"].contains(kind));
            assert!(fine, "{name}: {end}\n{}", ended.transcript());
        }
    });
}
