//! Mount namespaces whose mounts a container shares, both ways: the host's for paths of the node, the shim's for volumes of
//! the pod's own (`mountPropagation: Bidirectional`; mount_namespaces(7), "shared subtrees").
//!
//! A container's own mount namespace has been cut off from both. So a mount that is to be a peer of one there is copied
//! there, by a short visit, and brought back detached. Mounts that containers make on a path of the node outlive the pod, as
//! with a kubelet; those on a volume of the pod's own go with the shim's mount namespace.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, setns};
use nix::sys::stat::Mode;

use super::failure::{Failure, Step};
use super::mount_info::MountInfo;
use crate::sys::mount_api;

/// The mount namespace of the process that asks.
const OWN: &str = "/proc/self/ns/mnt";

/// The mount namespaces that a container's mounts can have peers in.
#[derive(Debug)]
pub struct MountNamespaces {
    /// The host's.
    pub host: OwnedFd,
    /// The shim's, which all containers of the pod come from.
    pub pod: OwnedFd,
}

/// This process's mount namespace.
#[expect(clippy::disallowed_methods, reason = "procfs, and a path of the host")]
pub fn own_mount_namespace() -> Result<OwnedFd, Failure> {
    open(OWN, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).step(|| format!("open {OWN}"))
}

/// Does something in another mount namespace, if one is given, and comes back. Root and working directory are those of the
/// namespace meanwhile, and of this process's own afterwards.
pub fn visit<T>(
    namespace: Option<BorrowedFd<'_>>,
    work: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let Some(namespace) = namespace else { return work() };
    let own = own_mount_namespace()?;
    setns(namespace, CloneFlags::CLONE_NEWNS).step(|| "visit the mount namespace of the volume")?;
    let result = work();
    setns(own, CloneFlags::CLONE_NEWNS).step(|| "come back to the mount namespace")?;
    result
}

/// Whether what is mounted below `file` shows elsewhere. The verdict on one that does not is containerd's.
pub fn check_shared(file: BorrowedFd<'_>, path: &Path) -> Result<(), String> {
    match MountInfo::of(file) {
        Some(found) if found.is_shared => Ok(()),
        Some(found) => {
            Err(format!("path {path:?} is mounted on {:?} but it is not a shared mount", found.target))
        }
        None => Err(format!("path {path:?} is on no mount of the host's")),
    }
}

/// Mounts a directory of the pod's own over itself as a shared mount with no peers but those that containers will be. To be
/// called once, in the shim's mount namespace.
#[expect(clippy::disallowed_methods, reason = "no container sees the directories above the volume's own")]
pub fn share_in_pod(path: &Path) -> Result<(), Failure> {
    let step = || format!("share {} among the containers", path.display());
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let directory = open(path, flags, Mode::empty()).step(step)?;
    let copy = mount_api::copy_tree_at(directory.as_fd(), false).step(step)?;
    mount_api::set_propagation(copy.as_fd(), libc::MS_PRIVATE)
        .and_then(|()| mount_api::set_propagation(copy.as_fd(), libc::MS_SHARED))
        .and_then(|()| mount_api::attach(copy.as_fd(), directory.as_fd()))
        .step(step)
}
