//! How much has been copied, on a terminal, once that takes more than a second.

use std::convert::Infallible;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, interval_at};

/// Time that needs no explanation, and how often the number is told after it.
const SECOND: Duration = Duration::from_secs(1);

/// A number of bytes. The line about it goes when this does.
#[derive(Debug, Default)]
pub(super) struct Progress {
    bytes: AtomicU64,
    shown: AtomicU64,
}

impl Progress {
    /// So many more.
    pub(super) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// How many there are.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Tells the number from time to time. Never returns.
    pub(super) async fn show(&self) -> Infallible {
        if !io::stderr().is_terminal() {
            return std::future::pending().await;
        }
        let mut ticks = interval_at(Instant::now() + SECOND, SECOND);
        loop {
            ticks.tick().await;
            self.shown.fetch_add(1, Ordering::Relaxed);
            erase_and_write(&format!("{} copied", amount(self.bytes.load(Ordering::Relaxed))));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.load(Ordering::Relaxed) > 0 {
            erase_and_write("");
        }
    }
}

fn erase_and_write(text: &str) {
    let mut stderr = io::stderr().lock();
    // Nobody reads: nobody to tell.
    let _ = write!(stderr, "\r\x1b[K{text}").and_then(|()| stderr.flush());
}

/// `512 B`, `1.5 MiB`.
fn amount(bytes: u64) -> String {
    let tenths = |unit: u64| format!("{}.{}", bytes / unit, bytes % unit * 10 / unit);
    match bytes {
        0..0x400 => format!("{bytes} B"),
        0x400..0x10_0000 => format!("{} KiB", tenths(0x400)),
        0x10_0000..0x4000_0000 => format!("{} MiB", tenths(0x10_0000)),
        _ => format!("{} GiB", tenths(0x4000_0000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_has_one_decimal() {
        for (bytes, text) in
            [(512, "512 B"), (1024, "1.0 KiB"), (3 << 19, "1.5 MiB"), ((5 << 30) + (1 << 29), "5.5 GiB")]
        {
            assert_eq!(amount(bytes), text);
        }
    }
}
