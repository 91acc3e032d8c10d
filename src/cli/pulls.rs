//! How far pulls of images have come, as a line of a terminal.

use std::sync::Weak;
use std::time::Duration;

use crate::image::registry::Progress;

/// How often that is told.
pub(super) const TICK: Duration = Duration::from_millis(200);

/// Removes the line that is told.
pub(super) const ERASE: &str = "\r\x1b[K";

/// The pulls that are under way.
#[derive(Debug, Default)]
pub(super) struct Pulls {
    all: Vec<(String, Weak<Progress>)>,
}

impl Pulls {
    /// One more.
    pub(super) fn add(&mut self, image: &str, progress: &Weak<Progress>) {
        self.all.push((image.to_owned(), Weak::clone(progress)));
    }

    /// True while there may be something to tell.
    pub(super) fn is_any(&self) -> bool {
        !self.all.is_empty()
    }

    /// The line about those that are still under way; empty when there are none.
    pub(super) fn line(&mut self) -> String {
        self.all.retain(|(_, progress)| progress.strong_count() > 0);
        let told =
            self.all.iter().filter_map(|(image, progress)| Some(tell(image, progress.upgrade()?.bytes())));
        told.collect::<Vec<_>>().join(", ")
    }
}

/// One pull: how much is there of how much.
pub(super) fn tell(image: &str, (done, total): (u64, u64)) -> String {
    // A name may be anything, and a terminal obeys.
    let image = image.escape_debug();
    match total {
        0 => format!("pulling {image}"),
        total => format!("pulling {image}: {} of {}", human(done.min(total)), human(total)),
    }
}

/// Bytes with a decimal unit, such as `12.3MB`.
pub(super) fn human(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes}B") } else { format!("{value:.1}{}", units[unit]) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn sizes_have_units() {
        for (bytes, want) in
            [(0, "0B"), (999, "999B"), (1000, "1.0kB"), (12_345_678, "12.3MB"), (u64::MAX, "18446744.1TB")]
        {
            assert_eq!(human(bytes), want);
        }
    }

    #[test]
    fn pulls_are_told_as_long_as_they_last() {
        let (one, two) = (Arc::new(Progress::default()), Arc::new(Progress::default()));
        let mut pulls = Pulls::default();
        pulls.add("a:1", &Arc::downgrade(&one));
        pulls.add("b\x1b:1", &Arc::downgrade(&two));
        assert_eq!(pulls.line(), "pulling a:1, pulling b\\u{1b}:1");
        drop(one);
        assert_eq!(pulls.line(), "pulling b\\u{1b}:1");
        drop(two);
        assert_eq!((pulls.line(), pulls.is_any()), (String::new(), false));
        assert_eq!(tell("a", (12, 1000)), "pulling a: 12B of 1.0kB");
    }
}
