//! /etc/passwd and /etc/group of a container: passwd(5), group(5), written by a stranger.

use std::fs::File;
use std::io::Read;

use nix::sys::stat::{SFlag, fstat};
use pathrs::Root;
use pathrs::error::ErrorKind;
use pathrs::flags::OpenFlags;

use super::Error;

pub(super) const PASSWD: &str = "/etc/passwd";
pub(super) const GROUP: &str = "/etc/group";

/// A longer file is refused, bytes. Files of real images have a few KiB.
const MAX_SIZE: u64 = 1 << 20;

/// A line of /etc/passwd, as far as it matters.
#[derive(Debug)]
pub(super) struct PasswdEntry<'a> {
    pub(super) name: &'a [u8],
    pub(super) uid: &'a [u8],
    pub(super) gid: &'a [u8],
    pub(super) home: &'a [u8],
}

/// A line of /etc/group, as far as it matters.
#[derive(Debug)]
pub(super) struct GroupEntry<'a> {
    pub(super) name: &'a [u8],
    pub(super) gid: &'a [u8],
    members: &'a [u8],
}

impl<'a> PasswdEntry<'a> {
    /// The lines that have a name, a uid and a gid; the others are comments or garbage.
    pub(super) fn all(text: &'a [u8]) -> impl Iterator<Item = Self> {
        lines(text).filter_map(|line| {
            let mut fields = line.split(|byte| *byte == b':');
            let (name, _password, uid, gid) =
                (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
            let home = fields.nth(1).unwrap_or_default();
            Some(Self { name, uid, gid, home })
        })
    }
}

impl<'a> GroupEntry<'a> {
    /// The lines that have a name and a gid.
    pub(super) fn all(text: &'a [u8]) -> impl Iterator<Item = Self> {
        lines(text).filter_map(|line| {
            let mut fields = line.split(|byte| *byte == b':');
            let (name, _password, gid) = (fields.next()?, fields.next()?, fields.next()?);
            Some(Self { name, gid, members: fields.next().unwrap_or_default() })
        })
    }

    /// True if the user is listed as a member.
    pub(super) fn has(&self, user: &[u8]) -> bool {
        self.members.split(|byte| *byte == b',').any(|member| member == user)
    }
}

/// The file's bytes; none if there is no such file.
pub(super) fn read(root: &Root, file: &'static str) -> Result<Vec<u8>, Error> {
    // Looked at before it is opened: to open a FIFO may take forever, and to open a device may do anything.
    let handle = match root.resolve(file) {
        Err(error) if error.kind() == ErrorKind::OsError(Some(libc::ENOENT)) => return Ok(Vec::new()),
        other => other.map_err(|error| Error::Open(file, error))?,
    };
    let stat = fstat(&handle).map_err(|errno| Error::Read(file, errno.into()))?;
    if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
        return Err(Error::Unfit { file, reason: "is not a regular file" });
    }
    let too_long = Error::Unfit { file, reason: "is longer than 1 MiB" };
    if u64::try_from(stat.st_size).is_ok_and(|size| size > MAX_SIZE) {
        return Err(too_long);
    }
    // A regular file of some filesystems can block a reader all the same.
    let flags = OpenFlags::O_RDONLY | OpenFlags::from_bits_retain(libc::O_NONBLOCK as u64);
    let open: File = handle.reopen(flags).map_err(|error| Error::Open(file, error))?;
    let mut bytes = Vec::new();
    open.take(MAX_SIZE + 1).read_to_end(&mut bytes).map_err(|error| Error::Read(file, error))?;
    if bytes.len() as u64 > MAX_SIZE { Err(too_long) } else { Ok(bytes) }
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"#"))
}
