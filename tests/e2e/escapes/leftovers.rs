//! What a container leaves behind is an attack on whoever clears it away, and reads it again.

use std::process::Command;

use serde_json::json;

use super::attack;
use crate::world::{Pod, Run, World, kill, until};

/// Twice as many as a process may have files open.
const LEVELS: &str = "2048";

/// An agent that may have as many files open as a service of systemd's.
fn run_with_few_descriptors(world: &World, pod: &Pod) -> Run {
    let mkubelet = world.mkubelet();
    let manifest = world.write("deep.json", &pod.to_json());
    let mut command = Command::new("prlimit");
    command.arg("--nofile=1024:").arg(mkubelet.get_program()).args(mkubelet.get_args());
    command.args(["run", "--logs"]).arg(manifest);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("RUST_BACKTRACE", "1");
    world.start(command)
}

/// The leak snapshot finds what stays.
#[test]
fn directories_of_any_depth_are_removed_with_the_pod() {
    attack(|world, _| {
        let dig = |name: &str, directory: &str| {
            world.attacker(name, &["dig", directory, LEVELS]).mount("data", "/data")
        };
        let pod = Pod::new("deep", [dig("root", "/"), dig("volume", "/data"), dig("shm", "/dev/shm")]);
        let pod = pod.volume(json!({"name": "data", "emptyDir": {}})).restart_policy("Never");
        run_with_few_descriptors(world, &pod).wait().success();
    });
}

#[test]
fn a_container_whose_last_attempt_dug_deep_is_started_again() {
    attack(|world, _| {
        let pod = Pod::new("deep", [world.attacker("a", &["dig", "/", LEVELS])]).grace(1);
        let run = run_with_few_descriptors(world, &pod);
        // What the attempt before it wrote is removed first.
        run.expect("container default/deep/a: Running (restart 1)");
        run.stop();
    });
}

/// /etc/hosts is the pod's own file, and is compared with what it should be when a new sandbox is made.
#[test]
fn a_managed_file_that_was_blown_up_is_not_read() {
    attack(|world, _| {
        let files = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];
        let blowers = files
            .iter()
            .enumerate()
            .map(|(number, file)| world.attacker(&format!("b{number}"), &["inflate", file, "1073741824"]));
        let pod = world.pod("blown", [world.container("a", &["report", "wait"])]).init(blowers);
        let run = world.run(&pod);
        run.expect_running("blown", "a", 0);
        let pause = world.pause_pid();
        kill(pause);
        run.expect_running("blown", "a", 1);
        until("another pause", || (world.pause_pid() != pause).then_some(()));
        let peak = peak_memory(run.pid());
        assert!(peak < 256 << 20, "the agent has used {peak} bytes");
        run.stop();
    });
}

/// VmHWM of a process, bytes.
fn peak_memory(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() << 10
}
