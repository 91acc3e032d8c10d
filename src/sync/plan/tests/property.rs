//! A small world that does what the plan says, and in which anything may happen at any time: whatever it is, the rules hold.

use proptest::prelude::*;

use super::*;
use crate::pod::spec::{ExitCodes, Hook, RestartAction, RestartRule};
use crate::runtime::observe::{Health, PostStart};
use crate::sync::outcome::evict;

#[derive(Debug, Clone)]
enum Happening {
    Exit { container: usize, code: i32 },
    StartFails,
    ImageMissing,
    Sick { container: usize },
    PostStartEnds { container: usize, is_fine: bool },
    PreStopEnds { container: usize },
    PauseDies,
    ShimDies,
    AgentRestarts,
    Resize { container: usize, is_fine: bool },
    Image { container: usize },
    Wait { seconds: i64 },
    Delete { grace: u64 },
    Evict,
}

fn happening() -> impl Strategy<Value = Happening> {
    let container = || 0..World::NAMES.len();
    prop_oneof![
        6 => (container(), prop_oneof![Just(0), Just(1), Just(42), Just(137)])
            .prop_map(|(container, code)| Happening::Exit { container, code }),
        1 => Just(Happening::StartFails),
        1 => Just(Happening::ImageMissing),
        1 => container().prop_map(|container| Happening::Sick { container }),
        4 => (container(), proptest::bool::weighted(0.8))
            .prop_map(|(container, is_fine)| Happening::PostStartEnds { container, is_fine }),
        2 => container().prop_map(|container| Happening::PreStopEnds { container }),
        1 => Just(Happening::PauseDies),
        1 => Just(Happening::ShimDies),
        1 => Just(Happening::AgentRestarts),
        2 => (container(), proptest::bool::weighted(0.7))
            .prop_map(|(container, is_fine)| Happening::Resize { container, is_fine }),
        1 => container().prop_map(|container| Happening::Image { container }),
        4 => (0..700i64).prop_map(|seconds| Happening::Wait { seconds }),
        1 => (0..60u64).prop_map(|grace| Happening::Delete { grace }),
        1 => Just(Happening::Evict),
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
    next_resize_fails: bool,
}

impl World {
    /// Init containers and sidecars in their order, then the containers.
    const NAMES: [&'static str; 6] = ["i", "s", "j", "t", "a", "b"];

    /// `i` and `j` are ordinary init containers, `s` and `t` sidecars; `s` and `a` have hooks, `t` and
    /// `a` are restarted when their resources change, unless nothing is restarted. The code 42 of `j`, `t` and `b` has all of
    /// them begin anew.
    fn new(policy: RestartPolicy, deadline: Option<u64>) -> Self {
        let mut pod = pod(policy, &["i", "s", "j", "t"], &["a", "b"]);
        pod.spec.active_deadline = deadline.map(Duration::from_secs);
        for sidecar in [1, 3] {
            pod.spec.init_containers[sidecar].restart_policy = Some(Always);
        }
        for spec in [&mut pod.spec.init_containers[1], &mut pod.spec.containers[0]] {
            spec.lifecycle.post_start = Some(Hook::Sleep(Duration::ZERO));
            spec.lifecycle.pre_stop = Some(Hook::Sleep(Duration::ZERO));
        }
        for spec in [&mut pod.spec.init_containers[3], &mut pod.spec.containers[0]] {
            spec.resize_policy.cpu_restarts = policy != Never;
        }
        let all =
            RestartRule { action: RestartAction::RestartAllContainers, exit_codes: ExitCodes::In(vec![42]) };
        pod.spec.init_containers[2].restart_rules.push(all.clone());
        pod.spec.init_containers[3].restart_rules.push(all.clone());
        pod.spec.containers[1].restart_rules.push(all);
        let mut history = History::default();
        history.observed.began = Some(at(0));
        Self {
            pod,
            history,
            intent: Intent::Run,
            now: 0,
            removed: false,
            next_start_fails: false,
            next_image_missing: false,
            next_resize_fails: false,
        }
    }

    fn is_running(&self, container: &str) -> bool {
        self.history.observed.container(&name(container)).running().is_some()
    }

    fn outcome(&self) -> Option<Outcome> {
        outcome(&self.pod, &self.history.observed, at(self.now))
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
            Happening::PostStartEnds { container, is_fine } => {
                let known = self.history.observed.container_mut(&name(Self::NAMES[container]));
                if known.post_start == PostStart::Running {
                    known.post_start = if is_fine { PostStart::Done } else { PostStart::Failed("no".into()) };
                }
            }
            Happening::PreStopEnds { container } => {
                let known = self.history.observed.container_mut(&name(Self::NAMES[container]));
                if let Some(stopping) = known.stopping.as_mut().filter(|s| s.step == StopStep::PreStop) {
                    stopping.step = StopStep::PreStopDone;
                }
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
            Happening::AgentRestarts => {
                for container in Self::NAMES {
                    let known = self.history.observed.container_mut(&name(container));
                    (known.held, known.stopping, known.health) = (None, None, Health::default());
                }
                self.history.observed.taken_over();
            }
            Happening::Resize { container, is_fine } => {
                let old = self.pod.clone();
                let spec = &mut self.pod.spec;
                let mut all = spec.init_containers.iter_mut().chain(&mut spec.containers);
                let resources = &mut all.nth(container).unwrap().resources;
                resources.cpu_limit_millis = Some(resources.cpu_limit_millis.unwrap_or(0) + 1);
                drop(all);
                crate::sync::resize::begin(&old, &self.pod, &mut self.history.observed);
                self.next_resize_fails = !is_fine;
            }
            Happening::Image { container } => {
                let old = self.pod.clone();
                let spec = &mut self.pod.spec;
                let mut all = spec.init_containers.iter_mut().chain(&mut spec.containers);
                all.nth(container).unwrap().image.push('x');
                drop(all);
                crate::sync::resize::begin(&old, &self.pod, &mut self.history.observed);
            }
            Happening::StartFails => self.next_start_fails = true,
            Happening::ImageMissing => self.next_image_missing = true,
            Happening::Wait { seconds } => self.wait(seconds),
            Happening::Delete { grace } => {
                let before = self.intent;
                let grace = Duration::from_secs(grace);
                self.intent =
                    super::super::terminate(before, &self.pod, &self.history.observed, at(now), grace);
                if let (Intent::Terminate { deadline: old }, Intent::Terminate { deadline: new }) =
                    (before, self.intent)
                {
                    assert!(new <= old, "grace grew");
                }
            }
            Happening::Evict if self.intent == Intent::Run => {
                evict(&self.pod, &mut self.history.observed, String::new(), at(now));
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
            Action::Start { container, attempt } => self.start(container.as_str(), attempt),
            Action::Pull { container, .. } => panic!("{container} has its image"),
            Action::PostStart { container, .. } => {
                let known = self.history.observed.container_mut(&container);
                assert!(known.running().is_some() && known.stopping.is_none());
                assert_eq!(known.post_start, PostStart::Due, "a postStart hook that runs twice");
                known.post_start = PostStart::Running;
            }
            Action::PreStop { container, deadline, .. } => {
                let stopping = &mut self.history.observed.container_mut(&container).stopping;
                assert_eq!(*stopping, None, "stopped twice");
                assert!(deadline > at(now));
                *stopping = Some(Stopping { deadline, step: StopStep::PreStop });
            }
            Action::Stop { container, deadline, kill_at, .. } => {
                assert!(kill_at >= at(now + 2), "too little time to end");
                let stopping = &mut self.history.observed.container_mut(&container).stopping;
                match stopping.map(|stopping| stopping.step) {
                    None => {}
                    Some(StopStep::PreStop) => assert!(at(now) >= deadline, "a hook cut short"),
                    Some(StopStep::PreStopDone) => {}
                    Some(step) => panic!("a stop signal after {step:?}"),
                }
                *stopping = Some(Stopping { deadline, step: StopStep::Signalled { kill_at } });
                self.check_turn(container.as_str(), deadline);
            }
            Action::Resize => {
                let is_fine = !std::mem::take(&mut self.next_resize_fails);
                let result = if is_fine { Ok(()) } else { Err("no".into()) };
                let observed = &mut self.history.observed;
                crate::sync::resize::end(&self.pod, result, at(now), observed);
                let restarts = |(name, _): &(&ContainerName, _)| {
                    let spec = self.pod.spec.container(name).unwrap();
                    crate::sync::resize::restarts(&self.pod, spec, observed)
                };
                assert!(!observed.running().any(|one| restarts(&one)), "one that runs on is to be restarted");
            }
            Action::Kill { container, .. } => {
                self.history.exit(now, container.as_str(), 137);
            }
            Action::Reset => {
                assert_eq!(self.intent, Intent::Run);
                assert_eq!(self.history.observed.running().count(), 0, "anew with something running");
                assert_eq!(self.outcome(), None, "a pod that is over begins anew");
                self.history.reset(now);
            }
            Action::Remove => {
                assert_ne!(self.intent, Intent::Run);
                assert_eq!(self.history.observed.running().count(), 0, "removed with something running");
                self.removed = true;
            }
        }
    }

    fn start(&mut self, container: &str, attempt: u32) {
        let now = self.now;
        assert_eq!(self.intent, Intent::Run, "a start while terminating");
        assert_eq!(verdict(&self.pod, &self.history.observed, at(now)), None, "a start after the verdict");
        assert!(matches!(self.history.observed.sandbox, Sandbox::Ready { .. }));
        assert!(!self.is_running(container), "two of one container");
        assert!(!restarts_all(&self.pod, &self.history.observed), "a start before all have ended");
        assert_eq!(attempt, self.history.observed.container(&name(container)).attempts);
        if ["a", "b"].contains(&container) {
            assert!(!self.is_running("i") && !self.is_running("j"), "a container beside an init container");
        }
        if std::mem::take(&mut self.next_image_missing) {
            let known = self.history.observed.container_mut(&name(container));
            known.held = Some(Held::again(known.held.as_ref(), "ErrImagePull", "".into(), at(now)));
        } else if std::mem::take(&mut self.next_start_fails) {
            self.history.start_fails(now, container);
        } else {
            let known = self.history.observed.container_mut(&name(container));
            (known.given, known.old_image) = (None, None);
            self.history.start(now, container);
        }
    }

    /// Sidecars of a pod that goes are not asked to end before their time.
    fn check_turn(&self, sidecar: &str, deadline: Timestamp) {
        let settled = verdict(&self.pod, &self.history.observed, at(self.now));
        let is_going = self.intent != Intent::Run || settled.is_some();
        if is_going && at(self.now) < deadline && ["s", "t"].contains(&sidecar) {
            assert!(!self.is_running("a") && !self.is_running("b"), "{sidecar} before the containers");
            assert!(sidecar == "t" || !self.is_running("t"), "s before t");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn any_interleaving_ends_where_the_spec_says(
        policy in prop_oneof![Just(Always), Just(OnFailure), Just(Never)],
        deadline in proptest::option::weighted(0.2, 1..3000u64),
        happenings in proptest::collection::vec(happening(), 0..60),
    ) {
        let mut world = World::new(policy, deadline);
        world.settle();
        let mut over = None;
        for happening in happenings {
            world.happen(happening);
            if world.intent == Intent::Run {
                let outcome = world.outcome();
                prop_assert!(over.is_none() || outcome == over, "a pod that was over came back: {outcome:?}");
                over = outcome;
            }
        }
        if world.intent == Intent::Run && over.is_none() {
            // Left alone, it comes to rest with its containers running, or over.
            world.wait(3600);
            prop_assert!(world.history.observed.running().next().is_some() || world.outcome().is_some());
        }
        world.happen(Happening::Delete { grace: 30 });
        world.wait(60);
        prop_assert!(world.removed, "a deleted pod goes within its grace period");
    }
}
