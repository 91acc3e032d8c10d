//! CPU time and processes: who wants more than the limit gets the limit.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::world::{Group, world};

/// CPU time that a group has used.
fn used(group: &Group) -> Duration {
    // Nanoseconds on v1, where the file holds nothing else.
    match group.read("cpu.stat", "cpuacct.usage").parse() {
        Ok(nanoseconds) => Duration::from_nanos(nanoseconds),
        Err(_) => Duration::from_micros(group.count("cpu.stat", "usage_usec")),
    }
}

#[test]
fn a_cpu_hog_gets_its_quota_and_no_more() {
    const LIMIT: f64 = 0.25;
    const WINDOW: Duration = Duration::from_secs(3);
    world(|world| {
        let hog = world.container("hog", &["spin=2", "wait"]);
        let hog = hog.with("resources", json!({"limits": {"cpu": "250m"}}));
        let run = world.run(&world.pod("pod", [hog]));
        run.expect_running("pod", "hog", 0);
        let group = Group::of(world.pid_of("hog"));
        // A machine that is busy elsewhere may give less for a while. It must never give more.
        let mut shares = Vec::new();
        while shares.last().is_none_or(|share| *share < LIMIT * 0.9) {
            assert!(shares.len() < 8, "never came near {LIMIT}: {shares:?}");
            let (before, start) = (used(&group), Instant::now());
            thread::sleep(WINDOW);
            shares.push((used(&group) - before).as_secs_f64() / start.elapsed().as_secs_f64());
            assert!(shares.iter().all(|share| *share < LIMIT * 1.1), "more than {LIMIT}: {shares:?}");
        }
        assert!(group.count("cpu.stat", "nr_throttled") > 0);
        run.stop();
    });
}

#[test]
fn forks_end_at_the_limit_of_the_pod_and_not_below() {
    world(|world| {
        let many = world.container("many", &["children=100", "wait"]);
        let run = world.run_with(&world.pod("pod", [many]), &["--pod-max-pids", "40"]);
        let children = world.answer("many", "children=100").unwrap().as_u64().unwrap();
        let container = Group::of(world.pid_of("many"));
        let pod = container.above();
        let all: u64 = pod.read("pids.current", "pids.current").parse().unwrap();
        // Who cannot have a thread that it needs gives up, and what it had is free again.
        assert!(children < 40 && (36..=40).contains(&all), "{children} children, {all} in the pod");
        // Counted where the limit is, or where the fork was: on v1, and before Linux 6.11.
        let refused = |group: &Group| group.count("pids.events", "max");
        assert!(refused(&pod) + refused(&container) > 0, "none was refused");
        run.stop();
    });
}
