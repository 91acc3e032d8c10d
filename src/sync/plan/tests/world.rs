//! A world of scripts in which [`plan`] is carried out second by second, and what happened in it as text.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::pod::Pod;
use crate::pod::spec::tests::probe;
use crate::pod::spec::{
    ExitCodes, Hook, Probe, ProbeHandler, RestartAction, RestartPolicy, RestartRule, TcpSocket,
};
use crate::runtime::fixture::{self, History, at, name};
use crate::runtime::observe::{Held, PostStart, Resize, StopStep, Stopping};
use crate::status::derive::derive;
use crate::sync::outcome::evict;
use crate::sync::plan::{Action, Intent, plan, terminate};
use crate::sync::resize;

/// A pod, and what its containers do.
#[derive(Debug, Default)]
pub(super) struct Script {
    pod: Option<Pod>,
    containers: BTreeMap<String, Behaviour>,
    events: Vec<(i64, String)>,
    until: i64,
}

/// What a container does, attempt by attempt; the last of a list goes on for all further attempts.
#[derive(Debug, Default)]
struct Behaviour {
    /// Ends by itself after so many seconds with that code; `None`: never.
    runs: Vec<Option<(i64, i32)>>,
    /// Answers its stop signal after so many seconds with that code; `None`: never.
    term: Option<(i64, i32)>,
    post: Option<Takes>,
    pre: Option<Takes>,
    startup: Vec<Takes>,
    liveness: Vec<Takes>,
    image_missing: bool,
}

/// A limit of cpu that every container has at first, thousandths of one; each change gives it so much more.
const LIMIT: u64 = 100;

/// Something that takes a while, and then is fine or is not. Without a time it never ends.
#[derive(Debug, Clone, Copy)]
struct Takes {
    seconds: Option<i64>,
    is_fine: bool,
}

#[derive(Debug)]
enum Happening {
    Exit { id: String, code: i32 },
    PostStart { id: String, is_fine: bool },
    PreStop { id: String },
    Started { id: String },
    Resized { is_fine: bool },
    Sick { id: String },
    Event(String),
}

/// The world at one moment.
struct World<'a> {
    script: &'a Script,
    pod: Pod,
    history: History,
    intent: Intent,
    now: i64,
    agenda: BTreeMap<i64, VecDeque<Happening>>,
    phase: String,
    removed: bool,
    /// The next change of resources cannot be made.
    memory_in_use: bool,
    /// Containers whose image is not there at present.
    missing: BTreeSet<String>,
    trace: Vec<(i64, Vec<String>)>,
}

// === impl Script ===

impl Script {
    /// Reads the lines of a case; [`super::lifecycle`] says what they mean.
    pub(super) fn read(text: &str) -> Self {
        let mut script = Self::default();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let (head, rest) = line.split_once(": ").unwrap_or((line, ""));
            match head.split_once(' ').unwrap_or((head, "")) {
                ("pod", _) => script.pod = Some(read_pod(rest)),
                ("at", second) => script.events.push((number(second), rest.to_owned())),
                ("until", second) => script.until = number(second),
                (kind, container) => script.container(kind, container, rest),
            }
        }
        script
    }

    fn container(&mut self, kind: &str, container: &str, words: &str) {
        let mut spec = fixture::container(container);
        spec.resources.cpu_limit_millis = Some(LIMIT);
        let mut behaviour = Behaviour { term: Some((0, 143)), ..Behaviour::default() };
        let sleep = Some(Hook::Sleep(Duration::from_secs(1)));
        for word in words.split(' ') {
            let (option, value) = word.split_once('=').unwrap_or((word, ""));
            let mut rule = |action, exit_codes| spec.restart_rules.push(RestartRule { action, exit_codes });
            match option {
                "runs" => behaviour.runs = value.split(',').map(time_and_code).collect(),
                "term" => behaviour.term = time_and_code(value),
                "post" => (spec.lifecycle.post_start, behaviour.post) = (sleep.clone(), Some(takes(value))),
                "pre" => (spec.lifecycle.pre_stop, behaviour.pre) = (sleep.clone(), Some(takes(value))),
                "startup" => {
                    spec.startup_probe = Some(any_probe());
                    behaviour.startup = value.split(',').map(takes).collect();
                }
                "liveness" => {
                    spec.liveness_probe = Some(any_probe());
                    behaviour.liveness = value.split(',').map(takes).collect();
                }
                "restart" => spec.restart_policy = Some(policy(value)),
                "in" => rule(RestartAction::Restart, ExitCodes::In(codes(value))),
                "notin" => rule(RestartAction::Restart, ExitCodes::NotIn(codes(value))),
                "all-in" => rule(RestartAction::RestartAllContainers, ExitCodes::In(codes(value))),
                "all-notin" => rule(RestartAction::RestartAllContainers, ExitCodes::NotIn(codes(value))),
                "restarts-to-resize" => spec.resize_policy.cpu_restarts = true,
                "image-missing" => behaviour.image_missing = true,
                other => panic!("no such option: {other}"),
            }
        }
        let pod = &mut self.pod.as_mut().expect("the pod comes first").spec;
        match kind {
            "main" => pod.containers.push(spec),
            "init" => pod.init_containers.push(spec),
            "debug" => {
                spec.restart_policy = Some(RestartPolicy::Never);
                pod.ephemeral_containers.push(spec);
            }
            "sidecar" => {
                spec.restart_policy = Some(RestartPolicy::Always);
                pod.init_containers.push(spec);
            }
            other => panic!("no such kind: {other}"),
        }
        self.containers.insert(container.to_owned(), behaviour);
    }

    /// What happens, a line for each second in which something does.
    pub(super) fn play(&self) -> String {
        let mut world = World {
            script: self,
            pod: self.pod.clone().unwrap(),
            history: History::default(),
            intent: Intent::Run,
            now: 0,
            agenda: BTreeMap::new(),
            phase: String::new(),
            removed: false,
            memory_in_use: false,
            missing: BTreeSet::new(),
            trace: Vec::new(),
        };
        world.history.observed.began = Some(at(0));
        for (second, event) in &self.events {
            world.agenda.entry(*second).or_default().push_back(Happening::Event(event.clone()));
        }
        world.play();
        let lines = world.trace.iter().map(|(second, words)| format!("{second} {}", words.join(" ")));
        lines.collect::<Vec<_>>().join("\n")
    }
}

fn read_pod(words: &str) -> Pod {
    let mut words = words.split(' ');
    let mut pod = fixture::pod(policy(words.next().unwrap()), &[], &[]);
    for word in words {
        match word.split_once('=').unwrap() {
            ("grace", seconds) => {
                pod.spec.termination_grace_period = Duration::from_secs(seconds.parse().unwrap())
            }
            ("deadline", seconds) => {
                pod.spec.active_deadline = Some(Duration::from_secs(seconds.parse().unwrap()))
            }
            other => panic!("no such option: {other:?}"),
        }
    }
    pod
}

fn policy(word: &str) -> RestartPolicy {
    match word {
        "Always" => RestartPolicy::Always,
        "OnFailure" => RestartPolicy::OnFailure,
        "Never" => RestartPolicy::Never,
        other => panic!("no such policy: {other}"),
    }
}

fn number(text: &str) -> i64 {
    text.parse().unwrap_or_else(|_| panic!("no number: {text}"))
}

fn codes(text: &str) -> Vec<i32> {
    text.split(',').map(|code| code.parse().unwrap()).collect()
}

/// `5=0`: after 5 s, with code 0; `-`: never.
fn time_and_code(text: &str) -> Option<(i64, i32)> {
    let (seconds, code) = text.split_once('=')?;
    Some((number(seconds), code.parse().unwrap()))
}

/// `5`: fine after 5 s; `5!`: not so; `-`: never ends.
fn takes(text: &str) -> Takes {
    let seconds = text.trim_end_matches('!').parse().ok();
    Takes { seconds, is_fine: !text.ends_with('!') }
}

/// Of any handler: the script says what comes of it.
fn any_probe() -> Probe {
    probe(ProbeHandler::TcpSocket(TcpSocket { host: None, port: 80 }))
}

/// The entry for an attempt.
fn nth<T: Copy>(list: &[T], attempt: u32) -> Option<T> {
    list.get(attempt as usize).or(list.last()).copied()
}

// === impl World ===

impl World<'_> {
    fn play(&mut self) {
        loop {
            let wake = self.settle();
            let next = self.agenda.keys().next().copied();
            let Some(next) = next.into_iter().chain(wake).min().filter(|next| *next <= self.script.until)
            else {
                return;
            };
            assert!(next >= self.now, "{next} is in the past of {}", self.now);
            self.now = next;
            let happenings = self.agenda.remove(&next).unwrap_or_default();
            happenings.into_iter().for_each(|happening| self.happen(happening));
        }
    }

    /// Carries plans out until nothing is to be done now; when to plan again.
    fn settle(&mut self) -> Option<i64> {
        for _ in 0..50 {
            if self.removed {
                return None;
            }
            self.look();
            let plan = plan(&self.pod, &self.history.observed, self.intent, at(self.now));
            if plan.actions.is_empty() {
                return plan.wake_at.map(|wake| wake.as_second());
            }
            plan.actions.into_iter().for_each(|action| self.act(action));
            self.look();
        }
        panic!("the planner does not come to rest:\n{:?}", self.trace);
    }

    /// Notes a change of phase.
    fn look(&mut self) {
        let status = derive(&self.pod, &self.history.observed, self.intent, None, None, at(self.now));
        let phase = status.phase.unwrap();
        if phase != self.phase {
            self.note(format!("({phase}{})", status.reason.map(|why| format!(" {why}")).unwrap_or_default()));
            self.phase = phase;
        }
    }

    fn note(&mut self, word: impl Into<String>) {
        match self.trace.last_mut() {
            Some((second, words)) if *second == self.now => words.push(word.into()),
            _ => self.trace.push((self.now, vec![word.into()])),
        }
    }

    fn later(&mut self, after: i64, happening: Happening) {
        self.agenda.entry(self.now + after).or_default().push_back(happening);
    }

    fn act(&mut self, action: Action) {
        let now = self.now;
        match action {
            Action::CreateSandbox => {
                self.note("sandbox");
                self.history.sandbox(now);
            }
            Action::Start { container, attempt } => self.start(container.as_str(), attempt),
            Action::Pull { container, .. } => self.note(format!("pull:{container}")),
            Action::PostStart { container, id } => {
                self.note(format!("post:{container}"));
                self.history.observed.container_mut(&container).post_start = PostStart::Running;
                let Takes { seconds, is_fine } = self.script.containers[container.as_str()].post.unwrap();
                if let Some(seconds) = seconds {
                    self.later(seconds, Happening::PostStart { id, is_fine });
                }
            }
            Action::PreStop { container, id, deadline } => {
                self.note(format!("pre:{container}"));
                self.history.observed.container_mut(&container).stopping =
                    Some(Stopping { deadline, step: StopStep::PreStop });
                if let Some(seconds) = self.script.containers[container.as_str()].pre.unwrap().seconds {
                    self.later(seconds, Happening::PreStop { id });
                }
            }
            Action::Stop { container, id, deadline, kill_at } => {
                self.note(format!("term:{container}"));
                self.history.observed.container_mut(&container).stopping =
                    Some(Stopping { deadline, step: StopStep::Signalled { kill_at } });
                if let Some((seconds, code)) = self.script.containers[container.as_str()].term {
                    self.later(seconds, Happening::Exit { id, code });
                }
            }
            Action::Resize => {
                self.note("resize");
                self.history.observed.resize = Resize::UnderWay;
                let is_fine = !std::mem::take(&mut self.memory_in_use);
                self.later(0, Happening::Resized { is_fine });
            }
            Action::Kill { container, id } => {
                self.note(format!("kill:{container}"));
                self.history.observed.container_mut(&container).stopping =
                    Some(Stopping { deadline: at(now), step: StopStep::Killed });
                self.later(0, Happening::Exit { id, code: 137 });
            }
            Action::Reset => {
                self.note("reset");
                self.history.reset(now);
            }
            Action::Remove => {
                self.note("removed");
                self.removed = true;
            }
        }
    }

    fn start(&mut self, container: &str, attempt: u32) {
        let now = self.now;
        let behaviour = &self.script.containers[container];
        if behaviour.image_missing || self.missing.contains(container) {
            self.note(format!("no-image:{container}"));
            let known = self.history.observed.container_mut(&name(container));
            known.held = Some(Held::again(known.held.as_ref(), "ErrImagePull", String::new(), at(now)));
            return;
        }
        self.note(format!("+{container}"));
        let known = self.history.observed.container_mut(&name(container));
        (known.given, known.old_image) = (None, None);
        self.history.start(now, container);
        let id = || format!("{container}-{attempt}");
        if let Some((seconds, code)) = nth(&behaviour.runs, attempt).flatten() {
            self.later(seconds, Happening::Exit { id: id(), code });
        }
        if let Some(Takes { seconds: Some(seconds), is_fine }) = nth(&behaviour.startup, attempt) {
            let happening =
                if is_fine { Happening::Started { id: id() } } else { Happening::Sick { id: id() } };
            self.later(seconds, happening);
        }
        if let Some(Takes { seconds: Some(seconds), is_fine: false }) = nth(&behaviour.liveness, attempt) {
            self.later(seconds, Happening::Sick { id: id() });
        }
    }

    /// The container whose running attempt has that id; what is gone has no further part in anything.
    fn running(&self, id: &str) -> Option<String> {
        let mut running = self.history.observed.running();
        running.find(|(_, running)| running.id == id).map(|(name, _)| name.to_string())
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Exit { id, code } => {
                let Some(container) = self.running(&id) else { return };
                self.note(format!("-{container}={code}"));
                self.history.exit(self.now, &container, code);
            }
            Happening::PostStart { id, is_fine } => {
                let Some(container) = self.running(&id) else { return };
                self.note(format!("{}:{container}", if is_fine { "posted" } else { "post-failed" }));
                self.history.observed.container_mut(&name(&container)).post_start =
                    if is_fine { PostStart::Done } else { PostStart::Failed("no".into()) };
            }
            Happening::PreStop { id } => {
                let Some(container) = self.running(&id) else { return };
                let stopping = &mut self.history.observed.container_mut(&name(&container)).stopping;
                if let Some(stopping) = stopping.as_mut().filter(|s| s.step == StopStep::PreStop) {
                    stopping.step = StopStep::PreStopDone;
                }
            }
            Happening::Started { id } => {
                let Some(container) = self.running(&id) else { return };
                self.note(format!("started:{container}"));
                self.history.observed.container_mut(&name(&container)).health.started = true;
            }
            Happening::Sick { id } => {
                let Some(container) = self.running(&id) else { return };
                self.note(format!("sick:{container}"));
                self.history.sick(&container, None);
            }
            Happening::Resized { is_fine } => {
                self.note(if is_fine { "resized" } else { "not-resized" });
                let result = if is_fine { Ok(()) } else { Err("no".to_owned()) };
                resize::end(&self.pod, result, at(self.now), &mut self.history.observed);
            }
            Happening::Event(event) => self.event(&event),
        }
    }

    fn event(&mut self, event: &str) {
        self.note(format!("[{event}]"));
        match event.split_once(' ').unwrap() {
            ("delete", grace) => {
                let grace = Duration::from_secs(grace.parse().unwrap());
                self.intent = terminate(self.intent, &self.pod, &self.history.observed, at(self.now), grace);
            }
            ("image", container) => {
                let old = self.pod.clone();
                let spec = &mut self.pod.spec;
                let mut all = spec.init_containers.iter_mut().chain(&mut spec.containers);
                all.find(|spec| spec.name.as_str() == container).unwrap().image.push_str(":new");
                drop(all);
                resize::begin(&old, &self.pod, &mut self.history.observed);
            }
            ("missing", container) => drop(self.missing.insert(container.to_owned())),
            ("found", container) => drop(self.missing.remove(container)),
            ("resize" | "fails-to-resize", containers) => {
                self.memory_in_use = event.starts_with("fails");
                let old = self.pod.clone();
                let spec = &mut self.pod.spec;
                for spec in spec.init_containers.iter_mut().chain(&mut spec.containers) {
                    if containers.split(',').any(|named| named == spec.name.as_str()) {
                        spec.resources.cpu_limit_millis =
                            spec.resources.cpu_limit_millis.map(|limit| limit + LIMIT);
                    }
                }
                resize::begin(&old, &self.pod, &mut self.history.observed);
            }
            ("evict", "pod") => {
                evict(&self.pod, &mut self.history.observed, String::new(), at(self.now));
            }
            ("shim", "dies") => self.history.observed.shim_lost(at(self.now)),
            ("agent", "restarts") => {
                let started: Vec<_> = self.script.containers.keys().cloned().collect();
                for container in started {
                    let known = self.history.observed.container_mut(&name(&container));
                    (known.held, known.stopping) = (None, None);
                    known.health = Default::default();
                }
                self.history.observed.taken_over();
            }
            other => panic!("no such event: {other:?}"),
        }
    }
}
