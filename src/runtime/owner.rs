//! Which agent looks after a pod: a lock on a file of the pod's run directory, which the kernel gives back at its end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// A process that an owner was starting when it was killed holds the owner's lock until its execve: waited for, this long.
const DEAD_OWNER_TIME: Duration = Duration::from_secs(2);

/// Between two looks at the lock of a dead owner.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// The right to look after a pod, for as long as this lives.
#[derive(Debug)]
pub struct Ownership {
    _lock: Flock<File>,
}

/// Why a pod cannot be owned.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody does.
    #[error("owned by process {pid}")]
    Owned {
        /// Who.
        pid: String,
    },
    /// A system call failed.
    #[error("lock {path}")]
    Io {
        /// The lock's file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Keeps other agents from taking pods on or away, in the same run directory, while it lives.
#[derive(Debug)]
pub struct Admission {
    _lock: Flock<File>,
}

impl Ownership {
    /// Takes the lock at `path`; its directory is made if it is missing.
    pub fn acquire(path: &Path) -> Result<Self, Error> {
        let failed = |source: io::Error| Error::Io { path: path.display().to_string(), source };
        if let Some(directory) = path.parent() {
            make_private_directory(directory).map_err(failed)?;
        }
        let deadline = Instant::now() + DEAD_OWNER_TIME;
        loop {
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(false).mode(0o600);
            let file = file.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path).map_err(failed)?;
            let mut lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => lock,
                Err((file, Errno::EWOULDBLOCK)) => {
                    let mut pid = String::new();
                    // Empty in the moment between its lock and its first word.
                    let _ = file.take(16).read_to_string(&mut pid);
                    if is_alive(&pid) || Instant::now() >= deadline {
                        return Err(Error::Owned { pid: pid.trim().to_owned() });
                    }
                    thread::sleep(LOOK_AGAIN);
                    continue;
                }
                Err((_, errno)) => return Err(failed(errno.into())),
            };
            // A former owner may have removed the pod between our open and our lock.
            if !is_still_at(&lock, path).map_err(failed)? {
                continue;
            }
            lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())).map_err(failed)?;
            return Ok(Self { _lock: lock });
        }
    }
}

impl Admission {
    /// Waits for the lock on a directory, which must exist.
    pub fn wait(directory: &Path) -> Result<Self, Error> {
        let failed = |source: io::Error| Error::Io { path: directory.display().to_string(), source };
        let file = File::open(directory).map_err(failed)?;
        let lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| failed(errno.into()))?;
        Ok(Self { _lock: lock })
    }
}

/// Makes a directory, and missing ones above it, that only root may enter.
pub fn make_private_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// True for a process that runs, and is not about to end. What is no process id yet is about to be one.
fn is_alive(pid: &str) -> bool {
    let Ok(pid) = pid.trim().parse::<u32>() else { return pid.trim().is_empty() };
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    runs(&read("stat")) && !is_killed(&read("status"))
}

/// By the lines of /proc/PID/stat: neither a zombie nor exiting.
fn runs(stat: &str) -> bool {
    /// See include/linux/sched.h of the kernel; proc_pid_stat(5).
    const PF_EXITING: u64 = 0x4;
    // The state follows the name, which stands in parentheses and may hold any byte.
    let Some((_, rest)) = stat.rsplit_once(") ") else { return false };
    let flags = rest.split(' ').nth(6).and_then(|flags| flags.parse::<u64>().ok());
    !rest.starts_with(['Z', 'X']) && flags.is_none_or(|flags| flags & PF_EXITING == 0)
}

/// By the lines of /proc/PID/status: SIGKILL is on its way to it. Its locks are there until the last thread has had it.
fn is_killed(status: &str) -> bool {
    const SIGKILL: u64 = 1 << (libc::SIGKILL - 1);
    let pending = status.lines().filter_map(|line| {
        let (name, mask) = line.split_once(':')?;
        ["SigPnd", "ShdPnd"].contains(&name).then(|| u64::from_str_radix(mask.trim(), 16).ok())?
    });
    pending.fold(0, |all, mask| all | mask) & SIGKILL != 0
}

fn is_still_at(file: &File, path: &Path) -> io::Result<bool> {
    let (ours, theirs) = (file.metadata()?, fs::metadata(path));
    Ok(theirs.is_ok_and(|theirs| (theirs.dev(), theirs.ino()) == (ours.dev(), ours.ino())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_has_one_owner_who_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pods/uid/owner.lock");
        let owner = Ownership::acquire(&path).unwrap();
        let error = Ownership::acquire(&path).unwrap_err();
        assert_eq!(error.to_string(), format!("owned by process {}", std::process::id()));
        drop(owner);
        assert!(Ownership::acquire(&path).is_ok());
    }

    #[test]
    fn a_lock_that_a_dead_owner_left_to_a_child_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("owner.lock");
        let owner = Ownership::acquire(&path).unwrap();
        let mut gone = std::process::Command::new("/bin/true").spawn().unwrap();
        gone.wait().unwrap();
        fs::write(&path, format!("{}\n", gone.id())).unwrap();
        let held = thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            drop(owner);
        });
        assert!(Ownership::acquire(&path).is_ok());
        held.join().unwrap();
    }

    #[test]
    fn who_is_about_to_end_is_not_alive() {
        let stat = |state: &str, flags: u64| format!("7 (a) b) {state} 1 7 7 0 -1 {flags} 100 0");
        let cases =
            [("S", 0x40_0000, true), ("R", 0x40_0004, false), ("Z", 0x40_0000, false), ("X", 0, false)];
        for (state, flags, expected) in cases {
            assert_eq!(runs(&stat(state, flags)), expected, "{state} {flags:x}");
        }
        assert!(!runs(""), "it has gone meanwhile");
        let status =
            |own: u64, shared: u64| format!("Name:\ta\nSigPnd:\t{own:016x}\nShdPnd:\t{shared:016x}\n");
        for (own, shared, expected) in
            [(0, 0, false), (0x100, 0, true), (0, 0x100, true), (0x4000, 0x8000, false)]
        {
            assert_eq!(is_killed(&status(own, shared)), expected, "{own:x} {shared:x}");
        }
        assert!(is_alive(&std::process::id().to_string()));
    }

    #[test]
    fn a_lock_of_a_pod_that_was_removed_locks_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("owner.lock");
        let owner = Ownership::acquire(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(Ownership::acquire(&path).is_ok());
        drop(owner);
    }
}
