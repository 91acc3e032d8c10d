//! Namespaces that containers share with each other, or with the node.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::world::{Pod, World, until, world};

fn shared(world: &World, a: &[&str], b: &[&str]) -> Pod {
    let pod = world.pod("p", [world.container("a", a), world.container("b", b)]);
    pod.spec("shareProcessNamespace", json!(true))
}

#[test]
fn containers_that_share_a_pid_namespace_see_each_other_and_pause_is_its_first() {
    world(|world| {
        let steps = ["report", "read=/proc/1/comm", "wait"];
        let run = world.run(&shared(world, &steps, &steps));
        let [a, b] = ["a", "b"].map(|name| world.answer(name, "report").unwrap());
        assert_eq!(a["namespaces"]["pid"], b["namespaces"]["pid"]);
        assert_ne!(a["namespaces"]["pid"], fs::read_link("/proc/self/ns/pid").unwrap().to_str().unwrap());
        assert_eq!((&a["hostname"], &a["addresses"]), (&b["hostname"], &b["addresses"]));
        assert_eq!(world.answer("b", "read=/proc/1/comm").unwrap(), "pause\n");
        for own in [&a["pid"], &b["pid"]] {
            assert_ne!(own, &json!(1));
        }
        run.stop();
    });
}

#[test]
fn a_sibling_can_kill_a_container_which_comes_back_on_the_same_address() {
    world(|world| {
        let steps = ["until=/ledger/go", "signal=a:9", "wait"];
        let run = world.run(&shared(world, &["report", "wait"], &steps));
        let address = |report: &Value| report["addresses"].clone();
        let before = address(&world.answer("a", "report").unwrap());
        let pause = world.pause_pid();
        world.touch("go");
        run.expect_running("p", "a", 1);
        assert_eq!(world.answer("b", "signal=a:9"), Ok(json!(null)));
        until("the second report", || (world.ledger().answers("a", "report") == 2).then_some(()));
        assert_eq!(address(&world.answer("a", "report").unwrap()), before);
        assert_eq!(world.pause_pid(), pause, "the sandbox stays");
        assert_eq!(world.ledger().starts("b"), 1);
        run.stop();
    });
}

/// The kernel ends what shares the PID namespace before pause itself: nobody tries to start anything into what is left.
#[test]
fn a_killed_pause_with_a_shared_pid_namespace_costs_no_failed_start() {
    world(|world| {
        for round in 0..3 {
            let names = [format!("a{round}"), format!("b{round}")];
            let containers = names.clone().map(|name| world.container(&name, &["wait"]));
            let run = world.run(&world.pod("p", containers).spec("shareProcessNamespace", json!(true)));
            names.iter().for_each(|name| run.expect_running("p", name, 0));
            kill(Pid::from_raw(world.pause_pid()), Signal::SIGKILL).unwrap();
            names.iter().for_each(|name| run.expect_running("p", name, 1));
            let ended = run.stop();
            assert!(!ended.transcript().contains("StartError"), "{}", ended.transcript());
        }
    });
}

/// Its own PID namespace takes a container's processes along; where it has none, mkubelet does.
#[test]
fn a_containers_end_takes_all_its_processes_along_in_any_pid_namespace() {
    world(|world| {
        for (name, field) in [("shared", "shareProcessNamespace"), ("host", "hostPID")] {
            let (a, b) = (format!("a-{name}"), format!("b-{name}"));
            let go = format!("until=/ledger/go-{name}");
            let child = format!("child=kid-{name}");
            let containers = [world.container(&a, &[&child, &go, "exit=3"]), world.container(&b, &["wait"])];
            let pod = world.pod(name, containers).spec(field, json!(true)).restart_policy("Never");
            let run = world.run(&pod);
            let kid = world.pid_of(&format!("kid-{name}"));
            assert!(fs::exists(format!("/proc/{kid}")).unwrap());
            world.touch(&format!("go-{name}"));
            run.expect_state(name, &a, |state| state.starts_with("Terminated (Error, exit code 3)"));
            until("the child's end", || (!fs::exists(format!("/proc/{kid}")).unwrap()).then_some(()));
            run.stop();
        }
    });
}

#[test]
fn a_pod_can_have_the_nodes_pid_and_ipc_namespaces() {
    world(|world| {
        let pod = world.pod("p", [world.container("a", &["report"])]).restart_policy("Never");
        let pod = pod.spec("hostPID", json!(true)).spec("hostIPC", json!(true));
        world.run(&pod).wait().success();
        let report = world.answer("a", "report").unwrap();
        for (kind, is_hosts) in [("pid", true), ("ipc", true), ("net", false), ("uts", false), ("mnt", false)]
        {
            let own = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
            assert_eq!(report["namespaces"][kind] == own.to_str().unwrap(), is_hosts, "{kind}");
        }
    });
}

#[test]
fn a_shared_pid_namespace_goes_together_with_a_user_namespace() {
    world(|world| {
        let steps = ["read=/proc/1/comm", "report", "wait"];
        let run = world.run(&shared(world, &steps, &steps).spec("hostUsers", json!(false)));
        let [a, b] = ["a", "b"].map(|name| world.answer(name, "report").unwrap());
        assert_eq!(a["namespaces"]["pid"], b["namespaces"]["pid"]);
        assert_eq!(world.answer("a", "read=/proc/1/comm").unwrap(), "pause\n");
        run.stop();
    });
}
