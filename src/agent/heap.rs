//! Keeps the agent's memory what its pods need: what a burst of starts has left free goes back to the kernel.

use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use crate::sys::heap;

/// Of the heap, for all threads: an agent allocates little at a time, and each arena keeps what it once needed.
const ARENAS: u8 = 2;

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(10);

/// Less than that is not worth the page faults that follow, bytes.
const WORTH_IT: usize = 1 << 20;

/// To be called before there is a second thread.
pub fn prepare() {
    heap::share_arenas(ARENAS);
}

/// Never ends.
pub async fn keep_small() {
    let mut looks = interval(PERIOD);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut kept = 0;
    loop {
        looks.tick().await;
        let unused = heap::unused();
        // Pages that something still lives in stay, and so do those that were given back and not been asked for since.
        if unused > kept + WORTH_IT {
            // It takes the locks of the heap: none of the few workers is to wait for it in the middle of something.
            let trimmed = spawn_blocking(|| {
                heap::trim();
                heap::unused()
            });
            kept = trimmed.await.unwrap_or(unused);
        } else {
            kept = kept.min(unused);
        }
    }
}
