//! Finds where the last lines of a log begin, from its end.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::line::{Line, MAX_LINE, Stream};

/// Read at a time, bytes.
const BLOCK: u64 = 64 << 10;

/// Counts lines from the end.
struct Count {
    wanted: u64,
    stream: Option<Stream>,
    found: u64,
    /// A line has been seen: what follows on it.
    any: bool,
}

impl Count {
    /// True when this line, which is ahead of those seen so far, is ahead of those that are wanted.
    fn is_ahead(&mut self, line: &[u8]) -> bool {
        // What is not whole, or none of ours, is no line of the container's.
        let Some(Ok(line)) = line.strip_suffix(b"\n").map(Line::parse) else { return false };
        if self.stream.is_some_and(|stream| stream != line.stream) {
            return false;
        }
        // A part is of the line that follows, unless nothing does.
        if line.ends || !self.any {
            self.found += 1;
        }
        self.any = true;
        self.found > self.wanted
    }
}

/// Which of the files of a log, oldest first, holds the beginning of its last `wanted` lines, and where. Only those of a stream
/// count, if there is one.
///
/// # Errors
///
/// A file cannot be read.
pub(super) fn start(files: &[&File], wanted: u64, stream: Option<Stream>) -> io::Result<(usize, u64)> {
    let mut count = Count { wanted, stream, found: 0, any: false };
    for (index, file) in files.iter().enumerate().rev() {
        if let Some(offset) = start_in(file, &mut count)? {
            return Ok((index, offset));
        }
    }
    Ok((0, 0))
}

/// Where the wanted lines begin, if the line ahead of them is in this file.
fn start_in(file: &File, count: &mut Count) -> io::Result<Option<u64>> {
    let mut position = file.metadata()?.len();
    // The end of a line whose beginning is further ahead.
    let mut rest = Vec::new();
    while position > 0 {
        let size = position.min(BLOCK);
        position -= size;
        let mut block = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut block, position)?;
        // One that is too long is none of ours.
        if rest.len() <= MAX_LINE {
            block.append(&mut rest);
        }
        let mut end = block.len();
        while let Some(before) = block[..end.saturating_sub(1)].iter().rposition(|byte| *byte == b'\n') {
            if count.is_ahead(&block[before + 1..end]) {
                return Ok(Some(position + end as u64));
            }
            end = before + 1;
        }
        block.truncate(end);
        rest = block;
    }
    Ok(if count.is_ahead(&rest) { Some(rest.len() as u64) } else { None })
}
