//! What a process says of itself in `/proc/PID/cmdline`, which everybody who shares its PID namespace may read.

use std::fs::{File, OpenOptions, read_to_string};
use std::io;
use std::os::unix::fs::FileExt;

/// Fields of `/proc/PID/stat` where the arguments of a process begin and end (proc_pid_stat(5)), counted from 1.
const ARGUMENTS: [usize; 2] = [48, 49];

/// Fields before the name's closing bracket.
const BEFORE_STATE: usize = 2;

/// Puts this in the place of all of the process's arguments, cut to their length. A clone that has not executed anything has the words of
/// the process that it is a copy of; those of that process stay as they are.
///
/// # Errors
/// What the kernel says of `/proc/self`, or `InvalidData` if that is not what proc(5) says.
pub(super) fn set(title: &str) -> io::Result<()> {
    let [begin, end] = arguments(&read_to_string("/proc/self/stat")?).ok_or(io::ErrorKind::InvalidData)?;
    let mut bytes = vec![0; usize::try_from(end - begin).map_err(io::Error::other)?];
    // The last stays 0: another byte there would mean that the words go on behind it.
    let length = title.len().min(bytes.len().saturating_sub(1));
    bytes[..length].copy_from_slice(&title.as_bytes()[..length]);
    let memory: File = OpenOptions::new().write(true).open("/proc/self/mem")?;
    memory.write_all_at(&bytes, begin)
}

fn arguments(stat: &str) -> Option<[u64; 2]> {
    // The name may contain anything, brackets and blanks too.
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let [begin, end] = ARGUMENTS.map(|field| fields.get(field - BEFORE_STATE - 1)?.parse().ok());
    Some([begin?, end?]).filter(|[begin, end]| begin <= end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_are_found_whatever_the_process_is_called() {
        let fields: Vec<String> = (3..=52).map(|field| field.to_string()).collect();
        for name in ["pause", ") R 1 (", "a b"] {
            assert_eq!(arguments(&format!("7 ({name}) {}\n", fields.join(" "))), Some([48, 49]), "{name}");
        }
        for bad in ["", "7 (pause)", "7 (pause) S 1", &format!("7 (p) {}", "9 ".repeat(45) + "8")] {
            assert_eq!(arguments(bad), None, "{bad}");
        }
    }
}
