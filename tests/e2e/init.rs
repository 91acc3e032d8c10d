//! Init containers: one after another, each must succeed, restartPolicy decides what a failure means.

use crate::world::world;

#[test]
fn init_containers_run_one_after_another_before_the_containers() {
    world(|world| {
        let pod = world
            .pod("ordered", [world.container("main", &["exit=0"])])
            .init([world.container("first", &["sleep=200"]), world.container("second", &["sleep=200"])])
            .restart_policy("Never");
        let ended = world.run(&pod).wait().success();
        let ledger = world.ledger();
        assert!(ledger.time("first", "end") < ledger.time("second", "start"));
        assert!(ledger.time("second", "end") < ledger.time("main", "start"));
        for container in ["first", "second", "main"] {
            assert_eq!(ledger.ends(container), [Some(0)]);
        }
        ended.printed("pod default/ordered: Succeeded").agrees_with(&ledger, "ordered", "second");
    });
}

#[test]
fn a_failing_init_container_fails_a_pod_that_is_never_restarted() {
    world(|world| {
        let pod = world
            .pod("fails", [world.container("main", &["exit=0"])])
            .init([world.container("setup", &["exit=7"]), world.container("later", &[])])
            .restart_policy("Never");
        world.run(&pod).wait().code(7).printed("pod default/fails: Failed");
        assert_eq!(world.ledger().ends("setup"), [Some(7)]);
        assert_eq!(world.ledger().starts("later"), 0);
        assert_eq!(world.ledger().starts("main"), 0);
    });
}

#[test]
fn a_failing_init_container_is_tried_again_on_failure() {
    tried_again("OnFailure");
}

#[test]
fn a_failing_init_container_is_tried_again_always() {
    tried_again("Always");
}

/// The first attempt fails while a file is missing, which the test then creates.
fn tried_again(policy: &str) {
    world(|world| {
        let setup = world.container("setup", &["until=/ledger/tried", "exit=0"]);
        let fails =
            world.container("fails-once", &["link=/ledger/gate", "until=/ledger/gate", "sleep=50", "exit=1"]);
        let pod = world
            .pod("again", [world.container("main", &["wait"])])
            .init([fails, setup])
            .restart_policy(policy);
        let run = world.run(&pod);
        world.answer("fails-once", "link=/ledger/gate").unwrap_err();
        world.touch("gate");
        run.expect("container default/again/fails-once: Terminated (Error, exit code 1)");
        run.expect_running("again", "fails-once", 1);
        assert_eq!(world.ledger().starts("main"), 0, "main waits for its init containers");
        run.stop();
        assert_eq!(world.ledger().starts("setup"), 0);
    });
}

#[test]
fn init_containers_that_succeeded_do_not_run_again_when_a_container_restarts() {
    world(|world| {
        let pod =
            world.pod("once", [world.container("main", &["wait"])]).init([world.container("setup", &[])]);
        let run = world.run(&pod);
        run.expect_running("once", "main", 0);
        crate::world::kill(world.pid_of("main"));
        run.expect_running("once", "main", 1);
        assert_eq!(world.ledger().starts("setup"), 1);
        run.stop();
    });
}
