//! Revisions that never go back: the file beside the objects says below which bound all revisions are that anyone was ever told.
//!
//! It is moved on, a few thousand at a time, before the first of them is given away. A start begins at the bound. When that file is lost, or the
//! objects had to be set aside, the clock is a bound too: no store writes a thousand times a second for years.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::state::store::{self, Survive};

/// So many revisions at a time.
const BLOCK: u64 = 4096;
/// Version of the file's format.
const VERSION: u32 = 1;

/// Gives revisions away.
pub(super) struct Revisions {
    path: PathBuf,
    last: u64,
    bound: u64,
}

#[derive(Serialize, Deserialize)]
struct Record {
    version: u32,
    /// No revision above it was told.
    bound: u64,
}

impl Revisions {
    /// Goes on above everything that the directory knows of, `highest` included; gives the revision that the store is now at.
    pub(super) fn open(dir: &Path, highest: u64, objects_lost: bool) -> Result<(Self, u64), Error> {
        let path = dir.join("revisions.json");
        let existed = path.exists();
        let known = store::read::<Record>(&path).filter(|record| record.version == VERSION);
        let known = known.map(|record| record.bound);
        let is_new = known.is_none() && highest == 0 && !objects_lost && !existed;
        let start = match known {
            // Revision 0 has a meaning of its own, and so the first object may have 2.
            _ if is_new => 1,
            Some(bound) if !objects_lost => bound.max(highest),
            known => {
                let clock = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
                known.unwrap_or_default().max(highest).max(clock)
            }
        };
        let mut revisions = Self { path, last: start, bound: start };
        revisions.reserve()?;
        Ok((revisions, start))
    }

    /// A revision that nobody has had.
    pub(super) fn next(&mut self) -> Result<u64, Error> {
        if self.last == self.bound {
            self.reserve()?;
        }
        self.last += 1;
        Ok(self.last)
    }

    fn reserve(&mut self) -> Result<(), Error> {
        let bound = self.last + BLOCK;
        store::write(&self.path, &Record { version: VERSION, bound }, Survive::PowerLoss)
            .map_err(|error| Error::of_disk("write", &self.path, error.into()))?;
        self.bound = bound;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path, highest: u64, lost: bool) -> (Revisions, u64) {
        Revisions::open(dir, highest, lost).unwrap()
    }

    #[test]
    fn a_new_store_begins_at_1() {
        let dir = tempfile::tempdir().unwrap();
        let (mut revisions, start) = open(dir.path(), 0, false);
        assert_eq!((start, revisions.next().unwrap(), revisions.next().unwrap()), (1, 2, 3));
    }

    #[test]
    fn every_start_goes_on_above_whatever_was_told() {
        let dir = tempfile::tempdir().unwrap();
        let mut told = 0;
        for count in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK] {
            let (mut revisions, start) = open(dir.path(), 0, false);
            assert!(start >= told, "{start} {told}");
            for _ in 0..count {
                let next = revisions.next().unwrap();
                assert!(next > told);
                told = next;
            }
        }
    }

    #[test]
    fn a_lost_or_torn_file_does_not_bring_revisions_back() {
        let dir = tempfile::tempdir().unwrap();
        let (mut revisions, _) = open(dir.path(), 0, false);
        let told = revisions.next().unwrap();
        let path = revisions.path;
        for bytes in ["", "{\"version\":1,\"bou", "{\"version\":2,\"bound\":1}"] {
            std::fs::write(&path, bytes).unwrap();
            assert!(open(dir.path(), 0, false).1 > told, "{bytes:?}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(open(dir.path(), told, false).1 > told);
        std::fs::remove_file(&path).unwrap();
        assert!(open(dir.path(), 0, true).1 > told);
    }

    #[test]
    fn a_damaged_bound_is_never_believed() {
        let dir = tempfile::tempdir().unwrap();
        let (mut revisions, _) = open(dir.path(), 0, false);
        let told = (0..BLOCK).map(|_| revisions.next().unwrap()).last().unwrap();
        let path = dir.path().join("revisions.json");
        let whole = std::fs::read(&path).unwrap();
        let cuts = (0..whole.len()).map(|length| whole[..length].to_vec());
        let flips = (0..whole.len() * 8).map(|bit| {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            bytes
        });
        for damaged in cuts.chain(flips).chain([vec![0; whole.len()]]) {
            std::fs::write(&path, &damaged).unwrap();
            let (_, start) = open(dir.path(), 0, false);
            assert!(start >= told, "{start} after {:?}", String::from_utf8_lossy(&damaged));
        }
    }
}
