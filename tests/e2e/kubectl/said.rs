//! What a kubectl said, and how it ended.

use std::process::Output;

pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Its output, when it was content and had nothing to remark.
    #[track_caller]
    pub(crate) fn fine(self) -> String {
        assert!(self.code == 0 && self.err.is_empty(), "exit {}: {}{}", self.code, self.out, self.err);
        self.out
    }

    /// Its output, when it was content, whatever it remarked.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }

    /// Its complaint.
    #[track_caller]
    pub(crate) fn refused(self) -> String {
        assert_ne!(self.code, 0, "{}{}", self.out, self.err);
        self.err
    }
}

/// Each line's words.
pub(crate) fn words(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split_whitespace().collect()).collect()
}
