//! A disk that loses power: after every step, in every order in which a filesystem may have written what nobody waited for.
//!
//! What POSIX leaves open, it does: names that were not synced are there or not, each for itself; bytes that were not synced
//! are there, or half of them, or zeros, or none (as ext4 with delayed allocation, or XFS, leave them). What was waited for is there.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// One thing that was asked of the disk. Files are numbered, since names change.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    /// The name leads to the file from now on, and is in that directory.
    Name(PathBuf, usize),
    /// Nothing has the name any more.
    Unname(PathBuf),
    Write(usize, Vec<u8>),
    Sync(usize),
    SyncDirectory(PathBuf),
}

/// Writes down what is asked of it.
#[derive(Debug, Default)]
struct Recorder {
    steps: RefCell<Vec<Step>>,
    names: RefCell<BTreeMap<PathBuf, usize>>,
    /// Leaves out every step like this one, as a program would that has forgotten it.
    forgets: Option<Forgets>,
    files: RefCell<usize>,
}

impl Recorder {
    fn step(&self, step: Step) {
        if !self.forgets.is_some_and(|forgets| forgets(&step)) {
            self.steps.borrow_mut().push(step);
        }
    }
}

impl Disk for Recorder {
    type File = usize;

    fn create(&self, path: &Path) -> io::Result<usize> {
        *self.files.borrow_mut() += 1;
        let file = *self.files.borrow();
        self.names.borrow_mut().insert(path.to_owned(), file);
        self.step(Step::Name(path.to_owned(), file));
        Ok(file)
    }

    fn write(&self, file: &mut usize, bytes: &[u8]) -> io::Result<()> {
        self.step(Step::Write(*file, bytes.to_owned()));
        Ok(())
    }

    fn sync(&self, file: &usize) -> io::Result<()> {
        self.step(Step::Sync(*file));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let file = self.names.borrow_mut().remove(from).ok_or(io::ErrorKind::NotFound)?;
        self.names.borrow_mut().insert(to.to_owned(), file);
        // One step for the new name, which is never without a file; the old one may still be there.
        self.step(Step::Name(to.to_owned(), file));
        self.step(Step::Unname(from.to_owned()));
        Ok(())
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.step(Step::SyncDirectory(path.to_owned()));
        Ok(())
    }
}

/// What is on the disk of a file, and what will be when somebody waits for it.
#[derive(Debug, Clone, Default)]
struct Bytes {
    durable: Vec<u8>,
    written: Vec<u8>,
}

impl Bytes {
    fn after_power_loss(&self) -> Vec<Vec<u8>> {
        if self.durable == self.written {
            return vec![self.durable.clone()];
        }
        let half = self.written[..self.written.len() / 2].to_owned();
        vec![self.durable.clone(), self.written.clone(), half, vec![0; self.written.len()]]
    }
}

/// All that can be read at `path` when power is lost after these steps; `None`: nothing is there.
fn after_power_loss(old: Option<&[u8]>, path: &Path, steps: &[Step]) -> BTreeSet<Option<Vec<u8>>> {
    let mut files: BTreeMap<usize, Bytes> = BTreeMap::new();
    let mut durable: BTreeMap<PathBuf, usize> = BTreeMap::new();
    let mut pending: Vec<&Step> = Vec::new();
    if let Some(old) = old {
        files.insert(0, Bytes { durable: old.to_owned(), written: old.to_owned() });
        durable.insert(path.to_owned(), 0);
    }
    for step in steps {
        match step {
            Step::Name(_, file) => {
                files.entry(*file).or_default();
                pending.push(step);
            }
            Step::Unname(_) => pending.push(step),
            Step::Write(file, bytes) => files.get_mut(file).unwrap().written.extend(bytes),
            Step::Sync(file) => {
                let bytes = files.get_mut(file).unwrap();
                bytes.durable.clone_from(&bytes.written);
            }
            Step::SyncDirectory(directory) => {
                let (there, elsewhere) = pending.into_iter().partition(|step| {
                    let (Step::Name(name, _) | Step::Unname(name)) = step else { return false };
                    name.parent() == Some(directory)
                });
                let there: Vec<&Step> = there;
                there.into_iter().for_each(|step| apply(step, &mut durable));
                pending = elsewhere;
            }
        }
    }
    let mut found = BTreeSet::new();
    for chosen in 0..1_u32 << pending.len() {
        let mut names = durable.clone();
        for (index, step) in pending.iter().enumerate() {
            if chosen & 1 << index != 0 {
                apply(step, &mut names);
            }
        }
        match names.get(path) {
            Some(file) => found.extend(files[file].after_power_loss().into_iter().map(Some)),
            None => drop(found.insert(None)),
        }
    }
    found
}

fn apply(step: &Step, names: &mut BTreeMap<PathBuf, usize>) {
    match step {
        Step::Name(name, file) => drop(names.insert(name.clone(), *file)),
        Step::Unname(name) => drop(names.remove(name)),
        _ => {}
    }
}

const OLD: &[u8] = b"what was there before";
const NEW: &[u8] = b"what is there now, longer than before";

/// Asks something of a disk.
type Protocol = fn(&Recorder);

/// Whether a step is left out.
type Forgets = fn(&Step) -> bool;

/// Every protocol by which this program replaces a file that must survive a loss of power.
const PROTOCOLS: [(&str, Protocol); 2] = [
    // Records of state, and the index of images with its scratch directory.
    ("a file", |disk| {
        file(disk, Path::new("/d/file"), Path::new("/d/file.tmp"), NEW, Survive::PowerLoss).unwrap();
    }),
    ("a file by way of another directory", |disk| {
        file(disk, Path::new("/d/file"), Path::new("/scratch/file"), NEW, Survive::PowerLoss).unwrap();
    }),
];

fn record(protocol: Protocol, forgets: Option<Forgets>) -> Vec<Step> {
    let disk = Recorder { forgets, ..Recorder::default() };
    protocol(&disk);
    disk.steps.into_inner()
}

#[test]
fn a_file_is_the_old_one_or_the_new_one_wherever_power_is_lost_and_the_new_one_once_that_is_told() {
    for (name, protocol) in PROTOCOLS {
        let steps = record(protocol, None);
        for old in [None, Some(OLD)] {
            let whole: BTreeSet<_> = [old.map(<[u8]>::to_vec), Some(NEW.to_vec())].into();
            for cut in 0..=steps.len() {
                let found = after_power_loss(old, Path::new("/d/file"), &steps[..cut]);
                assert!(found.is_subset(&whole), "{name}, power lost after {:?}: {found:?}", &steps[..cut]);
            }
            let told = after_power_loss(old, Path::new("/d/file"), &steps);
            assert_eq!(told, BTreeSet::from([Some(NEW.to_vec())]), "{name}");
        }
    }
}

/// So that the disk above is as bad as it claims to be.
#[test]
fn no_step_of_it_could_be_left_out() {
    let forgotten: [(&str, Forgets, &[u8]); 2] = [
        ("fsync of the file", |step| matches!(step, Step::Sync(_)), &[0; NEW.len()]),
        ("fsync of the directory", |step| matches!(step, Step::SyncDirectory(_)), OLD),
    ];
    for (name, protocol) in PROTOCOLS {
        for (what, forgets, expected) in forgotten {
            let steps = record(protocol, Some(forgets));
            let told = after_power_loss(Some(OLD), Path::new("/d/file"), &steps);
            assert!(told.contains(&Some(expected.to_vec())), "{name} without {what}: {told:?}");
        }
    }
}
