//! Rotation: files of whole lines, of the right size and number, and nothing lost between them.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// A directory with a log in it.
struct Scene {
    directory: TempDir,
}

impl Scene {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("0.log")
    }

    fn open(&self, max_bytes: u64, max_files: u32) -> Log {
        Log::open(&self.path(), Some(LogLimits { max_bytes, max_files }), false).unwrap()
    }

    /// The files of the log, oldest first.
    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort_unstable();
        // The one that is written to has the shortest name.
        files.rotate_left(1);
        files
    }

    fn contents(&self) -> Vec<String> {
        self.files().iter().map(|path| fs::read_to_string(path).unwrap()).collect()
    }
}

#[test]
fn a_file_ends_at_the_last_line_that_fits() {
    for (max_bytes, expected) in [
        (100, &["aaa\nbbb\nccc\n"][..]),
        (12, &["aaa\nbbb\nccc\n"]),
        (11, &["aaa\nbbb\n", "ccc\n"]),
        (8, &["aaa\nbbb\n", "ccc\n"]),
        (7, &["aaa\n", "bbb\n", "ccc\n"]),
        (4, &["aaa\n", "bbb\n", "ccc\n"]),
        (1, &["aaa\n", "bbb\n", "ccc\n"]),
    ] {
        let scene = Scene::new();
        scene.open(max_bytes, 9).write(b"aaa\nbbb\nccc\n");
        assert_eq!(scene.contents(), expected, "{max_bytes} bytes at once");

        let scene = Scene::new();
        let mut log = scene.open(max_bytes, 9);
        for line in ["aaa\n", "bbb\n", "ccc\n"] {
            log.write(line.as_bytes());
        }
        assert_eq!(scene.contents(), expected, "{max_bytes} bytes line by line");
    }
}

#[test]
fn only_so_many_files_stay_also_those_of_a_writer_before() {
    for max_files in [2, 3, 5] {
        let scene = Scene::new();
        for writer in 0..3 {
            let mut log = scene.open(2, max_files);
            for line in 0..7 {
                log.write(format!("{}\n", writer * 7 + line).as_bytes());
                assert!(scene.files().len() <= max_files as usize);
            }
        }
        let last: Vec<String> = (21 - max_files..21).map(|n| format!("{n}\n")).collect();
        let found = scene.contents().concat();
        assert!(last.concat().ends_with(&found) || found.ends_with(&last.concat()), "{found:?}");
        assert_eq!(scene.files().len(), max_files as usize);
    }
}

#[test]
fn what_was_there_counts_and_what_was_emptied_does_not() {
    let scene = Scene::new();
    fs::write(scene.path(), "old\n").unwrap();
    let mut log = scene.open(8, 3);
    log.write(b"new\n");
    assert_eq!(scene.contents(), ["old\nnew\n"]);
    fs::File::options().write(true).open(scene.path()).unwrap().set_len(0).unwrap();
    log.write(b"more\n");
    assert_eq!(scene.contents(), ["more\n"]);
    log.write(b"last\n");
    assert_eq!(scene.contents(), ["more\n", "last\n"]);
}

#[test]
fn without_limits_nothing_is_rotated() {
    let scene = Scene::new();
    let mut log = Log::open(&scene.path(), None, false).unwrap();
    log.write("x\n".repeat(100_000).as_bytes());
    assert_eq!(scene.contents().len(), 1);
}

#[test]
fn a_log_that_cannot_be_rotated_grows_on() {
    let scene = Scene::new();
    let mut log = scene.open(4, 3);
    log.write(b"one\n");
    // Nothing can be renamed in a directory that is no more.
    fs::remove_file(scene.path()).unwrap();
    fs::remove_dir(scene.directory.path()).unwrap();
    log.write(b"two\n");
    assert_eq!(log.file.metadata().unwrap().len(), 8);
    fs::create_dir(scene.directory.path()).unwrap();
}

#[test]
fn what_lies_in_the_place_of_the_log_is_moved_aside_and_never_written_to() {
    let scene = Scene::new();
    let mut log = scene.open(4, 3);
    log.write(b"one\n");
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::remove_file(scene.path()).unwrap();
    std::os::unix::fs::symlink(secret.path(), scene.path()).unwrap();
    log.write(b"two\n");
    assert_eq!(fs::read_to_string(scene.path()).unwrap(), "two\n");
    assert!(fs::symlink_metadata(scene.path()).unwrap().is_file());
    assert_eq!(secret.as_file().metadata().unwrap().len(), 0);
}

#[test]
fn a_full_disk_loses_whole_lines_and_blocks_nobody() {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "needs root");
        println!("SKIPPED: needs root");
        return;
    }
    let scene = Scene::new();
    let small = Small::mount(scene.directory.path());
    let mut log = scene.open(1 << 30, 3);
    let line = |n: u32| format!("{n:05}{}\n", "x".repeat(994));
    for n in 0..100 {
        log.write(line(n).as_bytes());
    }
    let whole: String = (0..65).map(line).collect();
    let written = fs::read_to_string(scene.path()).unwrap();
    assert!(written.len() > 60_000 && whole.starts_with(&written) && written.ends_with('\n'));
    assert_eq!(log.lost, 100 - written.lines().count() as u64);

    fs::File::options().write(true).open(scene.path()).unwrap().set_len(0).unwrap();
    log.write(line(100).as_bytes());
    assert_eq!(fs::read_to_string(scene.path()).unwrap(), line(100));
    assert_eq!(log.lost, 0);
    drop(log);
    drop(small);
}

/// A filesystem of sixteen pages.
struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    fn mount(at: &'a Path) -> Self {
        let flags = nix::mount::MsFlags::empty();
        nix::mount::mount(Some("none"), at, Some("tmpfs"), flags, Some("size=64k")).unwrap();
        Self(at)
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        nix::mount::umount(self.0).unwrap();
    }
}

proptest! {
    #[test]
    fn the_files_are_the_end_of_what_was_written_in_whole_lines(
        pieces in prop::collection::vec(prop::collection::vec(0_usize..30, 0..6), 1..40),
        max_bytes in 1_u64..100,
        max_files in 2_u32..6,
    ) {
        let scene = Scene::new();
        let mut log = scene.open(max_bytes, max_files);
        let mut written = String::new();
        for (number, lengths) in pieces.iter().enumerate() {
            let lines: String = lengths.iter().map(|length| format!("{number}{}\n", "x".repeat(*length))).collect();
            log.write(lines.as_bytes());
            written.push_str(&lines);
        }
        let files = scene.contents();
        prop_assert!(written.ends_with(&files.concat()));
        prop_assert!(files.len() <= max_files as usize);
        for (number, file) in files.iter().enumerate() {
            prop_assert!(file.is_empty() || file.ends_with('\n'));
            prop_assert!(file.len() as u64 <= max_bytes || file.lines().count() == 1, "{:?}", file);
            if let Some(next) = files.get(number + 1) {
                let first = next.lines().next().unwrap().len() + 1;
                prop_assert!((file.len() + first) as u64 > max_bytes, "the next line had fitted");
            }
        }
        if files.len() < max_files as usize {
            prop_assert_eq!(files.concat(), written);
        }
    }
}
