//! The rhythm of a probe, on a clock that the test turns.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;

use super::*;
use crate::pod::spec::tests::probe;
use crate::pod::spec::{HttpGet, Probe, ProbeHandler};

const SECOND: Duration = Duration::from_secs(1);

fn target(initial_delay: u64, period: u64, failure_threshold: u32) -> Target {
    let get = HttpGet { host: None, port: 80, path: "/".to_owned(), https: false, headers: Vec::new() };
    Target {
        names: Default::default(),
        container_id: "c0".to_owned(),
        kind: Kind::Liveness,
        probe: Probe {
            initial_delay: SECOND * u32::try_from(initial_delay).unwrap(),
            period: SECOND * u32::try_from(period).unwrap(),
            failure_threshold,
            ..probe(ProbeHandler::HttpGet(get))
        },
        pod_ip: Ipv4Addr::LOCALHOST.into(),
        started_at: Timestamp::now(),
        resumed: false,
    }
}

/// Runs a worker on answers that are each given after so many seconds. Returns the times at which it asked, in whole
/// seconds from the start, and its verdicts.
async fn play(target: Target, script: &[(u64, Answer)]) -> (Vec<u64>, Vec<Outcome>) {
    let (sender, mut verdicts) = mpsc::channel(16);
    let (start, asked) = (Instant::now(), Rc::new(RefCell::new(Vec::new())));
    let ask = async || {
        let turn = asked.borrow().len();
        // The wall clock goes on while tokio's stands still: a few milliseconds of the delay may be gone.
        asked.borrow_mut().push((start.elapsed() + Duration::from_millis(500)).as_secs());
        match script.get(turn) {
            Some((seconds, answer)) => {
                tokio::time::sleep(SECOND * u32::try_from(*seconds).unwrap()).await;
                answer.clone()
            }
            None => std::future::pending().await,
        }
    };
    let _ = tokio::time::timeout(SECOND * 100, run(target, sender, ask)).await;
    let mut outcomes = Vec::new();
    while let Ok(verdict) = verdicts.try_recv() {
        assert_eq!((verdict.container_id.as_str(), verdict.kind), ("c0", Kind::Liveness));
        outcomes.push(verdict.outcome);
    }
    let asked = asked.borrow().clone();
    (asked, outcomes)
}

fn bad(message: &str) -> Answer {
    Answer::Unhealthy(message.to_owned())
}

#[tokio::test(start_paused = true)]
async fn questions_come_a_period_apart_after_the_initial_delay() {
    let script = [(0, Answer::Healthy), (0, Answer::Healthy), (0, Answer::HealthyBut("odd".to_owned()))];
    let (asked, outcomes) = play(target(7, 10, 3), &script).await;
    assert_eq!(asked, [7, 17, 27, 37]);
    assert_eq!(outcomes, [Outcome::Success]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_leaves_questions_out_and_keeps_the_rhythm() {
    let script = [(0, Answer::Healthy), (25, Answer::Healthy), (0, Answer::Healthy)];
    let (asked, _) = play(target(0, 10, 3), &script).await;
    assert_eq!(asked, [0, 10, 40, 50]);
}

#[tokio::test(start_paused = true)]
async fn enough_failures_of_a_liveness_probe_are_its_last_word() {
    let script = [(0, bad("1")), (0, Answer::Healthy), (0, bad("2")), (0, bad("3")), (0, bad("4"))];
    let (asked, outcomes) = play(target(0, 5, 2), &script).await;
    assert_eq!(asked, [0, 5, 10, 15]);
    let missed = |message: &str| Outcome::Missed { message: message.to_owned() };
    let failed = Outcome::Failure { message: "3".to_owned() };
    assert_eq!(outcomes, [missed("1"), Outcome::Success, missed("2"), failed], "each failure is told");
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_nobody_receives() {
    let (sender, verdicts) = mpsc::channel(1);
    drop(verdicts);
    tokio::time::timeout(SECOND, run(target(50, 5, 1), sender, async || Answer::Healthy)).await.unwrap();
}

#[test]
fn the_initial_delay_counts_from_the_containers_start() {
    let at = |seconds: i64| Timestamp::from_second(1_000_000 + seconds).unwrap();
    for (initial_delay, passed, resumed, expected) in [
        (10, 0, false, 10),
        (10, 4, false, 6),
        (10, 60, false, 0),
        (10, -3600, false, 10),
        (0, 60, true, 15),
        (60, 10, true, 50),
    ] {
        let target = Target { started_at: at(0), resumed, ..target(initial_delay, 30, 3) };
        assert_eq!(delay(&target, at(passed), 0.5), SECOND * expected, "{initial_delay} {passed} {resumed}");
    }
    assert!((0.0..=1.0).contains(&chance()));
}
