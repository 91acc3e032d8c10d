//! emptyDir: a directory of the pod's own on the node's disk or in memory, empty at first, shared by the pod's containers.

use std::fs::DirBuilder;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, fchmod, fstat};
use nix::unistd::{Gid, fchown, geteuid};

use super::Error;
use crate::config::Layout;
use crate::pod::{ContainerSpec, Pod, PodUid};

/// The directory's name below the pod's volumes, as the kubelet spells it.
const PLUGIN: &str = "kubernetes.io~empty-dir";

/// Any user of the pod may write to it; the directories above keep the host's users out.
const MODE: Mode = Mode::from_bits_truncate(0o777);

/// A tmpfs has the sticky bit besides, as the kernel makes it and the kubelet leaves it.
pub(super) const TMPFS_MODE: Mode = Mode::from_bits_truncate(0o1777);

/// What is made inside belongs to the directory's group.
const SET_GROUP: Mode = Mode::S_ISGID;

/// The mode it is made with: as long as nobody but us may enter, it is not ready.
const NOT_READY: u32 = 0o700;

/// Where the volume of that name is on the disk.
pub(super) fn path(layout: &Layout, uid: &PodUid, name: &str) -> PathBuf {
    layout.volume(uid, PLUGIN, name)
}

/// Makes `volumes/kubernetes.io~empty-dir/NAME` in the pod's directory, of the group `fs_group`.
///
/// Owner and mode are set once, while the volume is empty, as the kubelet does it: what containers make of them later stays, and
/// there is nothing inside to walk, so that fsGroupChangePolicy has nothing to decide.
#[expect(clippy::disallowed_methods, reason = "no container sees the directories above the volume's own")]
pub(super) fn prepare(
    layout: &Layout,
    uid: &PodUid,
    name: &str,
    fs_group: Option<u32>,
) -> Result<PathBuf, Error> {
    let path = path(layout, uid, name);
    let failed = |action| {
        let path = path.clone();
        move |errno: Errno| Error::Io { action, path, source: errno.into() }
    };
    DirBuilder::new().recursive(true).mode(NOT_READY).create(&path).map_err(|source| Error::Io {
        action: "create the directory",
        path: path.clone(),
        source,
    })?;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let directory = open(&path, flags, Mode::empty()).map_err(failed("open the directory"))?;
    open_to_pod(directory.as_fd(), MODE, fs_group)?;
    Ok(path)
}

/// Opens a volume's root to the pod, unless that has been done.
pub(super) fn open_to_pod(root: BorrowedFd<'_>, mode: Mode, fs_group: Option<u32>) -> Result<(), Error> {
    let failed = |action| move |errno: Errno| Error::Io { action, path: ".".into(), source: errno.into() };
    let found = fstat(root).map_err(failed("look at"))?;
    if found.st_mode & 0o7777 == NOT_READY && found.st_uid == geteuid().as_raw() {
        let group = fs_group.map(Gid::from_raw);
        fchown(root, None, group).map_err(failed("set the group of"))?;
        let mode = if group.is_some() { mode | SET_GROUP } else { mode };
        // Last: it makes the volume ready, whatever our umask.
        fchmod(root, mode).map_err(failed("set the mode of"))?;
    }
    Ok(())
}

/// Bytes that a volume in memory may take: its own limit, and no more than the pod, or else the node, has of memory.
pub(super) fn memory_limit(size_limit: Option<u64>, pod: &Pod, node: u64) -> u64 {
    let most = memory_of(pod).map_or(node, |of_pod| of_pod.min(node));
    size_limit.map_or(most, |own| own.min(most))
}

/// What all containers of the pod may use of memory together; `None` if one of them has no limit.
fn memory_of(pod: &Pod) -> Option<u64> {
    if let Some(limit) = pod.spec.resources.memory_limit {
        return Some(limit);
    }
    let limit = |container: &ContainerSpec| container.resources.memory_limit.filter(|limit| *limit > 0);
    let all: u64 = pod.spec.containers.iter().map(limit).sum::<Option<u64>>()?;
    let init: Option<Vec<u64>> = pod.spec.init_containers.iter().map(limit).collect();
    Some(init?.into_iter().fold(all, u64::max))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;
    use crate::pod::spec::RestartPolicy;
    use crate::runtime::fixture;

    #[test]
    fn anyone_in_the_pod_may_write_and_a_second_prepare_keeps_the_content() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("root"), dir.path().join("run"), dir.path().join("log"));
        let uid: PodUid = "u-1".parse().unwrap();

        let path = prepare(&layout, &uid, "cache", None).unwrap();
        assert_eq!(path, dir.path().join("root/pods/u-1/volumes/kubernetes.io~empty-dir/cache"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o777);
        assert_eq!(fs::metadata(dir.path().join("root")).unwrap().permissions().mode() & 0o7777, 0o700);

        fs::write(path.join("kept"), "x").unwrap();
        assert_eq!(prepare(&layout, &uid, "cache", None).unwrap(), path);
        assert_eq!(fs::read(path.join("kept")).unwrap(), b"x");
    }

    #[test]
    fn the_pods_group_owns_it_and_what_is_made_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("root"), dir.path().join("run"), dir.path().join("log"));
        let uid: PodUid = "u-1".parse().unwrap();
        // A group that this process may give away: root any, others their own.
        let group = if nix::unistd::geteuid().is_root() { 4711 } else { nix::unistd::getegid().as_raw() };
        let path = prepare(&layout, &uid, "cache", Some(group)).unwrap();
        let found = fs::metadata(&path).unwrap();
        assert_eq!((found.gid(), found.mode() & 0o7777), (group, 0o2777));
        fs::write(path.join("new"), "").unwrap();
        assert_eq!(fs::metadata(path.join("new")).unwrap().gid(), group);

        // What a container made of it stays.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        prepare(&layout, &uid, "cache", Some(group)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o750);
    }

    #[test]
    fn memory_is_limited_by_the_volume_the_pod_and_the_node() {
        const NODE: u64 = 1000;
        for (own, of_pod, containers, init, expected) in [
            (None, None, [None, None], None, NODE),
            (Some(10), None, [None, None], None, 10),
            (Some(5000), None, [None, None], None, NODE),
            (None, Some(300), [Some(1), Some(1)], None, 300),
            (Some(400), Some(300), [None, None], None, 300),
            (None, None, [Some(100), Some(200)], Some(50), 300),
            (None, None, [Some(100), Some(200)], Some(600), 600),
            (None, None, [Some(100), None], Some(600), NODE),
            (None, None, [Some(100), Some(200)], None, NODE),
            (Some(50), None, [Some(100), Some(200)], Some(1), 50),
        ] {
            let mut pod = fixture::pod(RestartPolicy::Always, &["i"], &["a", "b"]);
            pod.spec.resources.memory_limit = of_pod;
            pod.spec.init_containers[0].resources.memory_limit = init;
            for (container, limit) in pod.spec.containers.iter_mut().zip(containers) {
                container.resources.memory_limit = limit;
            }
            assert_eq!(memory_limit(own, &pod, NODE), expected, "{own:?} {of_pod:?} {containers:?} {init:?}");
        }
    }

    #[test]
    fn a_symlink_in_its_place_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("root"), dir.path().join("run"), dir.path().join("log"));
        let uid: PodUid = "u-1".parse().unwrap();
        let elsewhere = dir.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        let before = fs::metadata(&elsewhere).unwrap().mode();
        let path = layout.volume(&uid, PLUGIN, "cache");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert!(prepare(&layout, &uid, "cache", Some(1)).is_err());
        assert_eq!(fs::metadata(&elsewhere).unwrap().mode(), before);
    }
}
