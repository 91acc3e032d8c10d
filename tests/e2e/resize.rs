//! A manifest that is edited while its pod runs: what the containers may use follows, and they run on; one with another image is
//! restarted.

use std::fs;

use serde_json::{Value, json};

use crate::objects::save;
use crate::world::{Container, Group, Pod, Run, World, until, world};

/// A container with these limits, which are its requests as well.
fn limited(world: &World, name: &str, steps: &[&str], cpu: &str, memory: &str) -> Container {
    let limits = json!({"limits": {"cpu": cpu, "memory": memory}});
    world.container(name, steps).with("resources", limits)
}

/// What a group may use: microseconds of a tenth of a second, and bytes.
fn limits(group: &Group) -> (Option<u64>, Option<u64>) {
    let number = |text: String| text.split_whitespace().next().unwrap().parse().ok();
    (
        number(group.read("cpu.max", "cpu.cfs_quota_us")),
        number(group.read("memory.max", "memory.limit_in_bytes")),
    )
}

/// Waits until the groups of a container and of its pod may use so much.
fn expect_limits(container: &Group, own: (u64, u64), pod: (u64, u64)) {
    let wanted = [own, pod].map(|(quota, bytes)| (Some(quota), Some(bytes)));
    until(&format!("limits of {wanted:?}"), || {
        ([limits(container), limits(&container.above())] == wanted).then_some(())
    });
}

/// Runs a pod, whose manifest is then at the path.
fn run(world: &World, pod: &Pod) -> (Run, std::path::PathBuf) {
    let path = world.write("m.json", &pod.to_json());
    (world.run_manifest(&path), path)
}

const MIB: u64 = 1 << 20;

#[test]
fn an_edit_of_resources_reaches_running_containers_which_run_on() {
    world(|world| {
        // The limit is seen from inside, too.
        let seen = match fs::exists("/sys/fs/cgroup/memory").unwrap() {
            true => "says=/sys/fs/cgroup/memory/memory.limit_in_bytes:134217728\n",
            false => "says=/sys/fs/cgroup/memory.max:134217728\n",
        };
        let pod = |cpu, memory| {
            let a = limited(world, "a", &[seen, "wait"], cpu, memory);
            world.pod("p", [a, limited(world, "b", &["wait"], "100m", "32Mi")])
        };
        let (run, path) = run(world, &pod("200m", "64Mi"));
        run.expect_running("p", "a", 0);
        run.expect_running("p", "b", 0);
        let pids = || (world.pid_of("a"), world.pid_of("b"));
        let (before, group) = (pids(), Group::of(world.pid_of("a")));
        expect_limits(&group, (20_000, 64 * MIB), (30_000, 96 * MIB));
        // More of both, then less of one and more of the other, then less of both.
        for (cpu, memory, own, whole) in [
            ("500m", "128Mi", (50_000, 128 * MIB), (60_000, 160 * MIB)),
            ("700m", "48Mi", (70_000, 48 * MIB), (80_000, 80 * MIB)),
            ("150m", "40Mi", (15_000, 40 * MIB), (25_000, 72 * MIB)),
        ] {
            save(&path, &pod(cpu, memory).to_json());
            expect_limits(&group, own, whole);
            if memory == "128Mi" {
                world.answer("a", seen).unwrap();
            }
        }
        assert_eq!(pids(), before);
        let ended = run.stop().printed("pod default/p: Resized");
        assert!(!ended.stdout.iter().any(|line| line.contains("restart")), "{}", ended.transcript());
        assert_eq!((world.ledger().starts("a"), world.ledger().starts("b")), (1, 1));
    });
}

#[test]
fn a_container_is_restarted_for_what_its_policy_names() {
    world(|world| {
        let pod = |cpu, memory| {
            let policy = json!([{"resourceName": "memory", "restartPolicy": "RestartContainer"}]);
            let a = limited(world, "a", &["term=0", "wait"], cpu, memory).with("resizePolicy", policy);
            world.pod("p", [a, limited(world, "b", &["wait"], "100m", "32Mi")]).restart_policy("OnFailure")
        };
        let (run, path) = run(world, &pod("100m", "64Mi"));
        run.expect_running("p", "a", 0);
        let first = Group::of(world.pid_of("a"));
        save(&path, &pod("200m", "64Mi").to_json());
        expect_limits(&first, (20_000, 64 * MIB), (30_000, 96 * MIB));
        assert_eq!(world.ledger().starts("a"), 1);
        save(&path, &pod("200m", "48Mi").to_json());
        // It ends well, and is started again all the same.
        run.expect_running("p", "a", 1);
        expect_limits(&Group::of(world.pid_of("a")), (20_000, 48 * MIB), (30_000, 80 * MIB));
        run.stop().printed("container default/p/a: Terminated (Completed)");
        assert_eq!((world.ledger().starts("a"), world.ledger().starts("b")), (2, 1));
    });
}

#[test]
fn memory_that_is_in_use_is_not_taken_away_before_it_is_free() {
    world(|world| {
        let pod = |memory| {
            let a = limited(world, "a", &["fill=/mem/file:40", "wait"], "100m", memory).mount("mem", "/mem");
            let volume = json!({"name": "mem", "emptyDir": {"medium": "Memory", "sizeLimit": "40Mi"}});
            world.pod("p", [a]).volume(volume)
        };
        let path = world.write("m.json", &pod("96Mi").to_json());
        let mut command = world.mkubelet();
        command.args(["run", "--output", "json"]).arg(&path);
        let run = world.start(command);
        world.answer("a", "fill=/mem/file:40").unwrap();
        let (pid, group) = (world.pid_of("a"), Group::of(world.pid_of("a")));
        save(&path, &pod("32Mi").to_json());
        let in_progress = |line: &str| {
            let event: Value = serde_json::from_str(line).unwrap();
            let conditions = event["object"]["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.into_iter().find(|c| c["type"] == "PodResizeInProgress" && c["reason"] == "Error")
        };
        let refused = until("a refusal", || run.lines().iter().find_map(|line| in_progress(line)));
        let message = refused["message"].as_str().unwrap();
        let start = "cannot decrease memory limits: [attempting to set pod memory limit (33554432) below current usage (";
        assert!(message.starts_with(start), "{message}");
        assert!(message.contains("attempting to set container \"a\" memory limit (33554432)"), "{message}");
        let bytes = Some(96 * MIB);
        assert_eq!((limits(&group).1, limits(&group.above()).1), (bytes, bytes), "nothing was changed");

        fs::remove_file(format!("/proc/{pid}/root/mem/file")).unwrap();
        expect_limits(&group, (10_000, 32 * MIB), (10_000, 32 * MIB));
        run.stop();
        assert_eq!(world.ledger().starts("a"), 1);
    });
}

#[test]
fn an_edit_that_cannot_be_carried_out_is_told_and_changes_nothing() {
    world(|world| {
        let pod =
            |resources: Value| world.pod("p", [world.container("a", &["wait"]).with("resources", resources)]);
        let good = pod(
            json!({"limits": {"cpu": "1", "memory": "64Mi"}, "requests": {"cpu": "100m", "memory": "1Mi"}}),
        );
        let (run, path) = run(world, &good);
        run.expect_running("p", "a", 0);
        let before = (world.pid_of("a"), limits(&Group::of(world.pid_of("a"))));
        for (edited, said) in [
            (
                pod(json!({"limits": {"cpu": "1", "memory": "64Mi"}})),
                "pod default/p: spec: Invalid value: \"Burstable\": Pod QOS Class may not change as a result of resizing",
            ),
            (
                pod(json!({"requests": {"cpu": "100m", "memory": "1Mi"}})),
                "pod default/p: spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed",
            ),
            (
                good.clone().spec("hostname", json!("other")),
                "pod default/p: its manifest has changed (spec.hostname); run it again to replace the pod",
            ),
        ] {
            save(&path, &edited.to_json());
            run.expect_error(said);
        }
        let requests = json!({"cpu": "900", "memory": "1Mi"});
        save(
            &path,
            &pod(json!({"limits": {"cpu": "900", "memory": "64Mi"}, "requests": requests})).to_json(),
        );
        let line = run.expect_prefix("pod default/p: Resize pending (Infeasible): ");
        assert!(
            line.contains("Node didn't have enough capacity: cpu, requested: 900000, capacity: "),
            "{line}"
        );
        assert_eq!((world.pid_of("a"), limits(&Group::of(world.pid_of("a")))), before);
        run.stop();
    });
}

#[test]
fn a_new_agent_keeps_what_was_changed_and_takes_in_what_was_edited_meanwhile() {
    world(|world| {
        let pod = |cpu, memory| world.pod("p", [limited(world, "a", &["wait"], cpu, memory)]);
        let (run, path) = run(world, &pod("100m", "32Mi"));
        run.expect_running("p", "a", 0);
        let (pid, group) = (world.pid_of("a"), Group::of(world.pid_of("a")));
        save(&path, &pod("200m", "48Mi").to_json());
        expect_limits(&group, (20_000, 48 * MIB), (20_000, 48 * MIB));
        run.expect("pod default/p: Resized");
        run.kill();

        let run = world.run_manifest(&path);
        run.expect("pod default/p: Running");
        assert_eq!((world.pid_of("a"), limits(&group)), (pid, (Some(20_000), Some(48 * MIB))));
        run.kill();
        save(&path, &pod("300m", "64Mi").to_json());
        let run = world.run_manifest(&path);
        expect_limits(&group, (30_000, 64 * MIB), (30_000, 64 * MIB));
        assert_eq!(world.pid_of("a"), pid);

        // A later start has the same.
        crate::world::kill(pid);
        run.expect_running("p", "a", 1);
        expect_limits(&Group::of(world.pid_of("a")), (30_000, 64 * MIB), (30_000, 64 * MIB));
        run.stop();
        assert_eq!(world.ledger().starts("a"), 2);
    });
}

#[test]
fn another_image_restarts_its_container_alone() {
    world(|world| {
        world.import(&world.path("image"), "second");
        let pod = |image: &str| {
            let a = world.container("a", &["term=0", "wait"]).image(image);
            world.pod("p", [a, world.container("b", &["wait"])]).restart_policy("OnFailure")
        };
        let path = world.write("m.json", &pod(&world.image()).to_json());
        let run = world.run_manifest(&path);
        run.expect_running("p", "a", 0);
        run.expect_running("p", "b", 0);
        let ip = run.ip("p");
        save(&path, &pod("second").to_json());
        run.expect_running("p", "a", 1);

        // One that is not there keeps nothing but its own container from running, and the next edit is tried at once.
        save(&path, &pod("nowhere").to_json());
        run.expect_state("p", "a", |state| state.starts_with("Waiting (ErrImagePull)"));
        save(&path, &pod("second").to_json());
        run.expect_running("p", "a", 2);
        let pids = || (world.pid_of("a"), world.pid_of("b"));
        let before = pids();
        run.kill();

        // It is still the same pod, also when the edit was made meanwhile.
        let run = world.run_manifest(&path);
        run.expect("pod default/p: Running");
        assert_eq!((pids(), run.ip("p")), (before, ip));
        run.kill();
        save(&path, &pod(&world.image()).to_json());
        let run = world.run_manifest(&path);
        run.expect_running("p", "a", 3);
        run.stop();
        assert_eq!((world.ledger().starts("a"), world.ledger().starts("b")), (4, 1));
    });
}
