//! hostPath: a path of the node, checked or made as its `type` asks.

use std::fs::{DirBuilder, FileType, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Error;
use crate::pod::spec::HostPathType;

/// Checks what is at the path, following symlinks as the kubelet does; makes it where the type says so.
///
/// A volume without a type whose path is missing becomes a directory: the kubelet leaves that case to the container
/// runtime, and containerd and CRI-O both make one.
///
/// The path may lead through directories that a container can write to, so the answer may be out of date as soon as it is
/// given: whoever mounts the volume checks the type once more, on the file that it mounts (`container::mounts`).
pub(super) fn prepare(path: &Path, kind: HostPathType) -> Result<PathBuf, Error> {
    let mut found = look(path)?;
    if found.is_none() {
        match kind {
            HostPathType::Unset | HostPathType::DirectoryOrCreate => make_directory(path)?,
            HostPathType::FileOrCreate => make_file(path)?,
            _ => {}
        }
        // Once more: what counts is what is there, not who made it.
        found = look(path)?;
    }
    check(path, found, kind)?;
    Ok(path.to_owned())
}

/// What kind of file is at the path, if any. It is not opened for reading: that may block, and do anything to a device.
#[expect(clippy::disallowed_methods, reason = "a path of the host, by the pod's request")]
fn look(path: &Path) -> Result<Option<FileType>, Error> {
    let handle = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path);
    match handle.and_then(|handle| handle.metadata()) {
        Ok(found) => Ok(Some(found.file_type())),
        // The last is a file where a directory of the path should be: nothing of any type can be there.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(source) => Err(Error::Io { action: "look at", path: path.to_owned(), source }),
    }
}

fn check(path: &Path, found: Option<FileType>, kind: HostPathType) -> Result<(), Error> {
    let (fits, expected): (fn(&FileType) -> bool, _) = match kind {
        HostPathType::Unset => return Ok(()),
        HostPathType::Directory | HostPathType::DirectoryOrCreate => (FileType::is_dir, "a directory"),
        HostPathType::File | HostPathType::FileOrCreate => (FileType::is_file, "a file"),
        HostPathType::Socket => (FileTypeExt::is_socket, "a socket file"),
        HostPathType::CharDevice => (FileTypeExt::is_char_device, "a character device"),
        HostPathType::BlockDevice => (FileTypeExt::is_block_device, "a block device"),
    };
    if found.as_ref().is_some_and(fits) {
        Ok(())
    } else {
        Err(Error::HostPathType { path: path.to_owned(), expected })
    }
}

#[expect(clippy::disallowed_methods, reason = "a path of the host, by the pod's request")]
fn make_directory(path: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(|source| Error::Io {
        action: "create the directory",
        path: path.to_owned(),
        source,
    })
}

#[expect(clippy::disallowed_methods, reason = "a path of the host, by the pod's request")]
fn make_file(path: &Path) -> Result<(), Error> {
    let fail = |source| Error::Io { action: "create the file", path: path.to_owned(), source };
    // Another pod may make the same file at this moment: then it is there, which is all that was asked.
    match OpenOptions::new().write(true).create_new(true).mode(0o644).open(path) {
        Ok(file) => file.set_permissions(Permissions::from_mode(0o644)).map_err(fail),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(fail(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::net::UnixListener;

    use super::HostPathType::*;
    use super::*;

    #[test]
    fn each_type_has_the_kubelets_verdict() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("dir")).unwrap();
        fs::write(at("file"), "").unwrap();
        let _listener = UnixListener::bind(at("socket")).unwrap();
        std::os::unix::fs::symlink("dir", at("link-to-dir")).unwrap();

        let cases = [
            (at("dir"), Unset, None),
            (at("file"), Unset, None),
            (at("dir"), Directory, None),
            (at("dir"), DirectoryOrCreate, None),
            (at("link-to-dir"), Directory, None),
            (at("file"), Directory, Some("is not a directory")),
            (at("file"), DirectoryOrCreate, Some("is not a directory")),
            (at("missing"), Directory, Some("is not a directory")),
            (at("file/below"), Directory, Some("is not a directory")),
            (at("file"), File, None),
            (at("file"), FileOrCreate, None),
            (at("dir"), File, Some("is not a file")),
            (at("dir"), FileOrCreate, Some("is not a file")),
            (at("missing"), File, Some("is not a file")),
            (at("socket"), Socket, None),
            (at("file"), Socket, Some("is not a socket file")),
            ("/dev/null".into(), CharDevice, None),
            (at("file"), CharDevice, Some("is not a character device")),
            ("/dev/null".into(), BlockDevice, Some("is not a block device")),
            (at("missing"), BlockDevice, Some("is not a block device")),
        ];
        for (path, kind, problem) in cases {
            match (prepare(&path, kind), problem) {
                (Ok(source), None) => assert_eq!(source, path),
                (Err(error), Some(problem)) => assert_eq!(
                    error.to_string(),
                    format!("hostPath type check failed: {} {problem}", path.display())
                ),
                (verdict, _) => panic!("{} as {kind:?}: {verdict:?}", path.display()),
            }
        }
    }

    #[test]
    fn what_may_be_created_is_created_once() {
        let dir = tempfile::tempdir().unwrap();
        for (name, kind) in [("a/b", DirectoryOrCreate), ("c/d", Unset)] {
            let path = dir.path().join(name);
            for _ in 0..2 {
                prepare(&path, kind).unwrap();
            }
            assert!(path.is_dir());
        }

        let file = dir.path().join("file");
        prepare(&file, FileOrCreate).unwrap();
        fs::write(&file, "kept").unwrap();
        prepare(&file, FileOrCreate).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"kept");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o644);

        let orphan = prepare(&dir.path().join("missing/file"), FileOrCreate).unwrap_err();
        assert!(orphan.to_string().starts_with("cannot create the file "), "{orphan}");
    }
}
