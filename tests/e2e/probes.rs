//! Readiness, startup and liveness probes, by every kind of question.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::world::{http_get, until, world};

/// Once a second, and one failure is enough: an answer that is only late, on a busy machine, is none.
fn each_second(mut probe: Value) -> Value {
    probe["periodSeconds"] = json!(1);
    probe["failureThreshold"] = json!(1);
    probe["timeoutSeconds"] = json!(20);
    probe
}

#[test]
fn every_kind_of_question_decides_whether_a_container_is_ready() {
    world(|world| {
        let exec = json!({"exec": {"command": ["/bin/ledger", "check", "fail-if=/ledger/exec.sick"]}});
        let kinds = [
            ("exec", &["wait"][..], exec),
            ("http", &["serve=8080", "wait"], json!({"httpGet": {"port": 8080, "path": "/healthz"}})),
            ("grpc", &["health=9000", "wait"], json!({"grpc": {"port": 9000}})),
        ];
        let containers = kinds.map(|(name, steps, probe)| {
            world.container(name, steps).with("readinessProbe", each_second(probe))
        });
        let run = world.run(&world.pod("ready", containers));
        for container in ["exec", "http", "grpc"] {
            run.expect(&format!("container default/ready/{container}: Ready"));
            world.touch(&format!("{container}.sick"));
            run.expect(&format!("container default/ready/{container}: Not ready"));
            fs::remove_file(world.path(&format!("ledger/{container}.sick"))).unwrap();
        }
        until("all to be ready again", || {
            let lines = run.lines();
            let again = |container: &str| {
                let ready = format!("container default/ready/{container}: Ready");
                lines.iter().filter(|line| **line == ready).count() == 2
            };
            ["exec", "http", "grpc"].into_iter().all(again).then_some(())
        });
        run.stop();
        for container in ["exec", "http", "grpc"] {
            assert_eq!(world.ledger().starts(container), 1, "{container} is not restarted");
        }
    });
}

#[test]
fn a_port_that_takes_connections_is_ready_and_a_closed_one_ends_the_container() {
    world(|world| {
        let probe = each_second(json!({"tcpSocket": {"port": "deaf"}}));
        let container = world
            .container("a", &["listen=7", "wait"])
            .with("ports", json!([{"name": "deaf", "containerPort": 7}]))
            .with("readinessProbe", probe);
        let closed = each_second(json!({"tcpSocket": {"port": 9}}));
        let other = world.container("b", &["wait"]).with("livenessProbe", closed);
        let run = world.run(&world.pod("tcp", [container, other]));
        run.expect("container default/tcp/a: Ready");
        run.expect_running("tcp", "b", 1);
        run.stop();
        assert_eq!(world.ledger().starts("a"), 1);
    });
}

#[test]
fn an_exec_probe_whose_time_is_over_fails_and_leaves_nothing_behind() {
    world(|world| {
        let command = json!(["/bin/ledger", "check", "child=grandchild", "wait"]);
        let mut probe =
            each_second(json!({"exec": {"command": command}, "terminationGracePeriodSeconds": 1}));
        probe["failureThreshold"] = json!(2);
        probe["timeoutSeconds"] = json!(1);
        let container = world.container("a", &["term=ignore", "wait"]).with("livenessProbe", probe);
        // The probe's own grace period is the one that counts.
        let run = world.run(&world.pod("slow", [container]).grace(60));
        run.expect("container default/slow/a: Terminated (Error, exit code 137)");
        // Had one survived, the ledger would find two of it living at a time.
        let checks = world.ledger().starts("check");
        // A failure that the agent notices late, on a slow machine, does not count: then there is another question.
        assert!(checks >= 2, "{checks}");
        assert_eq!(world.ledger().starts("grandchild"), checks);
        run.expect_running("slow", "a", 1);
        run.signal(Signal::SIGTERM);
        run.expect_prefix("pod default/slow: Terminating");
        run.signal(Signal::SIGTERM);
        run.wait();
    });
}

#[test]
fn nothing_is_asked_before_the_startup_probe_has_succeeded_and_its_failure_restarts() {
    world(|world| {
        let exec = |name: &str, step: &str| json!({"exec": {"command": ["/bin/ledger", name, step]}});
        let mut startup = each_second(exec("startup", "until=/ledger/up"));
        startup["timeoutSeconds"] = json!(5);
        let container = world
            .container("a", &["wait"])
            .with("startupProbe", startup)
            .with("readinessProbe", each_second(exec("readiness", "exit=0")))
            .with("livenessProbe", each_second(exec("liveness", "exit=0")));
        let run = world.run(&world.pod("late", [container]));
        run.expect_running("late", "a", 0);
        until("the startup probe", || (world.ledger().starts("startup") > 0).then_some(()));
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(world.ledger().starts("readiness") + world.ledger().starts("liveness"), 0);
        // It was not up in time.
        run.expect_running("late", "a", 1);
        world.touch("up");
        run.expect("container default/late/a: Ready");
        until("the other probes", || {
            (world.ledger().starts("readiness") > 0 && world.ledger().starts("liveness") > 0).then_some(())
        });
        let before = world.ledger().starts("startup");
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(world.ledger().starts("startup"), before, "it is silent from then on");
        run.stop();
    });
}

#[test]
fn a_probe_that_cannot_be_put_decides_nothing() {
    world(|world| {
        let probe = each_second(json!({"exec": {"command": ["/bin/missing"]}}));
        let container = world.container("a", &["serve=8080", "wait"]).with("livenessProbe", probe);
        let run = world.run(&world.pod("mute", [container]));
        let ip = run.ip("mute");
        run.expect_running("mute", "a", 0);
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(http_get(ip, 8080, "/").1, "a");
        let ended = run.stop();
        assert!(ended.transcript().contains("Liveness probe errored"), "{}", ended.transcript());
        assert_eq!(world.ledger().starts("a"), 1);
    });
}

#[test]
fn a_pod_on_its_way_out_is_asked_whether_it_is_ready_and_nothing_else() {
    world(|world| {
        let probe = |path: &str| each_second(json!({"httpGet": {"port": 8080, "path": path}}));
        let container = world
            .container("a", &["term=ignore", "serve=8080", "wait"])
            .with("readinessProbe", probe("/healthz"))
            .with("livenessProbe", probe("/healthz"));
        let run = world.run(&world.pod("leaving", [container]).grace(10));
        run.expect("container default/leaving/a: Ready");
        run.signal(Signal::SIGTERM);
        run.expect_prefix("pod default/leaving: Terminating");
        world.touch("a.sick");
        let ended = run.wait().printed("container default/leaving/a: Terminated (Error, exit code 137)");
        let transcript = ended.transcript();
        let not_ready = transcript.find("a: Not ready").expect(&transcript);
        assert!(not_ready < transcript.find("a: Terminated").unwrap(), "{transcript}");
        assert_eq!(world.ledger().signals("a").len(), 1);
    });
}

#[test]
fn an_agent_that_takes_over_believes_what_the_one_before_it_had_found() {
    world(|world| {
        let exec = |step: &str| json!({"exec": {"command": ["/bin/ledger", "check", step]}});
        let mut startup = each_second(exec("exit=0"));
        startup["timeoutSeconds"] = json!(5);
        // Asked once, and then not before the test is over.
        let mut readiness = json!({"httpGet": {"port": 8080}, "periodSeconds": 3600});
        readiness["failureThreshold"] = json!(1);
        let container = world
            .container("a", &["serve=8080", "until=/ledger/go", "wait"])
            .with("startupProbe", startup)
            .with("readinessProbe", readiness);
        let pod = world.pod("heir", [container]);
        let run = world.run(&pod);
        run.expect("container default/heir/a: Ready");
        until("a record of it", || {
            let record = world.run_dir().join("pods").join(world.pod_uids().first()?).join("probes.json");
            fs::read_to_string(record).ok()?.contains("\"ready\":true").then_some(())
        });
        let asked = world.ledger().starts("check");
        run.kill();
        let heir = world.run(&pod);
        heir.expect("container default/heir/a: Ready");
        assert_eq!(world.ledger().starts("check"), asked, "it has started already");
        heir.stop();
        assert_eq!(world.ledger().starts("a"), 1);
    });
}

#[test]
fn an_agent_that_was_stopped_takes_no_failure_of_its_own_for_the_containers() {
    world(|world| {
        let mut probe = each_second(json!({"httpGet": {"port": 8080, "path": "/healthz"}}));
        // Less than it is stopped for.
        probe["timeoutSeconds"] = json!(1);
        let container = world
            .container("a", &["serve=8080", "wait"])
            .with("livenessProbe", probe.clone())
            .with("readinessProbe", probe);
        let pod = world.pod("stopped", [container]).annotation("mkubelet.dev/probe-period-ms", "20");
        let run = world.run(&pod);
        run.expect("container default/stopped/a: Ready");
        for _ in 0..5 {
            run.signal(Signal::SIGSTOP);
            std::thread::sleep(Duration::from_millis(1500));
            run.signal(Signal::SIGCONT);
            std::thread::sleep(Duration::from_millis(300));
        }
        world.touch("a.sick");
        run.expect_running("stopped", "a", 1);
        let ended = run.stop();
        let not_ready = "container default/stopped/a: Not ready";
        assert!(ended.transcript().matches(not_ready).count() <= 1, "{}", ended.transcript());
        assert_eq!(world.ledger().starts("a"), 2);
    });
}

/// On the node's network a pod has the node's address, not its loopback alone.
#[test]
fn a_pod_on_the_nodes_network_is_asked_at_the_nodes_address() {
    world(|world| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        let towards_the_world = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr());
        let node = towards_the_world.map_or(IpAddr::from([127, 0, 0, 1]), |address| address.ip());
        let get = |port: u16| json!({"httpGet": {"port": port, "path": "/peer"}});
        let probed = world.container("probed", &["serve=47101", "wait"]).with("readinessProbe", get(47101));
        let hooked = world
            .container("hooked", &["serve=47102", "wait"])
            .with("lifecycle", json!({"preStop": get(47102)}));
        let run = world.run(&world.pod("hosted", [probed, hooked]).spec("hostNetwork", json!(true)));
        assert_eq!(world.answer("probed", "peer"), Ok(json!(node)));
        // It listens on all addresses.
        http_get(Ipv4Addr::LOCALHOST, 47102, "/");
        run.stop();
        assert_eq!(world.answer("hooked", "peer"), Ok(json!(node)));
    });
}
