//! An open group, ready to take a process in.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::unistd::write;

/// An open group, ready to take a new process in: it is cloned into `into`, and then calls [`Join::enter_legacy`].
#[derive(Debug)]
pub struct Join {
    /// The directory on v2, for CLONE_INTO_CGROUP.
    pub into: Option<OwnedFd>,
    /// Every `tasks` file on v1.
    pub tasks: Vec<OwnedFd>,
}

impl Join {
    /// Moves the calling thread, which must be the only one of its process, to the group on v1. Allocates nothing.
    ///
    /// A thread that moves itself by `tasks` takes no lock of the whole system; `cgroup.procs`, on v1 as on v2, waits for an
    /// RCU grace period, which is longer than all the rest of a pod's start.
    pub fn enter_legacy(&self) -> io::Result<()> {
        for tasks in &self.tasks {
            write(tasks.as_fd(), b"0")?;
        }
        Ok(())
    }
}
