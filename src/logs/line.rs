//! One line of a log: an encoder from raw output, and a parser.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::fmt::StdFmtWrite;
use jiff::fmt::temporal::DateTimePrinter;

/// A longer line of output is written in parts of this size, bytes.
pub const MAX_TEXT: usize = 16 << 10;

/// No line of a log is longer than this, its newline included, bytes.
pub const MAX_LINE: usize = MAX_TEXT + 64;

/// Nine digits whatever they are, so that lines of the same second align and sort.
const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(9));

/// Where output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// File descriptor 1.
    Stdout,
    /// File descriptor 2.
    Stderr,
}

impl Stream {
    /// The word in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Turns the output of one stream, in whatever pieces it comes, into lines of a log.
///
/// Output without a newline waits for one, up to [`MAX_TEXT`] bytes; [`Encoder::finish`] gives out what waits.
#[derive(Debug)]
pub struct Encoder {
    stream: Stream,
    /// The beginning of a line whose rest has not come yet.
    waiting: Vec<u8>,
    /// Time and stream, the same for all lines of a piece. Kept for its memory.
    prefix: String,
}

impl Encoder {
    /// An encoder for one stream of one container.
    pub fn new(stream: Stream) -> Self {
        Self { stream, waiting: Vec::new(), prefix: String::new() }
    }

    /// Appends to `out` the lines that `bytes` complete, dated `now`.
    pub fn push(&mut self, bytes: &[u8], now: Timestamp, out: &mut Vec<u8>) {
        self.date(now);
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.line(&rest[..end], out);
            rest = &rest[end + 1..];
        }
        let rest = self.parts(rest, out);
        self.waiting.extend_from_slice(rest);
    }

    /// Appends what is left of a line that never ended. It stays a part: the text had no newline, and gets none.
    pub fn finish(&mut self, now: Timestamp, out: &mut Vec<u8>) {
        if !self.waiting.is_empty() {
            self.date(now);
            self.flush(b'P', out);
        }
        // The stream is over; its memory is not needed again.
        self.waiting = Vec::new();
    }

    fn date(&mut self, now: Timestamp) {
        self.prefix.clear();
        // Neither can fail: the memory grows, and every timestamp can be printed.
        let _ = PRINTER.print_timestamp(&now, StdFmtWrite(&mut self.prefix));
        let _ = write!(self.prefix, " {} ", self.stream.as_str());
    }

    /// A line that `text` ends.
    fn line(&mut self, text: &[u8], out: &mut Vec<u8>) {
        let text = self.parts(text, out);
        if self.waiting.is_empty() {
            self.write(b'F', text, out);
        } else {
            self.waiting.extend_from_slice(text);
            self.flush(b'F', out);
        }
    }

    /// Writes full parts for as long as more than one part is at hand, and returns the rest of `text`, which fits beside
    /// what waits. A line of exactly one part stays whole.
    fn parts<'a>(&mut self, mut text: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        while self.waiting.len() + text.len() > MAX_TEXT {
            let (part, rest) = text.split_at(MAX_TEXT - self.waiting.len());
            if self.waiting.is_empty() {
                self.write(b'P', part, out);
            } else {
                self.waiting.extend_from_slice(part);
                self.flush(b'P', out);
            }
            text = rest;
        }
        text
    }

    fn flush(&mut self, tag: u8, out: &mut Vec<u8>) {
        let mut waiting = std::mem::take(&mut self.waiting);
        self.write(tag, &waiting, out);
        waiting.clear();
        self.waiting = waiting;
    }

    fn write(&self, tag: u8, text: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(self.prefix.as_bytes());
        out.extend_from_slice(&[tag, b' ']);
        out.extend_from_slice(text);
        out.push(b'\n');
    }
}

/// One line of a log, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// When the output was read.
    pub at: Timestamp,
    /// Where it came from.
    pub stream: Stream,
    /// False for a part that the next line of the same stream continues.
    pub ends: bool,
    /// The output, without its newline.
    pub text: &'a [u8],
}

/// Why a line is none of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("log line without {0}")]
pub struct ParseError(&'static str);

impl<'a> Line<'a> {
    /// Takes a line apart, which comes without its newline.
    pub fn parse(line: &'a [u8]) -> Result<Self, ParseError> {
        let (at, rest) = word(line).ok_or(ParseError("time"))?;
        let at = std::str::from_utf8(at).ok().and_then(|text| text.parse().ok()).ok_or(ParseError("time"))?;
        let (stream, rest) = word(rest).ok_or(ParseError("stream"))?;
        let stream = match stream {
            b"stdout" => Stream::Stdout,
            b"stderr" => Stream::Stderr,
            _ => return Err(ParseError("stream")),
        };
        let (tags, text) = word(rest).ok_or(ParseError("tag"))?;
        // The format allows more tags behind a colon.
        let ends = match tags.split(|byte| *byte == b':').next() {
            Some(b"F") => true,
            Some(b"P") => false,
            _ => return Err(ParseError("tag")),
        };
        Ok(Self { at, stream, ends, text })
    }
}

fn word(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = line.iter().position(|byte| *byte == b' ')?;
    Some((&line[..end], &line[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn encode(pieces: &[&[u8]]) -> Vec<u8> {
        let mut encoder = Encoder::new(Stream::Stdout);
        let mut out = Vec::new();
        for piece in pieces {
            encoder.push(piece, at("2026-11-21T01:02:03.5Z"), &mut out);
        }
        encoder.finish(at("2026-11-21T01:02:04Z"), &mut out);
        out
    }

    fn decode(log: &[u8]) -> Vec<u8> {
        let mut output = Vec::new();
        for line in log.split_inclusive(|byte| *byte == b'\n') {
            assert!(line.len() <= MAX_LINE);
            let line = Line::parse(line.strip_suffix(b"\n").unwrap()).unwrap();
            assert_eq!(line.stream, Stream::Stdout);
            assert!(line.text.len() <= MAX_TEXT);
            output.extend_from_slice(line.text);
            if line.ends {
                output.push(b'\n');
            }
        }
        output
    }

    #[test]
    fn lines_are_dated_and_tagged() {
        for (pieces, expected) in [
            (&[][..], ""),
            (&[b"".as_slice()], ""),
            (
                &[b"one\ntwo\n"],
                "2026-11-21T01:02:03.500000000Z stdout F one\n2026-11-21T01:02:03.500000000Z stdout F two\n",
            ),
            (&[b"o", b"ne", b"\n"], "2026-11-21T01:02:03.500000000Z stdout F one\n"),
            (&[b"\n"], "2026-11-21T01:02:03.500000000Z stdout F \n"),
            (&[b"no end"], "2026-11-21T01:02:04.000000000Z stdout P no end\n"),
        ] {
            assert_eq!(String::from_utf8(encode(pieces)).unwrap(), expected);
        }
    }

    #[test]
    fn a_long_line_is_cut_and_its_last_part_ends_it() {
        for (length, tags) in [
            (MAX_TEXT - 1, "F"),
            (MAX_TEXT, "F"),
            (MAX_TEXT + 1, "PF"),
            (2 * MAX_TEXT, "PF"),
            (1 << 20, &("P".repeat(63) + "F")),
        ] {
            let mut text = vec![b'x'; length];
            text.push(b'\n');
            for log in [encode(&[&text]), encode(&text.chunks(5000).collect::<Vec<_>>())] {
                let found: String = log
                    .split(|byte| *byte == b'\n')
                    .filter(|line| !line.is_empty())
                    .map(|line| if Line::parse(line).unwrap().ends { 'F' } else { 'P' })
                    .collect();
                assert_eq!(found, tags, "{length}");
                assert_eq!(decode(&log), text);
            }
        }
    }

    #[test]
    fn what_waits_is_never_more_than_one_part() {
        let mut encoder = Encoder::new(Stream::Stderr);
        let mut out = Vec::new();
        for _ in 0..1000 {
            encoder.push(&[0; 1000], Timestamp::UNIX_EPOCH, &mut out);
            assert!(encoder.waiting.len() <= MAX_TEXT);
            out.clear();
        }
        assert!(encoder.waiting.capacity() <= 2 * MAX_TEXT);
    }

    #[test]
    fn a_line_that_is_none_is_refused_and_says_what_is_missing() {
        for (line, missing) in [
            ("", "time"),
            ("2026-11-21T01:02:03Z", "time"),
            ("yesterday stdout F x", "time"),
            ("\u{0} stdout F x", "time"),
            ("2026-11-21T01:02:03Z stdin F x", "stream"),
            ("2026-11-21T01:02:03Z stdout", "stream"),
            ("2026-11-21T01:02:03Z stdout F", "tag"),
            ("2026-11-21T01:02:03Z stdout X x", "tag"),
        ] {
            assert_eq!(
                Line::parse(line.as_bytes()).unwrap_err().to_string(),
                format!("log line without {missing}"),
                "{line}"
            );
        }
        let line = Line::parse(b"2026-11-21T03:02:03.123456789+02:00 stderr P:more a b ").unwrap();
        let at = at("2026-11-21T01:02:03.123456789Z");
        assert_eq!(line, Line { at, stream: Stream::Stderr, ends: false, text: b"a b " });
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(
            lines in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), 0_usize..3 * MAX_TEXT), 0..5),
            size in 1_usize..40_000,
            ended: bool,
        ) {
            // Short lines of anything, stretched now and then, so that newlines fall on either side of every limit.
            let mut output: Vec<u8> = Vec::new();
            for (text, stretch) in &lines {
                output.extend_from_slice(text);
                output.extend(std::iter::repeat_n(b'x', if text.len() % 3 == 0 { *stretch } else { 0 }));
                output.push(b'\n');
            }
            if !ended {
                output.pop();
            }
            let log = encode(&output.chunks(size).collect::<Vec<_>>());
            prop_assert_eq!(decode(&log), output);
        }

        #[test]
        fn no_line_makes_the_parser_panic(line in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Line::parse(&line);
        }
    }
}
