//! The planner's promises, as tables; and one property: whatever happens, in whatever order, the rules hold.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::pod::spec::RestartPolicy;
use crate::runtime::fixture::{History, at, name, pod};
use crate::runtime::observe::Held;
use crate::sync::outcome::Outcome;

use RestartPolicy::{Always, Never, OnFailure};

fn start(container: &str, attempt: u32) -> Action {
    Action::Start { container: name(container), attempt }
}

fn stop(container: &str, attempt: u32, deadline: i64) -> Action {
    Action::Stop { container: name(container), id: format!("{container}-{attempt}"), deadline: at(deadline) }
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
    assert_eq!(outcome(&pod, &h.observed), Some(Outcome::Failed));
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
    assert_eq!(outcome(&pod(Never, &[], &["a"]), &h.observed), Some(Outcome::Failed));
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
fn a_sick_container_is_stopped_gracefully_killed_late_and_restarted() {
    let pod = pod(Always, &[], &["a"]);
    let mut h = History::ready();
    h.start(0, "a");
    h.sick("a", Some(4));
    check(&pod, &h.observed, Intent::Run, 9, &[stop("a", 0, 13)], Some(13));
    h.sick("a", None);
    check(&pod, &h.observed, Intent::Run, 9, &[stop("a", 0, 39)], Some(39));
    h.observed.container_mut(&name("a")).stopping = Some(Stopping { deadline: at(39), killed: false });
    check(&pod, &h.observed, Intent::Run, 10, &[], Some(39));
    check(&pod, &h.observed, Intent::Run, 39, &[kill("a", 0)], None);
    h.observed.container_mut(&name("a")).stopping = Some(Stopping { deadline: at(39), killed: true });
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
    assert_eq!(outcome(&pod(Never, &[], &["a", "b"]), &h.observed), Some(Outcome::Failed));
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
        h.observed.container_mut(&name(container)).stopping =
            Some(Stopping { deadline: at(40), killed: false });
    }
    check(&pod, &h.observed, terminate(40), 11, &[], Some(40));
    h.exit(12, "a", 143);
    check(&pod, &h.observed, terminate(40), 40, &[kill("b", 0)], Some(42));
    h.exit(40, "b", 137);
    check(&pod, &h.observed, terminate(40), 40, &[Action::Remove], None);
}

#[test]
fn a_shorter_grace_kills_earlier_also_what_is_being_stopped_already() {
    let pod = pod(Always, &[], &["a"]);
    let mut h = History::ready();
    h.start(0, "a");
    h.observed.container_mut(&name("a")).stopping = Some(Stopping { deadline: at(40), killed: false });
    check(&pod, &h.observed, terminate(15), 15, &[kill("a", 0)], Some(17));
}

#[test]
fn a_pod_deleted_while_it_starts_waits_for_the_start_but_not_for_ever() {
    let pod = pod(Always, &[], &["a"]);
    let mut h = History::default();
    h.observed.creating = true;
    check(&pod, &h.observed, terminate(30), 0, &[], Some(32));
    check(&pod, &h.observed, terminate(30), 32, &[Action::Remove], None);
}

#[test]
fn intent_never_goes_back_and_grace_never_grows() {
    let first = Intent::Run.terminate(at(10));
    assert_eq!(first, terminate(10));
    assert_eq!(first.terminate(at(20)), first);
    assert_eq!(first.terminate(at(5)), terminate(5));
}

// A small world that does what the plan says, and in which anything may happen at any time.

#[derive(Debug, Clone)]
enum Happening {
    Exit { container: usize, code: i32 },
    StartFails,
    ImageMissing,
    Sick { container: usize },
    PauseDies,
    ShimDies,
    Wait { seconds: i64 },
    Delete { grace: i64 },
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (0..3usize, prop_oneof![Just(0), Just(1), Just(137)])
            .prop_map(|(container, code)| Happening::Exit { container, code }),
        1 => Just(Happening::StartFails),
        1 => Just(Happening::ImageMissing),
        1 => (0..3usize).prop_map(|container| Happening::Sick { container }),
        1 => Just(Happening::PauseDies),
        1 => Just(Happening::ShimDies),
        4 => (0..700i64).prop_map(|seconds| Happening::Wait { seconds }),
        1 => (0..60i64).prop_map(|grace| Happening::Delete { grace }),
    ]
}

struct World {
    pod: Pod,
    history: History,
    intent: Intent,
    now: i64,
    removed: bool,
    next_start_fails: bool,
    next_image_missing: bool,
}

impl World {
    const NAMES: [&'static str; 3] = ["i", "a", "b"];

    fn new(policy: RestartPolicy) -> Self {
        Self {
            pod: pod(policy, &["i"], &["a", "b"]),
            history: History::default(),
            intent: Intent::Run,
            now: 0,
            removed: false,
            next_start_fails: false,
            next_image_missing: false,
        }
    }

    fn is_running(&self, container: &str) -> bool {
        self.history.observed.container(&name(container)).running().is_some()
    }

    fn happen(&mut self, happening: Happening) {
        let now = self.now;
        match happening {
            Happening::Exit { container, code } if self.is_running(Self::NAMES[container]) => {
                self.history.exit(now, Self::NAMES[container], code);
            }
            Happening::Sick { container } if self.is_running(Self::NAMES[container]) => {
                self.history.sick(Self::NAMES[container], None);
            }
            Happening::PauseDies if matches!(self.history.observed.sandbox, Sandbox::Ready { .. }) => {
                self.history.sandbox_exit(now);
                for container in Self::NAMES {
                    if self.is_running(container) {
                        self.history.exit(now, container, 137);
                    }
                }
            }
            Happening::ShimDies => self.history.observed.shim_lost(at(now)),
            Happening::StartFails => self.next_start_fails = true,
            Happening::ImageMissing => self.next_image_missing = true,
            Happening::Wait { seconds } => self.wait(seconds),
            Happening::Delete { grace } => {
                let before = self.intent;
                self.intent = self.intent.terminate(at(now + grace));
                if let (Intent::Terminate { deadline: old }, Intent::Terminate { deadline: new }) =
                    (before, self.intent)
                {
                    assert!(new <= old, "grace grew");
                }
            }
            _ => {}
        }
        self.settle();
    }

    /// Lets time pass, waking the planner whenever it asked to be.
    fn wait(&mut self, seconds: i64) {
        let end = self.now + seconds;
        while let Some(wake) = self.settle() {
            if wake > end {
                break;
            }
            assert!(wake > self.now, "the planner asks to be woken in the past");
            self.now = wake;
        }
        self.now = end;
    }

    /// Carries plans out until there is nothing to do; the time at which to plan again.
    fn settle(&mut self) -> Option<i64> {
        for _ in 0..100 {
            let observed = &self.history.observed;
            let plan = plan(&self.pod, observed, self.intent, at(self.now));
            if self.removed {
                return None;
            }
            if plan.actions.is_empty() {
                return plan.wake_at.map(|t| t.as_second());
            }
            for action in plan.actions {
                self.act(action);
            }
        }
        panic!("the planner does not come to rest");
    }

    fn act(&mut self, action: Action) {
        assert!(!self.removed, "an action after the removal");
        let now = self.now;
        match action {
            Action::CreateSandbox => {
                assert_eq!(self.intent, Intent::Run);
                assert!(!self.history.observed.connected);
                self.history.sandbox(now);
            }
            Action::Start { container, attempt } => {
                assert_eq!(self.intent, Intent::Run, "a start while terminating");
                assert!(matches!(self.history.observed.sandbox, Sandbox::Ready { .. }));
                assert!(!self.is_running(container.as_str()), "two of one container");
                assert_eq!(attempt, self.history.observed.container(&container).attempts);
                if container.as_str() != "i" {
                    assert!(!self.is_running("i"), "a container beside an init container");
                }
                if std::mem::take(&mut self.next_image_missing) {
                    let known = self.history.observed.container_mut(&container);
                    known.held = Some(Held::again(known.held.as_ref(), "ErrImagePull", "".into(), at(now)));
                } else if std::mem::take(&mut self.next_start_fails) {
                    self.history.start_fails(now, container.as_str());
                } else {
                    self.history.start(now, container.as_str());
                }
            }
            Action::Stop { container, deadline, .. } => {
                let stopping = &mut self.history.observed.container_mut(&container).stopping;
                assert_eq!(*stopping, None, "stopped twice");
                *stopping = Some(Stopping { deadline, killed: false });
            }
            Action::Kill { container, .. } => {
                self.history.exit(now, container.as_str(), 137);
            }
            Action::Remove => {
                assert_ne!(self.intent, Intent::Run);
                assert_eq!(self.history.observed.running().count(), 0, "removed with something running");
                self.removed = true;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_interleaving_ends_where_the_spec_says(
        policy in prop_oneof![Just(Always), Just(OnFailure), Just(Never)],
        happenings in proptest::collection::vec(happening(), 0..40),
    ) {
        let mut world = World::new(policy);
        world.settle();
        let mut over = None;
        for happening in happenings {
            world.happen(happening);
            if world.intent == Intent::Run {
                let outcome = outcome(&world.pod, &world.history.observed);
                prop_assert!(over.is_none() || outcome == over, "a pod that was over came back");
                over = outcome;
            }
        }
        if world.intent == Intent::Run && over.is_none() {
            // Left alone, it comes to rest with its containers running, or over.
            world.wait(Duration::from_secs(3600).as_secs() as i64);
            let observed = &world.history.observed;
            prop_assert!(observed.running().next().is_some() || outcome(&world.pod, observed).is_some());
        }
        world.happen(Happening::Delete { grace: 30 });
        world.wait(60);
        prop_assert!(world.removed, "a deleted pod goes within its grace period");
    }
}
