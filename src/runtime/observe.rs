//! What is known of one pod: the shim's journal folded into a value, and what the worker has asked for meanwhile. Pure.
//!
//! Everything that must outlast the agent comes from the journal alone (attempts, exits, back-off); the rest (a start under
//! way, a stop under way, an image not found, a probe's verdict) is found out again by a new agent within a moment.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use jiff::Timestamp;

use crate::pod::{ContainerName, ContainerSpec};
use crate::shim::protocol::{Attempt, Event, Exit, Record, StartFailure, User};
use crate::state::record::{Eviction, Given};
use crate::sync::restart;

/// Why a container waits whose image could not be pulled, in the kubelet's words.
pub const ERR_IMAGE_PULL: &str = "ErrImagePull";

/// A kubelet tells of a failed pull until it looks at the pod again; here that is this long.
const TOLD: Duration = Duration::from_secs(2);

/// All that is known of one pod.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// Number of the newest record folded in.
    pub last_seq: u64,
    /// How many records have been folded in, of this journal and of what it lost.
    folded: u64,
    /// When each record of the journal was written that has been folded in: another time is another record.
    journal: Vec<Timestamp>,
    /// The pod's namespaces.
    pub sandbox: Sandbox,
    /// How many sandboxes there have been.
    pub sandboxes: u32,
    /// Sandboxes made anew since the last one that lived long.
    pub sandbox_restarts: u32,
    /// A sandbox is being made.
    pub creating: bool,
    /// This agent has seen to it that the sandbox has its network: containers may start.
    pub connected: bool,
    /// The last attempt to make a sandbox that failed.
    pub sandbox_failure: Option<Held>,
    /// When the first shim of the pod began its journal.
    pub began: Option<Timestamp>,
    /// The pod's address, once it has one.
    pub address: Option<Ipv4Addr>,
    /// How far what runs has come to the resources that the pod asks for now.
    pub resize: Resize,
    /// Why the resources that the manifest asks for now are not even tried.
    pub infeasible: Option<String>,
    /// That all containers begin anew is being written down.
    pub resetting: bool,
    /// They do so not before then.
    pub next_round: Option<Timestamp>,
    /// The pod may not go on on this node.
    pub eviction: Option<Eviction>,
    containers: BTreeMap<ContainerName, Container>,
}

/// Where a change of resources stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Resize {
    /// What runs has what the pod asks for.
    #[default]
    Done,
    /// It is to be given that.
    Due,
    /// That is being done.
    UnderWay,
    /// It could not be done.
    Failed {
        /// In the kubelet's words.
        message: String,
        /// When it is tried again.
        again_at: Timestamp,
    },
}

/// The pod's namespaces, held by pause.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Sandbox {
    /// There has been none.
    #[default]
    Absent,
    /// Pause runs.
    Ready {
        /// Since when.
        since: Timestamp,
    },
    /// Pause or the shim is gone.
    Lost {
        /// Since when.
        at: Timestamp,
    },
}

/// What is known of one container.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Container {
    /// Where it stands.
    pub state: State,
    /// How the attempt before the newest ended.
    pub previous: Option<Ended>,
    /// Starts so far: the number of the next attempt.
    pub attempts: u32,
    /// Restarts since the last good run: decides the back-off.
    pub restarts_in_a_row: u32,
    /// The image that its newest attempt is made from.
    pub image_id: Option<String>,
    /// A start has been asked for and not been answered. A record of it may come before the answer.
    pub starting: bool,
    /// An attempt whose program may run by now.
    pub begun: Option<Begun>,
    /// It could not be asked for: the image is missing, say.
    pub held: Option<Held>,
    /// Where the image for its next attempt stands.
    pub pull: Pull,
    /// Who its newest attempt ran as, once it has been started.
    pub user: Option<User>,
    /// Where the postStart hook of the newest attempt stands; means nothing for a container without one.
    pub post_start: PostStart,
    /// It is being ended.
    pub stopping: Option<Stopping>,
    /// What its probes have found, while it runs.
    pub health: Health,
    /// What its newest attempt was given, where that is not what the pod asks for now.
    pub given: Option<Given>,
    /// The image of its newest attempt, where the pod has come to ask for another.
    pub old_image: Option<String>,
}

/// What the probes of a running container have found. What has no probe is as good as found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Health {
    /// The startup probe has succeeded.
    pub started: bool,
    /// The readiness probe says so.
    pub ready: bool,
    /// The liveness or the startup probe has failed: the container is to end.
    pub unhealthy: Option<Unhealthy>,
}

/// Why a container is to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unhealthy {
    /// Which probe said so.
    pub probe: crate::probe::Kind,
    /// In the kubelet's words: `Liveness probe failed: HTTP probe failed with statuscode: 500`.
    pub message: String,
    /// Time between the stop signal and SIGKILL, where the probe has one of its own.
    pub grace: Option<Duration>,
}

/// An attempt of which the journal says that its program is about to be started, and nothing more yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// Which.
    pub attempt: Attempt,
    /// Since when.
    pub at: Timestamp,
}

/// Where a container stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum State {
    /// Never started.
    #[default]
    Absent,
    /// Its program runs.
    Running(Running),
    /// It ended, or could not be started.
    Ended(Ended),
}

/// A running container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The container's id.
    pub id: String,
    /// Its first process.
    pub pid: i32,
    /// Since when.
    pub started_at: Timestamp,
    /// In which of the pod's sandboxes, counted from 1.
    pub sandbox: u32,
}

/// A container that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The container's id.
    pub id: String,
    /// When it was started; for a failed start, when it failed.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// In which of the pod's sandboxes, counted from 1.
    pub sandbox: u32,
    /// How.
    pub how: Ending,
    /// Its termination message.
    pub message: Option<String>,
    /// How many records there had been when one told of it: says what came first of two ends.
    pub seq: u64,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Its first process ended.
    Exit(Exit),
    /// Its program could not be started.
    StartFailed(StartFailure),
}

/// Something that could not be asked for, to be tried again later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// In Kubernetes' words, such as `ErrImagePull`.
    pub reason: String,
    /// One line a person can act on.
    pub message: String,
    /// Tries that failed.
    pub failures: u32,
    /// When the last one did.
    pub at: Timestamp,
}

/// Where the image of a start stands that needs a registry: nothing of it is known before the start has been tried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Pull {
    /// It may be there.
    #[default]
    None,
    /// This image is to be pulled before another try.
    Due(String),
    /// It is being pulled.
    UnderWay(String),
}

/// Where a postStart hook stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PostStart {
    /// It is to be run.
    #[default]
    Due,
    /// It runs.
    Running,
    /// It succeeded, in this agent's time or an earlier one's.
    Done,
    /// It failed, and says why: the container is to be ended.
    Failed(String),
}

/// A container that is being ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopping {
    /// When its grace period is over.
    pub deadline: Timestamp,
    /// How far it has come.
    pub step: StopStep,
}

/// How far the end of a container has come. It goes downwards only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopStep {
    /// Its preStop hook runs.
    PreStop,
    /// Its preStop hook is done. The stop signal may have to wait for other containers.
    PreStopDone,
    /// It has its stop signal.
    Signalled {
        /// SIGKILL follows then.
        kill_at: Timestamp,
    },
    /// SIGKILL could not be sent.
    KillFailed {
        /// It is tried again then.
        again_at: Timestamp,
    },
    /// It has SIGKILL.
    Killed,
}

impl Observed {
    /// What is known of a container; nothing, at first.
    pub fn container(&self, name: &ContainerName) -> &Container {
        static UNKNOWN: Container = Container::UNKNOWN;
        self.containers.get(name).unwrap_or(&UNKNOWN)
    }

    /// The same, to be changed.
    pub fn container_mut(&mut self, name: &ContainerName) -> &mut Container {
        self.containers.entry(name.clone()).or_default()
    }

    /// Containers that run.
    pub fn running(&self) -> impl Iterator<Item = (&ContainerName, &Running)> {
        self.containers.iter().filter_map(|(name, container)| Some((name, container.running()?)))
    }

    /// Starts of all containers together.
    pub fn containers_started(&self) -> u32 {
        self.containers.values().map(|container| container.attempts).sum()
    }

    /// True if a container has been started, in this round where all have begun anew.
    pub fn has_begun(&self) -> bool {
        self.containers.values().any(|container| container.state != State::Absent)
    }

    /// True if the newest attempt of a container belongs to the sandbox that there is.
    pub fn is_in_sandbox(&self, name: &ContainerName) -> bool {
        match &self.container(name).state {
            State::Absent => false,
            State::Running(running) => running.sandbox == self.sandboxes,
            State::Ended(ended) => ended.sandbox == self.sandboxes,
        }
    }

    /// True while a container runs, or may run in a moment.
    pub fn is_alive(&self, name: &ContainerName) -> bool {
        let container = self.container(name);
        container.starting || container.running().is_some()
    }

    /// What runs now was started by an earlier agent, which has seen to its postStart hooks as far as they go: like the
    /// kubelet, nobody runs them twice.
    pub fn taken_over(&mut self) {
        for container in self.containers.values_mut().filter(|container| container.running().is_some()) {
            container.post_start = PostStart::Done;
        }
    }

    /// True while an action that starts something is under way.
    pub fn is_starting(&self) -> bool {
        self.creating || self.containers.values().any(|c| c.starting)
    }

    /// An earlier agent did not complete a change of resources, before which these containers had been given that, by id.
    pub fn recall_given(&mut self, mut given: BTreeMap<String, Given>) {
        for container in self.containers.values_mut() {
            container.given = container.running().and_then(|running| given.remove(&running.id));
        }
        self.resize = Resize::Due;
    }

    /// Takes one record of the journal in. Records come in order; one that was taken in already changes nothing.
    ///
    /// A journal that was damaged has lost its end, or all of it, and its next shim uses those numbers again: what comes under one of them
    /// is new, and what was known stays so.
    pub fn fold(&mut self, record: Record) {
        if record.seq <= self.last_seq {
            let index = usize::try_from(record.seq.saturating_sub(1)).unwrap_or(usize::MAX);
            if self.journal.get(index) == Some(&record.at) {
                return;
            }
            self.journal.truncate(index);
        }
        self.last_seq = record.seq;
        self.folded += 1;
        let at = record.at;
        self.journal.push(at);
        self.began.get_or_insert(at);
        match record.event {
            Event::ShimStarted { .. } => {}
            Event::SandboxStarted { .. } => self.sandbox_started(at),
            Event::SandboxExited { .. } => self.sandbox_lost(at),
            Event::ContainerStarting { container } => self.container_starting(container, at),
            Event::ContainerStarted { container, pid, user } => {
                self.container_started(container, pid, user, at);
            }
            Event::ContainerStartFailed { container, failure } => {
                self.container_ended(container, Ending::StartFailed(failure), None, at, self.folded);
            }
            Event::ContainerExited { container, exit, message } => {
                self.container_ended(container, Ending::Exit(exit), message, at, self.folded);
            }
            Event::ContainersReset => self.reset(at),
        }
    }

    /// Objects that containers waited for may be there: these are tried again at once.
    pub fn retry_held(&mut self) {
        for container in self.containers.values_mut() {
            let waits_for = ["ContainerCreating", "CreateContainerConfigError"];
            container.held.take_if(|held| waits_for.contains(&held.reason.as_str()));
        }
    }

    /// The shim is gone, and with it all that ran or may have run. Its successor will put the same into the journal.
    pub fn shim_lost(&mut self, at: Timestamp) {
        self.sandbox_lost(at);
        let lost = || Ending::Exit(Exit { code: 137, signal: None, oom_killed: false, lost: true });
        let seq = self.folded + 1;
        for container in self.containers.values_mut() {
            if let State::Running(running) = &container.state {
                container.state = State::Ended(running.ended(lost(), None, at, seq));
                container.stopping = None;
                container.health = Health::default();
            }
        }
        let begun = self.containers.values().filter_map(|container| container.begun.as_ref());
        for attempt in begun.map(|begun| begun.attempt.clone()).collect::<Vec<_>>() {
            self.container_ended(attempt, lost(), None, at, seq);
        }
    }

    fn sandbox_started(&mut self, at: Timestamp) {
        self.sandbox = Sandbox::Ready { since: at };
        self.sandbox_failure = None;
        self.sandboxes += 1;
        if self.sandboxes > 1 {
            self.sandbox_restarts += 1;
        }
    }

    fn sandbox_lost(&mut self, at: Timestamp) {
        if let Sandbox::Ready { since } = self.sandbox {
            if restart::was_good_run(since, at) {
                self.sandbox_restarts = 0;
            }
            self.sandbox = Sandbox::Lost { at };
            self.connected = false;
        }
    }

    /// The container stays as it was until there is more to tell.
    fn container_starting(&mut self, attempt: Attempt, at: Timestamp) {
        if let Ok(name) = attempt.name.parse() {
            self.container_mut(&name).begun = Some(Begun { attempt, at });
        }
    }

    fn container_started(&mut self, attempt: Attempt, pid: i32, user: Option<User>, at: Timestamp) {
        let sandbox = self.sandboxes;
        let Some(container) = self.begin(&attempt) else { return };
        container.begun = None;
        container.user = user;
        container.state = State::Running(Running { id: attempt.id, pid, started_at: at, sandbox });
    }

    fn container_ended(
        &mut self,
        attempt: Attempt,
        how: Ending,
        message: Option<String>,
        at: Timestamp,
        seq: u64,
    ) {
        let sandbox = self.sandboxes;
        let Some(container) = self.begin(&attempt) else { return };
        let begun = container.begun.take().filter(|begun| begun.attempt.id == attempt.id);
        container.state = State::Ended(match &container.state {
            State::Running(running) if running.id == attempt.id => running.ended(how, message, at, seq),
            // The end had been concluded from the loss of the shim: the journal knows no better moment.
            State::Ended(ended) if ended.id == attempt.id => return,
            _ => {
                let started_at = match &how {
                    Ending::Exit(_) => begun.map_or(at, |begun| begun.at),
                    Ending::StartFailed(_) => at,
                };
                Ended { id: attempt.id, started_at, finished_at: at, sandbox, how, message, seq }
            }
        });
        container.stopping = None;
        container.health = Health::default();
    }

    /// All containers begin anew: how they ended is the past.
    fn reset(&mut self, at: Timestamp) {
        self.next_round = Some(restart::next_round(at));
        for container in self.containers.values_mut() {
            if let State::Ended(ended) = &container.state {
                container.previous = Some(ended.clone());
                container.state = State::Absent;
            }
            container.held = None;
        }
    }

    /// The container of that attempt, moved on to it if it is a new one; `None` for one before the newest, of which a journal tells again
    /// that has lost what followed.
    fn begin(&mut self, attempt: &Attempt) -> Option<&mut Container> {
        // A shim is only ever given valid names.
        let name: ContainerName = attempt.name.parse().ok()?;
        let sandbox = self.sandboxes;
        let container = self.containers.entry(name).or_default();
        if attempt.attempt.saturating_add(1) < container.attempts {
            return None;
        }
        if attempt.attempt >= container.attempts {
            if let State::Ended(ended) = &container.state {
                container.restarts_in_a_row = container.restarts_then(ended, sandbox);
                container.previous = Some(ended.clone());
            }
            container.attempts = attempt.attempt + 1;
            container.image_id = attempt.image_id.clone();
            container.held = None;
            container.user = None;
            container.post_start = PostStart::Due;
            container.stopping = None;
            container.health = Health::default();
        }
        Some(container)
    }
}

impl Container {
    /// A container of which nothing is known.
    const UNKNOWN: Self = Self {
        state: State::Absent,
        previous: None,
        attempts: 0,
        restarts_in_a_row: 0,
        image_id: None,
        starting: false,
        begun: None,
        held: None,
        pull: Pull::None,
        user: None,
        post_start: PostStart::Due,
        stopping: None,
        health: Health { started: false, ready: false, unhealthy: None },
        given: None,
        old_image: None,
    };

    /// True while its image is being pulled.
    pub fn is_pulling(&self) -> bool {
        matches!(self.pull, Pull::UnderWay(_))
    }

    /// The image whose pull has failed, with why, while another try waits or is under way.
    pub fn failed_pull(&self) -> Option<(&str, &Held)> {
        let held = self.held.as_ref().filter(|held| held.reason == ERR_IMAGE_PULL)?;
        match &self.pull {
            Pull::None => None,
            Pull::Due(image) | Pull::UnderWay(image) => Some((image, held)),
        }
    }

    /// The running attempt, once its postStart hook has succeeded: before that, a container is not told to run.
    pub fn running_past_hook(&self, spec: &ContainerSpec) -> Option<&Running> {
        let is_past_hook = spec.lifecycle.post_start.is_none() || self.post_start == PostStart::Done;
        self.running().filter(|_| is_past_hook)
    }

    /// The running attempt.
    pub fn running(&self) -> Option<&Running> {
        match &self.state {
            State::Running(running) => Some(running),
            _ => None,
        }
    }

    /// True while it runs and its postStart hook and its startup probe, as far as it has them, have succeeded.
    pub fn has_started(&self, spec: &ContainerSpec) -> bool {
        self.running_past_hook(spec).is_some() && (spec.startup_probe.is_none() || self.health.started)
    }

    /// True once it has started, and while its readiness probe, if it has one, says so.
    pub fn is_ready(&self, spec: &ContainerSpec) -> bool {
        self.has_started(spec) && (spec.readiness_probe.is_none() || self.health.ready)
    }

    /// The grace period to end it with, if it is sick: a probe or its postStart hook has failed. `grace` is the pod's.
    pub fn to_end_within(&self, grace: Duration) -> Option<Duration> {
        match (&self.health.unhealthy, &self.post_start) {
            (Some(unhealthy), _) => Some(unhealthy.grace.unwrap_or(grace)),
            (None, PostStart::Failed(_)) => Some(grace),
            (None, _) => None,
        }
    }

    /// The newest attempt, if it has ended.
    pub fn ended(&self) -> Option<&Ended> {
        match &self.state {
            State::Ended(ended) => Some(ended),
            _ => None,
        }
    }

    /// Starts after the first.
    pub fn restarts(&self) -> u32 {
        self.attempts.saturating_sub(1)
    }

    /// When the next start in that sandbox is due, and how long a wait that is; `None`: at once.
    ///
    /// What ended in an earlier sandbox is started in the new one at once: it went down with the old one, or, having
    /// prepared it, must prepare the new one.
    pub fn due(&self, sandbox: u32) -> Option<(Timestamp, Duration)> {
        let restart = self.ended().filter(|ended| ended.sandbox == sandbox).map(|ended| {
            let restarts = if ended.was_good_run() { 0 } else { self.restarts_in_a_row };
            let delay = restart::container_delay(restarts);
            (restart::after(ended.finished_at, delay), delay)
        });
        let retry = self.held.as_ref().map(|held| (held.due(), restart::container_delay(held.failures)));
        restart.max(retry)
    }

    /// What `restarts_in_a_row` becomes by the restart in `sandbox` that follows `ended`.
    fn restarts_then(&self, ended: &Ended, sandbox: u32) -> u32 {
        match ended {
            _ if ended.sandbox != sandbox => self.restarts_in_a_row,
            _ if ended.was_good_run() => 1,
            _ => self.restarts_in_a_row + 1,
        }
    }
}

impl Running {
    fn ended(&self, how: Ending, message: Option<String>, at: Timestamp, seq: u64) -> Ended {
        Ended {
            id: self.id.clone(),
            started_at: self.started_at,
            finished_at: at,
            sandbox: self.sandbox,
            how,
            message,
            seq,
        }
    }
}

impl Ended {
    /// Exit code; 128 when the program could not be started.
    pub fn code(&self) -> i32 {
        match &self.how {
            Ending::Exit(exit) => exit.code,
            Ending::StartFailed(_) => 128,
        }
    }

    fn was_good_run(&self) -> bool {
        restart::was_good_run(self.started_at, self.finished_at)
    }
}

impl Held {
    /// A first failure, or one more after `before`.
    pub fn again(before: Option<&Held>, reason: &str, message: String, at: Timestamp) -> Self {
        let failures = before.map_or(0, |held| held.failures).saturating_add(1);
        Self { reason: reason.to_owned(), message, failures, at }
    }

    /// Until when a failed pull is told as itself; from then on as a back-off.
    pub fn told_until(&self) -> Timestamp {
        restart::after(self.at, TOLD)
    }

    /// When to try again.
    pub fn due(&self) -> Timestamp {
        restart::after(self.at, restart::container_delay(self.failures))
    }
}

#[cfg(test)]
mod tests;
