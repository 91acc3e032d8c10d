//! How the pods of this agent have started, for those who ask: the newest timing of each step, in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use crate::api::debug;
use crate::pod::{PodKey, PodUid};
use crate::runtime::timing::{Phase, Span};
use crate::status::publish::{Change, Update};

/// The pods, by namespace and name. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Traces(Arc<Mutex<BTreeMap<PodKey, One>>>);

/// One pod. There is at most one span for each step of the pod and of each container, so it stays small.
#[derive(Debug)]
struct One {
    uid: PodUid,
    spans: Vec<Span>,
}

impl Traces {
    fn pods(&self) -> MutexGuard<'_, BTreeMap<PodKey, One>> {
        // A panic elsewhere leaves a map behind that is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what happens to a pod.
    pub fn take(&self, Update { pod, change, .. }: &Update) {
        let mut pods = self.pods();
        match change {
            Change::Timed(spans) if !spans.is_empty() => {
                let new = || One { uid: pod.uid.clone(), spans: Vec::new() };
                let one = pods.entry(pod.key.clone()).or_insert_with(new);
                if one.uid != pod.uid {
                    *one = new();
                }
                spans.iter().for_each(|span| one.take(span.clone()));
            }
            Change::Deleted if pods.get(&pod.key).is_some_and(|one| one.uid == pod.uid) => {
                pods.remove(&pod.key);
            }
            _ => {}
        }
    }
}

impl One {
    fn take(&mut self, mut span: Span) {
        if span.phase == Phase::Ready {
            // It was on its way there since its program runs.
            let start = self.spans.iter().find(|s| s.phase == Phase::Start && s.container == span.container);
            span.began = start.map_or(span.began, |start| start.ended.min(span.ended));
        }
        let is_same = |s: &&mut Span| s.phase == span.phase && s.container == span.container;
        match self.spans.iter_mut().find(is_same) {
            Some(older) => *older = span,
            None => self.spans.push(span),
        }
    }

    /// As it is told at this moment.
    fn trace(&self, now: Timestamp, clock: Instant) -> Option<debug::Trace> {
        let zero = self.spans.iter().map(|span| span.began).min()?;
        let ago = SignedDuration::try_from(clock.saturating_duration_since(zero)).unwrap_or_default();
        let mut spans: Vec<&Span> = self.spans.iter().collect();
        spans.sort_by_key(|span| (span.began, span.ended));
        let step = |span: &&Span| debug::Step {
            phase: span.phase.name(),
            container: span.container.as_ref().map(ToString::to_string),
            start: span.began.duration_since(zero),
            duration: span.ended.saturating_duration_since(span.began).max(Duration::ZERO),
        };
        Some(debug::Trace {
            uid: self.uid.to_string(),
            began: now.checked_sub(ago).ok()?,
            from_journal: self.spans.iter().any(|span| span.recalled),
            steps: spans.iter().map(step).collect(),
        })
    }
}

impl debug::Traces for Traces {
    fn trace(&self, namespace: &str, name: &str) -> Option<debug::Trace> {
        let key = PodKey { namespace: namespace.to_owned(), name: name.to_owned() };
        self.pods().get(&key)?.trace(Timestamp::now(), Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::spec::RestartPolicy;
    use crate::runtime::fixture;

    fn timed(spans: Vec<Span>) -> Update {
        let pod = Arc::new(fixture::pod(RestartPolicy::Always, &[], &["a"]));
        Update { pod, origin: None, change: Change::Timed(spans) }
    }

    #[test]
    fn the_newest_timing_of_each_step_is_kept_until_the_pod_is_gone() {
        let clock = Instant::now();
        let at = |milliseconds| clock + Duration::from_millis(milliseconds);
        let span = |phase, container: Option<&str>, began, ended| Span {
            phase,
            container: container.map(fixture::name),
            began: at(began),
            ended: at(ended),
            recalled: false,
        };
        let traces = Traces::default();
        traces.take(&timed(vec![span(Phase::Sandbox, None, 5, 9), span(Phase::Admit, None, 0, 3)]));
        traces.take(&timed(vec![span(Phase::Start, Some("a"), 10, 20)]));
        traces.take(&timed(vec![span(Phase::Ready, Some("a"), 50, 50)]));
        let key = timed(Vec::new()).pod.key.clone();
        let told = || {
            let trace = traces.pods().get(&key)?.trace("2026-01-01T00:00:01Z".parse().unwrap(), at(1000))?;
            let step = |s: &debug::Step| (s.phase, s.start.as_millis(), s.duration.as_millis());
            Some((trace.began.to_string(), trace.steps.iter().map(step).collect::<Vec<_>>()))
        };
        let steps = vec![("admit", 0, 3), ("sandbox", 5, 4), ("start", 10, 10), ("ready", 20, 30)];
        assert_eq!(told(), Some(("2026-01-01T00:00:00Z".to_owned(), steps)));

        traces.take(&timed(vec![span(Phase::Start, Some("a"), 100, 101)]));
        assert_eq!(told().unwrap().1.iter().filter(|(phase, ..)| *phase == "start").count(), 1);
        traces.take(&Update { change: Change::Deleted, ..timed(Vec::new()) });
        assert_eq!(told(), None);
    }
}
