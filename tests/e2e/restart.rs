//! Restarts: only the container, with the kubelet's back-off.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::world::{http_get, kill, patient, until, world};

#[test]
fn a_container_killed_from_the_host_comes_back_with_the_same_ip() {
    world(|world| {
        let run = world.run(&world.pod("phoenix", [world.container("a", &["serve=80", "wait"])]));
        let ip = run.ip("phoenix");
        run.expect_running("phoenix", "a", 0);
        kill(world.pid_of("a"));
        run.expect("container default/phoenix/a: Terminated (Error, exit code 137)");
        run.expect_running("phoenix", "a", 1);
        assert_eq!(http_get(ip, 80, "/").1, "a");
        assert_eq!(run.lines().iter().filter(|line| line.contains(": IP ")).count(), 1);
        run.stop().agrees_with(&world.ledger(), "phoenix", "a");
    });
}

#[test]
fn the_other_container_is_not_touched_when_one_restarts() {
    world(|world| {
        let run =
            world.run(&world.pod("pair", [world.container("a", &["wait"]), world.container("b", &["wait"])]));
        run.expect_running("pair", "b", 0);
        let bystander = world.pid_of("b");
        kill(world.pid_of("a"));
        run.expect_running("pair", "a", 1);
        assert_eq!(world.pid_of("b"), bystander);
        run.stop();
        assert_eq!(world.ledger().starts("b"), 1);
    });
}

#[test]
fn the_first_restart_is_immediate_and_the_second_waits_ten_seconds() {
    world(|world| {
        let run = world.run(&world.pod("backoff", [world.container("a", &["wait"])]));
        run.expect_running("backoff", "a", 0);
        kill(world.pid_of("a"));
        let killed = Instant::now();
        run.expect_running("backoff", "a", 1);
        assert!(
            killed.elapsed() < patient(Duration::from_secs(9)),
            "no back-off is due: {:?}",
            killed.elapsed()
        );

        kill(world.pid_of("a"));
        let killed = Instant::now();
        run.expect_prefix("container default/backoff/a: Waiting (CrashLoopBackOff): back-off 10s restarting failed container");
        run.expect_running("backoff", "a", 2);
        assert!(killed.elapsed() > Duration::from_millis(9500), "{:?}", killed.elapsed());
        run.stop().agrees_with(&world.ledger(), "backoff", "a");
    });
}

#[test]
fn always_restarts_a_container_that_succeeded() {
    world(|world| {
        let run = world.run(&world.pod("always", [world.container("a", &["sleep=100", "exit=0"])]));
        run.expect("container default/always/a: Terminated (Completed)");
        run.expect_running("always", "a", 1);
        run.stop();
    });
}

#[test]
fn on_failure_restarts_until_success() {
    world(|world| {
        // Succeeds as soon as /ledger/good is there; killed before that.
        let steps = ["until=/ledger/good", "exit=0"];
        let run =
            world.run(&world.pod("stubborn", [world.container("a", &steps)]).restart_policy("OnFailure"));
        run.expect_running("stubborn", "a", 0);
        kill(world.pid_of("a"));
        run.expect_running("stubborn", "a", 1);
        world.touch("good");
        run.wait().success().printed("pod default/stubborn: Succeeded").agrees_with(
            &world.ledger(),
            "stubborn",
            "a",
        );
        assert_eq!(world.ledger().ends("a"), [None, Some(0)]);
    });
}

#[test]
fn never_restarts_nothing() {
    world(|world| {
        let containers = [world.container("bad", &["exit=3"]), world.container("good", &["exit=0"])];
        let run = world.run(&world.pod("once", containers).restart_policy("Never"));
        run.wait().code(3).printed("pod default/once: Failed");
        assert_eq!(world.ledger().ends("bad"), [Some(3)]);
        assert_eq!(world.ledger().ends("good"), [Some(0)]);
    });
}

#[test]
fn each_attempt_starts_from_the_image_and_not_from_what_the_last_one_wrote() {
    world(|world| {
        let run = world.run(
            &world.pod("fresh", [world.container("a", &["list=/tmp", "write=/tmp/left", "report", "wait"])]),
        );
        run.expect_running("fresh", "a", 0);
        world.answer("a", "report").unwrap();
        kill(world.pid_of("a"));
        run.expect_running("fresh", "a", 1);
        crate::world::until("the second report", || {
            (world.ledger().answers("a", "report") == 2).then_some(())
        });
        assert_eq!(world.answer("a", "list=/tmp").unwrap(), serde_json::json!([]));
        run.stop();
    });
}

#[test]
fn one_container_can_have_all_of_the_pod_begin_anew_in_its_place() {
    world(|world| {
        let rules =
            json!([{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}]);
        let trigger = world
            .container("trigger", &["once=/data/again", "until=/ledger/go", "exit=42"])
            .with("restartPolicy", json!("Never"))
            .with("restartPolicyRules", rules)
            .mount("data", "/data");
        let deaf = world.container("deaf", &["term=ignore", "serve=80", "wait"]);
        let done = world.container("done", &["exit=0"]);
        let sidecar =
            world.container("side", &["term=ignore", "wait"]).with("restartPolicy", json!("Always"));
        let pod = world
            .pod("anew", [trigger, deaf, done])
            .init([world.container("init", &["exit=0"]), sidecar])
            .volume(json!({"name": "data", "emptyDir": {}}))
            .restart_policy("Never")
            .grace(1);
        let run = world.run(&pod);
        let ip = run.ip("anew");
        for name in ["side", "trigger", "deaf"] {
            run.expect_running("anew", name, 0);
        }
        run.expect("container default/anew/done: Terminated (Completed)");
        world.touch("go");
        run.expect("container default/anew/trigger: Terminated (Error, exit code 42)");
        for name in ["side", "trigger", "deaf"] {
            run.expect_running("anew", name, 1);
        }
        until("what was done for good to run again", || (world.ledger().starts("done") == 2).then_some(()));
        assert_eq!(http_get(ip, 80, "/").1, "deaf");
        assert_eq!(run.lines().iter().filter(|line| line.contains(": IP ")).count(), 1);
        run.kill();

        // The next agent knows that it has been done.
        let run = world.run(&pod);
        run.expect("pod default/anew: Running");
        assert_eq!(run.ip("anew"), ip);
        run.stop();
        for name in ["init", "side", "trigger", "deaf", "done"] {
            assert_eq!(world.ledger().starts(name), 2, "{name}");
        }
    });
}
