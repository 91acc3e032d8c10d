//! Which boot of the machine the run directory is of. It should be in memory, and gone with the boot; where it is on a disk, what it
//! says of sandboxes and processes is of another life.

use std::fs;
use std::io;
use std::path::Path;

use crate::failpoint;

/// What the kernel calls it (proc(5)).
const KERNEL: &str = "/proc/sys/kernel/random/boot_id";

/// True if what `path` says was written in another boot than this one. False where nothing was written.
pub fn is_another(path: &Path) -> io::Result<bool> {
    // Bytes: what is damaged was not written in this boot, for all that anyone can tell.
    match fs::read(path) {
        Ok(written) => Ok(written.trim_ascii() != now()?.as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes down that it is this boot.
pub fn write(path: &Path) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, now()?)?;
    failpoint::reached("boot.written");
    fs::rename(temporary, path)?;
    failpoint::reached("boot.renamed");
    Ok(())
}

fn now() -> io::Result<String> {
    Ok(fs::read_to_string(KERNEL)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_another_boot_has_written_is_of_another_boot() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("boot_id");
        assert!(!is_another(&path).unwrap(), "nothing written");
        write(&path).unwrap();
        assert!(!is_another(&path).unwrap());
        fs::write(&path, "0f0e0d0c-0b0a-4908-8706-050403020100\n").unwrap();
        assert!(is_another(&path).unwrap());
        write(&path).unwrap();
        assert!(!is_another(&path).unwrap());
    }

    #[test]
    fn what_is_damaged_is_of_another_boot_and_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("boot_id");
        for damaged in [&b""[..], b"\xff\xfe", &[0; 36]] {
            fs::write(&path, damaged).unwrap();
            assert!(is_another(&path).unwrap(), "{damaged:?}");
        }
    }
}
