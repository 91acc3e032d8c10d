//! Removing groups: bottom-up, with patience for processes that are about to end.

use std::fs;
use std::io;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::group::Group;
use super::hierarchy::{Hierarchy, children};
use super::{Error, Result, file};

/// How long processes are waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// The first pause between two looks; each one is twice as long as the one before, up to `LONGEST_PAUSE`.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(32);

/// When to give up on a removal that starts now.
pub(crate) fn deadline() -> Instant {
    Instant::now() + PATIENCE
}

/// Removes `group` and what is below it from one hierarchy.
pub(crate) fn tree(hierarchy: &dyn Hierarchy, group: Group<'_>, deadline: Instant) -> Result<()> {
    let directory = hierarchy.directory(group);
    let mut pause = FIRST_PAUSE;
    while !try_tree(&directory)? {
        if Instant::now() >= deadline {
            let processes = describe(&hierarchy.processes(group)?);
            return Err(Error::Busy {
                operation: "remove",
                group: directory,
                seconds: PATIENCE.as_secs(),
                processes,
            });
        }
        sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    Ok(())
}

/// Removes one group if nothing is in it.
pub(crate) fn if_empty(directory: &Path) -> Result<()> {
    rmdir(directory).map(|_| ())
}

/// Process ids with their names, for a person to read.
pub(crate) fn describe(processes: &[i32]) -> String {
    if processes.is_empty() {
        return "no process that can be seen from here".to_owned();
    }
    let name = |pid: &i32| match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(comm) => format!("{pid} ({})", comm.trim_end()),
        Err(_) => pid.to_string(),
    };
    processes.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// One try, bottom-up. False if somebody is still in there.
fn try_tree(directory: &Path) -> Result<bool> {
    // A group that was emptied has nothing below it as a rule: one call then does it.
    if rmdir(directory)? {
        return Ok(true);
    }
    for child in children(directory)? {
        if !try_tree(&child)? {
            return Ok(false);
        }
    }
    rmdir(directory)
}

/// True if the group is gone, false if it is in use.
fn rmdir(directory: &Path) -> Result<bool> {
    match fs::remove_dir(directory) {
        Ok(()) => Ok(true),
        Err(error) => match (error.kind(), error.raw_os_error()) {
            (io::ErrorKind::NotFound, _) => Ok(true),
            (_, Some(libc::EBUSY | libc::ENOTEMPTY)) => Ok(false),
            _ => Err(file::failed("rmdir", directory, error)),
        },
    }
}
