//! A node's own profiles: files below one directory, found by a relative path.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path};

use pathrs::Root;
use pathrs::error::Error as PathError;
use pathrs::flags::OpenFlags;

/// A longer profile is refused, bytes. Docker's default has 15 thousand.
const LONGEST: u64 = 1 << 20;

/// Reads a profile. The path stays below the directory, whatever symlinks are there.
pub fn read(directory: &Path, path: &Path) -> Result<Vec<u8>, String> {
    let is_plain = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if path.as_os_str().is_empty() || !is_plain {
        return Err("must be a relative path without ..".to_owned());
    }
    let opened = || Root::open(directory)?.resolve(path);
    let handle = opened().map_err(|error| format!("{}: {}", directory.display(), reason(&error)))?;
    // Looked at before it is opened for reading, which for a FIFO or a device might do something.
    let found = handle.try_clone().map_err(|error| error.to_string())?;
    let is_file = File::from(std::os::fd::OwnedFd::from(found)).metadata().is_ok_and(|found| found.is_file());
    if !is_file {
        return Err("not a regular file".to_owned());
    }
    let file = handle.reopen(OpenFlags::O_RDONLY).map_err(|error| reason(&error))?;
    let mut json = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut json).map_err(|error| error.to_string())?;
    match json.len() as u64 {
        0 => Err("the file is empty".to_owned()),
        length if length > LONGEST => Err(format!("longer than {LONGEST} bytes")),
        _ => Ok(json),
    }
}

fn reason(error: &PathError) -> String {
    match error.kind() {
        pathrs::error::ErrorKind::OsError(Some(errno)) => {
            std::io::Error::from_raw_os_error(errno).to_string()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn profiles_are_read_from_below_their_directory_only() {
        let node = tempfile::tempdir().unwrap();
        let profiles = node.path().join("seccomp");
        fs::create_dir_all(profiles.join("team")).unwrap();
        fs::write(node.path().join("secret"), "outside").unwrap();
        fs::write(profiles.join("a.json"), "a").unwrap();
        fs::write(profiles.join("team/b.json"), "b").unwrap();
        fs::write(profiles.join("empty"), "").unwrap();
        fs::write(profiles.join("long"), vec![b' '; LONGEST as usize + 1]).unwrap();
        symlink("a.json", profiles.join("within")).unwrap();
        symlink("../secret", profiles.join("out")).unwrap();
        symlink(node.path().join("secret"), profiles.join("absolute")).unwrap();
        symlink("loop", profiles.join("loop")).unwrap();
        nix::unistd::mkfifo(&profiles.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();

        for (path, content) in [("a.json", "a"), ("team/b.json", "b"), ("./a.json", "a"), ("within", "a")] {
            assert_eq!(read(&profiles, Path::new(path)), Ok(content.into()), "{path}");
        }
        let missing = format!("{}: No such file or directory (os error 2)", profiles.display());
        let looping = format!("{}: Too many levels of symbolic links (os error 40)", profiles.display());
        for (path, error) in [
            ("", "must be a relative path without .."),
            ("../secret", "must be a relative path without .."),
            ("team/../../secret", "must be a relative path without .."),
            ("/etc/passwd", "must be a relative path without .."),
            ("nope", &missing),
            ("out", &missing),
            ("absolute", &missing),
            ("loop", &looping),
            ("team", "not a regular file"),
            ("fifo", "not a regular file"),
            ("empty", "the file is empty"),
            ("long", "longer than 1048576 bytes"),
        ] {
            assert_eq!(read(&profiles, Path::new(path)), Err(error.to_owned()), "{path}");
        }
        assert!(read(&node.path().join("nope"), Path::new("a.json")).is_err());
    }
}
