//! How often pulls may begin: a bucket of tokens, as the kubelet has it. Reads no clock.

use std::time::Instant;

/// Begins full; each pull takes one, and so many come back in a second.
#[derive(Debug)]
pub(super) struct Rate {
    per_second: f64,
    most: f64,
    left: f64,
    counted: Instant,
}

impl Rate {
    /// A full bucket.
    pub(super) fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        Self { per_second: per_second.into(), most: burst.into(), left: burst.into(), counted: now }
    }

    /// True if another pull may begin now; then it has begun.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let come_back = now.saturating_duration_since(self.counted).as_secs_f64() * self.per_second;
        self.left = (self.left + come_back).min(self.most);
        self.counted = now;
        let may_begin = self.left >= 1.0;
        if may_begin {
            self.left -= 1.0;
        }
        may_begin
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_may_begin_at_once_and_then_so_many_in_a_second() {
        let now = Instant::now();
        let mut rate = Rate::new(2, 3, now);
        // Milliseconds after the beginning, and whether a pull may begin then.
        for (after, expected) in [
            (0, true),
            (0, true),
            (0, true),
            (0, false),
            (499, false),
            (500, true),
            (501, false),
            (1000, true),
            // No more come back than there were.
            (60_000, true),
            (60_000, true),
            (60_000, true),
            (60_000, false),
        ] {
            assert_eq!(rate.take(now + Duration::from_millis(after)), expected, "{after}");
        }
        assert!(!Rate::new(5, 0, now).take(now), "nothing may begin without a burst");
    }
}
