//! Reaps what ends as a child of the agent: shims, and what a shim that was killed has left behind.
//!
//! The agent is a subreaper, so that orphans of a pod become its children and not init's, which in a container may be a
//! program that reaps nothing. What else is run here is waited for by whoever runs it: [`crate::program`] knows what that is.

use std::io;

use nix::sys::prctl;
use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
use tokio::signal::unix::{SignalKind, signal};

use crate::program;

/// Becomes a subreaper, and reaps from now on.
pub fn start() -> io::Result<()> {
    prctl::set_child_subreaper(true)?;
    let mut ended = signal(SignalKind::child())?;
    tokio::spawn(async move {
        loop {
            reap_all();
            tokio::select! {
                child = ended.recv() => {
                    if child.is_none() {
                        return;
                    }
                }
                () = program::released() => {}
            }
        }
    });
    Ok(())
}

/// Reaps every child that has ended, up to a program that somebody waits for: that is about to be reaped, and then this is done again.
fn reap_all() {
    let programs = program::running();
    let next = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    while let Some(child) = waitid(Id::All, next).ok().and_then(|status| status.pid()) {
        if programs.contains(&child.as_raw()) || waitpid(child, Some(WaitPidFlag::WNOHANG)).is_err() {
            return;
        }
    }
}
