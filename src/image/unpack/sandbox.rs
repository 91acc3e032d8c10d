//! What a process that reads a stranger's layer leaves itself before it reads a byte.
//!
//! Its root is the layer's directory, or an empty one; of the host it has nothing but its standard streams and, read-only,
//! the layers below. It keeps the capabilities that making files takes, and system calls for nothing else, and no
//! network. It ends with its parent.

use std::collections::HashSet;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open, openat};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use nix::unistd::getppid;
use oci_spec::runtime::{Capability, LinuxCapabilities};

use crate::container::failure::{Failure, Step};
use crate::container::seccomp::{self, Filter};
use crate::container::{capabilities, rootfs};
use crate::sys::mount_api::{self, Parameter};

/// Bytes of addresses. A zstd frame may want 128 MiB of what came before it.
const MEMORY: u64 = 256 << 20;

/// To give files any owner, mode, device number and capabilities, in directories of whatever mode.
const CAPABILITIES: [Capability; 6] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Mknod,
    Capability::Setfcap,
];

/// To read, to write, to have memory, to end.
const CALLS: &[i64] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_close,
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_getrandom,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// To look at files and to make them.
const FILE_CALLS: &[i64] = &[
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_fcntl,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_getdents64,
    libc::SYS_readlinkat,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_symlinkat,
    libc::SYS_linkat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_utimensat,
    libc::SYS_fsetxattr,
    libc::SYS_fgetxattr,
    libc::SYS_flistxattr,
    libc::SYS_copy_file_range,
];

/// For a process that works on its standard streams alone.
pub(super) fn without_files(parent: u32) -> Result<(), Failure> {
    leave_host()?;
    let parameters = [Parameter::Value("mode", "555"), Parameter::Value("size", "0")];
    let attributes = mount_api::READ_ONLY | mount_api::NO_SUID | mount_api::NO_DEV | mount_api::NO_EXEC;
    let empty = mount_api::new_filesystem("tmpfs", &parameters, attributes).step(|| "new tmpfs")?;
    enter(&empty)?;
    drop(empty);
    drop_privileges(parent, &[], CALLS)
}

/// For one that fills the directory `top`. Gives that and `lowers`, the layers below, opened.
pub(super) fn in_layer(parent: u32, top: &Path, lowers: &[PathBuf]) -> Result<(File, Vec<File>), Failure> {
    leave_host()?;
    let inert = mount_api::NO_SUID | mount_api::NO_DEV | mount_api::NO_EXEC;
    let lowers =
        lowers.iter().map(|lower| Ok(File::from(open_alone(lower, inert | mount_api::READ_ONLY)?.1)));
    let lowers: Vec<File> = lowers.collect::<Result<_, Failure>>()?;
    let (mount, top) = open_alone(top, inert)?;
    enter(&mount)?;
    drop(mount);
    drop_privileges(parent, &CAPABILITIES, &[CALLS, FILE_CALLS].concat())?;
    Ok((File::from(top), lowers))
}

/// Mounts of its own, and no network.
fn leave_host() -> Result<(), Failure> {
    prctl::set_dumpable(false).step(|| "PR_SET_DUMPABLE")?;
    umask(Mode::empty());
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC)
        .step(|| "unshare the namespaces")?;
    rootfs::detach_from_host(false)
}

/// A directory as the root of a mount that is nowhere: there is no way up from it.
fn open_alone(directory: &Path, attributes: mount_api::Attributes) -> Result<(OwnedFd, OwnedFd), Failure> {
    let step = || format!("open {}", directory.display());
    let mount = mount_api::copy_tree(directory, false).step(step)?;
    mount_api::set_attributes(mount.as_fd(), attributes, false).step(step)?;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let opened = openat(&mount, ".", flags, Mode::empty()).step(step)?;
    Ok((mount, opened))
}

/// Makes a mount the root, and lets go of the host's.
fn enter(mount: &OwnedFd) -> Result<(), Failure> {
    // Any directory serves as the mount point; /proc is there on every host that gets this far.
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let target = open("/proc", flags, Mode::empty()).step(|| "open /proc")?;
    mount_api::attach(mount.as_fd(), target.as_fd()).step(|| "attach the layer")?;
    rootfs::enter(mount.as_fd())
}

fn drop_privileges(parent: u32, kept: &[Capability], calls: &[i64]) -> Result<(), Failure> {
    let kept: HashSet<Capability> = kept.iter().copied().collect();
    let mut sets: LinuxCapabilities = capabilities::none();
    sets.set_bounding(Some(kept.clone())).set_effective(Some(kept.clone())).set_permitted(Some(kept));
    capabilities::become_user(0, 0, &[], &sets)?;
    capabilities::no_new_privileges()?;
    // After the change of capabilities, which may clear it.
    prctl::set_pdeathsig(Signal::SIGKILL).step(|| "PR_SET_PDEATHSIG")?;
    if u32::try_from(getppid().as_raw()) != Ok(parent) {
        return Err(Failure::new("look for the parent", "it has ended"));
    }
    prctl::set_name(c"mkubelet-unpack").step(|| "PR_SET_NAME")?;
    for (resource, limit) in [(Resource::RLIMIT_AS, MEMORY), (Resource::RLIMIT_CORE, 0)] {
        setrlimit(resource, limit, limit).step(|| format!("set {resource:?}"))?;
    }
    seccomp::load(&Filter::allowing(calls))
}
