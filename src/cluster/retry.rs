//! Asking again after a failure: soon at first, then ever more seldom.

use std::time::Duration;

/// First wait.
const FIRST: Duration = Duration::from_millis(100);

/// Longest wait.
const LONGEST: Duration = Duration::from_secs(10);

/// How long to wait before the next try.
#[derive(Debug)]
pub(super) struct Retry {
    next: Duration,
}

impl Retry {
    /// Nothing has failed so far.
    pub(super) fn new() -> Self {
        Self { next: FIRST }
    }

    /// Waits, each time twice as long as before.
    pub(super) async fn wait(&mut self) {
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 2).min(LONGEST);
    }

    /// It has worked.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_double_up_to_ten_seconds_and_begin_anew_after_a_success() {
        let mut retry = Retry::new();
        let mut waits = Vec::new();
        for _ in 0..9 {
            let before = Instant::now();
            retry.wait().await;
            waits.push(before.elapsed().as_millis());
        }
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        retry.reset();
        assert_eq!(retry.next, FIRST);
    }
}
