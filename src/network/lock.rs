//! The lock that agents of one run directory take before they change addresses, bridge or table.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use super::Error;

/// Held until dropped, or until the process dies.
#[derive(Debug)]
pub(super) struct Lock {
    file: Flock<File>,
    path: PathBuf,
}

impl Lock {
    /// Waits for the lock. `None` if its directory is gone, and with it everything that it guards.
    pub(super) fn acquire(path: &Path) -> Result<Option<Self>, Error> {
        loop {
            let file = match File::options().create(true).append(true).open(path) {
                Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
                file => file.map_err(Error::file("open", path))?,
            };
            let file = Flock::lock(file, FlockArg::LockExclusive)
                .map_err(|(_, errno)| Error::file("lock", path)(errno.into()))?;
            // The one before us may have removed the file while we waited: then others lock another file by now.
            let ours = file.metadata().map_err(Error::file("stat", path))?;
            if fs::metadata(path).is_ok_and(|named| named.ino() == ours.ino() && named.dev() == ours.dev()) {
                return Ok(Some(Self { file, path: path.to_owned() }));
            }
        }
    }

    /// Removes the file and lets go.
    pub(super) fn remove(self) -> Result<(), Error> {
        let removed = match fs::remove_file(&self.path) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(Error::file("remove", &self.path)),
        };
        drop(self.file);
        removed
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn one_holder_at_a_time_even_while_the_file_comes_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let holders = Arc::new(AtomicU32::new(0));
        let threads: Vec<_> = (0..8)
            .map(|number| {
                let (path, holders) = (path.clone(), holders.clone());
                thread::spawn(move || {
                    for turn in 0..200 {
                        let lock = Lock::acquire(&path).unwrap().unwrap();
                        assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                        thread::yield_now();
                        holders.fetch_sub(1, Ordering::SeqCst);
                        if (turn + number) % 3 == 0 {
                            lock.remove().unwrap();
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    }

    #[test]
    fn without_a_run_directory_there_is_nothing_to_lock() {
        assert!(Lock::acquire(Path::new("/nonexistent/network.lock")).unwrap().is_none());
    }
}
