//! Logs: what a container prints comes back as it was, in bounded lines, and a log that anybody wrote yields bounded lines.
//!
//! The input has two pages: how it is cut, and the output, which is taken for a log as well.

use jiff::Timestamp;

use super::pages;
use crate::logs::cut::Cutter;
use crate::logs::join::{Joined, Joiner, MAX_JOINED};
use crate::logs::line::{Encoder, Line, MAX_LINE, MAX_TEXT, Stream};

pub(super) fn check(data: &[u8]) {
    let [cut, text] = pages(data);
    let cut =
        cut.iter().fold(1_usize, |cut, byte| cut.wrapping_mul(31).wrapping_add((*byte).into())) % 40_000 + 1;

    // Short inputs are stretched, so that they reach the limits too.
    let output = if cut % 2 == 0 { text.to_vec() } else { text.repeat(1 + (cut % 4096)) };
    let output = &output[..output.len().min(1 << 20)];
    written(output, cut);
    let log = read(output, cut);
    assert_eq!(log, read(output, output.len().max(1)), "however it is cut");
}

/// What the shim writes is what the container printed.
fn written(output: &[u8], cut: usize) {
    let mut encoder = Encoder::new(Stream::Stdout);
    let mut log = Vec::new();
    for piece in output.chunks(cut) {
        encoder.push(piece, Timestamp::UNIX_EPOCH, &mut log);
    }
    encoder.finish(Timestamp::UNIX_EPOCH, &mut log);
    let mut back = Vec::new();
    for line in log.split_inclusive(|byte| *byte == b'\n') {
        assert!(line.len() <= MAX_LINE, "a line of {} bytes", line.len());
        let line = line.strip_suffix(b"\n").expect("every line ends");
        let line = Line::parse(line).expect("what we write we read");
        assert!(line.text.len() <= MAX_TEXT && line.stream == Stream::Stdout);
        back.extend_from_slice(line.text);
        back.extend(line.ends.then_some(b'\n'));
    }
    assert_eq!(back, output);
}

/// What the agent reads of a log.
fn read(log: &[u8], cut: usize) -> Vec<Joined> {
    let (mut cutter, mut joiner, mut joined) = (Cutter::default(), Joiner::default(), Vec::new());
    for piece in log.chunks(cut) {
        cutter.push(piece, |line| {
            assert!(line.len() < MAX_LINE && !line.contains(&b'\n'));
            joined.extend(Line::parse(line).ok().and_then(|line| joiner.push(line)));
        });
    }
    joined.extend(joiner.finish(Timestamp::UNIX_EPOCH));
    assert!(joined.iter().all(|line| line.text.len() < MAX_JOINED + MAX_LINE));
    assert!(joined.iter().map(|line| line.text.len()).sum::<usize>() <= log.len(), "nothing is made up");
    joined
}
