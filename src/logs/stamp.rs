//! The ending of a rotated file's name: when it was rotated.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// When a file of a log was rotated, in UTC. Written as the kubelet writes it, `20261125-160102`, and with nine digits more,
/// `20261125-160102.000000001`: a container may fill several files in a second. Sorts as its text does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(Timestamp);

/// Text that is no stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a time of rotation")]
pub struct InvalidStamp;

impl Stamp {
    /// The stamp of a file that is rotated at `now`, after the one of `last`, whatever the clock has done since.
    pub fn after(last: Option<Self>, now: Timestamp) -> Self {
        let earliest = last
            .map_or(now, |Self(last)| last.checked_add(jiff::SignedDuration::from_nanos(1)).unwrap_or(last));
        Self(now.max(earliest))
    }

    /// The time.
    pub fn at(self) -> Timestamp {
        self.0
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = TimeZone::UTC.to_datetime(self.0);
        let (date, clock) =
            ((time.year(), time.month(), time.day()), (time.hour(), time.minute(), time.second()));
        write!(f, "{:04}{:02}{:02}-", date.0, date.1, date.2)?;
        write!(f, "{:02}{:02}{:02}.{:09}", clock.0, clock.1, clock.2, time.subsec_nanosecond())
    }
}

impl FromStr for Stamp {
    type Err = InvalidStamp;

    fn from_str(text: &str) -> Result<Self, InvalidStamp> {
        // Only then can it be cut anywhere.
        if text.len() != "20261125-160102.000000001".len() || !text.is_ascii() {
            return Err(InvalidStamp);
        }
        let number = |from: usize, to: usize| text[from..to].parse::<u32>().map_err(|_| InvalidStamp);
        let small = |from, to| number(from, to).and_then(|n| i8::try_from(n).map_err(|_| InvalidStamp));
        let year = i16::try_from(number(0, 4)?).map_err(|_| InvalidStamp)?;
        let nanos = i32::try_from(number(16, 25)?).map_err(|_| InvalidStamp)?;
        let time = DateTime::new(
            year,
            small(4, 6)?,
            small(6, 8)?,
            small(9, 11)?,
            small(11, 13)?,
            small(13, 15)?,
            nanos,
        );
        let time = time.map_err(|_| InvalidStamp)?;
        let stamp = Self(TimeZone::UTC.to_timestamp(time).map_err(|_| InvalidStamp)?);
        // One text for each time.
        if stamp.to_string() == text { Ok(stamp) } else { Err(InvalidStamp) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn it_is_written_as_the_kubelet_writes_it_with_a_fraction() {
        let stamp = Stamp::after(None, at("2026-11-25T16:01:02.000000345Z"));
        assert_eq!(stamp.to_string(), "20261125-160102.000000345");
        assert_eq!("20261125-160102.000000345".parse(), Ok(stamp));
    }

    #[test]
    fn one_comes_after_the_other_whatever_the_clock_does() {
        let first = Stamp::after(None, at("2026-11-25T16:01:02.999999999Z"));
        for now in ["2026-11-25T16:01:02.999999999Z", "1999-01-01T00:00:00Z", "2026-11-25T16:01:03Z"] {
            let second = Stamp::after(Some(first), at(now));
            assert!(second > first && second.to_string() > first.to_string(), "{now}");
            assert!(second.at() <= at("2026-11-25T16:01:03Z"), "{now}");
        }
    }

    #[test]
    fn other_texts_are_none() {
        for text in [
            "",
            "20261125-160102",
            "20261125-160102.1",
            "20261125-160102.00000000x",
            "20261325-160102.000000000",
            "20261125-240000.000000000",
            "20261125T160102.000000000",
            "+0261125-160102.000000000",
            "20261125-160102.000000000.gz",
            "2026112\u{e9}-160102.00000000",
        ] {
            assert_eq!(text.parse::<Stamp>(), Err(InvalidStamp), "{text}");
        }
    }
}
