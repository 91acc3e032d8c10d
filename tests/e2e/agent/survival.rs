//! What outlives the agent, whatever becomes of it.

use crate::world::{Pod, World, http_get, until, world};

/// A pod of two containers that serve.
fn pair(world: &World, name: &str) -> Pod {
    world.pod(
        name,
        [world.container("a", &["serve=80", "term=0", "wait"]), world.container("b", &["term=0", "wait"])],
    )
}

#[test]
fn an_agent_that_is_stopped_or_killed_touches_no_container() {
    world(|world| {
        world.manifests().put(&pair(world, "lasting"));
        let agent = world.agent();
        let ip = agent.ip("lasting");
        agent.expect_running("lasting", "a", 0);
        agent.expect_running("lasting", "b", 0);
        let pids = (world.pid_of("a"), world.pid_of("b"));
        agent.stop();
        assert_eq!(http_get(ip, 80, "/").1, "a", "the pod lives on without an agent");
        for _ in 0..3 {
            let agent = world.agent();
            agent.expect("pod default/lasting: Running");
            assert_eq!(agent.ip("lasting"), ip);
            agent.kill();
        }
        let agent = world.agent();
        agent.expect("pod default/lasting: Running");
        assert_eq!((world.pid_of("a"), world.pid_of("b")), pids);
        agent.clear(world);
        assert_eq!((world.ledger().starts("a"), world.ledger().starts("b")), (1, 1));
    });
}

#[test]
fn a_manifest_that_goes_while_no_agent_lives_ends_its_pod_and_one_that_changes_replaces_it() {
    world(|world| {
        for name in ["gone", "changed"] {
            let pod = world.pod(name, [world.container(name, &["term=0", "wait"])]);
            world.manifests().put(&pod);
        }
        let agent = world.agent();
        agent.expect_running("gone", "gone", 0);
        agent.expect_running("changed", "changed", 0);
        agent.kill();
        world.manifests().remove("gone.json");
        world.manifests().put(&world.pod("changed", [world.container("new", &["term=0", "wait"])]));
        let agent = world.agent();
        agent.expect("pod default/gone: deleted");
        agent.expect_running("changed", "new", 0);
        assert_eq!(world.ledger().ends("gone"), [Some(0)]);
        assert!(world.ledger().time("changed", "end") < world.ledger().time("new", "start"));
        agent.clear(world);
    });
}

#[test]
fn a_grace_period_is_not_begun_again_by_another_agent() {
    world(|world| {
        // It ignores its stop signal.
        let pod = world.pod("deaf", [world.container("deaf", &["term=ignore", "wait"])]).grace(6);
        world.manifests().put(&pod);
        let agent = world.agent();
        agent.expect_running("deaf", "deaf", 0);
        world.manifests().clear();
        agent.expect("pod default/deaf: Terminating (grace period 6s)");
        let told = std::time::Instant::now();
        until("half of the time", || (told.elapsed().as_secs() >= 3).then_some(()));
        agent.kill();
        let agent = world.agent();
        agent.expect("pod default/deaf: deleted");
        let took = told.elapsed().as_secs_f64();
        assert!((5.5..9.5).contains(&took), "{took} s from the order to the end");
        agent.stop();
    });
}
