//! The conditions of a pod, with the times of their last changes carried over. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodCondition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// One condition before it has a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Such as `Ready`.
    pub kind: &'static str,
    /// Whether it holds.
    pub holds: bool,
    /// Why it does not, in one word of Kubernetes'.
    pub reason: Option<&'static str>,
    /// The same in a sentence.
    pub message: Option<String>,
}

impl Fact {
    /// A condition that holds.
    pub fn yes(kind: &'static str) -> Self {
        Self { kind, holds: true, reason: None, message: None }
    }

    /// A condition that does not hold, and says nothing about it.
    pub fn no(kind: &'static str) -> Self {
        Self { kind, holds: false, reason: None, message: None }
    }

    /// A condition that does not hold because of the named containers; `state` such as `unready`.
    pub fn because(kind: &'static str, reason: &'static str, state: &str, containers: &[&str]) -> Self {
        let message = (!containers.is_empty())
            .then(|| format!("containers with {state} status: [{}]", containers.join(" ")));
        Self { kind, holds: false, reason: Some(reason), message }
    }
}

/// Gives each fact the time of its last change: that of `before` while it is the same, else `now`.
pub fn dated(facts: Vec<Fact>, before: &[PodCondition], now: Timestamp) -> Vec<PodCondition> {
    facts.into_iter().map(|fact| date(fact, before, now)).collect()
}

fn date(fact: Fact, before: &[PodCondition], now: Timestamp) -> PodCondition {
    let status = if fact.holds { "True" } else { "False" };
    let same = before.iter().find(|old| old.type_ == fact.kind && old.status == status);
    PodCondition {
        type_: fact.kind.to_owned(),
        status: status.to_owned(),
        reason: fact.reason.map(str::to_owned),
        message: fact.message,
        last_transition_time: same.and_then(|old| old.last_transition_time.clone()).or(Some(Time(now))),
        ..PodCondition::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::fixture::at;

    #[test]
    fn a_condition_keeps_its_time_until_it_changes() {
        let first = dated(vec![Fact::no("Ready"), Fact::yes("PodScheduled")], &[], at(1));
        let second = dated(vec![Fact::yes("Ready"), Fact::yes("PodScheduled")], &first, at(2));
        let times: Vec<_> = second.iter().map(|c| c.last_transition_time.clone().unwrap().0).collect();
        assert_eq!(times, [at(2), at(1)]);
    }

    #[test]
    fn the_culprits_are_named() {
        let fact = Fact::because("Ready", "ContainersNotReady", "unready", &["a", "b"]);
        assert_eq!(fact.message.unwrap(), "containers with unready status: [a b]");
    }
}
