//! System calls on one name within an open directory.
//!
//! Layers are walked with these: a name is a single component, never `..`, and symlinks are not followed, so that
//! nothing outside the directory can be reached whatever the layer holds. The directories are below one of mode 0700
//! and being written by nobody else.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};
use xattr::FileExt;

/// Opens the directory, for everything else here.
pub(crate) fn open_root(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().read(true).custom_flags(nix::libc::O_DIRECTORY).open(path)
}

/// Opens a directory in a directory.
pub(crate) fn open_dir(dir: &File, name: &OsStr) -> io::Result<File> {
    open(dir, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY)
}

/// Opens a regular file for reading. Anything else is an error; nothing that it could be blocks.
pub(crate) fn open_file(dir: &File, name: &OsStr) -> io::Result<File> {
    let file = open(dir, name, OFlag::O_RDONLY | OFlag::O_NONBLOCK)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
}

/// Makes a file that was not there, for writing.
pub(crate) fn create_file(dir: &File, name: &OsStr) -> io::Result<File> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(openat(dir, name, flags, Mode::S_IRUSR | Mode::S_IWUSR).map(File::from)?)
}

/// What a name stands for, if anything; a symlink stands for itself.
pub(crate) fn stat(dir: &File, name: &OsStr) -> io::Result<Option<FileStat>> {
    match fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// The type bits of a file's mode.
pub(crate) fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

/// True for a directory, not for a symlink to one.
pub(crate) fn is_dir(stat: &FileStat) -> bool {
    kind(stat) == SFlag::S_IFDIR
}

/// True for overlayfs' mark of a name that hides what the layers below have under it.
pub(crate) fn is_whiteout(stat: &FileStat) -> bool {
    kind(stat) == SFlag::S_IFCHR && stat.st_rdev == 0
}

/// The names in a directory, sorted, without `.` and `..`.
pub(crate) fn names(dir: &File) -> io::Result<Vec<OsString>> {
    // A descriptor of its own: the position in a directory is shared by duplicates.
    let mut listing = Dir::from_fd(openat(
        dir.as_fd(),
        ".",
        OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?)?;
    let mut names = Vec::new();
    for entry in listing.iter() {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name));
        }
    }
    names.sort_unstable_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    Ok(names)
}

/// The extended attributes that are part of an image: capabilities of files, access lists, what users set.
///
/// The rest belongs to the host: overlayfs' own marks (an image could forge them), security labels, signatures.
pub(crate) fn belongs_to_image(attribute: &OsStr) -> bool {
    let name = attribute.as_bytes();
    name == b"security.capability"
        || name.starts_with(b"system.posix_acl_")
        || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."))
}

/// The attributes of a file that are part of an image; none where the file system has none.
pub(crate) fn attributes(file: &File) -> io::Result<Vec<(OsString, Vec<u8>)>> {
    let names = match file.list_xattr() {
        Ok(names) => names,
        Err(error) if error.raw_os_error() == Some(nix::libc::ENOTSUP) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut attributes = Vec::new();
    for name in names.filter(|name| belongs_to_image(name)) {
        if let Some(value) = file.get_xattr(&name)? {
            attributes.push((name, value));
        }
    }
    Ok(attributes)
}

fn open(dir: &File, name: &OsStr, flags: OFlag) -> io::Result<File> {
    Ok(openat(dir, name, flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty()).map(File::from)?)
}
