//! The file-descriptor based mount API: fsopen(2), fsmount(2), open_tree(2), move_mount(2), mount_setattr(2).
//!
//! A mount made here is detached until it is moved onto a directory that is itself named by a descriptor, so that no path
//! inside a container's root ever reaches the kernel as a string.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

/// MOUNT_ATTR_* of mount_setattr(2), as a set of bits.
pub type Attributes = u64;

/// MOUNT_ATTR_RDONLY.
pub const READ_ONLY: Attributes = libc::MOUNT_ATTR_RDONLY;
/// MOUNT_ATTR_NOSUID.
pub const NO_SUID: Attributes = libc::MOUNT_ATTR_NOSUID;
/// MOUNT_ATTR_NODEV.
pub const NO_DEV: Attributes = libc::MOUNT_ATTR_NODEV;
/// MOUNT_ATTR_NOEXEC.
pub const NO_EXEC: Attributes = libc::MOUNT_ATTR_NOEXEC;

/// MOUNT_ATTR_STRICTATIME. Without it access times are kept as `relatime` does.
pub const STRICT_ATIME: Attributes = libc::MOUNT_ATTR_STRICTATIME;

/// One parameter of a filesystem, as fsconfig(2) takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameter<'a> {
    /// A word alone, such as `newinstance`.
    Flag(&'a str),
    /// A key with its value, such as `mode=755`.
    Value(&'a str, &'a str),
}

/// Makes a new instance of a filesystem, mounted nowhere yet.
pub fn new_filesystem(
    kind: &str,
    parameters: &[Parameter<'_>],
    attributes: Attributes,
) -> io::Result<OwnedFd> {
    let kind = CString::new(kind)?;
    // JUSTIFICATION for this file: neither std nor nix offers these calls.
    // SAFETY: `kind` is a NUL-terminated string that outlives the call.
    let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), libc::FSOPEN_CLOEXEC) })?;
    for parameter in parameters {
        match *parameter {
            Parameter::Flag(key) => configure(&context, libc::FSCONFIG_SET_FLAG, Some(key), None)?,
            Parameter::Value(key, value) => {
                configure(&context, libc::FSCONFIG_SET_STRING, Some(key), Some(value))?;
            }
        }
    }
    configure(&context, libc::FSCONFIG_CMD_CREATE, None, None)?;
    // SAFETY: the call takes a descriptor that is open and integers.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), libc::FSMOUNT_CLOEXEC, attributes) })
}

/// A detached copy of the mount at a path of this process's mount namespace: what a bind mount is made of. Symlinks are
/// followed; `recursive` brings the mounts below along.
pub fn copy_tree(path: &Path, recursive: bool) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    open_tree(libc::AT_FDCWD, &path, if recursive { libc::AT_RECURSIVE as u32 } else { 0 })
}

/// A detached copy of the mount that holds the file behind `fd`, with that file as its root.
pub fn copy_tree_at(fd: BorrowedFd<'_>, recursive: bool) -> io::Result<OwnedFd> {
    let flags = libc::AT_EMPTY_PATH as u32 | if recursive { libc::AT_RECURSIVE as u32 } else { 0 };
    open_tree(fd.as_raw_fd(), c"", flags)
}

/// Attaches a detached mount on top of the directory or file behind `target`.
pub fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    let flags = libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH;
    // SAFETY: both descriptors are open, both strings are NUL-terminated constants.
    let result = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount.as_raw_fd(),
            c"".as_ptr(),
            target.as_raw_fd(),
            c"".as_ptr(),
            flags,
        )
    };
    done(result)
}

/// Sets attributes of a mount, and of those below it when `recursive`; never clears any.
pub fn set_attributes(mount: BorrowedFd<'_>, attributes: Attributes, recursive: bool) -> io::Result<()> {
    mount_setattr(mount, recursive, libc::mount_attr { attr_set: attributes, ..no_change() })
}

/// Shows the files of a detached mount, and of those below it when `recursive`, under other owners: an id of the filesystem
/// becomes what the user namespace maps it to (MOUNT_ATTR_IDMAP, Linux 5.12).
pub fn map_ids(mount: BorrowedFd<'_>, user_namespace: BorrowedFd<'_>, recursive: bool) -> io::Result<()> {
    let userns_fd = user_namespace.as_raw_fd() as u64;
    mount_setattr(
        mount,
        recursive,
        libc::mount_attr { attr_set: libc::MOUNT_ATTR_IDMAP, userns_fd, ..no_change() },
    )
}

/// Sets the propagation of a mount and of all below it: `MS_PRIVATE`, `MS_SLAVE` or `MS_SHARED`.
pub fn set_propagation(mount: BorrowedFd<'_>, propagation: libc::c_ulong) -> io::Result<()> {
    mount_setattr(mount, true, libc::mount_attr { propagation, ..no_change() })
}

/// Opens a file for execution through a read-only copy of its mount, as O_PATH: whoever reopens it through /proc/PID/exe,
/// even as root in another mount namespace, cannot write to it (CVE-2019-5736).
pub fn read_only_file(path: &Path) -> io::Result<OwnedFd> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mount = copy_tree(directory, false)?;
    set_attributes(mount.as_fd(), READ_ONLY | NO_SUID | NO_DEV, false)?;
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    Ok(openat(mount.as_fd(), name, flags, Mode::empty())?)
}

fn open_tree(directory: libc::c_int, path: &std::ffi::CStr, flags: libc::c_uint) -> io::Result<OwnedFd> {
    let flags = flags | libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
    // SAFETY: `path` is NUL-terminated and outlives the call; the other arguments are integers.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, directory, path.as_ptr(), flags) })
}

fn configure(
    context: &OwnedFd,
    command: libc::c_uint,
    key: Option<&str>,
    value: Option<&str>,
) -> io::Result<()> {
    let key = key.map(CString::new).transpose()?;
    let value = value.map(CString::new).transpose()?;
    let pointer = |text: &Option<CString>| text.as_ref().map_or(std::ptr::null(), |t| t.as_ptr());
    // SAFETY: both strings are NUL-terminated or null as the command wants it, and outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            command,
            pointer(&key),
            pointer(&value),
            0 as libc::c_int,
        )
    };
    done(result)
}

fn no_change() -> libc::mount_attr {
    libc::mount_attr { attr_set: 0, attr_clr: 0, propagation: 0, userns_fd: 0 }
}

fn mount_setattr(mount: BorrowedFd<'_>, recursive: bool, attributes: libc::mount_attr) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a NUL-terminated constant, and the size passed is that of the structure, which outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    done(result)
}

fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: every caller passes the result of a system call that has just opened this descriptor.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) }),
    }
}

fn done(result: libc::c_long) -> io::Result<()> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
