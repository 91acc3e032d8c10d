//! Memory: who takes more than the limit is killed, alone, and is called OOMKilled whenever that is why it ended.

use serde_json::json;

use crate::world::{Container, Pod, World, http_get, kill, world};

const OOM_KILLED: &str = "Terminated (OOMKilled, exit code 137)";
const KILLED: &str = "Terminated (Error, exit code 137)";

/// The annotation that says whether a container dies as a whole.
const OOM_GROUP: &str = "mkubelet.dev/memory-oom-group";

/// A container that may have 32 MiB.
fn limited(world: &World, name: &str, steps: &[&str]) -> Container {
    world.container(name, steps).with("resources", json!({"limits": {"memory": "32Mi"}}))
}

/// A pod that runs once, in which the kernel kills a process alone and not the container that it is in.
fn one_by_one(world: &World, name: &str, container: Container) -> Pod {
    world.pod(name, [container]).restart_policy("Never").annotation(OOM_GROUP, "false")
}

/// Where the kernel can kill a whole group.
fn kills_groups() -> bool {
    let controllers = ["/sys/fs/cgroup/cgroup.controllers", "/sys/fs/cgroup/unified/cgroup.controllers"];
    let found = controllers.iter().find_map(|path| std::fs::read_to_string(path).ok());
    found.is_some_and(|names| names.split_whitespace().any(|name| name == "memory"))
}

#[test]
fn a_memory_hog_is_oom_killed_alone() {
    world(|world| {
        let other = world.run(&world.pod("other", [world.container("far", &["serve=8080", "wait"])]));
        let near = world.container("near", &["serve=8080", "wait"]);
        let hog = limited(world, "hog", &["until=/ledger/go", "hold=64", "print=survived"]);
        let run = world.run(&world.pod("pod", [near, hog]));
        let addresses = [(other.ip("other"), "far"), (run.ip("pod"), "near")];
        run.expect_running("pod", "near", 0);
        run.expect_running("pod", "hog", 0);
        world.touch("go");
        // The first restart comes at once.
        run.expect_state("pod", "hog", |state| state.starts_with("Waiting (CrashLoopBackOff)"));
        for (ip, name) in addresses {
            assert_eq!(http_get(ip, 8080, "/").1, name);
        }
        let printed = run.stop().stdout;
        let ends = printed.iter().filter_map(|line| line.strip_prefix("container default/pod/hog: "));
        let ends: Vec<&str> = ends.filter(|state| state.starts_with("Terminated")).collect();
        assert_eq!(ends, [OOM_KILLED; 2], "one for each start");
        other.stop();
        let ledger = world.ledger();
        assert_eq!([ledger.starts("far"), ledger.starts("near"), ledger.starts("hog")], [1, 1, 2]);
    });
}

#[test]
fn a_shell_whose_child_was_the_hog_is_oom_killed() {
    world(|world| {
        let shell = limited(world, "sh", &["shell=hog:hold=64"]);
        let by_default = world.pod("whole", [shell.clone()]).restart_policy("Never");
        for pod in [by_default, one_by_one(world, "single", shell)] {
            let line = format!("container default/{}/sh: {OOM_KILLED}", pod.name());
            world.run(&pod).wait().code(137).printed(&line);
        }
    });
}

#[test]
fn who_outlives_a_child_that_was_killed_ends_as_it_chooses() {
    world(|world| {
        for (name, last, code, state) in [
            ("well", "exit=0", 0, "Terminated (Completed)"),
            ("badly", "exit=3", 3, "Terminated (Error, exit code 3)"),
        ] {
            let container = limited(world, name, &["run=hog:hold=64", last]);
            let run = world.run(&one_by_one(world, name, container));
            run.wait().code(code).printed(&format!("container default/{name}/{name}: {state}"));
            assert_eq!(world.answer(name, "run=hog:hold=64"), Ok(json!(137)));
        }
    });
}

#[test]
fn a_kill_of_ours_after_a_child_was_killed_is_not_for_want_of_memory() {
    world(|world| {
        let container = limited(world, "deaf", &["term=ignore", "run=hog:hold=64", "wait"]);
        let run = world.run(&one_by_one(world, "pod", container).grace(1));
        assert_eq!(world.answer("deaf", "run=hog:hold=64"), Ok(json!(137)));
        run.stop().printed(&format!("container default/pod/deaf: {KILLED}"));
    });
}

#[test]
fn every_attempt_is_judged_by_its_own_end() {
    world(|world| {
        let container = limited(world, "a", &["once=/ledger/fed", "hold=64"]);
        let run = world.run(&world.pod("pod", [container]));
        run.expect_state("pod", "a", |state| state == OOM_KILLED);
        run.expect_running("pod", "a", 1);
        kill(world.pid_of("a"));
        run.expect_state("pod", "a", |state| state == KILLED);
        run.stop();
    });
}

#[test]
fn a_hog_at_the_limit_of_the_pod_is_oom_killed_and_its_neighbour_is_not() {
    world(|world| {
        // Each of them alone has room in what the pod may have.
        let small = world.container("small", &["hold=24", "serve=8080", "wait"]);
        let hog = world.container("hog", &["until=/ledger/go", "hold=48"]);
        let pod = world.pod("pod", [small, hog]).spec("resources", json!({"limits": {"memory": "64Mi"}}));
        let run = world.run(&pod.restart_policy("Never"));
        let address = run.ip("pod");
        assert_eq!(http_get(address, 8080, "/").1, "small");
        world.touch("go");
        run.expect_state("pod", "hog", |state| state == OOM_KILLED);
        assert_eq!(http_get(address, 8080, "/").1, "small");
        run.stop();
        assert_eq!(world.ledger().ends("hog"), [None], "it did not end by itself");
    });
}

#[test]
fn a_container_dies_as_a_whole_where_the_pod_wants_it_and_the_kernel_can() {
    world(|world| {
        let container = limited(world, "a", &["run=hog:hold=64", "exit=0"]);
        let pod = world.pod("pod", [container]).restart_policy("Never").annotation(OOM_GROUP, "true");
        let run = world.run(&pod);
        if kills_groups() {
            run.wait().code(137).printed(&format!("container default/pod/a: {OOM_KILLED}"));
            assert_eq!(world.ledger().ends("a"), [None], "it died with its child");
        } else {
            let refused = run.expect_state("pod", "a", |state| state.contains(OOM_GROUP));
            assert!(refused.contains("Waiting (CreateContainerError): "), "{refused}");
            assert!(refused.ends_with("on cgroup v2, which this host has not got"), "{refused}");
            run.stop();
            assert_eq!(world.ledger().starts("a"), 0);
        }
    });
}
