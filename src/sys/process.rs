//! What a process does to itself (signals, descriptors, keyring, leaving) and to its children (signal, wait).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::sys::signal::{SigHandler, SigSet, Signal, signal};

/// Ends the process at once: no destructors, no flushing of buffers that belong to the parent.
pub fn exit_now(code: i32) -> ! {
    // JUSTIFICATION: std::process::exit runs exit handlers, which in a cloned child are the parent's.
    // SAFETY: _exit has no preconditions and does not return.
    unsafe { libc::_exit(code) }
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It called exit with this code.
    Exited(i32),
    /// A signal, perhaps a real-time one, ended it.
    Signaled(i32),
}

/// Reaps a child of this process by its pidfd (waitid(2), P_PIDFD, Linux 5.4); `None` when it still runs.
pub fn try_wait(pidfd: BorrowedFd<'_>) -> io::Result<Option<Ended>> {
    // JUSTIFICATION: nix knows no real-time signals, and fails on a child that one of them ended.
    // SAFETY: siginfo_t is a plain C structure, for which all zeros is valid.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG;
    // SAFETY: `info` outlives the call, the descriptor is open.
    let result =
        unsafe { libc::waitid(libc::P_PIDFD, pidfd.as_raw_fd() as libc::id_t, &raw mut info, flags) };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: waitid succeeded, so the field is set, or still zero when no child has ended.
    if unsafe { info.si_pid() } == 0 {
        return Ok(None);
    }
    // SAFETY: likewise.
    let status = unsafe { info.si_status() };
    Ok(Some(match info.si_code {
        libc::CLD_EXITED => Ended::Exited(status),
        _ => Ended::Signaled(status),
    }))
}

/// A descriptor for the process that has this number now (pidfd_open(2), Linux 5.3); close-on-exec. Who is not the parent
/// must see to it that this is the process that was meant.
pub fn open_pidfd(pid: i32) -> io::Result<OwnedFd> {
    // JUSTIFICATION: nix does not wrap it.
    // SAFETY: the call takes integers only.
    match unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } {
        -1 => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ESRCH) => Err(io::ErrorKind::NotFound.into()),
            error => Err(error),
        },
        // SAFETY: the kernel has just opened this descriptor for us.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) }),
    }
}

/// Sends a signal, real-time ones too, to a process by its pidfd (pidfd_send_signal(2)). Fine when it has ended already.
pub fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo means the kernel fills it in as kill(2) would; the descriptor is open.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, no_info, 0) };
    match result {
        -1 => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            error => Err(error),
        },
        _ => Ok(()),
    }
}

/// Ignores the signals, in this process and in what it executes.
pub fn ignore_signals(signals: &[Signal]) -> io::Result<()> {
    signals.iter().try_for_each(|s| set_handler(*s, SigHandler::SigIgn))
}

/// Gives every signal its default action and unblocks all, as a program expects to find them at its start.
pub fn reset_signals() -> io::Result<()> {
    for one in Signal::iterator().filter(|s| !matches!(s, Signal::SIGKILL | Signal::SIGSTOP)) {
        set_handler(one, SigHandler::SigDfl)?;
    }
    SigSet::empty().thread_set_mask().map_err(io::Error::from)
}

/// Marks every descriptor from `first` on close-on-exec (close_range(2), Linux 5.11).
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    close_range(first, libc::CLOSE_RANGE_CLOEXEC)
}

/// Closes every descriptor from `first` on. Whoever owned them must not use them again: only for a process that from
/// here on owns none.
pub fn close_from(first: u32) -> io::Result<()> {
    close_range(first, 0)
}

/// Joins a new, empty session keyring, so that the agent's is out of reach (keyctl(2)). Fine on kernels without keyrings.
pub fn new_session_keyring() -> io::Result<()> {
    // SAFETY: KEYCTL_JOIN_SESSION_KEYRING with a null name makes an anonymous keyring and reads no memory of ours.
    let result = unsafe {
        libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>())
    };
    match result {
        -1 => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ENOSYS) => Ok(()),
            error => Err(error),
        },
        _ => Ok(()),
    }
}

/// Keeps the capabilities of this process as they are when its user ids change (SECBIT_NO_SETUID_FIXUP, capabilities(7)); every
/// other secure bit is cleared. Joining a user namespace clears all of them.
pub fn keep_capabilities_across_user_ids() -> io::Result<()> {
    const NO_SETUID_FIXUP: libc::c_ulong = 1 << 2;
    // JUSTIFICATION: neither nix nor caps offers PR_SET_SECUREBITS.
    // SAFETY: the call takes integers only.
    match unsafe { libc::prctl(libc::PR_SET_SECUREBITS, NO_SETUID_FIXUP, 0, 0, 0) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn set_handler(which: Signal, handler: SigHandler) -> io::Result<()> {
    // SAFETY: only SIG_IGN and SIG_DFL are ever set here, so no code of ours runs in signal context.
    unsafe { signal(which, handler) }.map(drop).map_err(io::Error::from)
}

fn close_range(first: u32, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: the call takes integers only; what closing means for owners of descriptors is said at `close_from`.
    match unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, flags) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
