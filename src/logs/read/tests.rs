//! What is given out is what was asked for of what was written, wherever it was rotated.

use std::time::Duration;

use futures::StreamExt;
use proptest::prelude::*;

use super::*;
use crate::container::spec::LogLimits;
use crate::logs::line::{Encoder, MAX_TEXT};
use crate::shim::log::Log;

/// A directory with a log in it.
struct Scene {
    directory: tempfile::TempDir,
    log: Log,
}

impl Scene {
    fn new(max_bytes: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let limits = LogLimits { max_bytes, max_files: 10_000 };
        let log = Log::open(&directory.path().join("0.log"), Some(limits), false).unwrap();
        Self { directory, log }
    }

    /// Writes output that came at a second.
    fn write(&mut self, second: i64, stream: Stream, output: &str) {
        let mut lines = Vec::new();
        let mut encoder = Encoder::new(stream);
        encoder.push(output.as_bytes(), at(second), &mut lines);
        encoder.finish(at(second), &mut lines);
        self.log.write(&lines);
    }

    async fn read(&self, options: Options) -> String {
        let never = std::future::pending();
        let pieces =
            read(self.directory.path(), 0, options, &Watcher::start().unwrap(), never).await.unwrap();
        text(pieces).await
    }
}

async fn text(pieces: impl Chunks<Item = io::Result<Bytes>>) -> String {
    let pieces: Vec<Bytes> = pieces.map(Result::unwrap).collect().await;
    assert!(pieces.iter().all(|piece| piece.len() <= 2 * CHUNK));
    String::from_utf8(pieces.concat()).unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

#[tokio::test]
async fn each_option_chooses_what_the_api_says() {
    use Stream::{Stderr, Stdout};
    let all = Options::default();
    for max_bytes in [50, 100, 10_000] {
        let mut scene = Scene::new(max_bytes);
        scene.write(1, Stdout, "one\n");
        scene.write(2, Stderr, "two\n");
        scene.write(3, Stdout, "\n");
        scene.write(4, Stdout, "four\nfive\n");
        scene.write(5, Stderr, "unended");
        for (options, expected) in [
            (all, "one\ntwo\n\nfour\nfive\nunended"),
            (Options { tail_lines: Some(0), ..all }, ""),
            (Options { tail_lines: Some(1), ..all }, "unended"),
            (Options { tail_lines: Some(3), ..all }, "four\nfive\nunended"),
            (Options { tail_lines: Some(4), ..all }, "\nfour\nfive\nunended"),
            (Options { tail_lines: Some(6), ..all }, "one\ntwo\n\nfour\nfive\nunended"),
            (Options { tail_lines: Some(u64::MAX), ..all }, "one\ntwo\n\nfour\nfive\nunended"),
            (Options { since: Some(at(3)), ..all }, "\nfour\nfive\nunended"),
            (Options { since: Some(at(9)), ..all }, ""),
            (Options { since: Some(at(5)), tail_lines: Some(2), ..all }, "unended"),
            (Options { since: Some(at(4)), tail_lines: Some(9), ..all }, "four\nfive\nunended"),
            (Options { stream: Some(Stderr), ..all }, "two\nunended"),
            (Options { stream: Some(Stdout), tail_lines: Some(2), ..all }, "four\nfive\n"),
            (Options { limit_bytes: Some(6), ..all }, "one\ntw"),
            (Options { limit_bytes: Some(0), ..all }, ""),
            (Options { limit_bytes: Some(7), tail_lines: Some(3), ..all }, "four\nfi"),
            (
                Options { timestamps: true, tail_lines: Some(2), ..all },
                "2027-01-15T08:00:04.000000000Z five\n2027-01-15T08:00:05.000000000Z unended",
            ),
            (Options { timestamps: true, limit_bytes: Some(12), ..all }, "2027-01-15T0"),
        ] {
            assert_eq!(scene.read(options).await, expected, "{options:?}, files of {max_bytes} bytes");
        }
    }
}

#[tokio::test]
async fn a_line_in_parts_is_one_line_also_where_it_is_rotated() {
    let long = "x".repeat(3 * MAX_TEXT + 5);
    for max_bytes in [1, 20_000, 1 << 20] {
        let mut scene = Scene::new(max_bytes);
        scene.write(1, Stream::Stdout, &format!("before\n{long}\nafter\n"));
        let options = Options { tail_lines: Some(2), timestamps: true, ..Options::default() };
        let time = "2027-01-15T08:00:01.000000000Z";
        assert_eq!(scene.read(options).await, format!("{time} {long}\n{time} after\n"));
    }
}

#[tokio::test]
async fn who_follows_is_given_all_up_to_the_containers_end() {
    let mut scene = Scene::new(3000);
    scene.write(0, Stream::Stdout, "before\n");
    let watcher = Watcher::start().unwrap();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let options = Options { follow: true, tail_lines: Some(1), ..Options::default() };
    let ended = async move { drop(ended.await) };
    let pieces = read(scene.directory.path(), 0, options, &watcher, ended).await.unwrap();
    let reader = tokio::spawn(text(pieces));
    let mut expected = "before\n".to_owned();
    for n in 0..1000 {
        let line = format!("line {n}\n");
        scene.write(n, Stream::Stdout, &line);
        expected.push_str(&line);
        if n % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    drop(end);
    let text = tokio::time::timeout(Duration::from_secs(20), reader).await.unwrap().unwrap();
    assert_eq!(text, expected);
}

#[tokio::test]
async fn who_follows_comes_to_an_end_when_the_limit_is_reached_and_when_all_is_removed() {
    let mut scene = Scene::new(1000);
    let watcher = Watcher::start().unwrap();
    let follow = Options { follow: true, ..Options::default() };
    let limited = Options { limit_bytes: Some(3), ..follow };
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let ended = async move { drop(ended.await) };
    let unlimited = read(scene.directory.path(), 0, follow, &watcher, ended).await.unwrap();
    let never = std::future::pending();
    let limited = read(scene.directory.path(), 0, limited, &watcher, never).await.unwrap();
    let (unlimited, limited) = (tokio::spawn(text(unlimited)), tokio::spawn(text(limited)));
    scene.write(1, Stream::Stdout, "hello\n");
    assert_eq!(tokio::time::timeout(Duration::from_secs(20), limited).await.unwrap().unwrap(), "hel");
    std::fs::remove_dir_all(scene.directory.path()).unwrap();
    drop(end);
    assert_eq!(tokio::time::timeout(Duration::from_secs(20), unlimited).await.unwrap().unwrap(), "hello\n");
}

#[tokio::test]
async fn what_is_no_log_is_left_out_and_what_is_not_there_is_an_error() {
    let scene = Scene::new(1000);
    let mut bytes = vec![b'z'; 100_000];
    bytes.extend(b"\nno log\n2026-11-21T00:00:00Z stdout F here\n2026-11-21T00:00:00Z stdout F torn");
    std::fs::write(scene.directory.path().join("0.log"), bytes).unwrap();
    assert_eq!(scene.read(Options::default()).await, "here\n");
    assert_eq!(scene.read(Options { tail_lines: Some(9), ..Options::default() }).await, "here\n");

    let watcher = Watcher::start().unwrap();
    let never = std::future::pending();
    let missing = read(&scene.directory.path().join("x"), 0, Options::default(), &watcher, never).await;
    assert_eq!(missing.err().unwrap().kind(), io::ErrorKind::NotFound);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_read_is_what_was_written_from_the_line_that_was_asked_for(
        lengths in prop::collection::vec(prop_oneof![5 => 0_usize..80, 1 => 16_000_usize..40_000], 0..60),
        ended: bool,
        max_bytes in prop_oneof![1_u64..500, 1_u64..100_000],
        tail in prop::option::of(0_u64..70),
        since in prop::option::of(0_usize..70),
        limit in prop::option::of(0_u64..2000),
    ) {
        let mut scene = Scene::new(max_bytes);
        let mut lines = Vec::new();
        for (number, length) in lengths.iter().enumerate() {
            let is_last = number + 1 == lengths.len();
            let line = format!("{number}{}{}", "x".repeat(*length), if is_last && !ended { "" } else { "\n" });
            scene.write(number as i64, Stream::Stdout, &line);
            lines.push(line);
        }
        let from = tail.map_or(0, |tail| lines.len().saturating_sub(tail as usize)).max(since.unwrap_or(0));
        let mut expected = lines.get(from..).unwrap_or_default().concat();
        expected.truncate(limit.map_or(usize::MAX, |limit| limit as usize));
        let since = since.map(|second| at(second as i64));
        let options = Options { tail_lines: tail, since, limit_bytes: limit, ..Options::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let found = runtime.block_on(scene.read(options));
        prop_assert_eq!(found, expected);
    }
}
