//! An open group, ready to take a process in.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::write;

/// A group in all hierarchies, open. A new process is cloned into `into` and writes `0` to each of `procs`, or calls
/// [`Join::enter`] itself.
#[derive(Debug)]
pub struct Join {
    /// The directory on v2, for CLONE_INTO_CGROUP.
    pub into: Option<OwnedFd>,
    /// Every `cgroup.procs` on v1.
    pub procs: Vec<OwnedFd>,
}

impl Join {
    /// Moves the calling process to the group, in every hierarchy.
    pub fn enter(&self) -> io::Result<()> {
        self.enter_legacy()?;
        if let Some(directory) = &self.into {
            write(
                openat(directory, "cgroup.procs", OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?,
                b"0",
            )?;
        }
        Ok(())
    }

    /// Moves the calling process on v1 alone: the rest for one that was cloned into the v2 group. Allocates nothing.
    pub fn enter_legacy(&self) -> io::Result<()> {
        for procs in &self.procs {
            write(procs.as_fd(), b"0")?;
        }
        Ok(())
    }
}
