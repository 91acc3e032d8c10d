//! A container that runs one of our programs, or gets hold of it while it runs, to overwrite it (CVE-2019-5736).

use std::fs;
use std::process::Command;

use nix::sys::statvfs::{FsFlags, statvfs};

use super::rounds::{self, MANY, SOME};
use super::{attack, image};
use crate::world::{Pod, World};

/// SHA-256 of both programs, as they are on the disk; by another program, since they are large and tests are slow.
fn fingerprints() -> String {
    let programs = [env!("CARGO_BIN_EXE_mkubelet"), env!("CARGO_BIN_EXE_mkubelet-shim")];
    let output = Command::new("sha256sum").args(programs).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn with_unchanged_programs(test: impl FnOnce(&World)) {
    attack(|world, _| {
        let before = fingerprints();
        test(world);
        assert_eq!(fingerprints(), before, "a program of ours has been changed");
    });
}

/// In the instant of execve, `/proc/self/exe` is still the shim. To run that gives nothing: it is a program like any other,
/// without arguments that it obeys, and without anything open.
#[test]
fn an_entrypoint_that_is_our_own_program_gains_nothing() {
    with_unchanged_programs(|world| {
        let scripts = [
            ("script", "#!/proc/self/exe\n"),
            ("shim", "#!/proc/self/exe shim\n"),
            ("descriptor", "#!/proc/self/fd/3\n"),
        ];
        let image = image(world, "scripts", |root| {
            for (name, text) in scripts {
                let path = root.join(name);
                fs::write(&path, text).unwrap();
                fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
            }
        });
        let commands: [&[&str]; 7] = [
            &["/script"],
            &["/shim"],
            &["/descriptor"],
            &["/proc/self/exe"],
            &["/proc/1/exe"],
            &[
                "/proc/self/exe",
                "shim",
                "--pod-uid",
                "x",
                "--run-dir",
                "/tmp",
                "--cgroup",
                "/",
                "--cgroup-mount",
                "/tmp",
            ],
            &["/proc/self/fd/4"],
        ];
        let containers = commands.iter().enumerate().map(|(number, command)| {
            world.attacker(&format!("c{number}"), &[]).image(&image).command(command)
        });
        let ended = world.run(&Pod::new("selves", containers).restart_policy("Never")).wait();
        for (number, command) in commands.iter().enumerate() {
            let prefix = format!("container default/selves/c{number}: Terminated (");
            let end = ended.stdout.iter().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_default();
            let fine = end.starts_with("Error, exit code 1)")
                || end.starts_with("StartError, exit code 128): execve");
            assert!(fine, "{command:?}: {end}\n{}", ended.transcript());
        }
    });
}

#[test]
fn a_racer_beside_executed_programs_never_writes_to_one_of_ours() {
    with_unchanged_programs(|world| race(world, SOME));
}

#[test]
#[ignore = "takes minutes; `make test-long` runs it"]
fn a_racer_beside_executed_programs_never_writes_to_one_of_ours_for_a_long_time() {
    with_unchanged_programs(|world| race(world, MANY));
}

/// A process that was asked for `/proc/self/exe` runs the shim. The container's first process looks for such all the time, and
/// ends when it has found a way to write.
fn race(world: &World, rounds: usize) {
    let programs: [(&[&str], i32); 2] = [(&["/bin/attacker", "inside"], 0), (&["/proc/self/exe"], 1)];
    rounds::execute(world, rounds, &programs, "overwrite-programs", "reached a program");
}

#[test]
fn the_programs_of_a_running_pod_lie_on_read_only_mounts() {
    with_unchanged_programs(|world| {
        let run = world.run(&world.pod("running", [world.container("a", &["wait"])]));
        run.expect_running("running", "a", 0);
        for pid in [world.shim_pid(), world.pause_pid()] {
            let program = statvfs(format!("/proc/{pid}/exe").as_str()).unwrap();
            assert!(program.flags().contains(FsFlags::ST_RDONLY), "the program of {pid} can be written to");
        }
        run.stop();
    });
}
