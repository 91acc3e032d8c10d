//! Ending a pod: the stop signal, the grace period, SIGKILL to all that is left.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::world::{namespace, patient, until, world};

#[test]
fn ctrl_c_ends_each_container_by_sigterm_and_shows_its_code() {
    world(|world| {
        let polite = world.container("polite", &["term=0", "wait"]);
        let plain = world.container("plain", &["wait"]);
        let run = world.run(&world.pod("stop", [polite, plain]));
        run.expect_running("stop", "polite", 0);
        run.expect_running("stop", "plain", 0);
        run.signal(Signal::SIGINT);
        run.wait()
            .success()
            .printed("pod default/stop: Terminating (grace period 30s)")
            .printed("container default/stop/polite: Terminated (Completed)")
            .printed("container default/stop/plain: Terminated (Error, exit code 143)")
            .printed("pod default/stop: deleted")
            .agrees_with(&world.ledger(), "stop", "plain");
        assert_eq!(world.ledger().signals("polite"), ["SIGTERM"]);
    });
}

#[test]
fn sigkill_follows_sigterm_after_the_grace_period() {
    world(|world| {
        let run = world
            .run(&world.pod("deaf", [world.container("a", &["term=ignore", "report", "wait"])]).grace(2));
        world.answer("a", "report").unwrap();
        run.expect_running("deaf", "a", 0);
        let asked = Instant::now();
        run.stop()
            .printed("pod default/deaf: Terminating (grace period 2s)")
            .printed("container default/deaf/a: Terminated (Error, exit code 137)")
            .agrees_with(&world.ledger(), "deaf", "a");
        let took = asked.elapsed();
        assert!(took > Duration::from_millis(1900) && took < patient(Duration::from_secs(15)), "{took:?}");
        assert_eq!(world.ledger().signals("a"), ["SIGTERM"]);
    });
}

#[test]
fn a_second_ctrl_c_kills_at_once() {
    world(|world| {
        let run = world
            .run(&world.pod("hurry", [world.container("a", &["term=ignore", "report", "wait"])]).grace(600));
        world.answer("a", "report").unwrap();
        run.signal(Signal::SIGINT);
        until("SIGTERM to arrive", || (world.ledger().signals("a") == ["SIGTERM"]).then_some(()));
        run.signal(Signal::SIGINT);
        run.wait()
            .printed("container default/hurry/a: Terminated (Error, exit code 137)")
            .printed("pod default/hurry: deleted");
    });
}

#[test]
fn the_stop_signal_of_the_image_is_honoured() {
    world(|world| {
        let layout = crate::images::layout(world, "quitter", &json!({"StopSignal": "SIGQUIT"}));
        let container =
            world.container("a", &["term=0", "report", "wait"]).image(&format!("oci:{}", layout.display()));
        let run = world.run(&world.pod("quits", [container]));
        world.answer("a", "report").unwrap();
        run.stop();
        assert_eq!(world.ledger().signals("a"), ["SIGQUIT"]);
    });
}

#[test]
fn what_a_container_started_ends_with_it() {
    world(|world| {
        let run = world.run(&world.pod("parent", [world.container("a", &["child=b", "term=0", "wait"])]));
        let child = world.pid_of("b");
        assert_eq!(namespace(child, "pid"), namespace(world.pid_of("a"), "pid"));
        run.stop();
        assert_eq!(world.ledger().ends("b"), [None], "the child was killed, and nobody asked it");
    });
}

#[test]
fn a_pod_that_waits_for_its_image_can_be_stopped() {
    world(|world| {
        let pod = world.pod("waits", [world.container("a", &[]).image("dir:/nowhere")]);
        let run = world.run(&pod);
        run.expect_prefix("container default/waits/a: Waiting (Err");
        run.stop().printed("pod default/waits: deleted");
        assert_eq!(world.ledger().starts("a"), 0);
    });
}

#[test]
fn a_signal_at_any_moment_of_the_start_ends_cleanly() {
    world(|world| {
        for milliseconds in [0, 1, 2, 4, 8, 16, 32, 64] {
            let name = format!("early-{milliseconds}");
            let run = world.run(&world.pod(&name, [world.container(&name, &["term=0", "wait"])]).grace(5));
            std::thread::sleep(Duration::from_millis(milliseconds));
            run.signal(Signal::SIGTERM);
            let ended = run.wait();
            let alive = world.processes().iter().any(|process| !process.is_zombie());
            assert!(!alive, "after {milliseconds} ms\n{}", ended.transcript());
        }
    });
}
