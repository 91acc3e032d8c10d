//! How long the steps of a pod's start take: each is timed where it happens, and told as a [`Notice`] like all that happens to a pod.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::Notice;
use super::observe::{Observed, Sandbox};
use crate::pod::ContainerName;

/// A step on a pod's way to readiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// From the moment in which the agent hears of the pod to that in which it takes it on.
    Admit,
    /// The pod's control group and its shim, up to the connection.
    Shim,
    /// All images are looked up.
    Images,
    /// The pod's address is allocated.
    Address,
    /// Pause and its namespaces.
    Sandbox,
    /// /etc/hosts and its like.
    Files,
    /// The pod's interface.
    Network,
    /// A container's image is looked up, where it was not with the others.
    Image,
    /// A container's volumes and environment.
    Volumes,
    /// A container's directories and its configuration.
    Create,
    /// From the request to the shim to the first instruction of the program.
    Start,
    /// From there until the container is ready.
    Ready,
}

impl Phase {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admit => "admit",
            Self::Shim => "shim",
            Self::Images => "images",
            Self::Address => "address",
            Self::Sandbox => "sandbox",
            Self::Files => "files",
            Self::Network => "network",
            Self::Image => "image",
            Self::Volumes => "volumes",
            Self::Create => "create",
            Self::Start => "start",
            Self::Ready => "ready",
        }
    }
}

/// One step, from when to when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Which.
    pub phase: Phase,
    /// The container that it is about, unless it is about the pod.
    pub container: Option<ContainerName>,
    /// When it began.
    pub began: Instant,
    /// When it was over. Of [`Phase::Ready`] this moment alone is known.
    pub ended: Instant,
    /// It was not timed: an earlier agent's journal tells it, in the time of the calendar.
    pub recalled: bool,
}

impl Span {
    /// A step of the pod that ends now.
    pub fn until_now(phase: Phase, began: Instant) -> Self {
        Self { phase, container: None, began, ended: Instant::now(), recalled: false }
    }
}

/// Times the steps of one action, which may overlap, and tells them when it is dropped: however the action went.
pub(super) struct Stopwatch<'a> {
    container: Option<&'a ContainerName>,
    spans: Mutex<Vec<Span>>,
    notices: &'a mpsc::UnboundedSender<Notice>,
    is_told: bool,
}

impl<'a> Stopwatch<'a> {
    /// For an action on the pod, or on one of its containers.
    pub(super) fn new(
        container: Option<&'a ContainerName>,
        notices: &'a mpsc::UnboundedSender<Notice>,
    ) -> Self {
        Self { container, spans: Mutex::default(), notices, is_told: true }
    }

    /// The same, which tells nothing if that is so.
    pub(super) fn unless(self, is_no_start: bool) -> Self {
        let mut watch = self;
        watch.is_told = !is_no_start;
        watch
    }

    /// Times one step.
    pub(super) async fn time<T>(&self, phase: Phase, step: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let done = step.await;
        let span = Span { container: self.container.cloned(), ..Span::until_now(phase, began) };
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).push(span);
        done
    }
}

impl Drop for Stopwatch<'_> {
    fn drop(&mut self) {
        if !self.is_told {
            return;
        }
        let spans = self.spans.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Nobody listening is no reason to stop.
        let _ = self.notices.send(Notice::Timed(std::mem::take(spans)));
    }
}

/// What the journal of a pod that was taken over tells of its start. `clock` is the moment that the calendar has at `now`. Pure.
pub fn recalled(observed: &Observed, now: Timestamp, clock: Instant) -> Vec<Span> {
    let moment = |at: Timestamp| {
        let ago = Duration::try_from(now.duration_since(at)).unwrap_or_default();
        clock.checked_sub(ago)
    };
    let span = |phase, container: Option<&ContainerName>, from: Timestamp, to: Timestamp| {
        let (began, ended) = (moment(from)?, moment(to)?);
        Some(Span { phase, container: container.cloned(), began, ended, recalled: true })
    };
    let (Some(began), Sandbox::Ready { since }) = (observed.began, &observed.sandbox) else {
        return Vec::new();
    };
    let sandbox = span(Phase::Sandbox, None, began, *since);
    let start = |(name, running): (&ContainerName, &super::observe::Running)| {
        span(Phase::Start, Some(name), *since, running.started_at)
    };
    sandbox.into_iter().chain(observed.running().filter_map(start)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::fixture::{History, at, name};

    #[tokio::test(start_paused = true)]
    async fn steps_that_overlap_are_told_together_when_the_action_is_over() {
        let (sender, mut notices) = mpsc::unbounded_channel();
        let container = name("a");
        {
            let watch = Stopwatch::new(Some(&container), &sender);
            let one = watch.time(Phase::Volumes, async { 1 });
            let other = watch.time(Phase::Image, tokio::time::sleep(Duration::from_millis(1)));
            assert_eq!(tokio::join!(one, other).0, 1);
            assert!(notices.try_recv().is_err(), "not yet");
        }
        let Ok(Notice::Timed(spans)) = notices.try_recv() else { panic!("nothing was told") };
        assert_eq!(spans.iter().map(|span| span.phase).collect::<Vec<_>>(), [Phase::Volumes, Phase::Image]);
        assert!(spans.iter().all(|s| s.container.as_ref() == Some(&container) && s.began <= s.ended));
    }

    #[test]
    fn the_journal_knows_when_the_sandbox_and_the_containers_began() {
        let clock = Instant::now();
        assert_eq!(recalled(&Observed::default(), at(20), clock), []);
        let mut history = History::default();
        history.sandbox(12).start(15, "a");
        let mut observed = history.observed;
        observed.began = Some(at(10));
        let spans = recalled(&observed, at(20), clock);
        let ago = |instant: Instant| clock.duration_since(instant).as_secs();
        let found: Vec<_> = spans.iter().map(|s| (s.phase, ago(s.began), ago(s.ended), s.recalled)).collect();
        assert_eq!(found, [(Phase::Sandbox, 10, 8, true), (Phase::Start, 8, 5, true)]);
    }
}
