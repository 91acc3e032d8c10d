//! The root filesystem: an overlay over image layers, and the change of root into it.
//!
//! The overlay is mounted in the container's own mount namespace, so it dies with the container whatever crashes, and the
//! host's mount table never shows it. It is mounted nodev, a second wall behind the cgroup's device rules, unless the container
//! may make device files anyway.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, fchmod, fstat, fstatat, mkdirat};
use nix::unistd::{Gid, Uid, chdir, fchdir, fchown, pivot_root};
use pathrs::Root;

use super::failure::{Failure, Step};
use super::spec;
use super::user_namespace::{IdRange, UserNamespace};
use crate::sys::mount_api::{self, Parameter};
use crate::sys::tree;

/// What the container writes.
const UPPER: &str = "upper";
/// The kernel's own, beside it.
const WORK: &str = "work";
/// Where the overlay is mounted.
const TARGET: &str = "rootfs";

/// Makes an attempt's directories: `upper`, which shows as the container's root and so takes the image root's owner and
/// mode, `work` for the kernel, and the mount point `rootfs`.
///
/// In a user namespace, whose `ids` these are, the image's owners are ids of the namespace.
pub fn prepare(config: &spec::Root, ids: Option<IdRange>) -> Result<(), Failure> {
    let image_root = config
        .lower
        .first()
        .ok_or_else(|| Failure::new("prepare the root filesystem", "the image has no layer"))?;
    let like = fstat(open_host_directory(image_root)?).step(|| format!("stat {}", image_root.display()))?;
    let attempt = open_host_directory(&config.attempt_dir)?;
    // A try of this attempt that was cut short marked them as volatile, and the kernel refuses them.
    if exists(&attempt, WORK)? {
        // In this order, so that what is cut short again is found again.
        remove(&attempt, UPPER)?;
        remove(&attempt, WORK)?;
    }
    let upper = make_directory(&attempt, UPPER)?;
    make_directory(&attempt, WORK)?;
    make_directory(&attempt, TARGET)?;
    let owner = |id| ids.map_or(id, |ids| ids.host_or_nobody(id));
    fchown(&upper, Some(Uid::from_raw(owner(like.st_uid))), Some(Gid::from_raw(owner(like.st_gid))))
        .and_then(|()| fchmod(&upper, Mode::from_bits_truncate(like.st_mode & 0o7777)))
        .step(|| "set owner and mode of upper")
}

/// Keeps every mount that follows out of the host's and the shim's mount namespaces.
#[expect(clippy::disallowed_methods, reason = "the path is /")]
///
/// With `is_slave` those that the host makes still arrive, so that copies can go on to receive them.
pub fn detach_from_host(is_slave: bool) -> Result<(), Failure> {
    let flags = MsFlags::MS_REC | if is_slave { MsFlags::MS_SLAVE } else { MsFlags::MS_PRIVATE };
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).step(|| "detach / from the host")
}

/// Mounts the overlay and gives a handle on its root, through which everything below it is reached.
///
/// The layers are named by descriptor: short enough for the page that mount(2) allows for options, and the host's paths
/// do not show in the container's /proc/self/mountinfo. `volatile` spares the syncs of a filesystem that is never mounted
/// a second time (Linux 5.10). fsopen(2) would spare the path of the mount point as well, but before Linux 6.5 it takes no
/// more than 256 bytes of layers. `devices` says whether its device files can be opened.
///
/// In a user namespace the layers are idmapped, and what is written belongs to the namespace's ids on disk: `upper` goes with
/// the attempt, and the kernel works in `work` as the host's root.
#[expect(clippy::disallowed_methods, reason = "all names are of descriptors: /proc/self/fd/N")]
pub fn mount_overlay(
    config: &spec::Root,
    devices: bool,
    user_namespace: Option<&UserNamespace>,
) -> Result<Root, Failure> {
    let layers = open_layers(&config.lower, user_namespace)?;
    let attempt = open_host_directory(&config.attempt_dir)?;
    let (upper, work) = (open_directory(&attempt, UPPER)?, open_directory(&attempt, WORK)?);
    let target = open_directory(&attempt, TARGET)?;
    let lower: Vec<String> = layers.iter().map(name_of).collect();
    let options = format!(
        "lowerdir={},upperdir={},workdir={},volatile",
        lower.join(":"),
        name_of(&upper),
        name_of(&work)
    );

    let kind = Some("overlay");
    let flags = if devices { MsFlags::empty() } else { MsFlags::MS_NODEV };
    mount(kind, name_of(&target).as_str(), kind, flags, Some(options.as_str()))
        .step(|| format!("mount the overlay in {}", config.attempt_dir.display()))?;
    close_layers(&layers, user_namespace)?;
    // Again, since the descriptor from before is of what the overlay covers.
    open_directory(&attempt, TARGET).map(Root::from_fd)
}

/// A detached mount that shows an image's layers, the topmost first, or what is at the path `part` of the image. It is made
/// read-only by whoever attaches it.
pub fn mount_image(
    layers: &[PathBuf],
    part: Option<&str>,
    user_namespace: Option<&UserNamespace>,
) -> Result<OwnedFd, Failure> {
    /// fsconfig(2) takes no longer values.
    const LONGEST: usize = 255;
    let step = || "mount the image";
    let layers = open_layers(layers, user_namespace)?;
    let mount = match &layers[..] {
        [only] => mount_api::copy_tree_at(only.as_fd(), false),
        several => {
            let names: Vec<String> = several.iter().map(name_of).collect();
            let joined = names.join(":");
            // One by one since Linux 6.7.
            let parameters: Vec<Parameter<'_>> = match joined.len() {
                0..=LONGEST => vec![Parameter::Value("lowerdir", &joined)],
                _ => names.iter().map(|name| Parameter::Value("lowerdir+", name)).collect(),
            };
            mount_api::new_filesystem("overlay", &parameters, mount_api::READ_ONLY)
        }
    };
    let mount = mount.step(step)?;
    let shown = match (part, layers.first()) {
        (Some(part), Some(place)) => part_of_image(mount, part, place)?,
        _ => mount,
    };
    close_layers(&layers, user_namespace)?;
    Ok(shown)
}

/// What is at a path of an image. Links are followed as in the container that the image would be: none leads out of it.
#[expect(clippy::disallowed_methods, reason = "all names are of descriptors: /proc/self/fd/N")]
fn part_of_image(image: OwnedFd, part: &str, place: &OwnedFd) -> Result<OwnedFd, Failure> {
    let step = || format!("open {part} in the image");
    // Before Linux 6.15 a detached mount cannot be copied. So it is over a layer for a moment, where only this process sees it.
    mount_api::attach(image.as_fd(), place.as_fd()).step(step)?;
    let root = Root::from_fd(image);
    let found: OwnedFd = root.resolve(part).step(step)?.into();
    let copy = mount_api::copy_tree_at(found.as_fd(), false).step(step)?;
    let name = format!("/proc/self/fd/{}", root.as_fd().as_raw_fd());
    umount2(name.as_str(), MntFlags::MNT_DETACH).step(|| "unmount the image")?;
    Ok(copy)
}

fn open_layers(layers: &[PathBuf], user_namespace: Option<&UserNamespace>) -> Result<Vec<OwnedFd>, Failure> {
    let open_layer = |layer: &PathBuf| match user_namespace {
        None => open_host_directory(layer),
        Some(namespace) => open_mapped(layer, namespace),
    };
    layers.iter().map(open_layer).collect()
}

#[expect(clippy::disallowed_methods, reason = "all names are of descriptors: /proc/self/fd/N")]
fn close_layers(layers: &[OwnedFd], user_namespace: Option<&UserNamespace>) -> Result<(), Failure> {
    if user_namespace.is_some() {
        // Overlayfs has them now; a volume below an image's directory must not be found through one.
        for layer in layers {
            umount2(name_of(layer).as_str(), MntFlags::MNT_DETACH).step(|| "unmount an idmapped layer")?;
        }
    }
    Ok(())
}

/// Makes the container's root the root of this process and of its mount namespace, and drops the host's mounts from it
/// (pivot_root(2), "pivot_root(".", ".")").
#[expect(clippy::disallowed_methods, reason = "the paths are . and /")]
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

/// Removes a tree that a container may have written to. Fine when it is not there.
fn remove(attempt: &OwnedFd, name: &str) -> Result<(), Failure> {
    tree::remove_at(attempt.as_fd(), name).step(|| format!("remove {name}"))
}

fn exists(directory: &OwnedFd, name: &str) -> Result<bool, Failure> {
    match fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Err(Errno::ENOENT) => Ok(false),
        found => found.map(|_| true).step(|| format!("stat {name}")),
    }
}

/// Makes a directory unless it is there, and opens it.
fn make_directory(parent: &OwnedFd, name: &str) -> Result<OwnedFd, Failure> {
    match mkdirat(parent, name, Mode::S_IRWXU) {
        Err(Errno::EEXIST) => {}
        made => made.step(|| format!("mkdir {name}"))?,
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(parent, name, flags, Mode::empty()).step(|| format!("open {name}"))
}

/// A name in an open directory; never a symlink.
fn open_directory(parent: &OwnedFd, name: &str) -> Result<OwnedFd, Failure> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(parent, name, flags, Mode::empty()).step(|| format!("open {name}"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "layers and attempts lie in directories of mode 0700 that no container sees"
)]
fn open_host_directory(path: &Path) -> Result<OwnedFd, Failure> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    open(path, flags, Mode::empty()).step(|| format!("open {}", path.display()))
}

/// A layer under the owners that it has in the namespace.
fn open_mapped(layer: &Path, namespace: &UserNamespace) -> Result<OwnedFd, Failure> {
    let step = || format!("idmap the image layer {}", layer.display());
    let directory = open_host_directory(layer)?;
    let copy = mount_api::copy_tree_at(directory.as_fd(), false).step(step)?;
    namespace.map_mount(copy.as_fd(), false, "an image layer", layer)?;
    // Over the layer itself, where only this process sees it: older kernels' overlayfs takes no detached mount.
    mount_api::attach(copy.as_fd(), directory.as_fd()).step(step)?;
    Ok(copy)
}

fn name_of(directory: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", directory.as_raw_fd())
}
