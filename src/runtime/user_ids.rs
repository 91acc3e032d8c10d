//! Host ids of pods with a user namespace of their own (`hostUsers: false`): 65536 for each, and never the same for two.
//!
//! One file for each pod, named after its first id and holding the path of the pod's run directory. The directory of
//! these files is the host's, not an agent's: agents that share nothing else still share the host's ids. A crash leaves
//! at worst a file without such a path, or of a pod whose run directory is gone; both are taken back by the next reader.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::owner::{self, Admission, make_private_directory};
use crate::config::user_id_pool::{IDS_PER_POD, UserIdPool};
use crate::container::user_namespace::IdRange;
use crate::failpoint;

/// Overlayfs takes idmapped layers from this version on.
const OLDEST_KERNEL: (u32, u32) = (5, 19);

/// A path is no longer, bytes (PATH_MAX).
const PATH_MAX: u64 = 4096;

/// Why a pod has no ids.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This kernel cannot do it.
    #[error("hostUsers: false needs {0}")]
    Kernel(String),
    /// All in use.
    #[error("hostUsers: false: all {pods} ranges of {IDS_PER_POD} ids from {first} on are in use")]
    Exhausted {
        /// The pool's first id.
        first: u32,
        /// How many pods it has room for.
        pods: u32,
    },
    /// Another agent holds the lock, or a system call failed.
    #[error(transparent)]
    Lock(#[from] owner::Error),
    /// A system call failed.
    #[error("{action} {}", path.display())]
    Io {
        /// Such as `read`.
        action: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Who has which ids.
#[derive(Debug, Clone)]
pub struct UserIds {
    directory: PathBuf,
    pool: UserIdPool,
}

impl UserIds {
    /// Ids out of `pool`, written down in `directory`, which is the same for all agents of the host.
    pub fn new(directory: &Path, pool: UserIdPool) -> Self {
        Self { directory: directory.to_owned(), pool }
    }

    /// Gives the pod that has this run directory ids, or tells those that it has: they are its until [`release`](Self::release),
    /// whatever restarts in between, for as long as the run directory exists.
    pub fn allocate(&self, run_pod: &Path) -> Result<IdRange, Error> {
        make_private_directory(&self.directory)
            .map_err(|e| failed("make the directory", &self.directory, e))?;
        let _lock = Admission::wait(&self.directory)?;
        let held = self.read()?;
        if let Some((first, _)) = held.iter().find(|(_, holder)| holder == run_pod) {
            return Ok(IdRange { first: *first, count: IDS_PER_POD });
        }
        // Another agent's pool may begin elsewhere, so what counts is whether ids are the same.
        let taken = |range: &IdRange| held.iter().any(|(first, _)| first.abs_diff(range.first) < IDS_PER_POD);
        let ranges = self.pool.firsts().map(|first| IdRange { first, count: IDS_PER_POD });
        let range = { ranges }.find(|range| !taken(range));
        let range = range.ok_or(Error::Exhausted { first: self.pool.first(), pods: self.pool.pods() })?;
        self.write(range.first, run_pod)?;
        Ok(range)
    }

    /// Takes the ids of the pod back. Fine when it has none.
    pub fn release(&self, run_pod: &Path) -> Result<(), Error> {
        if !self.directory.is_dir() {
            return Ok(());
        }
        let _lock = Admission::wait(&self.directory)?;
        for (first, _) in self.read()?.iter().filter(|(_, holder)| holder == run_pod) {
            self.remove(&self.directory.join(first.to_string()))?;
        }
        Ok(())
    }

    /// First ids and their pods' run directories; takes back what belongs to nobody any more.
    fn read(&self) -> Result<Vec<(u32, PathBuf)>, Error> {
        let listed = |error| failed("list", &self.directory, error);
        let mut held = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(listed)? {
            let path = entry.map_err(listed)?.path();
            let Some(first) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
            let mut holder = String::new();
            let read =
                File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(&path);
            let read = read.and_then(|file| file.take(PATH_MAX + 1).read_to_string(&mut holder));
            match read {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::InvalidData => holder.clear(),
                Err(error) => return Err(failed("read", &path, error)),
            }
            let holder = PathBuf::from(holder.trim_end_matches('\n'));
            if exists(&holder) {
                held.push((first, holder));
            } else {
                tracing::info!(ids = first, "took back the user ids of a pod that is gone");
                self.remove(&path)?;
            }
        }
        Ok(held)
    }

    fn write(&self, first: u32, run_pod: &Path) -> Result<(), Error> {
        let path = self.directory.join(first.to_string());
        let mut options = File::options();
        let file = options.write(true).create_new(true).mode(0o600).open(&path);
        let mut file = file.map_err(|error| failed("create", &path, error))?;
        failpoint::reached("ids.created");
        writeln!(file, "{}", run_pod.display()).map_err(|error| failed("write", &path, error))?;
        failpoint::reached("ids.written");
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<(), Error> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", path, error)),
            _ => Ok(()),
        }
    }
}

/// A pod is there as long as its run directory is. When in doubt (EACCES, EIO), its ids are kept.
fn exists(run_pod: &Path) -> bool {
    use ErrorKind::{InvalidFilename, NotADirectory, NotFound};
    let gone = |error: io::Error| matches!(error.kind(), NotFound | NotADirectory | InvalidFilename);
    run_pod.is_absolute() && !fs::symlink_metadata(run_pod).is_err_and(gone)
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Io { action, path: path.to_owned(), source }
}

/// Whether this machine's kernel has what user namespaces of pods need.
pub fn check_kernel() -> Result<(), Error> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let limit = read("/proc/sys/user/max_user_namespaces");
    judge_kernel(Path::new("/proc/self/ns/user").exists(), &limit, &read("/proc/sys/kernel/osrelease"))
}

/// Likewise, by whether there are user namespaces, how many there may be, and the kernel's release.
fn judge_kernel(has_namespaces: bool, limit: &str, release: &str) -> Result<(), Error> {
    if !has_namespaces {
        return Err(Error::Kernel("user namespaces: this kernel is built without CONFIG_USER_NS".to_owned()));
    }
    if limit.trim() == "0" {
        return Err(Error::Kernel("user namespaces: the sysctl user.max_user_namespaces is 0".to_owned()));
    }
    let mut numbers = release.trim().split(['.', '-']).map_while(|part| part.parse().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let (major, minor) = OLDEST_KERNEL;
    if version < OLDEST_KERNEL {
        let text = format!(
            "overlayfs on idmapped layers, Linux {major}.{minor} or later; this is {}",
            release.trim()
        );
        return Err(Error::Kernel(text));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
