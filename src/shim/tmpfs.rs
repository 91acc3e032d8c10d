//! Filesystems in memory for the pod: /dev/shm, and volumes that are never to touch a disk.
//!
//! They are mounted in the shim's mount namespace, so that they live as long as the pod, whatever its containers do, and the
//! host's mount table does not know of them. An agent that has files to put into one is given its root as a descriptor.

use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, umount2};
use nix::sys::stat::{Mode, fstat};

use super::protocol::TmpfsConfig;
use crate::container::failure::{Failure, Step};
use crate::container::user_namespace::IdRange;
use crate::sys::mount_api::{self, Attributes, Parameter};

/// Never to swap space, which is a disk; Linux 6.4.
const NO_SWAP: Parameter<'static> = Parameter::Flag("noswap");

/// Mounts a new, empty /dev/shm on `path`, in the place of an earlier sandbox's.
pub fn mount_shm(path: &Path, size: u64, ids: Option<IdRange>) -> Result<(), Failure> {
    if !make_directory(path)? {
        // That of an earlier sandbox, whose IPC namespace is gone.
        match umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) | Err(Errno::EINVAL) => {}
            Err(errno) => return Err(errno).step(|| format!("unmount {}", path.display())),
        }
    }
    let size = size.to_string();
    // Root's, whoever that is.
    let root = ids.map_or(0, |ids| ids.first).to_string();
    let parameters = [
        Parameter::Value("mode", "1777"),
        Parameter::Value("size", &size),
        Parameter::Value("uid", &root),
        Parameter::Value("gid", &root),
    ];
    let attributes = mount_api::NO_SUID | mount_api::NO_DEV | mount_api::NO_EXEC;
    mount(path, &parameters, attributes)
}

/// The root of the volume `config.name` below `directory`; mounted there if it is not there yet.
pub fn volume(directory: &Path, config: &TmpfsConfig) -> Result<OwnedFd, Failure> {
    make_directory(directory)?;
    let path = directory.join(&config.name);
    make_directory(&path)?;
    if !is_mounted(directory, &path)? {
        let size = config.size.map(|size| size.to_string());
        let size = size.as_deref().map(|size| Parameter::Value("size", size));
        // Closed to the pod until the agent has made it ready.
        let mode = [Parameter::Value("mode", "700")];
        let parameters: Vec<Parameter<'_>> = mode.into_iter().chain(size).collect();
        let private = [&parameters[..], &[NO_SWAP]].concat();
        let attributes = if config.inert { mount_api::NO_SUID | mount_api::NO_DEV } else { 0 };
        match mount(&path, &private, attributes) {
            Err(Failure { errno: Some(libc::EINVAL), .. }) => mount(&path, &parameters, attributes)?,
            mounted => mounted?,
        }
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    open(&path, flags, Mode::empty()).step(|| format!("open {}", path.display()))
}

/// True if the directory was not there before.
fn make_directory(path: &Path) -> Result<bool, Failure> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error).step(|| format!("mkdir {}", path.display())),
    }
}

/// A file system of its own has a device of its own.
fn is_mounted(parent: &Path, path: &Path) -> Result<bool, Failure> {
    let device = |path: &Path| -> nix::Result<u64> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        fstat(open(path, flags, Mode::empty())?).map(|found| found.st_dev)
    };
    let compared = device(parent).and_then(|above| Ok(device(path)? != above));
    compared.step(|| format!("stat {}", path.display()))
}

fn mount(path: &Path, parameters: &[Parameter<'_>], attributes: Attributes) -> Result<(), Failure> {
    let step = || format!("new tmpfs for {}", path.display());
    let tmpfs = mount_api::new_filesystem("tmpfs", parameters, attributes).step(step)?;
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let target = open(path, flags, Mode::empty()).step(|| format!("open {}", path.display()))?;
    mount_api::attach(tmpfs.as_fd(), target.as_fd()).step(|| format!("mount {}", path.display()))
}
