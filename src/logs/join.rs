//! Puts the parts of a line together again, up to a limit.

use jiff::Timestamp;

use super::line::{Line, Stream};

/// A line longer than this is given out in pieces, bytes.
pub(crate) const MAX_JOINED: usize = 1 << 20;

/// A whole line, or a piece of one that is too long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) at: Timestamp,
    pub(crate) stream: Stream,
    pub(crate) text: Vec<u8>,
}

/// The unfinished lines of one container.
#[derive(Debug, Default)]
pub(crate) struct Joiner {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Joiner {
    /// Takes the next line of the log; returns what it completes.
    pub(crate) fn push(&mut self, line: Line<'_>) -> Option<Joined> {
        let parts = self.parts(line.stream);
        parts.extend_from_slice(line.text);
        if line.ends || parts.len() >= MAX_JOINED {
            return Some(Joined { at: line.at, stream: line.stream, text: std::mem::take(parts) });
        }
        None
    }

    /// What never ended.
    pub(crate) fn finish(&mut self, at: Timestamp) -> impl Iterator<Item = Joined> {
        [Stream::Stdout, Stream::Stderr]
            .map(|stream| (stream, std::mem::take(self.parts(stream))))
            .into_iter()
            .filter_map(
                move |(stream, text)| if text.is_empty() { None } else { Some(Joined { at, stream, text }) },
            )
    }

    fn parts(&mut self, stream: Stream) -> &mut Vec<u8> {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(stream: Stream, ends: bool, text: &[u8]) -> Line<'_> {
        Line { at: Timestamp::UNIX_EPOCH, stream, ends, text }
    }

    #[test]
    fn streams_do_not_mix_and_what_never_ended_is_not_lost() {
        let mut joiner = Joiner::default();
        assert_eq!(joiner.push(line(Stream::Stdout, false, b"a")), None);
        assert_eq!(joiner.push(line(Stream::Stderr, true, b"e")).unwrap().text, b"e");
        assert_eq!(joiner.push(line(Stream::Stdout, true, b"b")).unwrap().text, b"ab");
        assert_eq!(joiner.push(line(Stream::Stderr, false, b"rest")), None);
        let rest: Vec<_> = joiner.finish(Timestamp::UNIX_EPOCH).collect();
        assert_eq!(
            rest,
            [Joined { at: Timestamp::UNIX_EPOCH, stream: Stream::Stderr, text: b"rest".to_vec() }]
        );
    }

    #[test]
    fn an_endless_line_comes_in_pieces() {
        let mut joiner = Joiner::default();
        let part = [b'x'; 16 << 10];
        let pieces: Vec<_> =
            (0..200).filter_map(|_| joiner.push(line(Stream::Stdout, false, &part))).collect();
        assert_eq!(pieces.iter().map(|piece| piece.text.len()).collect::<Vec<_>>(), [MAX_JOINED; 3]);
    }
}
