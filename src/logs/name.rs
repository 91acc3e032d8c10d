//! The names of log files: `3.log` is written by the fourth attempt, `3.log.20261125-160102.000000345` was.

use std::fmt;
use std::str::FromStr;

use super::stamp::{InvalidStamp, Stamp};

/// A file of a container's log. Sorts by age, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// Which start of the container wrote it, from 0.
    pub attempt: u32,
    /// Which of its files it is.
    pub part: Part,
}

/// One file of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Nothing more is written to it.
    Rotated(Stamp),
    /// The one that is written to.
    Live,
}

impl Name {
    /// The file that an attempt writes to.
    pub fn live(attempt: u32) -> Self {
        Self { attempt, part: Part::Live }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.log", self.attempt)?;
        match self.part {
            Part::Rotated(stamp) => write!(f, ".{stamp}"),
            Part::Live => Ok(()),
        }
    }
}

impl FromStr for Name {
    type Err = InvalidStamp;

    fn from_str(text: &str) -> Result<Self, InvalidStamp> {
        let (number, ending) = text.split_once(".log").ok_or(InvalidStamp)?;
        let attempt: u32 = number.parse().map_err(|_| InvalidStamp)?;
        let part = match ending.strip_prefix('.') {
            Some(stamp) => Part::Rotated(stamp.parse()?),
            None => Part::Live,
        };
        let name = Self { attempt, part };
        // One name for each file: neither `+1.log` nor `01.log`.
        if name.to_string() == text { Ok(name) } else { Err(InvalidStamp) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_age() {
        let names = [
            "0.log.20261125-160102.000000345",
            "0.log.20261125-160102.000000346",
            "0.log",
            "2.log",
            "10.log.20261124-000000.000000000",
            "10.log",
        ];
        let mut parsed: Vec<Name> = names.iter().rev().map(|name| name.parse().unwrap()).collect();
        parsed.sort_unstable();
        assert_eq!(parsed.iter().map(ToString::to_string).collect::<Vec<_>>(), names);
    }

    #[test]
    fn other_names_are_none() {
        for name in [
            "",
            "0",
            "log",
            ".log",
            "x.log",
            "+1.log",
            "01.log",
            "0.log.",
            "0.log.gz",
            "0.log.20261125-160102",
            "0.logs",
        ] {
            assert!(name.parse::<Name>().is_err(), "{name}");
        }
    }
}
