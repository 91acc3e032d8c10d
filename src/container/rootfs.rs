//! The root filesystem: an overlay over image layers, and the change of root into it.
//!
//! The overlay is mounted in the container's own mount namespace, so it dies with the container whatever crashes, and the
//! host's mount table never shows it. It is mounted nodev, a second wall behind the cgroup's device rules, unless the container
//! may make device files anyway.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;
use nix::unistd::{chdir, fchdir, pivot_root};
use pathrs::Root;

use super::failure::{Failure, Step};
use super::spec;

/// Makes an attempt's directories: `upper`, which shows as the container's root and so takes the image root's owner and
/// mode, `work` for the kernel, and the mount point `rootfs`.
pub fn prepare(config: &spec::Root) -> Result<(), Failure> {
    let image_root = config
        .lower
        .first()
        .ok_or_else(|| Failure::new("prepare the root filesystem", "the image has no layer"))?;
    let like = fs::metadata(image_root).step(|| format!("stat {}", image_root.display()))?;
    if !like.is_dir() {
        return Err(Failure::new(format!("stat {}", image_root.display()), "not a directory"));
    }
    let make = |path: &Path| {
        DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(path)
            .step(|| format!("mkdir {}", path.display()))
    };
    let (upper, work) = (config.attempt_dir.join("upper"), config.attempt_dir.join("work"));
    // A try of this attempt that was cut short marked them as volatile, and the kernel refuses them.
    if work.exists() {
        // In this order, so that what is cut short again is found again.
        remove(&upper)?;
        remove(&work)?;
    }
    make(&upper)?;
    make(&work)?;
    make(&config.attempt_dir.join("rootfs"))?;
    std::os::unix::fs::chown(&upper, Some(like.uid()), Some(like.gid()))
        .and_then(|()| fs::set_permissions(&upper, fs::Permissions::from_mode(like.mode() & 0o7777)))
        .step(|| format!("set owner and mode of {}", upper.display()))
}

/// Keeps every mount that follows out of the host's and the shim's mount namespaces.
pub fn detach_from_host() -> Result<(), Failure> {
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).step(|| "make / private")
}

/// Mounts the overlay and gives a handle on its root, through which everything below it is reached.
///
/// The layers are named by descriptor: short enough for the page that mount(2) allows for options, and the host's paths
/// do not show in the container's /proc/self/mountinfo. `volatile` spares the syncs of a filesystem that is never mounted
/// a second time (Linux 5.10). `devices` says whether its device files can be opened.
pub fn mount_overlay(config: &spec::Root, devices: bool) -> Result<Root, Failure> {
    let layers = config.lower.iter().map(|layer| open_directory(layer)).collect::<Result<Vec<_>, _>>()?;
    let upper = open_directory(&config.attempt_dir.join("upper"))?;
    let work = open_directory(&config.attempt_dir.join("work"))?;
    let lower: Vec<String> = layers.iter().map(name_of).collect();
    let options = format!(
        "lowerdir={},upperdir={},workdir={},volatile",
        lower.join(":"),
        name_of(&upper),
        name_of(&work)
    );

    let target = config.attempt_dir.join("rootfs");
    let flags = if devices { MsFlags::empty() } else { MsFlags::MS_NODEV };
    mount(Some("overlay"), &target, Some("overlay"), flags, Some(options.as_str()))
        .step(|| format!("mount the overlay on {}", target.display()))?;
    open_directory(&target).map(Root::from_fd)
}

/// Makes the container's root the root of this process and of its mount namespace, and drops the host's mounts from it
/// (pivot_root(2), "pivot_root(".", ".")").
pub fn enter(root: BorrowedFd<'_>) -> Result<(), Failure> {
    fchdir(root).step(|| "chdir to the container's root")?;
    pivot_root(".", ".").step(|| "pivot_root")?;
    umount2(".", MntFlags::MNT_DETACH).step(|| "unmount the host's root")?;
    chdir("/").step(|| "chdir to /")
}

/// Checks after the last chdir that the working directory lies inside the container's root (CVE-2024-21626).
pub fn check_inside() -> Result<(), Failure> {
    // The system call's answer for a directory outside the root starts with "(unreachable)", which is not absolute.
    match std::env::current_dir() {
        Ok(path) if path.is_absolute() => Ok(()),
        Ok(_) => Err(Failure::new("check the working directory", "it is outside the container's root")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Failure::new("check the working directory", "it is outside the container's root"))
        }
        Err(error) => Err(error).step(|| "getcwd"),
    }
}

fn remove(tree: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(tree) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.step(|| format!("remove {}", tree.display())),
    }
}

fn open_directory(path: &Path) -> Result<OwnedFd, Failure> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    open(path, flags, Mode::empty()).step(|| format!("open {}", path.display()))
}

fn name_of(directory: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd())
}
