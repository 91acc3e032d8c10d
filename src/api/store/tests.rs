//! What is written is there, whatever happens to the process or the file.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use serde_json::json;
use tempfile::TempDir;

use super::*;

fn object(name: &str, value: &str) -> Object {
    Object::from_value(json!({"metadata": {"namespace": "n", "name": name}, "value": value})).unwrap()
}

fn key(name: &str) -> Key {
    Key::new("things", "n", name)
}

fn open(dir: &TempDir) -> Store {
    let (store, quarantined) = Store::open(dir.path()).unwrap();
    assert_eq!(quarantined, None);
    store
}

fn create(store: &Store, name: &str, value: &str) -> Arc<Entry> {
    store.put(&key(name), object(name, value), Expected::Absent, Durability::PowerLoss).unwrap()
}

fn file(dir: &TempDir) -> PathBuf {
    dir.path().join("objects.redb")
}

#[test]
fn each_write_has_a_revision_of_its_own_which_the_object_bears() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let first = create(&store, "a", "1");
    let second =
        store.put(&key("a"), object("a", "2"), Expected::Revision(first.revision), Durability::Soon).unwrap();
    assert!(second.revision > first.revision);
    assert_eq!(store.get(&key("a")).unwrap().object().resource_version(), second.revision.to_string());
    let last = store.remove(&key("a"), second.object(), second.revision, Durability::PowerLoss).unwrap();
    assert!(last.revision > second.revision);
    assert_eq!(store.get(&key("a")), None);
    assert_eq!(store.list("things", None).revision, last.revision);
}

#[test]
fn a_write_fails_when_things_are_not_as_expected() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let entry = create(&store, "a", "1");
    let put = |name: &str, expected| {
        store.put(&key(name), object(name, "2"), expected, Durability::Soon).unwrap_err().to_string()
    };
    assert_eq!(put("a", Expected::Absent), "things/n/a exists");
    assert_eq!(put("a", Expected::Revision(entry.revision + 1)), "things/n/a was written meanwhile");
    assert_eq!(put("b", Expected::Revision(entry.revision)), "things/n/b is gone");
    assert_eq!(store.get(&key("a")), Some(entry));
}

#[test]
fn lists_hold_one_resource_and_namespace_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    for (resource, namespace, name) in [
        ("b", "n", "2"),
        ("b", "n", "1"),
        ("b", "m", "3"),
        ("a", "n", "4"),
        ("c", "n", "5"),
        ("b", "na", "6"),
    ] {
        let key = Key::new(resource, namespace, name);
        store.put(&key, Object::default(), Expected::Absent, Durability::Soon).unwrap();
    }
    let names = |namespace| -> Vec<String> {
        store.list("b", namespace).entries.iter().map(|entry| entry.key.name.clone()).collect()
    };
    assert_eq!(names(None), ["3", "1", "2", "6"]);
    assert_eq!(names(Some("n")), ["1", "2"]);
    assert_eq!(names(Some("x")), [""; 0]);
}

#[test]
fn everything_is_there_again_after_a_restart_and_revisions_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let (a, b) = (create(&store, "a", "1"), create(&store, "b", "1"));
    let soon =
        store.put(&key("a"), object("a", "2"), Expected::Revision(a.revision), Durability::Soon).unwrap();
    drop(store);
    let store = open(&dir);
    assert_eq!(store.list("things", None).entries, [soon, b]);
    assert!(store.list("things", None).revision >= a.revision + 2);
    assert!(store.changes("things", a.revision).is_err());
    let next = create(&store, "c", "1");
    assert_eq!(store.changes("things", next.revision - 1).unwrap().0.len(), 1);
}

#[test]
fn a_damaged_file_is_set_aside_and_revisions_still_go_on() {
    let whole = tempfile::tempdir().unwrap();
    let store = open(&whole);
    let told = (0..50).map(|n| create(&store, &n.to_string(), &"x".repeat(200)).revision).max().unwrap();
    drop(store);
    let length = fs::metadata(file(&whole)).unwrap().len();
    let copy = || {
        let dir = tempfile::tempdir().unwrap();
        for name in ["objects.redb", "revisions.json"] {
            fs::copy(whole.path().join(name), dir.path().join(name)).unwrap();
        }
        dir
    };
    let check = |dir: &TempDir, what: &str| {
        let (store, quarantined) = Store::open(dir.path()).unwrap_or_else(|error| panic!("{what}: {error}"));
        let listing = store.list("things", None);
        assert!(listing.revision >= told, "{what}");
        match quarantined {
            Some(Quarantined { path, .. }) => {
                assert!(path.exists() && listing.entries.is_empty(), "{what}");
            }
            // What was not in use may be damaged, as long as nothing is lost by it.
            None => {
                let intact = |entry: &Arc<Entry>| entry.object().text_at(&["value"]) == "x".repeat(200);
                assert!(listing.entries.len() == 50 && listing.entries.iter().all(intact), "{what}");
            }
        }
        assert!(create(&store, "new", "1").revision > told, "{what}");
    };
    for cut in [0, 1, 63, 4096, length / 2, length - 4096, length - 1] {
        let dir = copy();
        OpenOptions::new().write(true).open(file(&dir)).unwrap().set_len(cut).unwrap();
        check(&dir, &format!("cut to {cut}"));
    }
    // A step that shares no factor with the size of pages finds all places in them.
    for at in (0..length).step_by(usize::try_from(length / 97).unwrap() | 1) {
        let dir = copy();
        let target = OpenOptions::new().read(true).write(true).open(file(&dir)).unwrap();
        let mut byte = [0];
        target.read_exact_at(&mut byte, at).unwrap();
        target.write_all_at(&[byte[0] ^ 1 << (at % 8)], at).unwrap();
        drop(target);
        check(&dir, &format!("bit flipped at {at}"));
    }
}

#[test]
fn what_is_no_store_is_set_aside() {
    for bytes in [&b""[..], b"garbage", &[0; 8192], &[0xff; 100_000]] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(file(&dir), bytes).unwrap();
        let (store, quarantined) = Store::open(dir.path()).unwrap();
        assert_eq!(fs::read(quarantined.unwrap().path).unwrap(), bytes);
        create(&store, "a", "1");
    }
}

/// Tells the test below from the process that it kills: the directory in which that one writes.
const WRITER: &str = "MKUBELET_TEST_STORE_WRITER";

/// Not a test of its own: what the next one runs in a process of its own, and kills. Says each write when it has an answer.
#[test]
fn writer_that_is_killed() {
    let Some(dir) = std::env::var_os(WRITER) else { return };
    let (store, _) = Store::open(Path::new(&dir)).unwrap();
    let mut revision = store.get(&key("a")).map(|entry| entry.revision);
    for value in 0.. {
        let expected = revision.map_or(Expected::Absent, Expected::Revision);
        let object = object("a", &format!("{value}{}", "x".repeat(value % 5000)));
        // A lazy one between two that are not: it may be lost, or be there, and harms neither.
        let lazy = Key::new("things", "n", &format!("lazy{value}"));
        store.put(&lazy, Object::default(), Expected::Absent, Durability::Soon).ok();
        let entry = store.put(&key("a"), object, expected, Durability::PowerLoss).unwrap();
        revision = Some(entry.revision);
        eprintln!("told {}", entry.revision);
    }
}

#[test]
fn every_write_that_was_answered_is_there_after_the_writer_was_killed() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    let dir = tempfile::tempdir().unwrap();
    let mut told = 0;
    for round in 0..20_usize {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "api::store::tests::writer_that_is_killed", "--nocapture"])
            .env(WRITER, dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(writer.stderr.take().unwrap()).lines().map_while(Result::ok);
        // At another moment of its work each time.
        for line in
            lines.by_ref().filter_map(|line| line.strip_prefix("told ")?.parse::<u64>().ok()).take(1 + round)
        {
            assert!(line > told, "round {round}: {line} after {told}");
            told = line;
        }
        std::thread::sleep(Duration::from_micros(u64::try_from(round).unwrap() * 313));
        writer.kill().unwrap();
        writer.wait().unwrap();
        let later = lines.filter_map(|line| line.strip_prefix("told ")?.parse::<u64>().ok()).max();
        told = later.unwrap_or(told);
        let store = open(&dir);
        let entry = store.get(&key("a")).unwrap();
        assert!(entry.revision >= told, "round {round}: {} is lost, {} is there", told, entry.revision);
        assert!(store.list("things", None).revision >= told);
        told = told.max(store.list("things", None).revision);
    }
}
