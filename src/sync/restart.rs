//! When a thing that ended may be started again: the restart policy, and the kubelet's back-off. No clock.
//!
//! The first restart is immediate; the second waits 10 s from the end of the last run, each further one twice as long, up
//! to 300 s. A run of more than ten minutes clears the record, so that the restart after it is immediate again.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::pod::ContainerSpec;
use crate::pod::spec::{RestartPolicy, RestartRule};

/// Wait before the second restart of a container.
const CONTAINER_BASE: Duration = Duration::from_secs(10);

/// Wait before a second new sandbox. Losing a sandbox is no fault of the pod's programs, so they are not made to wait long.
const SANDBOX_BASE: Duration = Duration::from_secs(1);

/// No wait is longer.
const LONGEST: Duration = Duration::from_secs(300);

/// A run longer than this was a good one.
const GOOD_RUN: SignedDuration = SignedDuration::from_secs(600);

/// True if a container that ended with `exit_code` is to be started again: by its own rules, else its own policy, else
/// `policy`, the pod's (KEP-5307).
pub fn wanted(policy: RestartPolicy, spec: &ContainerSpec, exit_code: i32) -> bool {
    let matches = |rule: &RestartRule| match rule {
        RestartRule::In(codes) => codes.contains(&exit_code),
        RestartRule::NotIn(codes) => !codes.contains(&exit_code),
    };
    if spec.restart_rules.iter().any(matches) {
        return true;
    }
    match spec.restart_policy.unwrap_or(policy) {
        RestartPolicy::Always => true,
        RestartPolicy::OnFailure => exit_code != 0,
        RestartPolicy::Never => false,
    }
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
        use RestartPolicy::*;
        use RestartRule::{In, NotIn};
        let none: &[RestartRule] = &[];
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
            (spec.restart_policy, spec.restart_rules) = (own, rules.to_vec());
            assert_eq!(wanted(pod, &spec, code), want, "{pod:?} {own:?} {rules:?} {code}");
        }
    }

    #[test]
    fn only_more_than_ten_minutes_is_a_good_run() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        assert!(!was_good_run(at(0), at(600)));
        assert!(was_good_run(at(0), at(601)));
    }
}
