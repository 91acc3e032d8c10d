//! How long a piece of work keeps the processor busy: what the clock on the wall says depends on whoever else is at work.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Runs `work` on this thread, and says how much of the processor's time it took.
pub(super) fn effort<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let spent =
        || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has this clock"));
    let before = spent();
    let done = work();
    (done, spent() - before)
}
