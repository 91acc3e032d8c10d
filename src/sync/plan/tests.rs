//! The planner's promises, as tables; and one property: whatever happens, in whatever order, the rules hold.

mod lifecycle;
mod property;
mod world;

use super::*;
use crate::pod::spec::RestartPolicy;
use crate::runtime::fixture::{History, at, name, pod};
use crate::runtime::observe::{Held, Pull, StopStep, Stopping};
use crate::state::record::Ending;
use crate::sync::outcome::{Outcome, outcome, verdict};

use RestartPolicy::{Always, Never, OnFailure};

fn start(container: &str, attempt: u32) -> Action {
    Action::Start { container: name(container), attempt }
}

fn stop(container: &str, attempt: u32, deadline: i64) -> Action {
    let (deadline, kill_at) = (at(deadline), at(deadline));
    Action::Stop { container: name(container), id: format!("{container}-{attempt}"), deadline, kill_at }
}

/// Has its stop signal, and will be killed at `deadline`.
fn signalled(deadline: i64) -> Option<Stopping> {
    Some(Stopping { deadline: at(deadline), step: StopStep::Signalled { kill_at: at(deadline) } })
}

fn kill(container: &str, attempt: u32) -> Action {
    Action::Kill { container: name(container), id: format!("{container}-{attempt}") }
}

fn terminate(deadline: i64) -> Intent {
    Intent::Terminate { deadline: at(deadline) }
}

/// Checks the actions and the wake-up time, in seconds.
#[track_caller]
fn check(pod: &Pod, observed: &Observed, intent: Intent, now: i64, actions: &[Action], wake: Option<i64>) {
    let got = plan(pod, observed, intent, at(now));
    assert_eq!(got, Plan { actions: actions.to_vec(), wake_at: wake.map(at) });
}

#[test]
fn a_new_pod_gets_a_sandbox_and_is_not_asked_twice() {
    let pod = pod(Always, &[], &["a"]);
    let mut h = History::default();
    check(&pod, &h.observed, Intent::Run, 0, &[Action::CreateSandbox], None);
    h.observed.creating = true;
    check(&pod, &h.observed, Intent::Run, 0, &[], None);
}

#[test]
fn a_sandbox_taken_over_from_another_agent_gets_what_it_may_lack() {
    let pod = pod(Always, &[], &["a"]);
    let mut h = History::ready();
    h.start(0, "a");
    h.observed.connected = false;
    check(&pod, &h.observed, Intent::Run, 1, &[Action::CreateSandbox], None);
    h.observed.creating = true;
    check(&pod, &h.observed, Intent::Run, 1, &[], None);
}

#[test]
fn a_pod_is_not_over_while_a_start_is_under_way_and_what_then_runs_is_ended_with_grace() {
    let pod = pod(Always, &[], &["a"]);
    let mut h = History::ready();
    h.observed.container_mut(&name("a")).starting = true;
    h.observed.eviction = Some(Ending::from(String::new()).at(at(1)));
    assert_eq!(outcome(&pod, &h.observed, at(1)), None);
    h.start(1, "a");
    h.observed.container_mut(&name("a")).starting = false;
    assert_eq!(outcome(&pod, &h.observed, at(1)), None);
    let stop = Action::Stop { container: name("a"), id: "a-0".into(), deadline: at(2), kill_at: at(3) };
    check(&pod, &h.observed, Intent::Run, 1, &[stop], Some(3));
    h.exit(2, "a", 143);
    assert_eq!(outcome(&pod, &h.observed, at(2)), Some(Outcome::Evicted));
}

#[test]
fn a_sandbox_that_could_not_be_made_is_tried_again_after_a_while() {
    let pod = pod(Always, &[], &["a"]);
    let mut h = History::default();
    h.observed.sandbox_failure = Some(Held::again(None, "FailedCreatePodSandBox", "no".into(), at(5)));
    check(&pod, &h.observed, Intent::Run, 6, &[], Some(15));
    check(&pod, &h.observed, Intent::Run, 15, &[Action::CreateSandbox], None);
}

#[test]
fn init_containers_run_one_after_another_then_all_containers_together() {
    let pod = pod(Always, &["i1", "i2"], &["a", "b"]);
    let mut h = History::ready();
    check(&pod, &h.observed, Intent::Run, 0, &[start("i1", 0)], None);
    h.start(0, "i1");
    check(&pod, &h.observed, Intent::Run, 1, &[], None);
    h.exit(2, "i1", 0);
    check(&pod, &h.observed, Intent::Run, 2, &[start("i2", 0)], None);
    h.start(2, "i2").exit(3, "i2", 0);
    check(&pod, &h.observed, Intent::Run, 3, &[start("a", 0), start("b", 0)], None);
    h.start(3, "a");
    check(&pod, &h.observed, Intent::Run, 3, &[start("b", 0)], None);
    h.observed.container_mut(&name("b")).starting = true;
    check(&pod, &h.observed, Intent::Run, 3, &[], None);
}

#[test]
fn a_failed_init_container_is_retried_with_back_off_or_fails_the_pod() {
    for policy in [Always, OnFailure] {
        let pod = pod(policy, &["i"], &["a"]);
        let mut h = History::ready();
        h.start(0, "i").exit(1, "i", 3);
        check(&pod, &h.observed, Intent::Run, 1, &[start("i", 1)], None);
        h.start(1, "i").exit(2, "i", 3);
        check(&pod, &h.observed, Intent::Run, 2, &[], Some(12));
        check(&pod, &h.observed, Intent::Run, 12, &[start("i", 2)], None);
    }
    let pod = pod(Never, &["i"], &["a"]);
    let mut h = History::ready();
    h.start(0, "i").exit(1, "i", 3);
    check(&pod, &h.observed, Intent::Run, 1, &[], None);
    assert_eq!(outcome(&pod, &h.observed, at(9)), Some(Outcome::Failed));
}

#[test]
fn ended_containers_come_back_by_policy_and_exit_code() {
    for (policy, code, comes_back) in [
        (Always, 0, true),
        (Always, 1, true),
        (OnFailure, 0, false),
        (OnFailure, 1, true),
        (Never, 0, false),
        (Never, 1, false),
    ] {
        let pod = pod(policy, &[], &["a", "b"]);
        let mut h = History::ready();
        h.start(0, "a").start(0, "b").exit(1, "a", code);
        let want = if comes_back { vec![start("a", 1)] } else { vec![] };
        check(&pod, &h.observed, Intent::Run, 1, &want, None);
    }
}

#[test]
fn back_off_doubles_and_is_forgotten_after_ten_good_minutes() {
    let pod = pod(Always, &[], &["a"]);
    let mut h = History::ready();
    let mut now = 0;
    for wait in [0, 10, 20, 40, 80, 160, 300, 300] {
        h.start(now, "a").exit(now + 1, "a", 1);
        now += 1;
        if wait > 0 {
            check(&pod, &h.observed, Intent::Run, now, &[], Some(now + wait));
        }
        now += wait;
        let attempt = h.observed.container(&name("a")).attempts;
        check(&pod, &h.observed, Intent::Run, now, &[start("a", attempt)], None);
    }
    h.start(now, "a").exit(now + 601, "a", 1);
    check(&pod, &h.observed, Intent::Run, now + 601, &[start("a", 9)], None);
}

#[test]
fn a_program_that_cannot_be_started_counts_as_a_failure() {
    let mut h = History::ready();
    h.start_fails(0, "a");
    check(&pod(Always, &[], &["a"]), &h.observed, Intent::Run, 0, &[start("a", 1)], None);
    check(&pod(Never, &[], &["a"]), &h.observed, Intent::Run, 0, &[], None);
    assert_eq!(outcome(&pod(Never, &[], &["a"]), &h.observed, at(9)), Some(Outcome::Failed));
}

#[test]
fn a_missing_image_holds_only_its_own_container() {
    let pod = pod(Never, &[], &["a", "b"]);
    let mut h = History::ready();
    let held = Held::again(None, "ErrImagePull", "not there".into(), at(5));
    h.observed.container_mut(&name("a")).held = Some(held.clone());
    check(&pod, &h.observed, Intent::Run, 5, &[start("b", 0)], Some(15));
    h.observed.container_mut(&name("a")).held =
        Some(Held::again(Some(&held), "ErrImagePull", "".into(), at(15)));
    check(&pod, &h.observed, Intent::Run, 16, &[start("b", 0)], Some(35));
    check(&pod, &h.observed, Intent::Run, 35, &[start("a", 0), start("b", 0)], None);
}

#[test]
fn an_image_that_a_start_lacks_is_pulled_before_the_next_with_a_back_off_of_its_own() {
    let pod = pod(Never, &[], &["a", "b"]);
    let mut h = History::ready();
    let image = || "nginx:1".to_owned();
    let pull = || Action::Pull { container: name("a"), image: image() };
    h.observed.container_mut(&name("a")).pull = Pull::Due(image());
    check(&pod, &h.observed, Intent::Run, 5, &[pull(), start("b", 0)], None);
    h.observed.container_mut(&name("a")).pull = Pull::UnderWay(image());
    check(&pod, &h.observed, Intent::Run, 5, &[start("b", 0)], None);

    // It fails, and is told as a back-off a little later.
    let mut held = None;
    for (at_second, again) in
        [(100, 10), (200, 20), (300, 40), (400, 80), (500, 160), (700, 300), (1100, 300)]
    {
        held = Some(Held::again(held.as_ref(), "ErrImagePull", "no".into(), at(at_second)));
        let known = h.observed.container_mut(&name("a"));
        (known.pull, known.held) = (Pull::Due(image()), held.clone());
        check(&pod, &h.observed, Intent::Run, at_second, &[start("b", 0)], Some(at_second + 2));
        check(&pod, &h.observed, Intent::Run, at_second + 2, &[start("b", 0)], Some(at_second + again));
        check(&pod, &h.observed, Intent::Run, at_second + again, &[pull(), start("b", 0)], None);
    }
    // It is there, so the start is tried again.
    let known = h.observed.container_mut(&name("a"));
    (known.pull, known.held) = (Pull::None, None);
    check(&pod, &h.observed, Intent::Run, 1200, &[start("a", 0), start("b", 0)], None);
}

#[test]
fn nobody_waits_for_a_pull_to_go_but_those_do_whom_a_hook_goes_before() {
    let mut pod = pod(Always, &[], &["a", "b"]);
    let mut h = History::ready();
    h.observed.container_mut(&name("a")).pull = Pull::UnderWay("x".to_owned());
    check(&pod, &h.observed, terminate(50), 10, &[Action::Remove], None);
    pod.spec.containers[0].lifecycle.post_start = Some(crate::pod::spec::Hook::Sleep(Duration::from_secs(1)));
    check(&pod, &h.observed, Intent::Run, 10, &[], None);
    // But not for one that is tried again later.
    let known = h.observed.container_mut(&name("a"));
    known.pull = Pull::Due("x".to_owned());
    known.held = Some(Held::again(None, "ErrImagePull", "no".into(), at(5)));
    check(&pod, &h.observed, Intent::Run, 10, &[start("b", 0)], Some(15));
}

#[test]
fn a_sick_container_is_stopped_gracefully_killed_late_and_restarted() {
    let pod = pod(Always, &[], &["a"]);
    let mut h = History::ready();
    h.start(0, "a");
    h.sick("a", Some(4));
    check(&pod, &h.observed, Intent::Run, 9, &[stop("a", 0, 13)], Some(13));
    h.sick("a", None);
    check(&pod, &h.observed, Intent::Run, 9, &[stop("a", 0, 39)], Some(39));
    h.observed.container_mut(&name("a")).stopping = signalled(39);
    check(&pod, &h.observed, Intent::Run, 10, &[], Some(39));
    check(&pod, &h.observed, Intent::Run, 39, &[kill("a", 0)], None);
    h.observed.container_mut(&name("a")).stopping =
        Some(Stopping { deadline: at(39), step: StopStep::Killed });
    check(&pod, &h.observed, Intent::Run, 40, &[], None);
    h.exit(40, "a", 137);
    check(&pod, &h.observed, Intent::Run, 40, &[start("a", 1)], None);
}

#[test]
fn a_lost_sandbox_is_made_anew_when_all_is_dead_and_init_containers_run_again() {
    let pod = pod(Always, &["i"], &["a"]);
    let mut h = History::ready();
    h.start(0, "i").exit(1, "i", 0).start(1, "a").sandbox_exit(5);
    check(&pod, &h.observed, Intent::Run, 5, &[], None);
    h.exit(5, "a", 137);
    check(&pod, &h.observed, Intent::Run, 5, &[Action::CreateSandbox], None);
    h.sandbox(5);
    check(&pod, &h.observed, Intent::Run, 5, &[start("i", 1)], None);
    h.start(5, "i").exit(6, "i", 0);
    check(&pod, &h.observed, Intent::Run, 6, &[start("a", 1)], None);
}

#[test]
fn a_lost_sandbox_ends_a_pod_that_must_not_restart_but_not_one_that_succeeded() {
    let mut h = History::ready();
    h.start(0, "a").start(0, "b").exit(1, "a", 0);
    h.observed.shim_lost(at(5));
    assert_eq!(outcome(&pod(Never, &[], &["a", "b"]), &h.observed, at(9)), Some(Outcome::Failed));
    check(&pod(Never, &[], &["a", "b"]), &h.observed, Intent::Run, 5, &[], None);
    let again = pod(OnFailure, &[], &["a", "b"]);
    check(&again, &h.observed, Intent::Run, 5, &[Action::CreateSandbox], None);
    h.sandbox(5);
    check(&again, &h.observed, Intent::Run, 5, &[start("b", 1)], None);
}

#[test]
fn sandboxes_that_keep_dying_are_made_anew_more_and_more_slowly() {
    let pod = pod(Always, &[], &["a"]);
    let mut h = History::ready();
    h.sandbox_exit(1);
    check(&pod, &h.observed, Intent::Run, 1, &[Action::CreateSandbox], None);
    h.sandbox(1).sandbox_exit(2);
    check(&pod, &h.observed, Intent::Run, 2, &[], Some(3));
}

#[test]
fn deletion_asks_then_kills_then_removes() {
    let pod = pod(Always, &[], &["a", "b"]);
    let mut h = History::ready();
    h.start(0, "a").start(0, "b");
    check(&pod, &h.observed, terminate(40), 10, &[stop("a", 0, 40), stop("b", 0, 40)], Some(40));
    for container in ["a", "b"] {
        h.observed.container_mut(&name(container)).stopping = signalled(40);
    }
    check(&pod, &h.observed, terminate(40), 11, &[], Some(40));
    h.exit(12, "a", 143);
    check(&pod, &h.observed, terminate(40), 40, &[kill("b", 0)], Some(44));
    h.exit(40, "b", 137);
    check(&pod, &h.observed, terminate(40), 40, &[Action::Remove], None);
}

#[test]
fn a_shorter_grace_kills_earlier_also_what_is_being_stopped_already() {
    let pod = pod(Always, &[], &["a"]);
    let mut h = History::ready();
    h.start(0, "a");
    h.observed.container_mut(&name("a")).stopping = signalled(40);
    check(&pod, &h.observed, terminate(15), 15, &[kill("a", 0)], Some(19));
}

#[test]
fn a_pod_deleted_while_it_starts_waits_for_the_start_but_not_for_ever() {
    let pod = pod(Always, &[], &["a"]);
    let mut h = History::default();
    h.observed.creating = true;
    check(&pod, &h.observed, terminate(30), 0, &[], Some(34));
    check(&pod, &h.observed, terminate(30), 34, &[Action::Remove], None);
}

#[test]
fn intent_never_goes_back_and_grace_never_grows() {
    let seconds = Duration::from_secs;
    let first = Intent::Run.terminate(at(0), seconds(10));
    assert_eq!(first, terminate(10));
    assert_eq!(first.terminate(at(1), seconds(20)), first);
    assert_eq!(first.terminate(at(1), seconds(4)), terminate(5));
    let kill = first.terminate(at(2), Duration::ZERO);
    assert_eq!(kill, Intent::Kill { since: at(2) });
    assert_eq!(kill.terminate(at(3), seconds(9)), kill);
}
