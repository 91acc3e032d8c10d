//! When a thing that ended may be started again: the restart policy, and the kubelet's back-off. No clock.
//!
//! The first restart is immediate; the second waits 10 s from the end of the last run, each further one twice as long, up
//! to 300 s. A run of more than ten minutes clears the record, so that the restart after it is immediate again.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::pod::ContainerSpec;
use crate::pod::spec::{RestartAction, RestartPolicy};

/// Wait before the second restart of a container.
const CONTAINER_BASE: Duration = Duration::from_secs(10);

/// Wait before a second new sandbox. Losing a sandbox is no fault of the pod's programs, so they are not made to wait long.
const SANDBOX_BASE: Duration = Duration::from_secs(1);

/// There is no back-off for a restart of all containers, as with the kubelet; but nobody goes round faster than this, which
/// is about what a kubelet needs.
const ROUND: Duration = Duration::from_secs(1);

/// No wait is longer.
const LONGEST: Duration = Duration::from_secs(300);

/// A run longer than this was a good one.
const GOOD_RUN: SignedDuration = SignedDuration::from_secs(600);

/// True if a container that ended with `exit_code` is to be started again: by its own rules, else its own policy, else
/// `policy`, the pod's (KEP-5307).
pub fn wanted(policy: RestartPolicy, spec: &ContainerSpec, exit_code: i32) -> bool {
    if spec.restart_rules.iter().any(|rule| rule.matches(exit_code)) {
        return true;
    }
    match spec.restart_policy.unwrap_or(policy) {
        RestartPolicy::Always => true,
        RestartPolicy::OnFailure => exit_code != 0,
        RestartPolicy::Never => false,
    }
}

/// True if all containers of its pod are to be started again with a container that ended with `exit_code` (KEP-5532).
pub fn wants_all(spec: &ContainerSpec, exit_code: i32) -> bool {
    let rule = spec.restart_rules.iter().find(|rule| rule.matches(exit_code));
    rule.is_some_and(|rule| rule.action == RestartAction::RestartAllContainers)
}

/// When all containers of a pod may begin anew that did so at `last`.
pub fn next_round(last: Timestamp) -> Timestamp {
    after(last, ROUND)
}

/// True if a run from `started` to `finished` clears the record of restarts.
pub fn was_good_run(started: Timestamp, finished: Timestamp) -> bool {
    finished.duration_since(started) > GOOD_RUN
}

/// Wait before a container that has been restarted `restarts` times in a row is restarted again.
pub fn container_delay(restarts: u32) -> Duration {
    doubled(CONTAINER_BASE, restarts)
}

/// Wait before a sandbox that has been made anew `restarts` times in a row is made anew again.
pub fn sandbox_delay(restarts: u32) -> Duration {
    doubled(SANDBOX_BASE, restarts)
}

/// `since` plus `delay`, at most the end of time.
pub fn after(since: Timestamp, delay: Duration) -> Timestamp {
    since.saturating_add(delay).unwrap_or(Timestamp::MAX)
}

fn doubled(base: Duration, times: u32) -> Duration {
    match times {
        0 => Duration::ZERO,
        n => base.saturating_mul(1 << (n - 1).min(16)).min(LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::spec::{ExitCodes, RestartRule};

    #[test]
    fn back_off_starts_at_ten_seconds_after_an_immediate_restart_and_ends_at_five_minutes() {
        let seconds: Vec<u64> = (0..9).map(|n| container_delay(n).as_secs()).collect();
        assert_eq!(seconds, [0, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(container_delay(u32::MAX).as_secs(), 300);
        assert_eq!(sandbox_delay(0).as_secs(), 0);
        assert_eq!(sandbox_delay(2).as_secs(), 2);
    }

    #[test]
    fn rules_decide_by_exit_code_then_the_containers_policy_then_the_pods() {
        use ExitCodes::{In, NotIn};
        use RestartPolicy::*;
        let none: &[ExitCodes] = &[];
        for (pod, own, rules, code, want) in [
            (Always, None, none, 0, true),
            (Always, None, none, 1, true),
            (OnFailure, None, none, 0, false),
            (OnFailure, None, none, 137, true),
            (Never, None, none, 0, false),
            (Never, None, none, 1, false),
            (Never, Some(Always), none, 0, true),
            (Never, Some(OnFailure), none, 0, false),
            (Never, Some(OnFailure), none, 1, true),
            (Always, Some(Never), none, 1, false),
            (Always, Some(Never), &[In(vec![42])], 42, true),
            (Always, Some(Never), &[In(vec![42])], 43, false),
            (Never, Some(Never), &[NotIn(vec![0, 1])], 0, false),
            (Never, Some(Never), &[NotIn(vec![0, 1])], 2, true),
            (Never, Some(Never), &[In(vec![1]), In(vec![0])], 0, true),
            (Never, Some(Never), &[In(vec![])], 0, false),
            (Never, Some(Never), &[NotIn(vec![])], 0, true),
        ] {
            let mut spec = crate::runtime::fixture::container("a");
            for action in [RestartAction::Restart, RestartAction::RestartAllContainers] {
                let rule = |codes: &ExitCodes| RestartRule { action, exit_codes: codes.clone() };
                (spec.restart_policy, spec.restart_rules) = (own, rules.iter().map(rule).collect());
                assert_eq!(wanted(pod, &spec, code), want, "{pod:?} {own:?} {rules:?} {code}");
            }
        }
    }

    #[test]
    fn the_first_rule_that_matches_says_who_is_started_again() {
        use RestartAction::{Restart, RestartAllContainers};
        let rule = |action, code| RestartRule { action, exit_codes: ExitCodes::In(vec![code]) };
        let mut spec = crate::runtime::fixture::container("a");
        spec.restart_rules = vec![
            rule(Restart, 1),
            rule(RestartAllContainers, 1),
            rule(RestartAllContainers, 2),
            rule(Restart, 2),
        ];
        assert_eq!([0, 1, 2].map(|code| wants_all(&spec, code)), [false, false, true]);
    }

    #[test]
    fn only_more_than_ten_minutes_is_a_good_run() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        assert!(!was_good_run(at(0), at(600)));
        assert!(was_good_run(at(0), at(601)));
    }
}
