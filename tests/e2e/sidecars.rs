//! Sidecars: init containers that stay, start in order and end in reverse.

use serde_json::json;

use crate::world::{Container, World, kill, until, world};

/// An init container that is a sidecar.
fn sidecar(world: &World, name: &str, steps: &[&str]) -> Container {
    world.container(name, steps).with("restartPolicy", json!("Always"))
}

#[test]
fn sidecars_start_in_order_and_end_in_reverse_when_the_containers_have_ended() {
    world(|world| {
        let pod = world
            .pod("order", [world.container("main", &["until=/ledger/go", "exit=0"])])
            .init([
                world.container("setup", &["sleep=100"]),
                sidecar(world, "first", &["term=0", "wait"]),
                world.container("between", &["sleep=100"]),
                sidecar(world, "second", &["term=3", "wait"]),
            ])
            .restart_policy("Never");
        let run = world.run(&pod);
        run.expect("pod default/order: Running");
        for sidecar in ["first", "second"] {
            run.expect_running("order", sidecar, 0);
        }
        world.touch("go");
        let ended = run.wait().success();
        let ledger = world.ledger();
        let order = [
            ("setup", "start"),
            ("setup", "end"),
            ("first", "start"),
            ("between", "start"),
            ("between", "end"),
            ("second", "start"),
            ("main", "start"),
            ("main", "end"),
            ("second", "end"),
            ("first", "end"),
        ];
        let times: Vec<u64> = order.iter().map(|(name, event)| ledger.time(name, event)).collect();
        // A sidecar has done its part as soon as it runs: it may write that down beside its successor.
        let strictly =
            |from: usize, to: usize| assert!(times[from] < times[to], "{:?} {:?}", order[from], order[to]);
        for (from, to) in [(0, 1), (1, 2), (1, 3), (4, 5), (4, 6), (7, 8), (8, 9)] {
            strictly(from, to);
        }
        assert_eq!(ledger.ends("second"), [Some(3)]);
        ended
            .printed("container default/order/second: Terminated (Error, exit code 3)")
            .printed("pod default/order: Succeeded")
            .agrees_with(&ledger, "order", "first");
    });
}

#[test]
fn a_sidecar_that_falls_is_restarted_whatever_the_policy_and_the_rest_goes_on() {
    world(|world| {
        let pod = world
            .pod("falls", [world.container("main", &["until=/ledger/go", "exit=0"])])
            .init([sidecar(world, "side", &["wait"])])
            .restart_policy("Never");
        let run = world.run(&pod);
        run.expect_running("falls", "main", 0);
        kill(world.pid_of("side"));
        run.expect_running("falls", "side", 1);
        world.touch("go");
        run.wait().success().printed("pod default/falls: Succeeded");
        assert_eq!(world.ledger().starts("main"), 1);
        assert_eq!(world.ledger().signals("side"), ["SIGTERM"]);
    });
}

#[test]
fn an_init_container_that_fails_for_good_takes_the_sidecars_with_it() {
    world(|world| {
        let pod = world
            .pod("fails", [world.container("main", &["exit=0"])])
            .init([
                sidecar(world, "side", &["term=0", "wait"]),
                world.container("setup", &["until=/ledger/go", "exit=7"]),
            ])
            .restart_policy("Never");
        let run = world.run(&pod);
        run.expect_running("fails", "side", 0);
        world.touch("go");
        run.wait().code(7).printed("pod default/fails: Failed");
        assert_eq!(world.ledger().ends("side"), [Some(0)]);
        assert_eq!(world.ledger().starts("main"), 0);
    });
}

#[test]
fn a_pod_that_is_deleted_asks_its_sidecars_last() {
    world(|world| {
        let pod = world
            .pod("last", [world.container("main", &["term=ignore", "until=/ledger/go", "exit=0"])])
            .init([sidecar(world, "one", &["term=0", "wait"]), sidecar(world, "two", &["term=0", "wait"])]);
        let run = world.run(&pod);
        for container in ["one", "two", "main"] {
            run.expect_running("last", container, 0);
        }
        run.signal(nix::sys::signal::Signal::SIGTERM);
        until("main to be asked", || (world.ledger().signals("main") == ["SIGTERM"]).then_some(()));
        assert!(world.ledger().signals("one").is_empty() && world.ledger().signals("two").is_empty());
        world.touch("go");
        run.wait().success();
        let ledger = world.ledger();
        assert!(ledger.time("main", "end") < ledger.time("two", "signal"));
        assert!(ledger.time("two", "end") < ledger.time("one", "signal"));
    });
}

#[test]
fn an_agent_that_dies_leaves_sidecars_and_their_turn_as_they_were() {
    world(|world| {
        let pod = world
            .pod("orphan", [world.container("main", &["until=/ledger/go", "exit=0"])])
            .init([sidecar(world, "side", &["term=0", "wait"])])
            .restart_policy("Never");
        let run = world.run(&pod);
        run.expect_running("orphan", "main", 0);
        run.kill();
        let run = world.run(&pod);
        run.expect("container default/orphan/side: Running");
        world.touch("go");
        run.wait().success().printed("pod default/orphan: Succeeded");
        assert_eq!((world.ledger().starts("side"), world.ledger().starts("main")), (1, 1));
    });
}
