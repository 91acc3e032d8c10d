//! Reaps what ends as a child of the agent: shims, and what a shim that was killed has left behind.
//!
//! The agent is a subreaper, so that orphans of a pod become its children and not init's, which in a container may be a
//! program that reaps nothing. Nothing else here has children of its own: no program is run.

use std::io;

use nix::sys::prctl;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use tokio::signal::unix::{SignalKind, signal};

/// Becomes a subreaper, and reaps from now on.
pub fn start() -> io::Result<()> {
    prctl::set_child_subreaper(true)?;
    let mut ended = signal(SignalKind::child())?;
    tokio::spawn(async move {
        loop {
            reap_all();
            if ended.recv().await.is_none() {
                return;
            }
        }
    });
    Ok(())
}

/// Reaps every child that has ended.
pub fn reap_all() {
    while matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(status) if status != WaitStatus::StillAlive)
    {
    }
}
