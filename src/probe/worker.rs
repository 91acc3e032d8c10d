//! The rhythm of one probe: initial delay, period, and a verdict when the tally has one.
//!
//! The first question falls due the initial delay after the container's start, and the others a period apart from it. A
//! question that falls due while the one before is unanswered is left out: a slow container is not asked faster.
//!
//! Whoever is stopped, or gets no processor, finds every timer run out when it goes on. So a failure that is noticed much
//! later than the timeout allows is the agent's own, and does not count: the question is put again at once.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::tally::Tally;
use super::{Answer, Kind, Outcome, Target, Verdict};

/// An answer that takes so much longer than the timeout is late through no fault of the container's.
const LATE: Duration = Duration::from_millis(250);

/// Asks until nobody wants to know, or all is said about this attempt.
pub(crate) async fn run(target: Target, verdicts: mpsc::Sender<Verdict>, ask: impl AsyncFn() -> Answer) {
    let mut due = Instant::now() + delay(&target, Timestamp::now(), chance());
    let mut tally = Tally::new(target.probe.success_threshold, target.probe.failure_threshold);
    let mut warned = false;
    loop {
        tokio::select! {
            () = sleep_until(due) => {}
            () = verdicts.closed() => return,
        }
        let asked = Instant::now();
        let answer = ask().await;
        let now = Instant::now();
        if matches!(answer, Answer::Unhealthy(_)) && now - asked > target.probe.timeout + LATE {
            tracing::debug!(pod = %format_args!("{}/{}", target.names.namespace, target.names.pod), podUID = target.names.pod_uid, containerName = target.names.container, probe = %target.kind, "a failure came late and does not count");
            due = now;
            continue;
        }
        due = following(due, now, target.probe.period);
        if let Answer::HealthyBut(text) | Answer::Unknown(text) = &answer
            && !std::mem::replace(&mut warned, true)
        {
            let verb = if matches!(answer, Answer::Unknown(_)) { "errored" } else { "warning" };
            tracing::warn!(pod = %format_args!("{}/{}", target.names.namespace, target.names.pod), podUID = target.names.pod_uid, containerName = target.names.container, output = text, "{} probe {verb}", target.kind);
        }
        let missed = match &answer {
            Answer::Unhealthy(message) => Some(Outcome::Missed { message: message.clone() }),
            _ => None,
        };
        let Some(outcome) = tally.count(answer).or(missed) else { continue };
        let is_missed = matches!(outcome, Outcome::Missed { .. });
        let is_last = match target.kind {
            Kind::Readiness => false,
            Kind::Liveness => outcome != Outcome::Success,
            Kind::Startup => true,
        };
        let verdict = Verdict { container_id: target.container_id.clone(), kind: target.kind, outcome };
        if verdicts.send(verdict).await.is_err() || is_last && !is_missed {
            return;
        }
    }
}

/// The first time after `now` that is a whole number of periods after `due`.
fn following(due: Instant, now: Instant, period: Duration) -> Instant {
    let behind = now.saturating_duration_since(due).as_nanos() % period.as_nanos().max(1);
    // What is left of a period fits in 64 bits of nanoseconds: no probe has one of centuries.
    now + period.saturating_sub(Duration::from_nanos(u64::try_from(behind).unwrap_or(0)))
}

/// From now to the first question. `chance` is from 0 to 1.
fn delay(target: &Target, now: Timestamp, chance: f64) -> Duration {
    // The wall clock may have been set since: then nothing has passed yet.
    let passed = Duration::try_from(now.duration_since(target.started_at)).unwrap_or(Duration::ZERO);
    let left = target.probe.initial_delay.saturating_sub(passed);
    if target.resumed { left.max(target.probe.period.mul_f64(chance)) } else { left }
}

/// From 0 to 1. Without randomness there is no spreading, and nothing else is lost.
fn chance() -> f64 {
    getrandom::u32().map_or(0.0, |number| f64::from(number) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests;
