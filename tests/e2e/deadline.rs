//! activeDeadlineSeconds, and restart policies and rules of single containers.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::world::{patient, world};

#[test]
fn a_pod_that_is_active_for_too_long_is_ended_with_grace_and_fails() {
    world(|world| {
        // Long enough for a start on a slow machine.
        let deadline = patient(Duration::from_secs(2));
        let pod = world
            .pod("long", [world.container("a", &["term=0", "wait"])])
            .spec("activeDeadlineSeconds", json!(deadline.as_secs()));
        let began = Instant::now();
        let run = world.run(&pod);
        run.expect_running("long", "a", 0);
        let ended = run.wait().code(1);
        let took = began.elapsed();
        assert!(took >= deadline && took < deadline * 10, "{took:?}");
        let why = "Pod was active on the node longer than the specified deadline";
        ended.printed(&format!("pod default/long: Failed (DeadlineExceeded): {why}")).agrees_with(
            &world.ledger(),
            "long",
            "a",
        );
        assert_eq!(
            (world.ledger().starts("a"), world.ledger().signals("a")),
            (1, vec!["SIGTERM".to_owned()])
        );
    });
}

#[test]
fn a_pod_that_ends_in_time_keeps_its_own_end() {
    world(|world| {
        let pod = world
            .pod("short", [world.container("a", &["exit=0"])])
            .restart_policy("Never")
            .spec("activeDeadlineSeconds", json!(60));
        world.run(&pod).wait().success().printed("pod default/short: Succeeded");
    });
}

#[test]
fn a_rule_restarts_a_container_that_its_policy_would_leave() {
    world(|world| {
        let rules = json!([{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]);
        let steps = ["once=/ledger/tried", "exit=42"];
        let container = world
            .container("a", &steps)
            .with("restartPolicy", json!("Never"))
            .with("restartPolicyRules", rules);
        let run = world.run(&world.pod("ruled", [container]));
        run.expect("container default/ruled/a: Terminated (Error, exit code 42)");
        run.expect_running("ruled", "a", 1);
        run.stop();
        assert_eq!(world.ledger().starts("a"), 2);
    });
}

#[test]
fn a_container_that_is_never_restarted_ends_beside_one_that_is() {
    world(|world| {
        let once = world.container("once", &["exit=3"]).with("restartPolicy", json!("Never"));
        let run = world.run(&world.pod("mixed", [once, world.container("again", &["wait"])]));
        run.expect("container default/mixed/once: Terminated (Error, exit code 3)");
        run.expect_running("mixed", "again", 0);
        crate::world::kill(world.pid_of("again"));
        run.expect_running("mixed", "again", 1);
        run.stop();
        assert_eq!(world.ledger().starts("once"), 1);
    });
}
