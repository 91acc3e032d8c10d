//! A terminal for a process that is executed in a container: one of the container's own devpts.
//!
//! What is at a path in the container is the container's to decide, so no path decides here (CVE-2016-9962 and CVE-2025-52565 were
//! about terminals that were not what they seemed to be): /dev/pts must be a devpts, nothing that is mounted in it is
//! entered, and the slave comes from the kernel by its master. Nothing is mounted either: there is no /dev/console.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{SFlag, fstat, major, minor};
use nix::sys::statfs::{DEVPTS_SUPER_MAGIC, fstatfs};
use nix::unistd::{Uid, fchown};
use pathrs::Root;
use pathrs::flags::ResolverFlags;

use super::failure::{Failure, Step};
use super::process;
use super::spec::TerminalSize;
use crate::sys::terminal;

/// Where a container has its terminals.
const DIRECTORY: &str = "/dev/pts";

/// The device that makes a terminal whenever it is opened (devpts(5)).
const PTMX: (u64, u64) = (5, 2);

/// Both ends of a terminal.
#[derive(Debug)]
pub struct Terminal {
    /// What the person has.
    pub master: OwnedFd,
    /// What the program has.
    pub slave: OwnedFd,
}

impl Terminal {
    /// Opens a new terminal of the container with that root. The calling process is in the container's mount namespace.
    pub fn open(root: &Root, size: TerminalSize) -> Result<Self, Failure> {
        let step = || format!("open a terminal in {DIRECTORY}");
        let strict = root.try_clone().step(step)?.with_resolver_flags(ResolverFlags::NO_SYMLINKS);
        let directory: OwnedFd = strict.resolve(DIRECTORY).step(step)?.into();
        if fstatfs(directory.as_fd()).step(step)?.filesystem_type() != DEVPTS_SUPER_MAGIC {
            return Err(Failure::new(step(), "it is no devpts"));
        }
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let how = OpenHow::new().flags(flags).resolve(
            ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_XDEV,
        );
        let master = openat2(directory.as_fd(), "ptmx", how).step(step)?;
        let found = fstat(master.as_fd()).step(step)?;
        let is_device = SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == SFlag::S_IFCHR;
        if !is_device || (major(found.st_rdev), minor(found.st_rdev)) != PTMX {
            return Err(Failure::new(step(), "its ptmx is something else"));
        }
        terminal::set_size(master.as_fd(), size.rows, size.columns).step(|| "set the terminal's size")?;
        let slave = terminal::open_slave(master.as_fd()).step(|| "open the terminal's slave")?;
        Ok(Self { master, slave })
    }
}

/// Makes a terminal the standard streams, and what controls the calling process, which leads a session. It becomes `uid`'s, who
/// may want to open it again by its name; its group is the filesystem's affair.
pub fn control(slave: BorrowedFd<'_>, uid: u32) -> Result<(), Failure> {
    let owner = Uid::from_raw(uid);
    fchown(slave, Some(owner), None).step(|| "chown the terminal")?;
    terminal::make_controlling(slave).step(|| "make the terminal the controlling one")?;
    process::set_standard_streams([slave; 3])
}
