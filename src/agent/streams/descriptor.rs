//! A pipe or a terminal of a process, without a thread that waits for it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Our end of a pipe, or the master of a terminal.
#[derive(Debug)]
pub(super) struct Descriptor(AsyncFd<File>);

impl Descriptor {
    /// Takes it over. Nobody else may have this very end.
    #[expect(
        deprecated,
        reason = "a File keeps its one descriptor, for which it is sound; its successor is unsafe"
    )]
    pub(super) fn new(fd: impl Into<OwnedFd>) -> io::Result<Self> {
        let fd = fd.into();
        fcntl(&fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        AsyncFd::new(File::from(fd)).map(Self)
    }

    /// Reads what is there, and waits for something; 0 at the end.
    pub(super) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        end(self.0.async_io(Interest::READABLE, |mut file| file.read(buffer)).await)
    }

    /// Reads what is there. Fails with `WouldBlock` when that is nothing.
    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        end(self.0.get_ref().read(buffer))
    }

    /// Writes all, and waits for room.
    pub(super) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = self.0.async_io(Interest::WRITABLE, |mut file| file.write(bytes)).await?;
            bytes = &bytes[count..];
        }
        Ok(())
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A terminal that nobody has open any more is at its end (ioctl_tty(2)).
fn end(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if error.raw_os_error() == Some(libc::EIO) => Ok(0),
        result => result,
    }
}
