//! emptyDir: a directory of the pod's own on the node's disk, empty at first, shared by the pod's containers.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;

use super::Error;
use crate::config::Layout;
use crate::pod::PodUid;

/// The directory's name below the pod's volumes, as the kubelet spells it.
const PLUGIN: &str = "kubernetes.io~empty-dir";

/// Makes `volumes/kubernetes.io~empty-dir/NAME` in the pod's directory.
#[expect(clippy::disallowed_methods, reason = "no container sees the directories above the volume's own")]
pub(super) fn prepare(layout: &Layout, uid: &PodUid, name: &str) -> Result<PathBuf, Error> {
    let path = layout.volume(uid, PLUGIN, name);
    DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(|source| Error::Io {
        action: "create the directory",
        path: path.clone(),
        source,
    })?;
    // Any user of the pod may write to it, whatever our umask; the directories above keep the host's users out.
    let failed = |source| Error::Io { action: "set the mode of", path: path.clone(), source };
    let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
    let directory = OpenOptions::new().read(true).custom_flags(flags).open(&path).map_err(failed)?;
    directory.set_permissions(Permissions::from_mode(0o777)).map_err(failed)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn anyone_in_the_pod_may_write_and_a_second_prepare_keeps_the_content() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("root"), dir.path().join("run"), dir.path().join("log"));
        let uid: PodUid = "u-1".parse().unwrap();

        let path = prepare(&layout, &uid, "cache").unwrap();
        assert_eq!(path, dir.path().join("root/pods/u-1/volumes/kubernetes.io~empty-dir/cache"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o777);
        assert_eq!(fs::metadata(dir.path().join("root")).unwrap().permissions().mode() & 0o7777, 0o700);

        fs::write(path.join("kept"), "x").unwrap();
        assert_eq!(prepare(&layout, &uid, "cache").unwrap(), path);
        assert_eq!(fs::read(path.join("kept")).unwrap(), b"x");
    }
}
