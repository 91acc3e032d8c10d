//! fork(2) with flags, for the floors.

use std::os::fd::{FromRawFd, OwnedFd};

use anyhow::Result;
use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::unistd::Pid;

/// A new process: in the parent its ID and a descriptor that stands for it.
#[derive(Debug)]
pub enum Clone {
    /// Who asked for it.
    Parent(Pid, OwnedFd),
    /// The new process.
    Child,
}

/// fork(2) into new namespaces, with a descriptor of the child. For processes with one thread.
#[allow(unsafe_code)]
pub fn clone(flags: CloneFlags) -> Result<Clone> {
    let mut pidfd: libc::c_int = -1;
    // JUSTIFICATION: neither std nor nix has a fork that takes flags and gives a pidfd.
    // SAFETY: clone_args is plain data, for which zero means "not used".
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = (flags.bits() | libc::CLONE_PIDFD) as u64;
    args.pidfd = (&raw mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: the process has one thread, so its child, a copy with a stack of its own, may go on like any program;
    // `args` and `pidfd` live until the call returns.
    match unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) } {
        -1 => Err(Errno::last().into()),
        0 => Ok(Clone::Child),
        // SAFETY: the kernel has just made this descriptor, for us alone.
        pid => Ok(Clone::Parent(Pid::from_raw(pid as i32), unsafe { OwnedFd::from_raw_fd(pidfd) })),
    }
}
