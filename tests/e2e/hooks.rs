//! Hooks: postStart before a container counts as running, preStop before its stop signal.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::world::{http_get, until, world};

/// A hook that runs the ledger program in the container.
fn exec(name: &str, steps: &[&str]) -> Value {
    let command = [&["/bin/ledger", name], steps].concat();
    json!({"exec": {"command": command}})
}

#[test]
fn a_container_is_running_when_its_post_start_hook_has_ended_and_so_the_next_one_starts() {
    world(|world| {
        let hook = exec("hook", &["until=/ledger/go"]);
        let first = world.container("first", &["wait"]).with("lifecycle", json!({"postStart": hook}));
        let run = world.run(&world.pod("begins", [first, world.container("second", &["wait"])]));
        until("the hook to run", || (world.ledger().starts("hook") == 1).then_some(()));
        // Time enough for what must not happen.
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(world.ledger().starts("second"), 0);
        assert!(!run.lines().iter().any(|line| line.ends_with("first: Running")), "{:?}", run.lines());
        world.touch("go");
        run.expect_running("begins", "first", 0);
        run.expect_running("begins", "second", 0);
        run.stop();
        let ledger = world.ledger();
        assert!(ledger.time("first", "start") < ledger.time("hook", "start"));
        assert!(ledger.time("hook", "end") < ledger.time("second", "start"));
        assert_eq!(ledger.starts("hook"), 1);
    });
}

#[test]
fn a_container_whose_post_start_hook_fails_is_ended() {
    world(|world| {
        let hook = exec("hook", &["sleep=300", "exit=5"]);
        let container =
            world.container("a", &["term=9", "wait"]).with("lifecycle", json!({"postStart": hook}));
        let run = world.run(&world.pod("fails", [container]).restart_policy("Never"));
        run.wait().code(9).printed("pod default/fails: Failed");
        assert_eq!(world.ledger().signals("a"), ["SIGTERM"]);
        assert_eq!(world.ledger().ends("hook"), [Some(5)]);
    });
}

#[test]
fn the_pre_stop_hook_has_ended_before_the_stop_signal_comes() {
    world(|world| {
        let hook = exec("hook", &["sleep=300"]);
        let container = world.container("a", &["term=0", "wait"]).with("lifecycle", json!({"preStop": hook}));
        let run = world.run(&world.pod("ends", [container]));
        run.expect_running("ends", "a", 0);
        run.stop();
        let ledger = world.ledger();
        assert!(ledger.time("hook", "end") < ledger.time("a", "signal"));
        assert_eq!(
            (ledger.starts("hook"), ledger.ends("hook"), ledger.ends("a")),
            (1, vec![Some(0)], vec![Some(0)])
        );
    });
}

#[test]
fn a_pod_that_is_taken_over_only_to_be_ended_has_its_pre_stop_hooks() {
    world(|world| {
        let hook = json!({"httpGet": {"port": 80, "path": "/bye"}});
        let old = world.container("old", &["term=0", "serve=80"]).with("lifecycle", json!({"preStop": hook}));
        let other = world
            .container("other", &["term=0", "wait"])
            .with("lifecycle", json!({"preStop": exec("hook", &["exit=0"])}));
        let run = world.run(&world.pod("changes", [old, other]));
        run.expect_running("changes", "other", 0);
        run.kill();
        // Another pod takes its place: the old one is ended by an agent that has made nothing of it.
        let run = world.run(&world.pod("changes", [world.container("new", &["wait"])]));
        run.expect_running("changes", "new", 0);
        let ended = run.stop();
        assert!(
            !ended.stderr.iter().any(|line| line.contains("FailedPreStopHook")),
            "{}",
            ended.transcript()
        );
        assert_eq!(world.ledger().ends("hook"), [Some(0)]);
    });
}

#[test]
fn a_pre_stop_hook_without_end_is_left_behind_when_the_grace_period_is_over() {
    world(|world| {
        let hook = exec("hook", &["wait"]);
        let container = world.container("a", &["term=0", "wait"]).with("lifecycle", json!({"preStop": hook}));
        let run = world.run(&world.pod("long", [container]).grace(2));
        run.expect_running("long", "a", 0);
        let asked = Instant::now();
        run.stop();
        let took = asked.elapsed();
        assert!(took > Duration::from_millis(1900) && took < Duration::from_secs(20), "{took:?}");
        assert_eq!(world.ledger().ends("a"), [Some(0)], "it was asked, not killed");
        assert_eq!(world.ledger().ends("hook"), [None]);
    });
}

#[test]
fn a_hook_can_simply_wait() {
    world(|world| {
        let lifecycle = json!({"postStart": {"sleep": {"seconds": 0}}, "preStop": {"sleep": {"seconds": 1}}});
        let container = world.container("a", &["term=0", "wait"]).with("lifecycle", lifecycle);
        let run = world.run(&world.pod("sleeps", [container]));
        run.expect_running("sleeps", "a", 0);
        let asked = Instant::now();
        run.signal(Signal::SIGTERM);
        run.wait().success();
        assert!(asked.elapsed() >= Duration::from_secs(1), "{:?}", asked.elapsed());
    });
}

#[test]
fn a_second_ctrl_c_does_not_wait_for_hooks() {
    world(|world| {
        let hook = exec("hook", &["wait"]);
        let container = world.container("a", &["term=0", "wait"]).with("lifecycle", json!({"preStop": hook}));
        let run = world.run(&world.pod("hurry", [container]).grace(600));
        run.expect_running("hurry", "a", 0);
        run.signal(Signal::SIGINT);
        until("the hook to run", || (world.ledger().starts("hook") == 1).then_some(()));
        run.signal(Signal::SIGINT);
        run.wait().printed("container default/hurry/a: Terminated (Error, exit code 137)");
        assert!(world.ledger().signals("a").is_empty());
    });
}

#[test]
fn a_post_start_hook_does_not_run_again_when_the_agent_dies() {
    world(|world| {
        let hook = exec("hook", &[]);
        let container = world.container("a", &["wait"]).with("lifecycle", json!({"postStart": hook}));
        let pod = world.pod("once", [container]);
        let run = world.run(&pod);
        run.expect_running("once", "a", 0);
        run.kill();
        let run = world.run(&pod);
        run.expect("container default/once/a: Running");
        run.stop();
        assert_eq!((world.ledger().starts("hook"), world.ledger().starts("a")), (1, 1));
    });
}

#[test]
fn the_stop_signal_of_the_manifest_wins_over_the_images() {
    world(|world| {
        let lifecycle = json!({"stopSignal": "SIGUSR1"});
        let container = world.container("a", &["term=0", "wait"]).with("lifecycle", lifecycle);
        let run = world.run(&world.pod("signal", [container]).spec("os", json!({"name": "linux"})));
        run.expect_running("signal", "a", 0);
        run.stop();
        assert_eq!(world.ledger().signals("a"), ["SIGUSR1"]);
    });
}

#[test]
fn hooks_ask_over_the_network_and_what_fails_is_told_in_the_kubelets_words() {
    world(|world| {
        let get = json!({"httpGet": {"port": 8080, "path": "/note"}});
        let asked = world.container("asked", &["term=0", "serve=8080", "wait"]);
        let nobody = json!({"tcpSocket": {"port": 9}});
        let missed = world.container("missed", &["term=0", "wait"]);
        let pod = world.pod(
            "network",
            [
                asked.with("lifecycle", json!({"preStop": get})),
                missed.with("lifecycle", json!({"preStop": nobody})),
            ],
        );
        let run = world.run(&pod);
        let ip = run.ip("network");
        http_get(ip, 8080, "/");
        run.expect_running("network", "missed", 0);
        let ended = run.stop();
        assert_eq!(world.answer("asked", "request"), Ok(json!("GET /note HTTP/1.1")));
        let transcript = ended.transcript();
        let what = format!("TCP lifecycle hook ({ip}:9) for Container \"missed\" in Pod \"network_default(");
        let why = format!("failed - error: dial tcp {ip}:9: connect: connection refused");
        assert!(transcript.contains(&what) && transcript.contains(&why), "{transcript}");
    });
}

#[test]
fn a_hook_can_ask_the_pod_itself_over_the_network_and_fails_where_nobody_listens() {
    world(|world| {
        let probe = json!({"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 60});
        let server = world
            .container("server", &["term=0", "serve=8080", "wait"])
            .with("restartPolicy", json!("Always"))
            .with("startupProbe", probe);
        let asks = |name: &str, hook: Value| {
            world.container(name, &["term=9", "wait"]).with("lifecycle", json!({"postStart": hook}))
        };
        let http = asks("http", json!({"httpGet": {"port": 8080, "path": "/hello"}}));
        let tcp = asks("tcp", json!({"tcpSocket": {"port": 8080}}));
        let wrong = asks("wrong", json!({"httpGet": {"port": 8081}})).with("restartPolicy", json!("Never"));
        // It may be too young to hear its stop signal: then it is killed.
        let run = world.run(&world.pod("asks", [http, tcp, wrong]).init([server]).grace(3));
        for container in ["http", "tcp"] {
            run.expect_running("asks", container, 0);
        }
        run.expect_prefix(
            "container default/asks/wrong: Waiting (PostStartHookError): HTTP lifecycle hook (/)",
        );
        run.expect_prefix("container default/asks/wrong: Terminated (Error, exit code ");
        run.stop();
    });
}
