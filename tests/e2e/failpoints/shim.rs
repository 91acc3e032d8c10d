//! The shim dies; its agent lives, starts another, and the pod goes on by its restart policy.

use std::fs;

use serde_json::json;

use super::at_each;
use crate::world::{Pod, World, http_get, kill, until};

/// Where it dies in each scenario.
pub(super) const POINTS: &[&[&str]] = &[START, EXIT, PAUSE, RESET, FAILURE, ROTATION];

const START: &[&str] = &[
    "journal.opened",
    "shimStarted.next",
    "shimStarted.written",
    "sandbox.mounted",
    "sandbox.cloned",
    "sandboxStarted.next",
    "sandboxStarted.written",
    "containerStarting.next",
    "containerStarting.written",
    "container.cloned",
    "containerStarted.next",
    "containerStarted.written",
];

const EXIT: &[&str] = &["container.removed", "containerExited.next", "containerExited.written"];

const PAUSE: &[&str] = &["sandboxExited.next", "sandboxExited.written"];

const RESET: &[&str] = &["containersReset.next", "containersReset.written"];

const FAILURE: &[&str] = &["containerStartFailed.next", "containerStartFailed.written"];

const ROTATION: &[&str] = &["log.dropped", "log.moved", "log.begun"];

/// A pod `p` whose container `a` ends when it is told to, for the first time.
fn pod(world: &World, policy: &str) -> Pod {
    let steps = ["term=0", "serve=80", "until=/ledger/go", "once=/ledger/gone", "exit=3"];
    world.pod("p", [world.container("a", &steps)]).restart_policy(policy)
}

#[test]
fn a_shim_that_dies_while_it_starts_a_pod_is_followed_by_one_that_runs_it() {
    at_each(START, |failing, point| {
        let world = failing.world;
        failing.arm(point);
        world.manifests().put(&pod(world, "Always"));
        let agent = failing.agent();
        failing.expect_death(point);
        agent.expect_state("p", "a", |state| state.starts_with("Running"));
        until("the container to be alive", || (world.processes_of("a").len() == 1).then_some(()));
        // From then on it hears signals.
        assert_eq!(http_get(agent.ip("p"), 80, "/").1, "a");
        agent.clear(world);
        assert!(world.ledger().starts("a") <= 2);
        assert_eq!(world.ledger().ends("a").last(), Some(&Some(0)));
    });
}

#[test]
fn a_shim_that_dies_while_it_starts_a_container_that_may_run_once_is_followed_by_one_that_runs_it_at_most_once()
 {
    at_each(START, |failing, point| {
        let world = failing.world;
        failing.arm_slow(point);
        world.manifests().put(&pod(world, "Never"));
        let agent = failing.agent();
        failing.expect_death(point);
        let settled = || {
            let lines = agent.lines();
            let is = |text: &str| lines.iter().any(|line| line.starts_with(text));
            let runs = is("container default/p/a: Running") && world.processes_of("a").len() == 1;
            (runs || is("pod default/p: Failed")).then_some(())
        };
        until("the pod to run or to have failed", settled);
        agent.clear(world);
        assert!(world.ledger().starts("a") <= 1, "it ran {} times", world.ledger().starts("a"));
    });
}

#[test]
fn a_shim_that_dies_with_the_exit_of_a_container_is_followed_by_one_that_restarts_it_by_its_policy() {
    let lives: [(&str, &[Option<i64>]); 2] = [("Always", &[Some(3), Some(0)]), ("Never", &[Some(3)])];
    for (policy, ends) in lives {
        at_each(EXIT, |failing, point| {
            let world = failing.world;
            world.manifests().put(&pod(world, policy));
            let agent = failing.agent();
            agent.expect_running("p", "a", 0);
            failing.arm(point);
            world.touch("go");
            failing.expect_death(point);
            agent.expect_state("p", "a", |state| {
                // Of what nobody wrote down no more is known than that it is over.
                let code = if point == "containerExited.written" { "exit code 3)" } else { "exit code 137)" };
                state.starts_with("Terminated") && state.contains(code)
            });
            if policy == "Always" {
                agent.expect_running("p", "a", 1);
            } else {
                agent.expect("pod default/p: Failed");
            }
            agent.clear(world);
            assert_eq!(world.ledger().ends("a"), ends);
        });
    }
}

#[test]
fn a_shim_that_dies_with_its_sandbox_is_followed_by_one_that_makes_another() {
    at_each(PAUSE, |failing, point| {
        let world = failing.world;
        world.manifests().put(&pod(world, "Always"));
        let agent = failing.agent();
        let ip = agent.ip("p");
        agent.expect_running("p", "a", 0);
        let pause = world.pause_pid();
        failing.arm(point);
        kill(pause);
        failing.expect_death(point);
        until("the container to run again", || (world.ledger().starts("a") == 2).then_some(()));
        until("another pause", || (world.pause_pid() != pause).then_some(()));
        assert_eq!(agent.ip("p"), ip);
        agent.clear(world);
        assert_eq!(world.ledger().ends("a"), [None, Some(0)]);
    });
}

#[test]
fn a_shim_that_dies_while_its_containers_begin_anew_is_followed_by_one_that_runs_them() {
    at_each(RESET, |failing, point| {
        let world = failing.world;
        let rules =
            json!([{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}]);
        let trigger = world.container("a", &["term=0", "until=/ledger/go", "once=/ledger/gone", "exit=42"]);
        let trigger = trigger.with("restartPolicy", json!("Never")).with("restartPolicyRules", rules);
        let other = world.container("b", &["term=0", "wait"]);
        world.manifests().put(&world.pod("p", [trigger, other]).restart_policy("Never"));
        let agent = failing.agent();
        agent.expect_running("p", "a", 0);
        agent.expect_running("p", "b", 0);
        failing.arm(point);
        world.touch("go");
        failing.expect_death(point);
        for container in ["a", "b"] {
            until("all to run again", || (world.ledger().starts(container) == 2).then_some(()));
        }
        agent.clear(world);
        assert_eq!(world.ledger().ends("a"), [Some(42), Some(0)]);
        assert_eq!(world.ledger().ends("b"), [None, Some(0)]);
    });
}

#[test]
fn a_shim_that_dies_with_a_failed_start_is_followed_by_one_that_tells_it() {
    at_each(FAILURE, |failing, point| {
        let world = failing.world;
        failing.arm(point);
        let absent = world.container("a", &[]).command(&["/bin/nosuch"]);
        world.manifests().put(&world.pod("p", [absent]).restart_policy("Never"));
        let agent = failing.agent();
        failing.expect_death(point);
        agent.expect("pod default/p: Failed");
        agent.clear(world);
    });
}

/// What the files of the container's log say, in order: whole lines, each whole.
fn logged(world: &World) -> Vec<String> {
    let pod = fs::read_dir(world.log_dir()).unwrap().next().unwrap().unwrap().path();
    let mut files: Vec<_> = fs::read_dir(pod.join("a")).unwrap().map(|file| file.unwrap().path()).collect();
    // The one without a time is the newest.
    files.sort_by_key(|file| (file.extension().is_some_and(|ending| ending == "log"), file.clone()));
    let text: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    assert!(text.ends_with('\n'), "the last line is torn");
    text.lines().map(|line| line.splitn(4, ' ').nth(3).unwrap().to_owned()).collect()
}

#[test]
fn a_shim_that_dies_while_it_rotates_a_log_loses_no_line_that_it_has_written() {
    at_each(ROTATION, |failing, point| {
        let world = failing.world;
        let printer = world.container("a", &["print-lines=4000", "report", "wait"]);
        world.manifests().put(&world.pod("p", [printer]).restart_policy("Never"));
        failing.arm(point);
        let mut command = failing.mkubelet();
        command.env("MKUBELET_CONTAINER_LOG_MAX_SIZE", "16Ki").env("MKUBELET_CONTAINER_LOG_MAX_FILES", "3");
        let agent = world.agent_by(command);
        failing.expect_death(point);
        agent.expect("pod default/p: Failed");
        let texts = logged(world);
        let first: usize = texts[0].strip_prefix("line ").unwrap().parse().unwrap();
        let expected: Vec<String> = (first..first + texts.len()).map(|line| format!("line {line}")).collect();
        assert_eq!(texts, expected);
        let shown = world.output(&["logs", "p"]);
        assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
        assert_eq!(String::from_utf8_lossy(&shown.stdout).lines().collect::<Vec<_>>(), expected);
        agent.clear(world);
        assert_eq!(world.ledger().starts("a"), 1);
    });
}
