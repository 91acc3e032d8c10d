//! clone3(2): a child in new namespaces and in its cgroup from its first instruction.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::sched::{CloneFlags, setns};

/// A child process. The pid cannot be reused before the child was waited for, which only its parent does.
#[derive(Debug)]
pub struct Child {
    /// As the caller's PID namespace sees it.
    pub pid: i32,
    /// Refers to the child even after it ended; close-on-exec.
    pub pidfd: OwnedFd,
}

/// Which side of the clone this is.
#[derive(Debug)]
pub enum Forked {
    /// The caller.
    Parent(Child),
    /// The new process, a copy of the caller.
    Child,
}

/// Clones the calling process, as fork(2) does, into the new namespaces that `flags` name and into the cgroup v2 directory
/// `cgroup`.
///
/// Call it only while the process has a single thread: then the child may run ordinary code. The child must end by
/// execve or [`super::process::exit_now`], never by returning into its parent's loop; [`spawn`] sees to that.
pub fn clone3(flags: CloneFlags, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Forked> {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

    let mut pidfd: RawFd = -1;
    // SAFETY: clone_args is a plain C structure of integers, for which all zeros is the documented default.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags.bits() as u64 | libc::CLONE_PIDFD as u64;
    args.pidfd = &raw mut pidfd as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }

    // JUSTIFICATION: neither std nor nix offers clone3.
    // SAFETY: without CLONE_VM the child gets a copy of the address space, so nothing is shared with the parent; the
    // size passed is that of the structure; `pidfd` outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) };
    match result {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        // SAFETY: the kernel has just opened this descriptor for us, and nobody else knows its number.
        pid => Ok(Forked::Parent(Child { pid: pid as i32, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } })),
    }
}

/// Clones, and runs `body` in the child, which ends with the exit code that it returns; a panic ends it with 127.
pub fn spawn(
    flags: CloneFlags,
    cgroup: Option<BorrowedFd<'_>>,
    body: impl FnOnce() -> i32,
) -> io::Result<Child> {
    match clone3(flags, cgroup)? {
        Forked::Parent(child) => Ok(child),
        Forked::Child => {
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(127);
            super::process::exit_now(code)
        }
    }
}

/// Likewise, into the PID namespace of the process behind `pidfd`, which is the caller's or one below it.
///
/// # Panics
///
/// When the caller cannot go back to its own PID namespace for its next children: whatever it started from then on would
/// land in the other.
pub fn spawn_beside(
    pidfd: BorrowedFd<'_>,
    flags: CloneFlags,
    cgroup: Option<BorrowedFd<'_>>,
    body: impl FnOnce() -> i32,
) -> io::Result<Child> {
    let own = File::open("/proc/self/ns/pid")?;
    // Concerns children only, and spares the second fork that a child would need to get there.
    setns(pidfd, CloneFlags::CLONE_NEWPID)?;
    let child = spawn(flags, cgroup, body);
    if let Err(errno) = setns(&own, CloneFlags::CLONE_NEWPID) {
        panic!("leave the other PID namespace: {errno}");
    }
    child
}

/// The network namespace of a child that was not waited for yet, as a close-on-exec descriptor.
pub fn network_namespace(child: &Child) -> io::Result<OwnedFd> {
    File::open(format!("/proc/{}/ns/net", child.pid)).map(OwnedFd::from)
}

/// The user namespace of a child that was not waited for yet, as a close-on-exec descriptor.
pub fn user_namespace(child: &Child) -> io::Result<OwnedFd> {
    File::open(format!("/proc/{}/ns/user", child.pid)).map(OwnedFd::from)
}

/// Maps user and group ids 0 to `count` - 1 of the user namespace that a child was cloned into to the caller's from `first` on
/// (user_namespaces(7)). Works once.
pub fn map_user_namespace(child: &Child, first: u32, count: u32) -> io::Result<()> {
    ["uid_map", "gid_map"].into_iter().try_for_each(|file| {
        let mut map = File::options().write(true).open(format!("/proc/{}/{file}", child.pid))?;
        // The kernel takes it in one write or not at all.
        map.write_all(format!("0 {first} {count}\n").as_bytes())
    })
}
