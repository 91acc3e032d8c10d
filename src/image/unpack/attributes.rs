//! Owner, mode, time and extended attributes of a file or directory.

use std::ffi::OsString;
use std::fs::File;
use std::io;

use nix::sys::stat::{FileStat, Mode, fchmod, fstat, futimens};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchown};
use xattr::FileExt;

use super::members::Member;
use crate::image::at;

/// What a file is apart from its data.
#[derive(Debug, Clone)]
pub(super) struct Attributes {
    pub(super) mode: Mode,
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    pub(super) mtime: TimeSpec,
    extended: Vec<(OsString, Vec<u8>)>,
}

/// Those of a directory that nobody described.
impl Default for Attributes {
    fn default() -> Self {
        Self {
            mode: Mode::from_bits_truncate(0o755),
            uid: Uid::from_raw(0),
            gid: Gid::from_raw(0),
            mtime: TimeSpec::new(0, 0),
            extended: Vec::new(),
        }
    }
}

impl From<&Member> for Attributes {
    fn from(member: &Member) -> Self {
        let extended = member.attributes.iter().filter(|(name, _)| at::belongs_to_image(name));
        Self {
            mode: Mode::from_bits_truncate(member.mode),
            uid: Uid::from_raw(member.uid),
            gid: Gid::from_raw(member.gid),
            mtime: TimeSpec::new(member.mtime, 0),
            extended: extended.cloned().collect(),
        }
    }
}

/// Those that can be had without opening it.
impl From<&FileStat> for Attributes {
    fn from(stat: &FileStat) -> Self {
        Self {
            mode: Mode::from_bits_truncate(stat.st_mode & 0o7777),
            uid: Uid::from_raw(stat.st_uid),
            gid: Gid::from_raw(stat.st_gid),
            mtime: TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec),
            extended: Vec::new(),
        }
    }
}

impl Attributes {
    /// Those of a file or directory of a lower layer.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        Ok(Self { extended: at::attributes(file)?, ..Self::from(&fstat(file)?) })
    }

    /// Gives them to a file or directory.
    pub(super) fn apply(&self, file: &File) -> io::Result<()> {
        // In this order: a change of owner clears setuid, setgid and the file's capabilities.
        fchown(file, Some(self.uid), Some(self.gid))?;
        fchmod(file, self.mode)?;
        for (name, value) in &self.extended {
            match file.set_xattr(name, value) {
                // A file system without attributes of users serves; one that drops capabilities does not.
                Err(error)
                    if error.raw_os_error() == Some(nix::libc::ENOTSUP) && name != "security.capability" => {}
                result => result?,
            }
        }
        Ok(futimens(file, &TimeSpec::UTIME_OMIT, &self.mtime)?)
    }
}
