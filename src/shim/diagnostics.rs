//! What a shim has to say about itself: lines on standard error, which its agent points at `shim.log`.

use std::fmt::Display;
use std::io::Write;

/// Writes one line. A log that cannot be written to is no reason to stop.
pub fn say(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{} {line}", jiff::Timestamp::now());
}

/// An error with all of its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
