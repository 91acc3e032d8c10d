//! What is read is what was written, whatever is rotated, removed or begun anew meanwhile.

use std::fs;

use proptest::prelude::*;

use super::*;
use crate::container::spec::LogLimits;
use crate::shim::log::Log;

/// What happens to a log.
#[derive(Debug, Clone)]
enum Step {
    Write(usize),
    /// The reader reads at most so many times.
    Read(usize),
    /// The reader opens what there is.
    Look,
    NextAttempt,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1_usize..60).prop_map(Step::Write),
        3 => (1_usize..5).prop_map(Step::Read),
        1 => Just(Step::Look),
        1 => Just(Step::NextAttempt),
    ];
    prop::collection::vec(step, 1..80)
}

/// A writer and a reader of the same directory.
struct Scene {
    directory: tempfile::TempDir,
    limits: LogLimits,
    log: Log,
    attempt: u32,
    trail: Trail,
    /// By attempt.
    written: Vec<Vec<u8>>,
    read: Vec<Vec<u8>>,
    missed: u64,
}

impl Scene {
    fn new(limits: LogLimits, last: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = Log::open(&directory.path().join("0.log"), Some(limits), false).unwrap();
        let trail = Trail::new(Directory::open(directory.path()).unwrap(), 0, last);
        let (written, read) = (vec![Vec::new()], vec![Vec::new()]);
        Self { directory, limits, log, attempt: 0, trail, written, read, missed: 0 }
    }

    fn write(&mut self, length: usize) {
        let number = self.written.concat().len();
        let line = format!("{number} {}\n", "x".repeat(length));
        self.log.write(line.as_bytes());
        self.written.last_mut().unwrap().extend(line.as_bytes());
    }

    fn next_attempt(&mut self) {
        self.attempt += 1;
        let path = self.directory.path().join(format!("{}.log", self.attempt));
        self.log = Log::open(&path, Some(self.limits), false).unwrap();
        self.written.push(Vec::new());
    }

    /// False when there was nothing.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 37];
        match self.trail.read(&mut buffer) {
            Progress::Bytes(length) => self.read.last_mut().unwrap().extend(&buffer[..length]),
            Progress::NextAttempt => self.read.push(Vec::new()),
            Progress::Missed(bytes) => self.missed += bytes,
            Progress::Nothing => return false,
        }
        true
    }
}

proptest! {
    #[test]
    fn a_reader_that_looks_in_time_reads_all_that_was_written(
        steps in steps(),
        max_bytes in 20_u64..200,
        max_files in 2_u32..5,
    ) {
        let mut scene = Scene::new(LogLimits { max_bytes, max_files }, u32::MAX);
        for step in steps {
            match step {
                Step::Write(length) => {
                    scene.write(length);
                    // As inotify has it look, at the latest when a file is rotated.
                    scene.trail.look();
                }
                Step::Read(times) => {
                    for _ in 0..times {
                        scene.read();
                    }
                }
                Step::Look => {
 scene.trail.look();
}
                // Empty ones would not show.
                Step::NextAttempt if !scene.written.last().unwrap().is_empty() => {
                    scene.next_attempt();
                    scene.write(1);
                }
                Step::NextAttempt => {}
            }
        }
        while scene.read() {}
        prop_assert_eq!(scene.missed, 0);
        prop_assert_eq!(scene.read, scene.written);
    }

    #[test]
    fn a_reader_that_never_looks_reads_the_end_in_order(
        lengths in prop::collection::vec(1_usize..60, 1..60),
        max_bytes in 20_u64..200,
        max_files in 2_u32..5,
    ) {
        let mut scene = Scene::new(LogLimits { max_bytes, max_files }, 0);
        for length in lengths {
            scene.write(length);
        }
        while scene.read() {}
        prop_assert!(scene.written[0].ends_with(&scene.read[0]) && !scene.read[0].is_empty());
    }
}

#[test]
fn one_attempt_is_read_alone_if_that_is_asked_for() {
    let mut scene = Scene::new(LogLimits { max_bytes: 30, max_files: 5 }, 0);
    scene.write(20);
    scene.write(20);
    scene.next_attempt();
    scene.write(20);
    while scene.read() {}
    assert_eq!(scene.read, scene.written[..1]);
}

#[test]
fn what_is_held_is_bounded_and_what_is_missed_is_told() {
    let mut scene = Scene::new(LogLimits { max_bytes: 20, max_files: 2 }, 0);
    scene.write(15);
    scene.read();
    let files = HELD_FILES + 10;
    for _ in 0..files {
        scene.write(15);
        scene.trail.look();
    }
    assert!(scene.trail.held.len() <= HELD_FILES + 1);
    while scene.read() {}
    let (written, read) = (scene.written.concat().len() as u64, scene.read.concat().len() as u64);
    assert!(scene.missed > 0);
    assert_eq!(scene.missed + read, written);
}

#[test]
fn a_file_that_was_removed_is_read_to_its_end() {
    let mut scene = Scene::new(LogLimits { max_bytes: 1 << 20, max_files: 2 }, 0);
    scene.write(100);
    assert!(scene.read());
    fs::remove_file(scene.directory.path().join("0.log")).unwrap();
    scene.write(1);
    while scene.read() {}
    assert_eq!(scene.read, scene.written);
}
