//! `net.ipv4.ip_forward`: without it nothing that a pod sends leaves the host.
//!
//! It is the host's, so it is given back: the agent that found it off remembers that in the comment of its nftables table,
//! agents that come later copy the note, and the last one out turns it off again. The lock on the sysctl file itself keeps
//! agents with different run directories from doing so at the same time.

use std::fs::{self, File};

use nix::fcntl::{Flock, FlockArg};

use super::Error;

const FILE: &str = "/proc/sys/net/ipv4/ip_forward";

/// The sysctl of this thread's network namespace, locked against other agents of the host.
#[derive(Debug)]
pub(super) struct Forwarding {
    _file: Flock<File>,
}

impl Forwarding {
    /// Waits for the lock.
    pub(super) fn lock() -> Result<Self, Error> {
        let file = File::open(FILE).map_err(Error::file("open", FILE))?;
        let file = Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, errno)| Error::file("lock", FILE)(errno.into()))?;
        Ok(Self { _file: file })
    }

    /// True if the kernel forwards.
    pub(super) fn is_on(&self) -> Result<bool, Error> {
        let value = fs::read_to_string(FILE).map_err(Error::file("read", FILE))?;
        Ok(value.trim() != "0")
    }

    /// Turns it on or off. Nothing is written when it is so already: /proc/sys may be read-only.
    pub(super) fn set(&self, on: bool) -> Result<(), Error> {
        if self.is_on()? == on {
            return Ok(());
        }
        fs::write(FILE, if on { "1\n" } else { "0\n" }).map_err(Error::file("write", FILE))
    }
}
