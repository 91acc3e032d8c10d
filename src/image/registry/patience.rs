//! How long a registry is waited for, and how often it is asked again.

use std::time::Duration;

use jiff::Timestamp;

/// The bounds of a pull's patience.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// To a connection.
    pub connect: Duration,
    /// From one piece of an answer to the next.
    pub stall: Duration,
    /// Failures in a row of one request, the first one included, before the pull has failed.
    pub tries: u32,
    /// Wait before the second try; each further one is twice as long.
    pub first: Duration,
    /// No wait is longer: a registry that asks for more has to do without this pull.
    pub longest: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            tries: 5,
            first: Duration::from_millis(500),
            longest: Duration::from_secs(30),
        }
    }
}

impl Patience {
    /// How long to wait after that many failures in a row, when the registry itself may have asked for a time; `None`: it
    /// is enough.
    pub(super) fn wait(&self, failures: u32, retry_after: Option<Duration>) -> Option<Duration> {
        if failures >= self.tries {
            return None;
        }
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(self.longest);
        match retry_after {
            Some(asked) if asked > self.longest => None,
            Some(asked) => Some(asked.max(doubled)),
            None => Some(doubled),
        }
    }
}

/// Reads a Retry-After (RFC 9110, section 10.2.3): seconds, or a date.
pub(super) fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value.trim()).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_further_and_further_apart_and_end() {
        let patience = Patience { longest: Duration::from_secs(3), ..Patience::default() };
        let second = Duration::from_secs;
        for (failures, asked, wait) in [
            (1, None, Some(Duration::from_millis(500))),
            (2, None, Some(second(1))),
            (3, None, Some(second(2))),
            (4, None, Some(second(3))),
            (5, None, None),
            (1, Some(second(2)), Some(second(2))),
            (1, Some(Duration::ZERO), Some(Duration::from_millis(500))),
            (1, Some(second(4)), None),
        ] {
            assert_eq!(patience.wait(failures, asked), wait, "{failures} {asked:?}");
        }
    }

    #[test]
    fn a_time_to_wait_is_a_number_or_a_date() {
        let now = "2026-11-26T00:00:00Z".parse().unwrap();
        for (value, seconds) in [
            ("7", Some(7)),
            (" 120 ", Some(120)),
            ("Thu, 26 Nov 2026 00:00:30 GMT", Some(30)),
            ("Wed, 25 Nov 2026 00:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(retry_after(value, now), seconds.map(Duration::from_secs), "{value:?}");
        }
    }
}
