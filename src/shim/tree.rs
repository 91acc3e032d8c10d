//! A process and all that came of it, found and killed without touching the rest of its container.
//!
//! A process that is executed in a container has no cgroup of its own: it would see another /proc/self/cgroup than the
//! container's first process, and a workload that hands controllers on to groups below its own would find one there that is
//! not its. So its descendants are found by parent and by session. What left both, by a double fork with a new session, is
//! a daemon of the container from then on, like one that the first process starts, and ends with the container.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use super::diagnostics::{chain, say};
use crate::cgroup::Cgroups;
use crate::sys::process::{open_pidfd, send_signal};

/// How often the group is looked through for processes that were forked meanwhile. Each round stops all that it finds, so
/// that only what was born since can fork on: one or two are needed, and many only against somebody who forks on purpose.
const ROUNDS: usize = 64;

/// A process as /proc/PID/stat shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    pid: i32,
    parent: i32,
    session: i32,
    /// Since boot, clock ticks: with the pid it names a process for ever.
    started: u64,
}

/// SIGKILL to `root`, which leads a session of its own, and to all of its tree in `group`. The caller must not have reaped
/// it. Returns before they are gone.
pub fn kill(root: i32, cgroups: &Cgroups, group: &Path) {
    let mut held: HashMap<i32, OwnedFd> = HashMap::new();
    for _ in 0..ROUNDS {
        let new = match cgroups.processes(group) {
            Ok(processes) => members(&processes.into_iter().filter_map(stat).collect::<Vec<_>>(), root),
            Err(error) => {
                say(format_args!("find the processes of {}: {}", group.display(), chain(&error)));
                break;
            }
        };
        let new: Vec<Stat> = new.into_iter().filter(|stat| !held.contains_key(&stat.pid)).collect();
        if new.is_empty() {
            break;
        }
        for member in new {
            // A fork that has begun is not completed once a signal is pending, so the next round sees every child.
            match hold(member).and_then(|pidfd| send_signal(pidfd.as_fd(), libc::SIGSTOP).map(|()| pidfd)) {
                Ok(pidfd) => drop(held.insert(member.pid, pidfd)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => say(format_args!("stop process {}: {error}", member.pid)),
            }
        }
    }
    for (pid, pidfd) in held {
        if let Err(error) = send_signal(pidfd.as_fd(), libc::SIGKILL) {
            say(format_args!("kill process {pid}: {error}"));
        }
    }
}

/// `root`, its session, and all whose parents are among these.
fn members(all: &[Stat], root: i32) -> Vec<Stat> {
    let is_seed = |stat: &Stat| stat.pid == root || stat.session == root;
    let (mut found, mut rest): (Vec<Stat>, Vec<Stat>) = all.iter().partition(|stat| is_seed(stat));
    let mut next = 0;
    while let Some(parent) = found.get(next).map(|stat| stat.pid) {
        found.extend(rest.extract_if(.., |stat| stat.parent == parent));
        next += 1;
    }
    found
}

/// A hold on exactly this process. Its number may be somebody else's by now, but not once the descriptor is open.
fn hold(member: Stat) -> io::Result<OwnedFd> {
    let pidfd = open_pidfd(member.pid)?;
    match stat(member.pid) {
        Some(now) if now.started == member.started => Ok(pidfd),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

fn stat(pid: i32) -> Option<Stat> {
    parse(pid, &std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// See proc_pid_stat(5). The second field is a name in parentheses, which may itself have some in it.
fn parse(pid: i32, text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    // These start with the third.
    let field = |number: usize| fields.get(number - 3);
    Some(Stat {
        pid,
        parent: field(4)?.parse().ok()?,
        session: field(6)?.parse().ok()?,
        started: field(22)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32, session: i32) -> Stat {
        Stat { pid, parent, session, started: 0 }
    }

    #[test]
    fn a_tree_is_the_session_and_every_descendant() {
        let all = [
            process(1, 0, 1),
            process(50, 40, 60),
            process(10, 0, 10),
            // Left by its parent, and given to PID 1.
            process(30, 1, 10),
            // Sessions of their own, below 10 and below 30.
            process(40, 10, 40),
            process(60, 30, 60),
            // The container's own.
            process(20, 1, 1),
            process(21, 20, 21),
        ];
        let check = |root, expected: &[i32]| {
            let mut found: Vec<i32> = members(&all, root).iter().map(|stat| stat.pid).collect();
            found.sort_unstable();
            assert_eq!(found, expected, "{root}");
        };
        check(10, &[10, 30, 40, 50, 60]);
        check(20, &[20, 21]);
        check(99, &[]);
    }

    #[test]
    fn a_process_name_cannot_pass_for_fields() {
        let tail = "0 -1 4194304 90 0 0 0 0 0 0 0 20 0 1 0 1234 5 6";
        let text = format!("7 (x) S 1 2 3 4) S 5 6 8 {tail}");
        assert_eq!(parse(7, &text), Some(Stat { pid: 7, parent: 5, session: 8, started: 1234 }));
        assert_eq!(parse(7, "7 (x"), None);
        assert_eq!(parse(7, "7 (x) S 5"), None);
    }

    #[test]
    fn this_process_is_found_in_proc() {
        let own = stat(std::process::id() as i32).unwrap();
        assert_eq!(own.parent, std::os::unix::process::parent_id() as i32);
        assert!(own.started > 0);
        assert!(hold(own).is_ok());
        let stranger = Stat { started: own.started + 1, ..own };
        assert_eq!(hold(stranger).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
