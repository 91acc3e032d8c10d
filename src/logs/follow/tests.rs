//! Following logs: whole, in order, and unharmed by what is no log.

use std::fs;
use std::io::Write;
use std::time::Duration;

use nix::sys::stat::Mode;
use tempfile::TempDir;

use super::super::line::{Encoder, MAX_LINE, MAX_TEXT};
use super::*;
use crate::container::spec::LogLimits;
use crate::shim::log::Log;

/// A container's directory of logs, and a follower of it.
struct Scene {
    directory: TempDir,
    follower: Follower,
    lines: mpsc::Receiver<Entry>,
}

impl Scene {
    fn new() -> Self {
        // A small channel, so that the reader has to wait for its turn.
        let (sender, lines) = mpsc::channel(2);
        Self { directory: tempfile::tempdir().unwrap(), follower: Follower::start(sender).unwrap(), lines }
    }

    fn follow(&self) {
        self.follower.add("web", self.directory.path(), 0).unwrap();
    }

    fn path(&self, attempt: u32) -> PathBuf {
        self.directory.path().join(format!("{attempt}.log"))
    }

    fn append(&self, attempt: u32, bytes: &[u8]) {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(self.path(attempt)).unwrap();
        file.write_all(bytes).unwrap();
    }

    async fn next(&mut self) -> String {
        let entry = tokio::time::timeout(Duration::from_secs(10), self.lines.recv()).await.unwrap().unwrap();
        assert_eq!(&*entry.label, "web");
        String::from_utf8(entry.text).unwrap()
    }

    /// Everything up to the end, which `finish` waits for.
    async fn rest(&mut self) -> Vec<String> {
        let mut texts = Vec::new();
        let finish = self.follower.finish("web");
        tokio::pin!(finish);
        loop {
            tokio::select! {
                biased;
                Some(entry) = self.lines.recv() => texts.push(String::from_utf8(entry.text).unwrap()),
                () = &mut finish => break,
            }
        }
        while let Ok(entry) = self.lines.try_recv() {
            texts.push(String::from_utf8(entry.text).unwrap());
        }
        texts
    }
}

fn encode(output: &[u8]) -> Vec<u8> {
    let mut log = Vec::new();
    let mut encoder = Encoder::new(Stream::Stdout);
    encoder.push(output, Timestamp::UNIX_EPOCH, &mut log);
    encoder.finish(Timestamp::UNIX_EPOCH, &mut log);
    log
}

#[tokio::test]
async fn lines_come_as_they_are_written_from_attempt_to_attempt() {
    let mut scene = Scene::new();
    scene.append(0, &encode(b"before\n"));
    scene.follow();
    assert_eq!(scene.next().await, "before");
    let log = encode(b"in two writes\n");
    scene.append(0, &log[..20]);
    tokio::time::sleep(Duration::from_millis(20)).await;
    scene.append(0, &log[20..]);
    assert_eq!(scene.next().await, "in two writes");
    scene.append(0, &encode(b"last\nwithout end"));
    scene.append(1, &encode(b"again\n"));
    assert_eq!(scene.next().await, "last");
    assert_eq!(scene.next().await, "without end");
    assert_eq!(scene.next().await, "again");
    scene.append(7, &encode(b"some attempts have no log\n"));
    assert_eq!(scene.next().await, "some attempts have no log");
    assert!(scene.rest().await.is_empty());
}

#[tokio::test]
async fn no_line_is_lost_over_rotation_however_slow_the_reader_is() {
    let mut scene = Scene::new();
    scene.follow();
    let limits = LogLimits { max_bytes: 2000, max_files: 3 };
    let mut log = Log::open(&scene.path(0), Some(limits), false).unwrap();
    for burst in 0..20 {
        for n in 0..100 {
            log.write(&encode(format!("line {}\n", burst * 100 + n).as_bytes()));
            // The reader sees every file while it is there.
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let texts = scene.rest().await;
    assert!(texts.iter().enumerate().all(|(n, text)| *text == format!("line {n}")), "{texts:?}");
    assert_eq!(texts.len(), 2000);
    assert_eq!(fs::read_dir(scene.directory.path()).unwrap().count(), 3);
}

#[tokio::test]
async fn no_line_is_lost_at_the_end() {
    let mut scene = Scene::new();
    scene.follow();
    let output: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
    scene.append(0, &encode(output.as_bytes()));
    scene.append(1, &encode(b"restarted"));
    let texts = scene.rest().await;
    assert_eq!(texts.len(), 20_001);
    assert_eq!(texts[19_999], "line 19999");
    assert_eq!(texts[20_000], "restarted");
}

#[tokio::test]
async fn a_long_line_is_put_together_and_an_endless_one_comes_in_pieces() {
    let mut scene = Scene::new();
    let long = "x".repeat(10 * MAX_TEXT + 1);
    scene.append(0, &encode(format!("{long}\n").as_bytes()));
    scene.append(0, &encode("y".repeat(5 << 20).as_bytes()));
    scene.follow();
    assert_eq!(scene.next().await, long);
    let rest = scene.rest().await;
    assert_eq!(rest.iter().map(String::len).collect::<Vec<_>>(), [1 << 20; 5]);
}

#[tokio::test]
async fn what_is_no_log_is_passed_over() {
    let mut scene = Scene::new();
    fs::write(scene.directory.path().join("secret"), encode(b"secret\n")).unwrap();
    std::os::unix::fs::symlink("secret", scene.path(0)).unwrap();
    nix::unistd::mkfifo(&scene.path(1), Mode::S_IRWXU).unwrap();
    fs::create_dir(scene.path(2)).unwrap();
    std::os::unix::fs::symlink("/dev/zero", scene.path(3)).unwrap();
    scene.append(4, &vec![b'z'; 3 * MAX_LINE]);
    scene.append(4, b"\nno log\n2026-11-21T00:00:00Z stdin F x\n");
    scene.append(4, &encode(b"at last\n"));
    fs::write(scene.directory.path().join("05.log"), encode(b"not an attempt\n")).unwrap();
    std::os::unix::fs::symlink("secret", scene.path(u32::MAX)).unwrap();
    scene.follow();
    assert_eq!(scene.next().await, "at last");
    assert!(scene.rest().await.is_empty());
}

#[tokio::test]
async fn a_container_without_a_log_can_be_finished_and_so_can_a_stranger() {
    let mut scene = Scene::new();
    scene.follow();
    assert!(scene.rest().await.is_empty());
    scene.follower.finish("stranger").await;
    let missing = scene.follower.add("gone", &scene.directory.path().join("gone"), 0).unwrap_err();
    assert!(missing.to_string().starts_with("follow logs in /"), "{missing}");
}

#[tokio::test]
async fn a_flood_does_not_hold_up_the_others() {
    let mut scene = Scene::new();
    let other = tempfile::tempdir().unwrap();
    let output: String = (0..200_000).map(|n| format!("flood {n}\n")).collect();
    scene.append(0, &encode(output.as_bytes()));
    scene.follow();
    fs::write(other.path().join("0.log"), encode(b"small\n")).unwrap();
    scene.follower.add("other", other.path(), 0).unwrap();
    let mut before = 0;
    while &*scene.lines.recv().await.unwrap().label != "other" {
        before += 1;
    }
    assert!(before < 20_000, "{before} lines of the flood came first");
}

#[tokio::test]
async fn it_ends_when_nobody_listens() {
    let mut scene = Scene::new();
    scene.follow();
    scene.lines.close();
    scene.append(0, &encode(b"unheard\n"));
    tokio::time::timeout(Duration::from_secs(10), scene.follower.finish("web")).await.unwrap();
}
