//! Cuts a log into lines, in whatever pieces it is read.

use super::line::MAX_LINE;

/// The end of a log as far as it was read.
#[derive(Debug, Default)]
pub(crate) struct Cutter {
    /// The beginning of a line whose rest is not written yet; at most [`MAX_LINE`] bytes.
    tail: Vec<u8>,
    /// What is being read is the rest of a line that is too long to be one of a log.
    skipping: bool,
}

impl Cutter {
    /// Takes the next piece of the log, and gives each line that it ends to `line`, without its newline. A line of more
    /// than [`MAX_LINE`] bytes is none of ours, and left out.
    pub(crate) fn push(&mut self, piece: &[u8], mut line: impl FnMut(&[u8])) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let ends = part.ends_with(b"\n");
            if self.tail.len() + part.len() > MAX_LINE {
                self.skipping = true;
                self.tail.clear();
            }
            if !self.skipping {
                self.tail.extend_from_slice(part);
            }
            if ends && !std::mem::take(&mut self.skipping) {
                line(self.tail.strip_suffix(b"\n").unwrap_or(&self.tail));
                self.tail.clear();
            }
        }
    }

    /// Forgets a line that never ended.
    pub(crate) fn clear(&mut self) {
        self.tail.clear();
        self.skipping = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_and_one_that_is_too_long_is_left_out() {
        let long = "x".repeat(MAX_LINE);
        let whole = "y".repeat(MAX_LINE - 1);
        let log = format!("a\n\n{long}\n{whole}\nb\nunfinished");
        for size in [1, 7, MAX_LINE, log.len()] {
            let mut cutter = Cutter::default();
            let mut lines = Vec::new();
            for piece in log.as_bytes().chunks(size) {
                cutter.push(piece, |line| lines.push(String::from_utf8(line.to_vec()).unwrap()));
                assert!(cutter.tail.len() <= MAX_LINE);
            }
            assert_eq!(lines, ["a", "", whole.as_str(), "b"], "in pieces of {size}");
        }
    }
}
