//! Work in another network namespace.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::thread;

use nix::sched::{CloneFlags, setns};

use super::Error;

/// Does `work` in a network namespace. The thread for it lives for nothing else: a thread that serves others would have to
/// find its way back, and what if that fails?
pub(super) fn within<T: Send>(
    netns: BorrowedFd<'_>,
    work: impl FnOnce() -> Result<T, Error> + Send,
) -> Result<T, Error> {
    thread::scope(|scope| {
        let visitor = thread::Builder::new().name("netns".to_owned()).spawn_scoped(scope, || {
            setns(netns, CloneFlags::CLONE_NEWNET)
                .map_err(Error::kernel(format!("setns({}, CLONE_NEWNET)", netns.as_raw_fd())))?;
            work()
        });
        let visitor = visitor.map_err(|source| Error::Thread { source })?;
        visitor.join().unwrap_or_else(|_| {
            Err(Error::Thread { source: std::io::Error::other("it panicked in the pod's network namespace") })
        })
    })
}
