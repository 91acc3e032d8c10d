//! When a thing that ended may be started again: the restart policy, and the kubelet's back-off. No clock.
//!
//! The first restart is immediate; the second waits 10 s from the end of the last run, each further one twice as long, up
//! to 300 s. A run of more than ten minutes clears the record, so that the restart after it is immediate again.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::pod::spec::RestartPolicy;

/// Wait before the second restart of a container.
const CONTAINER_BASE: Duration = Duration::from_secs(10);

/// Wait before a second new sandbox. Losing a sandbox is no fault of the pod's programs, so they are not made to wait long.
const SANDBOX_BASE: Duration = Duration::from_secs(1);

/// No wait is longer.
const LONGEST: Duration = Duration::from_secs(300);

/// A run longer than this was a good one.
const GOOD_RUN: SignedDuration = SignedDuration::from_secs(600);

/// True if a container that ended with `exit_code` is to be started again.
pub fn wanted(policy: RestartPolicy, exit_code: i32) -> bool {
    match policy {
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
    fn policy_decides_by_exit_code() {
        use RestartPolicy::*;
        for (policy, code, want) in [
            (Always, 0, true),
            (Always, 1, true),
            (OnFailure, 0, false),
            (OnFailure, 137, true),
            (Never, 0, false),
            (Never, 1, false),
        ] {
            assert_eq!(wanted(policy, code), want, "{policy:?} {code}");
        }
    }

    #[test]
    fn only_more_than_ten_minutes_is_a_good_run() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        assert!(!was_good_run(at(0), at(600)));
        assert!(was_good_run(at(0), at(601)));
    }
}
