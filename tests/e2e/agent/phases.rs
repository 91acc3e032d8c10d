//! An agent that is killed while pods are in every phase of their lives: the next one goes on where it was. For pods of files, and for
//! pods of the API.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::world::{Pod, World, install, until, world};

/// Where a test's pods come from.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Files,
    Api,
}

impl Way {
    fn start(self, world: &World, pod: &Pod) {
        match self {
            Way::Files => world.manifests().put(pod),
            Way::Api => world.create(pod),
        }
    }

    fn end(self, world: &World, name: &str) {
        match self {
            Way::Files => world.manifests().remove(&format!("{name}.json")),
            Way::Api => world.delete(name),
        }
    }
}

/// A pod for each phase, named after it, with a container of the same name.
fn pods(world: &World) -> Vec<Pod> {
    let one = |name: &str, steps: &[&str]| world.pod(name, [world.container(name, steps)]);
    let probe =
        |seconds: u32| json!({"tcpSocket": {"port": 80}, "periodSeconds": seconds, "failureThreshold": 1000});
    let later = format!("dir:{}", world.path("later").display());
    let starting = world
        .container("starting", &["term=0", "until=/ledger/go-start", "serve=80", "wait"])
        .with("startupProbe", probe(1));
    let running =
        world.container("running", &["term=0", "serve=80", "wait"]).with("readinessProbe", probe(1));
    vec![
        world.pod("pending", [world.container("pending", &["term=0", "wait"]).image(&later)]),
        world
            .pod("init", [world.container("after", &["term=0", "wait"])])
            .init([world.container("init", &["term=9", "until=/ledger/go-init", "exit=0"])]),
        world.pod("starting", [starting]),
        world.pod("running", [running]),
        one("backoff", &["exit=3"]),
        one("ending", &["term=ignore", "wait"]).grace(8),
        one("failed", &["exit=7"]).restart_policy("Never"),
        one("succeeded", &["exit=0"]).restart_policy("OnFailure"),
    ]
}

/// What the API says of a container once that is as described.
fn status(world: &World, container: &str, is: impl Fn(&Value) -> bool) -> Value {
    until(&format!("the status of {container}"), || {
        world.container_status(container).filter(|found| is(found))
    })
}

fn is_over(status: &Value) -> bool {
    status["state"]["terminated"].is_object()
}

fn killed_in_every_phase(world: &World, way: Way) {
    let agent = world.agent();
    pods(world).iter().for_each(|pod| way.start(world, pod));
    agent.expect_state("pending", "pending", |state| state.starts_with("Waiting (ErrImage"));
    for container in ["init", "starting"] {
        until(container, || (world.ledger().starts(container) == 1).then_some(()));
    }
    agent.expect_running("ending", "ending", 0);
    let running = status(world, "running", |found| found["ready"] == true);
    agent.expect("pod default/failed: Failed");
    agent.expect("pod default/succeeded: Succeeded");
    let over = ["failed", "succeeded"].map(|name| (name, status(world, name, is_over)));
    agent.expect_state("backoff", "backoff", |state| state.starts_with("Waiting (CrashLoopBackOff"));
    way.end(world, "ending");
    // Of a pod of the API that is what is left until its deletionTimestamp, which is a whole second.
    agent.expect_prefix("pod default/ending: Terminating (grace period ");
    let told = Instant::now();
    let pids = [world.pid_of("running"), world.pid_of("starting"), world.pid_of("init")];
    agent.kill();

    let agent = world.agent();
    // The first restart was at once; the second waits ten seconds, whoever does the waiting.
    agent.expect_running("backoff", "backoff", 2);
    let (starts, ends) = (world.ledger().times("backoff", "start"), world.ledger().times("backoff", "end"));
    let waited = Duration::from_nanos(starts[2] - ends[1]);
    assert!(waited >= Duration::from_millis(9_500), "{waited:?}");

    agent.expect("pod default/ending: deleted");
    let took = told.elapsed();
    assert!(took >= Duration::from_millis(6_500), "the grace period was cut short: {took:?}");
    assert_eq!(world.ledger().signals("ending").first().map(String::as_str), Some("SIGTERM"));

    assert_eq!([world.pid_of("running"), world.pid_of("starting"), world.pid_of("init")], pids);
    world.touch("go-start");
    world.touch("go-init");
    status(world, "starting", |found| found["ready"] == true && found["restartCount"] == 0);
    agent.expect_running("init", "after", 0);
    fs::create_dir_all(world.path("later/bin")).unwrap();
    install("ledger", &world.path("later"));
    agent.expect_running("pending", "pending", 0);

    for (name, before) in over.iter().chain([&("running", running)]) {
        assert_eq!(world.container_status(name).as_ref(), Some(before), "{name} is told as before");
    }
    for name in ["pending", "init", "after", "starting", "running", "ending", "failed", "succeeded"] {
        assert_eq!(world.ledger().starts(name), 1, "{name}");
    }
    if way == Way::Api {
        world.delete_all();
    }
    agent.clear(world);
}

#[test]
fn another_agent_goes_on_with_pods_of_files_in_every_phase_of_their_lives() {
    world(|world| killed_in_every_phase(world, Way::Files));
}

#[test]
fn another_agent_goes_on_with_pods_of_the_api_in_every_phase_of_their_lives() {
    world(|world| killed_in_every_phase(world, Way::Api));
}
