//! What other users of the host can reach of a pod: nothing (CVE-2021-41103, CVE-2024-25621).

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::json;

use super::attack;
use crate::world::World;

/// Runs a program as an ordinary user of the host.
fn as_user(program: &str, arguments: &[&Path]) -> Output {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=1000", "--regid=1000", "--clear-groups", program]).args(arguments);
    command.output().unwrap()
}

/// A pod with a volume, a log and a program of root that has the setuid bit; then `look`.
fn with_a_pod(world: &World, look: impl FnOnce()) {
    let program = world.path("image/bin/setuid");
    fs::copy(world.path("image/bin/ledger"), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    world.import(&world.path("image"), "host-users:1");
    let container = world
        .container("a", &["write=/data/x", "write=/x", "print=secret", "report", "wait"])
        .image("host-users:1")
        .with("imagePullPolicy", json!("Never"))
        .mount("data", "/data");
    let run = world.run(&world.pod("closed", [container]).volume(json!({"name": "data", "emptyDir": {}})));
    run.expect_running("closed", "a", 0);
    world.answer("a", "report").unwrap();
    look();
    run.stop();
}

fn everything_below(directory: &Path, found: &mut Vec<PathBuf>) {
    found.push(directory.to_owned());
    if !directory.is_symlink() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            everything_below(&entry.path(), found);
        }
    }
}

#[test]
fn another_user_of_the_host_finds_every_directory_closed() {
    attack(|world, _| {
        with_a_pod(world, || {
            for directory in [world.root_dir(), world.run_dir()] {
                let listed = as_user("ls", &[&directory]);
                assert!(!listed.status.success() && listed.stdout.is_empty(), "{listed:?}");
            }
            let pod = fs::read_dir(world.log_dir()).unwrap().flatten().next().unwrap().path();
            let listed = as_user("ls", &[&pod]);
            assert!(!listed.status.success() && listed.stdout.is_empty(), "{listed:?}");
            let mut found = Vec::new();
            everything_below(&pod, &mut found);
            assert!(found.iter().any(|path| path.ends_with("a/0.log")), "{found:?}");
            for path in found {
                let mode = fs::symlink_metadata(&path).unwrap().mode();
                assert_eq!(mode & 0o007, 0, "{} has mode {mode:o}", path.display());
            }
        });
    });
}

/// An administrator may have made the directories beforehand, open to everybody.
#[test]
fn directories_that_were_open_before_still_close_what_is_below() {
    attack(|world, _| {
        for directory in [world.root_dir(), world.run_dir(), world.log_dir()] {
            fs::create_dir_all(&directory).unwrap();
            fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
        }
        with_a_pod(world, || {
            let mut found = Vec::new();
            everything_below(&world.run_dir(), &mut found);
            let is_socket = |path: &&PathBuf| fs::symlink_metadata(path).unwrap().file_type().is_socket();
            let sockets: Vec<&PathBuf> = found.iter().filter(is_socket).collect();
            assert_eq!(sockets.len(), 1, "{found:?}");
            let mode = fs::metadata(sockets[0]).unwrap().mode();
            assert_eq!(mode & 0o7777, 0o600, "{} has mode {mode:o}", sockets[0].display());

            let (root, run) = (world.root_dir(), world.run_dir());
            for directory in [root.join("pods"), root.join("images"), run.join("pods"), run.join("ipam")] {
                let listed = as_user("ls", &[&directory]);
                assert!(!listed.status.success() && listed.stdout.is_empty(), "{listed:?}");
            }
        });
    });
}
