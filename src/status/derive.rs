//! From what was asked and what is known to a Pod's status, in Kubernetes' words. Pure.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
    ContainerUser, HostIP, LinuxContainerUser, PodCondition, PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::conditions::{self, Fact};
use super::echo;
use crate::image::Reference;
use crate::pod::spec::{QosClass, RestartAction};
use crate::pod::{ContainerSpec, Pod};
use crate::runtime::observe::{Container, Ended, Ending, Observed, PostStart, Resize, Sandbox, State};
use crate::shim::protocol::User;
use crate::state::record::Cause;
use crate::sync::outcome::{self, Outcome, verdict};
use crate::sync::plan::Intent;
use crate::sync::{init, resize, restart};

/// Of all termination messages of a pod together, bytes: each container has an equal part (the kubelet's
/// MaxPodTerminationMessageLogLength).
const MAX_MESSAGES: usize = 12 << 10;

/// In the kubelet's words.
const DEADLINE_EXCEEDED: &str = "Pod was active on the node longer than the specified deadline";

/// The status of `pod` at the time `now`, on a node with the address `node`; `before` is the last one, whose times are
/// carried over.
pub fn derive(
    pod: &Pod,
    observed: &Observed,
    intent: Intent,
    node: Option<IpAddr>,
    before: Option<&PodStatus>,
    now: Timestamp,
) -> PodStatus {
    let view = View { pod, observed, intent, now };
    let phase = view.phase();
    let (reason, message) = view.ended_by_agent().unzip();
    let old_conditions = before.and_then(|before| before.conditions.as_deref()).unwrap_or_default();
    let start_time = before.and_then(|before| before.start_time.clone());
    let mut conditions = conditions::dated(view.facts(phase, old_conditions), old_conditions, now);
    for condition in &mut conditions {
        condition.observed_generation = pod.generation;
    }
    let init = &pod.spec.init_containers;
    let host_network = node.filter(|_| pod.spec.host_network);
    let pod_ip = observed.address.map(IpAddr::V4).or(host_network).map(|ip| ip.to_string());
    let host_ip = node.map(|ip| ip.to_string());
    PodStatus {
        phase: Some(phase.to_owned()),
        reason: reason.map(str::to_owned),
        message: message.map(str::to_owned),
        conditions: Some(conditions),
        container_statuses: Some(pod.spec.containers.iter().map(|c| view.container(c, false)).collect()),
        init_container_statuses: (!init.is_empty())
            .then(|| init.iter().map(|c| view.container(c, true)).collect()),
        ephemeral_container_statuses: (!pod.spec.ephemeral_containers.is_empty())
            .then(|| pod.spec.ephemeral_containers.iter().map(|c| view.ephemeral_container(c)).collect()),
        host_ips: host_ip.clone().map(|ip| vec![HostIP { ip }]),
        host_ip,
        pod_ips: pod_ip.clone().map(|ip| vec![PodIP { ip }]),
        pod_ip,
        observed_generation: pod.generation,
        qos_class: Some(qos_class(pod.spec.qos_class).to_owned()),
        start_time: start_time.or(Some(Time(observed.began.unwrap_or(now)))),
        ..PodStatus::default()
    }
}

fn qos_class(class: QosClass) -> &'static str {
    match class {
        QosClass::Guaranteed => "Guaranteed",
        QosClass::Burstable => "Burstable",
        QosClass::BestEffort => "BestEffort",
    }
}

/// One moment of one pod.
struct View<'a> {
    pod: &'a Pod,
    observed: &'a Observed,
    intent: Intent,
    now: Timestamp,
}

impl View<'_> {
    fn phase(&self) -> &'static str {
        match outcome::outcome(self.pod, self.observed, self.now) {
            Some(Outcome::Succeeded) => return "Succeeded",
            Some(Outcome::Failed | Outcome::DeadlineExceeded | Outcome::Evicted) => return "Failed",
            None => {}
        }
        // Said at once, while what still runs is ended.
        if self.ended_by_agent().is_some() || outcome::has_failed_init(self.pod, self.observed) {
            return "Failed";
        }
        let mut containers = self.pod.spec.containers.iter();
        if self.intent != Intent::Run && self.observed.running().next().is_none() {
            // A pod that is going does not restart anything: what its containers ended with is the last word.
            let all_well = containers.all(|c| self.known(c).ended().is_some_and(|ended| ended.code() == 0));
            return if all_well { "Succeeded" } else { "Failed" };
        }
        let waits_for_first_start = containers.any(|c| match self.known(c) {
            Container { state: State::Absent, .. } => true,
            known => known.attempts == 1 && known.running().is_some() && !self.shows_running(c),
        });
        if waits_for_first_start || !self.is_initialized() { "Pending" } else { "Running" }
    }

    /// Reason and message of a pod that its containers would not have ended.
    fn ended_by_agent(&self) -> Option<(&'static str, &str)> {
        match verdict(self.pod, self.observed, self.now)?.outcome {
            Outcome::DeadlineExceeded => Some(("DeadlineExceeded", DEADLINE_EXCEEDED)),
            Outcome::Evicted => {
                let eviction = self.observed.eviction.as_ref()?;
                Some((eviction.cause.reason(), &eviction.message))
            }
            Outcome::Succeeded | Outcome::Failed => None,
        }
    }

    fn facts(&self, phase: &str, old: &[PodCondition]) -> Vec<Fact> {
        let sidecars = self.pod.spec.init_containers.iter().filter(|c| c.is_sidecar());
        let unready = sidecars.chain(&self.pod.spec.containers).filter(|c| !self.is_ready(c));
        let unready: Vec<_> = unready.map(|c| c.name.as_str()).collect();
        let ready = |kind| match phase {
            "Succeeded" => Fact::because(kind, "PodCompleted", "unready", &[]),
            "Failed" => Fact::because(kind, "PodFailed", "unready", &[]),
            _ if unready.is_empty() => Fact::yes(kind),
            _ => Fact::because(kind, "ContainersNotReady", "unready", &unready),
        };
        // A sandbox that was taken over is looked at again, and is as ready as it was meanwhile.
        let was_connected = matches!(self.observed.sandbox, Sandbox::Ready { .. })
            && old.iter().any(|old| old.type_ == "PodReadyToStartContainers" && old.status == "True");
        let sandbox = if self.observed.connected || was_connected { Fact::yes } else { Fact::no };
        let facts = [
            sandbox("PodReadyToStartContainers"),
            self.initialized(phase, old),
            ready("Ready"),
            ready("ContainersReady"),
            Fact::yes("PodScheduled"),
        ];
        let others = self.resizing().chain(self.all_restarting(phase)).chain(self.disrupted());
        facts.into_iter().chain(others).collect()
    }

    /// The node ends the pod, which would have gone on elsewhere (KEP-3329). A pod that takes more than it may itself would not.
    fn disrupted(&self) -> Option<Fact> {
        let eviction = self.observed.eviction.as_ref().filter(|one| one.cause != Cause::LocalStorage)?;
        const PREEMPTED: &str = "Pod was preempted by Kubelet to accommodate a critical pod.";
        let is_preempted = eviction.cause == Cause::Preemption;
        let message = if is_preempted { PREEMPTED.to_owned() } else { eviction.message.clone() };
        let (reason, message) = (Some("TerminationByKubelet"), Some(message));
        self.ended_by_agent()?;
        Some(Fact { reason, message, ..Fact::yes("DisruptionTarget") })
    }

    /// What is to be said of other resources: that they cannot be had, and that they are not there yet.
    fn resizing(&self) -> impl Iterator<Item = Fact> {
        let (pending, in_progress) = (Fact::yes("PodResizePending"), Fact::yes("PodResizeInProgress"));
        let infeasible = self.observed.infeasible.clone();
        let pending =
            infeasible.map(|why| Fact { reason: Some("Infeasible"), message: Some(why), ..pending });
        let in_progress = match &self.observed.resize {
            Resize::Done => None,
            Resize::Due | Resize::UnderWay => Some(in_progress),
            Resize::Failed { message, .. } => {
                Some(Fact { reason: Some("Error"), message: Some(message.clone()), ..in_progress })
            }
        };
        pending.into_iter().chain(in_progress)
    }

    /// Of pods only whose rules know that action (KEP-5532).
    fn all_restarting(&self, phase: &str) -> Option<Fact> {
        const KIND: &str = "AllContainersRestarting";
        let containers = self.pod.spec.init_containers.iter().chain(&self.pod.spec.containers);
        let mut rules = containers.flat_map(|spec| &spec.restart_rules);
        rules.find(|rule| rule.action == RestartAction::RestartAllContainers)?;
        Some(match phase {
            "Succeeded" => Fact { reason: Some("PodCompleted"), ..Fact::no(KIND) },
            "Failed" => Fact { reason: Some("PodFailed"), ..Fact::no(KIND) },
            _ if self.intent == Intent::Run && outcome::restarts_all(self.pod, self.observed) => Fact {
                reason: Some("RestartAllContainersStarted"),
                message: Some("container exited with restart policy rule".to_owned()),
                ..Fact::yes(KIND)
            },
            _ => Fact::no(KIND),
        })
    }

    /// Once a pod was initialized it stays so, even if its init containers run again.
    fn initialized(&self, phase: &str, old: &[PodCondition]) -> Fact {
        let was_initialized = || old.iter().any(|old| old.type_ == "Initialized" && old.status == "True");
        match phase {
            "Succeeded" => return Fact { reason: Some("PodCompleted"), ..Fact::yes("Initialized") },
            _ if self.is_initialized() || was_initialized() => return Fact::yes("Initialized"),
            _ => {}
        }
        let inits = self.pod.spec.init_containers.iter();
        let incomplete = inits.filter(|c| !init::is_complete(c, self.observed));
        let incomplete: Vec<_> = incomplete.map(|c| c.name.as_str()).collect();
        Fact::because("Initialized", "ContainersNotInitialized", "incomplete", &incomplete)
    }

    fn is_initialized(&self) -> bool {
        init::turn(self.pod, self.observed).is_none()
    }

    fn known(&self, spec: &ContainerSpec) -> &Container {
        self.observed.container(&spec.name)
    }

    /// True if it runs and has passed its postStart hook.
    fn shows_running(&self, spec: &ContainerSpec) -> bool {
        self.known(spec).running_past_hook(spec).is_some()
    }

    fn is_ready(&self, spec: &ContainerSpec) -> bool {
        self.known(spec).is_ready(spec)
    }

    fn container(&self, spec: &ContainerSpec, is_init: bool) -> ContainerStatus {
        let known = self.known(spec);
        let waiting = self.waiting(spec, is_init);
        let last = match &known.state {
            // While it waits to be started again, how it ended is the past.
            State::Ended(ended) if waiting.is_some() => Some(ended),
            _ => known.previous.as_ref(),
        };
        let running = known.running();
        let id = running.map(|r| &r.id).or(known.ended().map(|e| &e.id));
        let image = known.old_image.as_ref().filter(|_| running.is_some()).unwrap_or(&spec.image);
        let ready = match is_init && !spec.is_sidecar() {
            true => known.ended().is_some_and(|ended| ended.code() == 0) && waiting.is_none(),
            false => self.is_ready(spec),
        };
        let state = match (&known.state, waiting) {
            (_, Some(waiting)) => ContainerState { waiting: Some(waiting), ..ContainerState::default() },
            (State::Running(running), None) => ContainerState {
                running: Some(ContainerStateRunning { started_at: Some(Time(running.started_at)) }),
                ..ContainerState::default()
            },
            (State::Ended(ended), None) => self.terminated(ended),
            (State::Absent, None) => ContainerState::default(),
        };
        ContainerStatus {
            name: spec.name.to_string(),
            image: if id.is_some() { whole_name(image) } else { image.clone() },
            image_id: known.image_id.clone().unwrap_or_default(),
            container_id: id.map(|id| container_id(id)),
            state: Some(state),
            last_state: last.map(|ended| self.terminated(ended)),
            ready,
            started: Some(known.has_started(spec)),
            restart_count: i32::try_from(known.restarts()).unwrap_or(i32::MAX),
            resources: echo::resources(match &known.given {
                Some(given) if running.is_some() => &given.own,
                _ => &spec.resources,
            }),
            allocated_resources: echo::requests(&spec.resources),
            user: known.user.as_ref().map(user),
            volume_mounts: echo::volume_mounts(&spec.volume_mounts),
            ..ContainerStatus::default()
        }
    }

    fn terminated(&self, ended: &Ended) -> ContainerState {
        let (reason, message, signal) = match &ended.how {
            Ending::StartFailed(failure) => {
                ("StartError", Some(format!("{}: {}", failure.step, failure.text)), None)
            }
            Ending::Exit(exit) if exit.lost => {
                let message = "it ended while nobody watched: its shim was gone".to_owned();
                ("ContainerStatusUnknown", Some(message), None)
            }
            Ending::Exit(exit) if exit.oom_killed => ("OOMKilled", ended.message.clone(), exit.signal),
            Ending::Exit(exit) if exit.code == 0 => ("Completed", ended.message.clone(), None),
            Ending::Exit(exit) => ("Error", ended.message.clone(), exit.signal),
        };
        let terminated = ContainerStateTerminated {
            container_id: Some(container_id(&ended.id)),
            exit_code: ended.code(),
            reason: Some(reason.to_owned()),
            message: message.map(|message| self.cut(message)),
            signal,
            started_at: Some(Time(ended.started_at)),
            finished_at: Some(Time(ended.finished_at)),
        };
        ContainerState { terminated: Some(terminated), ..ContainerState::default() }
    }

    /// The beginning of a message, as much of it as is every container's part.
    fn cut(&self, mut message: String) -> String {
        let part = MAX_MESSAGES / self.pod.spec.every_container().count().max(1);
        if message.len() > part {
            message.truncate((0..=part).rfind(|at| message.is_char_boundary(*at)).unwrap_or(0));
        }
        message
    }

    /// Nothing asks whether it is ready, and how it ended stays how it is, even when the others begin anew.
    fn ephemeral_container(&self, spec: &ContainerSpec) -> ContainerStatus {
        let status = ContainerStatus { ready: false, started: None, ..self.container(spec, false) };
        match (&self.known(spec).state, status.last_state.clone()) {
            (State::Absent, Some(ended)) => {
                let id = ended.terminated.as_ref().and_then(|ended| ended.container_id.clone());
                ContainerStatus { state: Some(ended), last_state: None, container_id: id, ..status }
            }
            _ => status,
        }
    }

    /// What a container that does not run waits for; `None` when it runs, or has ended and that is it.
    fn waiting(&self, spec: &ContainerSpec, is_init: bool) -> Option<ContainerStateWaiting> {
        let known = self.known(spec);
        let waiting = |reason: &str, message: Option<String>| {
            Some(ContainerStateWaiting { reason: Some(reason.to_owned()), message })
        };
        if self.shows_running(spec) {
            return None;
        }
        if let Some((image, held)) = known.failed_pull().filter(|(_, held)| self.now >= held.told_until()) {
            let message = format!("Back-off pulling image {image:?}: {}: {}", held.reason, held.message);
            return waiting("ImagePullBackOff", Some(message));
        }
        if let Some(held) = &known.held {
            return waiting(&held.reason, Some(held.message.clone()));
        }
        match (&known.state, &known.post_start) {
            (State::Running(_), PostStart::Failed(message)) => {
                waiting("PostStartHookError", Some(message.clone()))
            }
            (State::Ended(ended), _) => {
                let delay = self.back_off(spec, known, ended)?;
                waiting("CrashLoopBackOff", Some(self.back_off_message(spec, delay)))
            }
            _ if !is_init && !self.is_initialized() => waiting("PodInitializing", None),
            _ => {
                let failure = self.observed.sandbox_failure.as_ref();
                waiting("ContainerCreating", failure.map(|held| held.message.clone()))
            }
        }
    }

    /// The wait that a container is in before it is started again.
    fn back_off(&self, spec: &ContainerSpec, known: &Container, ended: &Ended) -> Option<Duration> {
        let is_over = self.intent != Intent::Run
            || verdict(self.pod, self.observed, self.now).is_some()
            || outcome::restarts_all(self.pod, self.observed);
        let is_init = self.pod.spec.init_containers.iter().any(|c| c.name == spec.name);
        let is_done = match is_init && !spec.is_sidecar() {
            true => ended.code() == 0,
            false => !restart::wanted(self.pod.spec.restart_policy, spec, ended.code()),
        };
        let is_done = is_done || resize::restarts(self.pod, spec, self.observed);
        // In a new sandbox everything starts at once.
        let is_sandbox_lost = matches!(self.observed.sandbox, Sandbox::Lost { .. });
        if is_over || is_done || is_sandbox_lost {
            return None;
        }
        known.due(self.observed.sandboxes).filter(|(due, _)| self.now < *due).map(|(_, delay)| delay)
    }

    fn back_off_message(&self, spec: &ContainerSpec, delay: Duration) -> String {
        let Pod { key, uid, .. } = self.pod;
        let delay = go_duration(delay);
        format!(
            "back-off {delay} restarting failed container={} pod={}_{}({uid})",
            spec.name, key.name, key.namespace
        )
    }
}

fn user(user: &User) -> ContainerUser {
    let linux = LinuxContainerUser {
        uid: user.uid.into(),
        gid: user.gid.into(),
        supplemental_groups: Some(user.groups.iter().map(|group| i64::from(*group)).collect()),
    };
    ContainerUser { linux: Some(linux) }
}

fn container_id(id: &str) -> String {
    format!("mkubelet://{id}")
}

/// Whole seconds as Go prints them: `10s`, `1m20s`, `5m0s`.
fn go_duration(duration: Duration) -> String {
    match (duration.as_secs() / 60, duration.as_secs() % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}

/// The name of a container's image as containerd tells it, with registry and tag, once there is a container.
fn whole_name(image: &str) -> String {
    image.parse::<Reference>().map_or_else(|_| image.to_owned(), |name| name.to_string())
}

#[cfg(test)]
mod tests;
