//! Several pods, several agents, on one host.

use std::collections::BTreeSet;

use crate::world::{http_get, list, world};

#[test]
fn two_agents_live_side_by_side() {
    world(|world| {
        let first = world.run(&world.pod("one", [world.container("a", &["serve=80", "wait"])]));
        let manifest = world
            .write("two.json", &world.pod("two", [world.container("b", &["serve=80", "wait"])]).to_json());
        let mut command = world.mkubelet_beside("-b");
        command.arg("run").arg(manifest);
        let second = world.start(command);
        assert_eq!(http_get(first.ip("one"), 80, "/").1, "a");
        assert_eq!(http_get(second.ip("two"), 80, "/").1, "b");
        first.stop();
        assert_eq!(http_get(second.ip("two"), 80, "/").1, "b", "the end of one leaves the other alone");
        second.stop();
    });
}

#[test]
fn two_runs_share_directories_bridge_and_addresses() {
    world(|world| {
        let first = world.run(&world.pod("one", [world.container("a", &["serve=80", "wait"])]));
        let second = world.run(&world.pod("two", [world.container("b", &["serve=80", "wait"])]));
        assert_ne!(first.ip("one"), second.ip("two"));
        assert_eq!(http_get(first.ip("one"), 80, "/").1, "a");
        first.stop();
        assert_eq!(http_get(second.ip("two"), 80, "/").1, "b", "the end of one leaves the other alone");
        second.stop();
    });
}

#[test]
fn the_same_pod_is_refused_while_it_runs() {
    world(|world| {
        let pod = world.pod("unique", [world.container("a", &["wait"])]);
        let run = world.run(&pod);
        run.expect_running("unique", "a", 0);
        let refused = world.run(&pod).wait().code(1);
        let expected =
            format!("mkubelet: pod default/unique is already running, owned by process {}", run.pid());
        assert_eq!(refused.stderr, [expected]);
        run.stop();
        assert_eq!(world.ledger().starts("a"), 1);
    });
}

#[test]
fn another_pod_of_the_same_name_is_refused_too() {
    world(|world| {
        let run = world.run(&world.pod("unique", [world.container("a", &["wait"])]));
        run.expect_running("unique", "a", 0);
        let refused = world.run(&world.pod("unique", [world.container("b", &["wait"])])).wait().code(1);
        assert!(
            refused.stderr[0].starts_with("mkubelet: pod default/unique is already running"),
            "{}",
            refused.transcript()
        );
        run.stop();
        assert_eq!(world.ledger().starts("b"), 0);
    });
}

#[test]
fn twenty_pods_in_one_file_all_answer() {
    world(|world| {
        let pods: Vec<_> = (0..20)
            .map(|number| {
                world.pod(
                    &format!("p{number}"),
                    [world.container(&format!("c{number}"), &["serve=80", "wait"])],
                )
            })
            .collect();
        let manifest = world.write("twenty.json", &list(&pods));
        let mut command = world.mkubelet();
        command.arg("run").arg(manifest);
        let run = world.start(command);
        let ips: BTreeSet<_> = (0..20).map(|number| run.ip(&format!("p{number}"))).collect();
        assert_eq!(ips.len(), 20);
        for number in 0..20 {
            let (_, body) = http_get(run.ip(&format!("p{number}")), 80, "/");
            assert_eq!(body, format!("c{number}"));
        }
        let ended = run.stop();
        assert_eq!(
            ended.stdout.iter().filter(|line| line.ends_with(": deleted")).count(),
            20,
            "{}",
            ended.transcript()
        );
    });
}

#[test]
fn a_pod_that_ended_may_be_run_again() {
    world(|world| {
        let pod = world.pod("again", [world.container("a", &["exit=0"])]).restart_policy("Never");
        world.run(&pod).wait().success();
        world.run(&pod).wait().success();
        assert_eq!(world.ledger().ends("a"), [Some(0), Some(0)]);
    });
}

#[test]
fn a_manifest_may_come_from_standard_input() {
    world(|world| {
        let manifest = world.write(
            "pod.json",
            &world.pod("piped", [world.container("a", &[])]).restart_policy("Never").to_json(),
        );
        let mut command = world.mkubelet();
        command.args(["run", "-"]).stdin(std::fs::File::open(manifest).unwrap());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(world.ledger().ends("a"), [Some(0)]);
    });
}
