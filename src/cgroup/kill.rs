//! SIGKILL to a whole group where the kernel has no `cgroup.kill`: freeze, signal each, thaw, until nobody is left.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid};

use super::group::Group;
use super::hierarchy::{Hierarchy, children};
use super::{Error, Result, file, remove};

/// How long to go on.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

/// The control files of a CPU quota, on v2 and on v1, each with the value for none.
const QUOTAS: [(&str, &str); 2] = [("cpu.max", "max"), ("cpu.cfs_quota_us", "-1")];

/// The control file that freezes a group with all below it, and its two values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Freezer {
    pub(crate) file: &'static str,
    pub(crate) frozen: &'static str,
    pub(crate) thawed: &'static str,
}

/// Kills everything in `group`. While it is frozen no process can fork, or end and hand its number on to a stranger.
pub(crate) fn by_signals(hierarchy: &dyn Hierarchy, group: Group<'_>, freezer: Freezer) -> Result<()> {
    let directory = hierarchy.directory(group);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let processes = hierarchy.processes(group)?;
        if processes.is_empty() {
            return Ok(());
        }
        if processes.contains(&getpid().as_raw()) {
            return Err(Error::Suicide(directory));
        }
        if Instant::now() >= deadline {
            let processes = remove::describe(&processes);
            return Err(Error::Busy {
                operation: "kill",
                group: directory,
                seconds: PATIENCE.as_secs(),
                processes,
            });
        }
        set(&directory, freezer.file, freezer.frozen)?;
        let signalled = hierarchy.processes(group).and_then(|processes| signal_all(&directory, &processes));
        // Thawed whatever happened: on v1 a signal is only acted on after that.
        set(&directory, freezer.file, freezer.thawed)?;
        signalled?;
        sleep(PAUSE);
    }
}

/// Takes the CPU quota from a group that is about to be killed, and from those below it. To end takes a little CPU time:
/// processes that have used up their quota would wait for it, and a fork bomb for minutes.
pub(crate) fn unthrottle(directory: &Path) {
    for (name, value) in QUOTAS {
        // Where there is no quota there is nothing to take; where it stays the processes end all the same, later.
        let _ = file::write(&directory.join(name), value);
    }
    children(directory).unwrap_or_default().iter().for_each(|child| unthrottle(child));
}

fn signal_all(directory: &Path, processes: &[i32]) -> Result<()> {
    for pid in processes {
        match kill(Pid::from_raw(*pid), Signal::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => return Err(file::failed("signal a process of", directory, errno.into())),
        }
    }
    Ok(())
}

/// Freezing makes the kill complete, but is not what it lives by: a hierarchy without the file is gone through unfrozen.
fn set(directory: &Path, name: &str, value: &str) -> Result<()> {
    match file::write(&directory.join(name), value) {
        Err(error) if error.is_absent() => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn quotas_are_taken_from_a_group_and_from_those_below_it() {
        let dir = tempfile::tempdir().unwrap();
        let child = dir.path().join("child");
        fs::create_dir(&child).unwrap();
        for (path, value) in [(dir.path().join("cpu.max"), "max"), (child.join("cpu.cfs_quota_us"), "-1")] {
            fs::write(&path, "30000").unwrap();
            unthrottle(dir.path());
            assert!(fs::read_to_string(&path).unwrap().starts_with(value), "{}", path.display());
        }
        assert!(!child.join("cpu.max").exists(), "no file is made");
    }
}
