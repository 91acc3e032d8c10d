//! Blobs on their way into the store, from a registry or a file: `downloads/<hex>.part` grows, `downloads/<hex>` is complete and verified.
//!
//! A download takes minutes, and the store's lock is not held meanwhile; so these files are not in `ingest`, which
//! whoever takes that lock empties. A part has a lock of its own: one pull at a time fetches a blob, of all processes,
//! and who waits for it finds the work done. What a broken connection or a dead process left is where the next pull of
//! that blob goes on. Nothing of it is used before its digest has been checked from the first byte to the last.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest as _, Sha256};

use super::blobs::Blobs;
use super::digest::Digest;
use super::durable;
use super::error::Error;
use crate::failpoint;

/// What nobody has come back for in this time goes.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// What is copied at once, bytes.
const PIECE: usize = 1 << 20;

/// Ends the name of a blob that is not complete.
const PART: &str = ".part";

/// The downloads of a store.
#[derive(Debug, Clone)]
pub(super) struct Downloads {
    dir: PathBuf,
    blobs: Blobs,
}

impl Downloads {
    /// Downloads below `store`, for its blobs; makes the directory.
    pub(super) fn open(store: &Path, blobs: &Blobs) -> Result<Self, Error> {
        let dir = store.join("downloads");
        durable::make_directory(&dir)?;
        Ok(Self { dir, blobs: blobs.clone() })
    }

    /// True if the blob need not be fetched: it is in the store, or complete and on its way there.
    pub(super) fn has(&self, digest: &Digest) -> bool {
        self.blobs.has(digest) || self.path(digest).is_file()
    }

    /// Begins to fetch a blob, or goes on with what is there of it. Waits for whoever else fetches it; `None` when it is
    /// there.
    pub(super) fn begin(&self, digest: &Digest, size: u64) -> Result<Option<Part>, Error> {
        let path = self.dir.join(format!("{}{PART}", digest.hex()));
        while !self.has(digest) {
            let file = durable::lock(&path)?;
            // Whoever had the lock may have completed the blob, and the name may be gone or another file's.
            if durable::is_at(&file, &path) && !self.has(digest) {
                let part = Part::of(file, path.clone(), self.path(digest), digest.clone(), size);
                return part.map(Some).map_err(Error::io("read", &path));
            }
        }
        Ok(None)
    }

    /// Copies a blob that need not be waited for. True if it was not there.
    pub(super) fn copy(&self, mut input: impl Read, digest: &Digest, size: u64) -> Result<bool, Error> {
        let Some(part) = self.begin(digest, size)? else { return Ok(false) };
        let mut part = part.restart()?;
        let mut piece = vec![0; PIECE];
        loop {
            match input.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => part = part.write(&piece[..count])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::invalid(format!("blob {digest}"))(error)),
            }
        }
        part.finish().map(|()| true)
    }

    /// Opens a blob that is complete.
    pub(super) fn open_blob(&self, digest: &Digest) -> Result<File, Error> {
        let path = self.path(digest);
        // Whoever takes it in meanwhile moves it from there to here.
        let (before, coming) =
            (self.blobs.open_blob(digest), File::open(&path).map_err(Error::io("open", &path)));
        before.or(coming).or_else(|_| self.blobs.open_blob(digest))
    }

    /// Moves a blob that is complete into the store, whose lock is held.
    pub(super) fn take_in(&self, digest: &Digest) -> Result<(), Error> {
        if self.blobs.has(digest) {
            return Ok(());
        }
        if !self.path(digest).is_file() {
            let reason = "it went meanwhile, with the last image that had it; try again".to_owned();
            return Err(Error::Invalid { what: format!("blob {digest}"), reason });
        }
        self.blobs.adopt(&self.path(digest), digest)
    }

    /// Removes a complete blob that came for an image that is no good.
    pub(super) fn forget(&self, digest: &Digest) -> Result<(), Error> {
        durable::remove(&self.path(digest))
    }

    /// Removes what nobody has come back for.
    pub(super) fn sweep(&self) -> Result<(), Error> {
        for name in durable::names(&self.dir)? {
            let path = self.dir.join(name);
            let written = fs::metadata(&path).and_then(|metadata| metadata.modified());
            let age = written.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
            if age.is_some_and(|age| age > KEPT) && !is_locked(&path) {
                durable::remove(&path)?;
            }
        }
        Ok(())
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(digest.hex())
    }
}

/// A blob that is being fetched by this process, and by no other.
#[derive(Debug)]
pub(super) struct Part {
    file: Flock<File>,
    path: PathBuf,
    complete: PathBuf,
    digest: Digest,
    size: u64,
    hash: Sha256,
    have: u64,
    resumed: bool,
}

impl Part {
    fn of(
        file: Flock<File>,
        path: PathBuf,
        complete: PathBuf,
        digest: Digest,
        size: u64,
    ) -> io::Result<Self> {
        let mut part =
            Self { file, path, complete, digest, size, hash: Sha256::new(), have: 0, resumed: false };
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = part.file.read(&mut buffer)?;
            part.hash.update(&buffer[..count]);
            part.have += count as u64;
            if count == 0 || part.have > part.size {
                break;
            }
        }
        part.resumed = part.have > 0;
        if part.have > part.size {
            part.empty()?;
        }
        Ok(part)
    }

    /// Bytes that are there.
    pub(super) fn have(&self) -> u64 {
        self.have
    }

    /// Bytes that there should be.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// True if bytes of it are of an earlier pull: then a wrong digest may be that one's fault.
    pub(super) fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// Throws away what is there.
    pub(super) fn restart(mut self) -> Result<Self, Error> {
        self.empty().map_err(Error::io("empty", &self.path))?;
        Ok(self)
    }

    /// Adds bytes. More than there should be are an error, and the end of it.
    pub(super) fn write(mut self, bytes: &[u8]) -> Result<Self, Error> {
        if self.have + bytes.len() as u64 > self.size {
            let reason = format!("it has more than {} bytes, its size by the manifest", self.size);
            return Err(self.discard(reason));
        }
        self.file.write_all(bytes).map_err(Error::io("write", &self.path))?;
        self.hash.update(bytes);
        self.have += bytes.len() as u64;
        Ok(self)
    }

    /// Checks that it is what it should be, and keeps it.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        let found = Digest::of_hash(std::mem::take(&mut self.hash));
        if self.have != self.size {
            let reason = format!("it has {} bytes, and {} by the manifest", self.have, self.size);
            return Err(self.discard(reason));
        }
        if found != self.digest {
            return Err(self.discard(format!("its bytes have the digest {found}")));
        }
        self.file.sync_all().map_err(Error::io("write", &self.path))?;
        failpoint::reached("download.received");
        durable::rename(&self.path, &self.complete)?;
        failpoint::reached("download.kept");
        Ok(())
    }

    fn empty(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        (self.hash, self.have, self.resumed) = (Sha256::new(), 0, false);
        Ok(())
    }

    /// Nobody is to go on with this.
    fn discard(&self, reason: String) -> Error {
        let error = Error::Invalid { what: format!("blob {}", self.digest), reason };
        if let Err(cause) = durable::remove(&self.path) {
            tracing::warn!(%cause, "cannot remove a download that is no good");
        }
        error
    }
}

/// One that nothing has come of is of no use to the next.
impl Drop for Part {
    fn drop(&mut self) {
        if self.have == 0 && durable::is_at(&self.file, &self.path) {
            let _ = durable::remove(&self.path);
        }
    }
}

fn is_locked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| Flock::lock(file, FlockArg::LockExclusiveNonblock).is_err())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixture {
        dir: tempfile::TempDir,
    }

    impl Fixture {
        fn new() -> Self {
            Self { dir: tempfile::tempdir().unwrap() }
        }

        fn downloads(&self) -> Downloads {
            let blobs = Blobs::open(self.dir.path(), &self.dir.path().join("ingest")).unwrap();
            Downloads::open(self.dir.path(), &blobs).unwrap()
        }

        fn files(&self) -> Vec<String> {
            durable::names(&self.dir.path().join("downloads")).unwrap()
        }
    }

    fn hello() -> Digest {
        Digest::of(b"hello")
    }

    #[test]
    fn a_download_goes_on_where_it_was_left_and_is_checked_from_its_first_byte() {
        let fixture = Fixture::new();
        let part = fixture.downloads().begin(&hello(), 5).unwrap().unwrap();
        assert_eq!((part.have(), part.is_resumed()), (0, false));
        drop(part.write(b"hel").unwrap());

        let part = fixture.downloads().begin(&hello(), 5).unwrap().unwrap();
        assert_eq!((part.have(), part.is_resumed()), (3, true));
        part.write(b"lo").unwrap().finish().unwrap();
        assert!(fixture.downloads().has(&hello()));
        assert!(fixture.downloads().begin(&hello(), 5).unwrap().is_none(), "it is there");
        assert_eq!(fixture.files(), [hello().hex()]);

        fixture.downloads().take_in(&hello()).unwrap();
        assert_eq!(fixture.files(), [""; 0]);
        assert!(fixture.downloads().has(&hello()), "in the store");
    }

    #[test]
    fn what_is_no_good_is_not_gone_on_with() {
        for (bytes, reason) in [
            (&b"jello"[..], "its bytes have the digest sha256:"),
            (b"hell", "it has 4 bytes, and 5 by the manifest"),
            (b"hello!", "it has more than 5 bytes, its size by the manifest"),
        ] {
            let fixture = Fixture::new();
            let part = fixture.downloads().begin(&hello(), 5).unwrap().unwrap();
            let error = part.write(bytes).and_then(Part::finish).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
            assert_eq!(fixture.files(), [""; 0], "{reason}");
            assert!(!fixture.downloads().has(&hello()));
        }
    }

    #[test]
    fn a_part_that_is_longer_than_the_blob_is_begun_again() {
        let fixture = Fixture::new();
        fixture.downloads();
        fs::write(fixture.dir.path().join(format!("downloads/{}.part", hello().hex())), b"something else")
            .unwrap();
        let part = fixture.downloads().begin(&hello(), 5).unwrap().unwrap();
        assert_eq!((part.have(), part.is_resumed()), (0, false));
        part.write(b"hello").unwrap().finish().unwrap();
    }

    #[test]
    fn of_two_who_want_a_blob_one_fetches_it() {
        let fixture = Fixture::new();
        let part = fixture.downloads().begin(&hello(), 5).unwrap().unwrap();
        let other = fixture.downloads();
        let waiting = std::thread::spawn(move || other.begin(&hello(), 5).unwrap().is_none());
        std::thread::sleep(Duration::from_millis(50));
        assert!(!waiting.is_finished());
        part.write(b"hello").unwrap().finish().unwrap();
        assert!(waiting.join().unwrap(), "and the other finds it");
    }

    #[test]
    fn what_nobody_came_back_for_goes_unless_somebody_has_it() {
        let fixture = Fixture::new();
        let downloads = fixture.downloads();
        let old = SystemTime::now() - KEPT - Duration::from_secs(60);
        for (size, age) in [(1, Some(old)), (2, None), (3, Some(old))] {
            let part = downloads.begin(&Digest::of(&[size]), 1).unwrap().unwrap().write(b"x").unwrap();
            if let Some(age) = age {
                part.file.set_modified(age).unwrap();
            }
            if size == 3 {
                downloads.sweep().unwrap();
                assert_eq!(fixture.files().len(), 2, "the first has gone, and this one is in use");
            }
        }
        downloads.sweep().unwrap();
        assert_eq!(fixture.files(), [format!("{}.part", Digest::of(&[2]).hex())]);
    }
}
