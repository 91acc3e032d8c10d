//! What follows from what was seen, and from what was seen before: the node's conditions, and what it is starved of. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::signal::{Condition, Observations};
use super::threshold::{Eviction, Threshold};

/// What is remembered from one look at the host to the next.
#[derive(Debug, Default)]
pub struct State {
    /// Thresholds that are met, and since when.
    met: Vec<(Threshold, Instant)>,
    /// Of these, those whose grace was over at the last look.
    acted_upon: Vec<Threshold>,
    /// When each condition was last true.
    last: BTreeMap<Condition, Instant>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The conditions of the node that hold.
    pub conditions: BTreeSet<Condition>,
    /// Thresholds that pods have to go for, the most urgent first: memory, then in the order in which they are written.
    pub starved: Vec<Threshold>,
}

impl State {
    /// Takes in what was seen at `now`.
    pub fn observe(&mut self, eviction: &Eviction, seen: &Observations, now: Instant) -> Verdict {
        let mut met = met(&eviction.thresholds, seen, false);
        // What was acted upon is not resolved before so much more is left as is to be reclaimed.
        for threshold in self::met(&self.acted_upon, seen, true) {
            if !met.iter().any(|one| one.is_same(&threshold)) {
                met.push(threshold);
            }
        }
        let since = |threshold: &Threshold| {
            let before = self.met.iter().find(|(one, _)| one.is_same(threshold));
            before.map_or(now, |(_, since)| *since)
        };
        self.met = met.iter().map(|threshold| (*threshold, since(threshold))).collect();
        self.last.extend(met.iter().map(|threshold| (threshold.signal.condition(), now)));
        let is_over = |(threshold, since): &&(Threshold, Instant)| {
            now.saturating_duration_since(*since) >= threshold.grace
        };
        self.acted_upon = self.met.iter().filter(is_over).map(|(threshold, _)| *threshold).collect();
        let mut starved = self.acted_upon.clone();
        starved.sort_by_key(|threshold| threshold.signal.condition() != Condition::MemoryPressure);
        Verdict { conditions: self.conditions(eviction, now), starved }
    }

    fn conditions(&self, eviction: &Eviction, now: Instant) -> BTreeSet<Condition> {
        let holds = |at: Instant| {
            let passed = now.saturating_duration_since(at);
            passed.is_zero() || passed < eviction.transition
        };
        self.last.iter().filter(|(_, at)| holds(**at)).map(|(condition, _)| *condition).collect()
    }
}

/// The thresholds that are met. What cannot be seen is not.
pub fn met(thresholds: &[Threshold], seen: &Observations, with_reclaim: bool) -> Vec<Threshold> {
    let is_met = |threshold: &&Threshold| {
        seen.get(&threshold.signal).is_some_and(|seen| threshold.is_met(seen, with_reclaim))
    };
    thresholds.iter().filter(is_met).copied().collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::signal::{Observation, Signal};
    use super::super::threshold::Value;
    use super::*;

    fn threshold(signal: Signal, value: u64, grace: u64, reclaim: u64) -> Threshold {
        Threshold {
            signal,
            value: Value::Quantity(value),
            grace: Duration::from_secs(grace),
            minimum_reclaim: (reclaim > 0).then_some(Value::Quantity(reclaim)),
        }
    }

    /// Looks at a host again and again: each time at such a second, with so much left; what holds, and what it is starved of.
    fn story(thresholds: &[Threshold], signal: Signal, looks: &[(u64, u64)]) -> Vec<String> {
        let eviction = Eviction {
            thresholds: thresholds.to_vec(),
            transition: Duration::from_secs(60),
            ..Eviction::default()
        };
        let (mut state, begin) = (State::default(), Instant::now());
        let look = |(second, available): &(u64, u64)| {
            let seen = [(signal, Observation { available: *available, capacity: 1000 })].into();
            let verdict = state.observe(&eviction, &seen, begin + Duration::from_secs(*second));
            let holds = verdict.conditions.iter().map(ToString::to_string);
            let starved = verdict.starved.iter().map(|one| format!("{}s", one.grace.as_secs()));
            holds.chain(starved).collect::<Vec<_>>().join(" ")
        };
        looks.iter().map(look).collect()
    }

    #[test]
    fn a_hard_threshold_is_acted_upon_at_once_and_the_condition_stays_for_a_while() {
        let hard = [threshold(Signal::NodeFsAvailable, 100, 0, 0)];
        let looks = [(0, 100), (10, 99), (20, 100), (69, 100), (70, 100), (80, 1)];
        assert_eq!(
            story(&hard, Signal::NodeFsAvailable, &looks),
            ["", "DiskPressure 0s", "DiskPressure", "DiskPressure", "", "DiskPressure 0s"]
        );
    }

    #[test]
    fn a_soft_threshold_is_acted_upon_when_it_was_met_for_its_grace_without_a_break() {
        let soft = [threshold(Signal::MemoryAvailable, 100, 30, 0)];
        let looks = [(0, 50), (20, 50), (30, 50), (40, 200), (50, 50), (79, 50), (80, 50)];
        let pressure = "MemoryPressure";
        assert_eq!(
            story(&soft, Signal::MemoryAvailable, &looks),
            [pressure, pressure, "MemoryPressure 30s", pressure, pressure, pressure, "MemoryPressure 30s"]
        );
    }

    #[test]
    fn what_was_acted_upon_is_resolved_when_so_much_more_is_left() {
        let hard = [threshold(Signal::PidAvailable, 100, 0, 50)];
        let looks = [(0, 120), (10, 99), (20, 120), (30, 149), (40, 150), (50, 120)];
        assert_eq!(
            story(&hard, Signal::PidAvailable, &looks),
            ["", "PIDPressure 0s", "PIDPressure 0s", "PIDPressure 0s", "PIDPressure", "PIDPressure"]
        );
    }

    #[test]
    fn memory_comes_first_and_what_cannot_be_seen_is_not_met() {
        let all = [
            threshold(Signal::NodeFsInodesFree, 100, 0, 0),
            threshold(Signal::ImageFsAvailable, 100, 0, 0),
            threshold(Signal::MemoryAvailable, 100, 0, 0),
        ];
        let eviction = Eviction { thresholds: all.to_vec(), ..Eviction::default() };
        let little = Observation { available: 0, capacity: 1000 };
        let seen = [(Signal::MemoryAvailable, little), (Signal::NodeFsInodesFree, little)].into();
        let verdict = State::default().observe(&eviction, &seen, Instant::now());
        let starved: Vec<_> = verdict.starved.iter().map(|one| one.signal).collect();
        assert_eq!(starved, [Signal::MemoryAvailable, Signal::NodeFsInodesFree]);
        assert_eq!(verdict.conditions, [Condition::MemoryPressure, Condition::DiskPressure].into());
    }
}
