//! Whether a pod is over, and since when. Pure; asked by the planner and for the status.
//!
//! The containers decide, or an init container that failed for good, or the pod's deadline, or its eviction. What still runs then, sidecars
//! above all, is ended; when nothing runs any more, the pod is over, and stays so.

use jiff::Timestamp;

use super::{resize, restart};
use crate::pod::spec::RestartPolicy;
use crate::pod::{ContainerSpec, Pod};
use crate::runtime::observe::{Ended, Observed, Sandbox};
use crate::state::record::{Ending, Eviction};

/// How a pod ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All containers ended with exit code 0.
    Succeeded,
    /// At least one did not, or could not run.
    Failed,
    /// It was active for longer than `activeDeadlineSeconds`.
    DeadlineExceeded,
    /// It took more of the node than it may, or than the node has.
    Evicted,
}

/// What will become of a pod, once nothing of it runs any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// How it ends.
    pub outcome: Outcome,
    /// When that was settled.
    pub since: Timestamp,
}

/// How the pod ended; `None` while something of it runs, or will run.
pub fn outcome(pod: &Pod, observed: &Observed, now: Timestamp) -> Option<Outcome> {
    let is_over = observed.running().next().is_none() && !observed.is_starting();
    verdict(pod, observed, now).filter(|_| is_over).map(|verdict| verdict.outcome)
}

/// What is settled of the pod's end, whether or not something still runs.
pub fn verdict(pod: &Pod, observed: &Observed, now: Timestamp) -> Option<Verdict> {
    let deadline = deadline(pod, observed).filter(|deadline| *deadline <= now);
    let deadline = deadline.map(|since| Verdict { outcome: Outcome::DeadlineExceeded, since });
    let eviction = observed.eviction.as_ref();
    let eviction = eviction.map(|eviction| Verdict { outcome: Outcome::Evicted, since: eviction.at });
    // What came first counts. What ends because of the deadline or the eviction ends after it.
    let all = [eviction, deadline, settled_by_containers(pod, observed)];
    all.into_iter().flatten().min_by_key(|verdict| verdict.since)
}

/// When what still runs of a pod whose end is settled has had its grace period.
pub fn ends_by(pod: &Pod, observed: &Observed, now: Timestamp) -> Option<Timestamp> {
    let Verdict { outcome, since } = verdict(pod, observed, now)?;
    let grace = match outcome {
        Outcome::Evicted => observed.eviction.as_ref()?.grace,
        _ => pod.spec.termination_grace_period,
    };
    Some(restart::after(since, grace))
}

/// Notes that the pod may not go on, unless its end is settled already.
pub fn evict(
    pod: &Pod,
    observed: &mut Observed,
    ending: impl Into<Ending>,
    now: Timestamp,
) -> Option<Eviction> {
    if verdict(pod, observed, now).is_none() {
        observed.eviction = Some(ending.into().at(now));
        return observed.eviction.clone();
    }
    None
}

/// When the pod will have been active for too long.
pub fn deadline(pod: &Pod, observed: &Observed) -> Option<Timestamp> {
    Some(restart::after(observed.began?, pod.spec.active_deadline?))
}

/// True if all containers are to be killed and started again, init containers first (KEP-5532): one of them has ended as its
/// rules have it, and not after the pod's end was settled.
pub fn restarts_all(pod: &Pod, observed: &Observed) -> bool {
    let containers = pod.spec.init_containers.iter().chain(&pod.spec.containers);
    let triggers = containers.filter_map(|spec| {
        let ended = observed.container(&spec.name).ended()?;
        restart::wants_all(spec, ended.code()).then_some(ended.seq)
    });
    let Some(first) = triggers.min() else { return false };
    settled(pod, observed).is_none_or(|settled| first < settled.seq)
}

/// True if an init container failed for good.
pub fn has_failed_init(pod: &Pod, observed: &Observed) -> bool {
    failed_init(pod, observed).is_some() && !restarts_all(pod, observed)
}

/// A pod's end as its containers settle it.
struct Settled {
    verdict: Verdict,
    /// The record that did.
    seq: u64,
}

/// The end of the init container that failed for good, if one did.
fn failed_init<'a>(pod: &Pod, observed: &'a Observed) -> Option<&'a Ended> {
    let ordinary = pod.spec.init_containers.iter().filter(|spec| !spec.is_sidecar());
    let ends = ordinary.filter_map(|spec| ended_for_good(pod, spec, observed));
    ends.filter(|ended| ended.code() != 0).min_by_key(|ended| ended.seq)
}

/// The end of a container that is not to be followed by another start.
fn ended_for_good<'a>(pod: &Pod, spec: &ContainerSpec, observed: &'a Observed) -> Option<&'a Ended> {
    let ended = observed.container(&spec.name).ended()?;
    let comes_back =
        restart::wanted(pod.spec.restart_policy, spec, ended.code()) || resize::restarts(pod, spec, observed);
    (!comes_back).then_some(ended)
}

fn settled_by_containers(pod: &Pod, observed: &Observed) -> Option<Verdict> {
    settled(pod, observed).filter(|_| !restarts_all(pod, observed)).map(|settled| settled.verdict)
}

fn settled(pod: &Pod, observed: &Observed) -> Option<Settled> {
    if let Some(failed) = failed_init(pod, observed) {
        let verdict = Verdict { outcome: Outcome::Failed, since: failed.finished_at };
        return Some(Settled { verdict, seq: failed.seq });
    }
    let containers = || pod.spec.containers.iter();
    // Init containers need no look: while one has not succeeded, no container has run.
    let has_succeeded =
        |spec: &ContainerSpec| observed.container(&spec.name).ended().is_some_and(|end| end.code() == 0);
    let outcome = if containers().all(has_succeeded) { Outcome::Succeeded } else { Outcome::Failed };
    let ends: Option<Vec<_>> = containers().map(|spec| ended_for_good(pod, spec, observed)).collect();
    if let Some(last) = ends.and_then(|ends| ends.into_iter().max_by_key(|ended| ended.seq)) {
        let verdict = Verdict { outcome, since: last.finished_at };
        return Some(Settled { verdict, seq: last.seq });
    }
    // A pod that is never restarted does not outlive its sandbox, unless one of its containers asks for that.
    let comes_back = |spec: &ContainerSpec| {
        observed.container(&spec.name).ended().is_some() && ended_for_good(pod, spec, observed).is_none()
    };
    match observed.sandbox {
        Sandbox::Lost { at }
            if pod.spec.restart_policy == RestartPolicy::Never
                && observed.has_begun()
                && observed.running().next().is_none()
                && !containers().any(comes_back) =>
        {
            Some(Settled { verdict: Verdict { outcome, since: at }, seq: u64::MAX })
        }
        _ => None,
    }
}
