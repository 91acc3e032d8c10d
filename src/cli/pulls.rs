//! How far pulls of images have come, as a line of a terminal.

use std::os::fd::AsFd;
use std::sync::Weak;
use std::time::Duration;

use crate::image::registry::Progress;
use crate::sys::terminal;

/// How often that is told.
pub(super) const TICK: Duration = Duration::from_millis(200);

/// Of a terminal that does not say it.
const COLUMNS: usize = 80;

/// Stands for what is left out of a name.
const CUT: char = '…';

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

    /// The line about those that are still under way, for a terminal of that many columns; empty when there are none.
    pub(super) fn line(&mut self, columns: usize) -> String {
        self.all.retain(|(_, progress)| progress.strong_count() > 0);
        let told =
            |(image, progress): &(String, Weak<Progress>)| Some((image.clone(), progress.upgrade()?.bytes()));
        let all: Vec<_> = self.all.iter().filter_map(told).collect();
        if let [(image, bytes)] = &all[..] {
            return tell(image, *bytes, columns);
        }
        let whole: Vec<String> = all.iter().map(|(image, bytes)| tell(image, *bytes, usize::MAX)).collect();
        let whole = whole.join(", ");
        if whole.chars().count() < columns {
            return whole;
        }
        let sum = all.iter().fold((0, 0), |(done, total), (_, bytes)| (done + bytes.0, total + bytes.1));
        fit(&format!("pulling {} images{}", all.len(), of(sum)), columns)
    }
}

/// One pull: how much is there of how much. Where there is no room for all, the beginning of the name is left out.
pub(super) fn tell(image: &str, bytes: (u64, u64), columns: usize) -> String {
    // A name may be anything, and a terminal obeys.
    let image = image.escape_debug().to_string();
    let bytes = of(bytes);
    let room = columns.saturating_sub(1 + "pulling ".len() + bytes.len());
    let image = match image.chars().count().checked_sub(room) {
        None | Some(0) => image,
        Some(more) => std::iter::once(CUT).chain(image.chars().skip(more + 1)).collect(),
    };
    fit(&format!("pulling {image}{bytes}"), columns)
}

fn of((done, total): (u64, u64)) -> String {
    match total {
        0 => String::new(),
        total => format!(": {} of {}", human(done.min(total)), human(total)),
    }
}

/// What there is room for. A line that reaches the last column would go on in the next.
fn fit(line: &str, columns: usize) -> String {
    line.chars().take(columns.saturating_sub(1)).collect()
}

/// The columns of a terminal, as they are now.
pub(super) fn columns(of: impl AsFd) -> usize {
    match terminal::size(of.as_fd()) {
        Ok((_, columns @ 1..)) => columns.into(),
        _ => COLUMNS,
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
        assert_eq!(pulls.line(80), "pulling a:1, pulling b\\u{1b}:1");
        assert_eq!(pulls.line(28), "pulling 2 images");
        drop(one);
        assert_eq!(pulls.line(80), "pulling b\\u{1b}:1");
        drop(two);
        assert_eq!((pulls.line(80), pulls.is_any()), (String::new(), false));
    }

    #[test]
    fn a_line_is_never_as_long_as_its_terminal() {
        for (columns, told) in [
            (80, "pulling registry.example/team/app:1: 12B of 1.0kB"),
            (50, "pulling registry.example/team/app:1: 12B of 1.0kB"),
            (49, "pulling …gistry.example/team/app:1: 12B of 1.0kB"),
            (30, "pulling …/app:1: 12B of 1.0kB"),
            (10, "pulling …"),
            (1, ""),
            (0, ""),
        ] {
            assert_eq!(tell("registry.example/team/app:1", (12, 1000), columns), told, "{columns}");
        }
    }
}
