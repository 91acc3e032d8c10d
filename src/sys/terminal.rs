//! Terminals (ioctl_tty(2)): the slave of a master, the window's size, the terminal that controls a session.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Unlocks the slave of a new terminal and opens it, close-on-exec, whatever is at its path (TIOCGPTPEER, Linux 4.13).
pub fn open_slave(master: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let unlocked: libc::c_int = 0;
    // JUSTIFICATION: nix has unlockpt for a master that it opened itself, and no TIOCGPTPEER.
    // SAFETY: the kernel reads one int, which outlives the call; the descriptor is open.
    check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) })?;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the argument is an integer.
    let slave = check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) })?;
    // SAFETY: the kernel has just opened this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(slave) })
}

/// Sets the size of a terminal's window, in characters. When that changes it, the foreground process group gets SIGWINCH.
pub fn set_size(terminal: BorrowedFd<'_>, rows: u16, columns: u16) -> io::Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // JUSTIFICATION: nix does not wrap it.
    // SAFETY: the kernel reads one winsize, which outlives the call; the descriptor is open.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) }).map(drop)
}

/// The size of a terminal's window: rows and columns.
pub fn size(terminal: BorrowedFd<'_>) -> io::Result<(u16, u16)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // JUSTIFICATION: nix does not wrap it.
    // SAFETY: the kernel writes one winsize, which outlives the call; the descriptor is open.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) })?;
    Ok((size.ws_row, size.ws_col))
}

/// Makes a terminal the one that controls the calling process's session, which it leads and which has none.
pub fn make_controlling(terminal: BorrowedFd<'_>) -> io::Result<()> {
    // JUSTIFICATION: nix does not wrap it.
    // SAFETY: the argument is an integer: nothing is taken from another session.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 0) }).map(drop)
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use nix::fcntl::OFlag;
    use nix::pty::posix_openpt;

    use super::*;

    #[test]
    fn both_ends_of_a_terminal_have_one_size() {
        let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
        let slave = open_slave(master.as_fd()).unwrap();
        set_size(master.as_fd(), 40, 132).unwrap();
        assert_eq!(size(master.as_fd()).unwrap(), (40, 132));
        assert_eq!(size(slave.as_fd()).unwrap(), (40, 132));
        assert!(nix::unistd::isatty(&slave).unwrap());
    }

    #[test]
    fn what_is_no_terminal_has_no_slave_and_no_size() {
        let (reader, _writer) = io::pipe().unwrap();
        assert!(open_slave(reader.as_fd()).is_err());
        assert!(set_size(reader.as_fd(), 1, 1).is_err());
        assert!(size(reader.as_fd()).is_err());
        assert!(make_controlling(reader.as_fd()).is_err());
    }
}
