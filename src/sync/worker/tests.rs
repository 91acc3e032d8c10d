//! A worker with a runtime that only plays: what is asked of it, in which order, and what is not.

use tokio::task::JoinHandle;

use super::*;
use crate::pod::spec::RestartPolicy::{self, Always, Never, OnFailure};
use crate::pod::spec::{ExitCodes, RestartAction, RestartRule};
use crate::runtime::fake::Fake;
use crate::runtime::{NoSandbox, Pulled, fixture};
use crate::status::publish::Change;

/// A worker that is running.
struct Running {
    fake: Arc<Fake>,
    orders: watch::Sender<Order>,
    task: JoinHandle<Result<(), Error>>,
}

/// Runs a worker for a pod with the containers `a` and `b`, which is removed when it is over.
fn run(policy: RestartPolicy, resume: bool, play: impl FnOnce(Fake) -> Fake) -> Running {
    run_pod(fixture::pod(policy, &[], &["a", "b"]), resume, play)
}

fn run_pod(pod: Pod, resume: bool, play: impl FnOnce(Fake) -> Fake) -> Running {
    run_with(pod, Habits { retire: true, resume }, play)
}

fn run_with(pod: Pod, habits: Habits, play: impl FnOnce(Fake) -> Fake) -> Running {
    let pod = Arc::new(pod);
    let (sender, notices) = mpsc::unbounded_channel();
    let fake = Arc::new(play(Fake::new(sender)));
    let (orders, receiver) = watch::channel(Order::Run(Arc::clone(&pod)));
    let (updates, mut told) = mpsc::unbounded_channel();
    // Whoever reads the updates lets the pod go.
    tokio::spawn(async move { while told.recv().await.is_some() {} });
    let publisher = Publisher::new(Arc::clone(&pod), None, updates);
    let worker = Worker::new(pod, Arc::clone(&fake), habits, notices, receiver, publisher, Prober::default());
    Running { fake, orders, task: tokio::spawn(worker.run()) }
}

impl Running {
    /// Waits until something has been asked.
    async fn until(&self, what: &str) {
        let asked = async {
            while !self.fake.asked().iter().any(|asked| asked == what) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(10), asked).await;
        assert!(in_time.is_ok(), "waits for {what:?}, has {:?}", self.fake.asked());
    }

    fn terminate(&self, grace: Duration) {
        self.orders.send(Order::Terminate { grace }).unwrap();
    }

    /// Waits for the end; all that was asked.
    async fn ended(self) -> (Result<(), Error>, Vec<String>) {
        let ended = tokio::time::timeout(Duration::from_secs(10), self.task).await;
        let asked = self.fake.asked();
        (ended.unwrap_or_else(|_| panic!("does not end: {asked:?}")).unwrap(), asked)
    }
}

#[tokio::test]
async fn a_pod_that_is_over_is_removed() {
    let worker = run(Never, false, |fake| fake.exits("a", &[0]).exits("b", &[3]));
    let (result, asked) = worker.ended().await;
    assert_eq!(result, Ok(()));
    assert_eq!(asked, ["sandbox", "start a 0", "start b 0", "remove"]);
}

#[tokio::test]
async fn an_attempt_is_started_once_even_if_it_ends_before_its_start_is_answered() {
    let worker = run(OnFailure, false, |fake| fake.answers_late().exits("a", &[1]).exits("b", &[0]));
    worker.until("start a 1").await;
    // The answers to everything that is under way come in this time.
    tokio::time::sleep(Duration::from_millis(100)).await;
    worker.terminate(Duration::ZERO);
    let (_, asked) = worker.ended().await;
    for once in ["start a 0", "start a 1", "start b 0"] {
        assert_eq!(asked.iter().filter(|asked| *asked == once).count(), 1, "{once}: {asked:?}");
    }
}

#[tokio::test]
async fn all_begin_anew_when_all_have_ended_and_that_is_written_down() {
    let mut pod = fixture::pod(Never, &["i"], &["a", "b"]);
    pod.spec.containers[0].restart_rules.push(RestartRule {
        action: RestartAction::RestartAllContainers,
        exit_codes: ExitCodes::In(vec![42]),
    });
    let worker =
        run_pod(pod, false, |fake| fake.exits("i", &[0, 0]).exits("a", &[42, 0]).exits("b", &[0, 3]));
    let (result, asked) = worker.ended().await;
    assert_eq!(result, Ok(()));
    let round = |attempt: u32| ["i", "a", "b"].map(|container| format!("start {container} {attempt}"));
    let expected =
        [&["sandbox".to_owned()][..], &round(0), &["reset".to_owned()], &round(1), &["remove".to_owned()]];
    assert_eq!(asked, expected.concat());
}

#[tokio::test]
async fn a_graceful_end_stops_and_a_deaf_container_is_killed() {
    let worker = run(Always, false, |fake| fake);
    worker.until("start b 0").await;
    worker.terminate(Duration::from_secs(30));
    let (_, asked) = worker.ended().await;
    assert_eq!(asked[3..], ["stop a", "stop b", "remove"]);

    let worker = run(Always, false, Fake::deaf);
    worker.until("start b 0").await;
    worker.terminate(Duration::from_secs(600));
    worker.until("stop b").await;
    worker.terminate(Duration::ZERO);
    let (_, asked) = worker.ended().await;
    assert_eq!(asked[3..], ["stop a", "stop b", "kill a-0", "kill b-0", "remove"]);
}

#[tokio::test]
async fn a_sandbox_that_is_killed_before_it_could_be_used_is_followed_by_another() {
    let worker = run(Never, false, |fake| fake.first_sandbox_dies().exits("a", &[0]).exits("b", &[0]));
    let (result, asked) = worker.ended().await;
    assert_eq!(result, Ok(()));
    assert_eq!(asked, ["sandbox", "sandbox", "start a 0", "start b 0", "remove"]);
}

#[tokio::test]
async fn a_pod_whose_node_cannot_have_one_is_given_up_with_the_reason() {
    let error = NoSandbox::Node(Error("no bridge".into()));
    let worker = run(Always, false, |fake| fake.without_sandbox(error));
    let (result, asked) = worker.ended().await;
    assert_eq!(result, Err(Error("no bridge".into())));
    assert_eq!(asked, ["sandbox", "remove"]);
}

#[tokio::test]
async fn a_sandbox_that_could_be_made_another_time_is_waited_for() {
    let error = NoSandbox::ThisTime(Error("no address".into()));
    let worker = run(Always, false, |fake| fake.without_sandbox(error));
    worker.until("sandbox").await;
    // Given up, it would be removed within this time.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(worker.fake.asked(), ["sandbox"]);
    worker.terminate(Duration::from_secs(30));
    let (result, asked) = worker.ended().await;
    assert_eq!((result, asked), (Ok(()), vec!["sandbox".to_owned(), "remove".to_owned()]));
}

#[tokio::test]
async fn a_refused_start_harms_no_other_container_and_is_not_repeated_at_once() {
    let worker = run(Always, false, |fake| fake.refuses("a", "ErrImagePull"));
    worker.until("start b 0").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    worker.terminate(Duration::ZERO);
    let (_, asked) = worker.ended().await;
    assert_eq!(asked, ["sandbox", "start a 0", "start b 0", "kill b-0", "remove"]);
}

fn pulled() -> Pulled {
    Pulled { took: Duration::from_millis(12), waited: Duration::ZERO, size: 345 }
}

fn no_pull() -> Refusal {
    Refusal { reason: "ErrImagePull", message: "GET https://x: 404 Not Found".to_owned() }
}

#[tokio::test]
async fn a_missing_image_is_pulled_and_then_started_from() {
    let worker = run(Never, false, |fake| fake.pulls("a", &[Ok(pulled())]).exits("a", &[0]).exits("b", &[0]));
    let (result, asked) = worker.ended().await;
    assert_eq!(result, Ok(()));
    let expected = ["sandbox", "start a 0", "start b 0", "pull a nginx:1", "start a 0", "remove"];
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn a_pod_that_goes_does_not_wait_for_its_pull_nor_for_the_next() {
    for (pulls, grace) in [(vec![], 30), (vec![], 0), (vec![Err(no_pull())], 30)] {
        let worker = run(Always, false, |fake| fake.pulls("a", &pulls));
        worker.until("pull a nginx:1").await;
        worker.until("start b 0").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        worker.terminate(Duration::from_secs(grace));
        let (_, asked) = worker.ended().await;
        assert_eq!(asked.iter().filter(|asked| asked.starts_with("pull")).count(), 1, "{asked:?}");
        assert_eq!(asked.last().unwrap(), "remove");
    }
}

#[tokio::test]
async fn a_pull_is_told_in_events_and_a_failed_one_turns_into_a_back_off() {
    let told = |pulls: Vec<Result<Pulled, Refusal>>, enough: &'static str| async move {
        let pod = Arc::new(fixture::pod(Always, &[], &["a"]));
        let (sender, notices) = mpsc::unbounded_channel();
        let fake = Arc::new(Fake::new(sender).pulls("a", &pulls));
        let (_orders, receiver) = watch::channel(Order::Run(Arc::clone(&pod)));
        let (updates, mut news) = mpsc::unbounded_channel();
        let publisher = Publisher::new(Arc::clone(&pod), None, updates);
        let worker =
            Worker::new(pod, fake, Habits::default(), notices, receiver, publisher, Prober::default());
        let task = tokio::spawn(worker.run());
        let mut events = Vec::new();
        while !events.iter().any(|event: &String| event.contains(enough)) {
            let update = tokio::time::timeout(Duration::from_secs(10), news.recv()).await;
            if let Change::Event(event) = update.unwrap_or_else(|_| panic!("{events:?}")).unwrap().change {
                events.push(format!("{}: {}", event.reason, event.message));
            }
        }
        task.abort();
        events
    };
    assert_eq!(
        told(vec![Ok(pulled())], "Started").await,
        [
            "Pulling: Pulling image \"nginx:1\"",
            "Pulled: Successfully pulled image \"nginx:1\" in 12ms (12ms including waiting). Image size: 345 bytes.",
            "Created: Container created",
            "Started: Container started",
        ]
    );
    assert_eq!(
        told(vec![Err(no_pull())], "Error: ImagePullBackOff").await,
        [
            "Pulling: Pulling image \"nginx:1\"",
            "Failed: Failed to pull image \"nginx:1\": GET https://x: 404 Not Found",
            "Failed: Error: ErrImagePull",
            "BackOff: Back-off pulling image \"nginx:1\"",
            "Failed: Error: ImagePullBackOff",
        ]
    );
}

#[tokio::test]
async fn what_an_earlier_agent_left_running_is_kept_and_what_is_missing_is_started() {
    let worker = run(Always, true, |fake| fake.left_running("a"));
    worker.until("start b 0").await;
    worker.terminate(Duration::from_secs(30));
    let (_, asked) = worker.ended().await;
    assert_eq!(asked, ["take over", "sandbox", "start b 0", "stop a", "stop b", "remove"]);
}

#[tokio::test]
async fn a_lost_shim_brings_a_new_sandbox_and_every_container_back() {
    let worker = run(Always, false, |fake| fake);
    worker.until("start b 0").await;
    while worker.fake.running() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    worker.fake.kill_shim();
    worker.until("start b 1").await;
    worker.terminate(Duration::ZERO);
    let (_, asked) = worker.ended().await;
    assert_eq!(asked[..6], ["sandbox", "start a 0", "start b 0", "sandbox", "start a 1", "start b 1"]);
}

#[tokio::test]
async fn nothing_starts_for_a_pod_that_was_told_to_go_before_it_began() {
    let worker = run(Always, false, |fake| fake);
    worker.terminate(Duration::from_secs(30));
    let (_, asked) = worker.ended().await;
    assert_eq!(asked, ["remove"]);
}

/// The pod of [`run`], whose containers have all these requests of cpu, thousandths of one.
fn requesting(policy: RestartPolicy, millis: u64) -> Order {
    let mut pod = fixture::pod(policy, &[], &["a", "b"]);
    for container in &mut pod.spec.containers {
        container.resources.cpu_request_millis = Some(millis);
    }
    Order::Run(Arc::new(pod))
}

#[tokio::test]
async fn a_pod_that_runs_is_given_other_resources_once_for_each_edit() {
    let worker = run(Always, false, |fake| fake);
    worker.until("start b 0").await;
    for (millis, resized) in [(100, "resize a-0 0 b-0 0"), (300, "resize a-0 100 b-0 100")] {
        worker.orders.send(requesting(Always, millis)).unwrap();
        worker.until(resized).await;
    }
    // The same again is nothing new.
    worker.orders.send(requesting(Always, 300)).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    worker.terminate(Duration::ZERO);
    let (result, asked) = worker.ended().await;
    assert_eq!(result, Ok(()));
    let is_of_edits = |asked: &&String| ["adopt", "resize", "save"].iter().any(|word| asked.contains(word));
    let resizes: Vec<_> = asked.iter().filter(is_of_edits).collect();
    assert_eq!(
        resizes,
        ["adopt 100", "save", "resize a-0 0 b-0 0", "adopt 300", "save", "resize a-0 100 b-0 100"]
    );
}

#[tokio::test]
async fn resources_that_the_node_does_not_have_are_not_tried() {
    let worker = run(Always, false, |fake| fake);
    worker.until("start b 0").await;
    worker.orders.send(requesting(Always, 9000)).unwrap();
    worker.orders.send(requesting(Always, 8000)).unwrap();
    worker.until("resize a-0 0 b-0 0").await;
    worker.terminate(Duration::ZERO);
    let (_, asked) = worker.ended().await;
    assert!(!asked.iter().any(|asked| asked == "adopt 9000"), "{asked:?}");
}

#[tokio::test]
async fn a_later_agent_completes_a_change_of_resources() {
    let given = crate::state::record::Given {
        own: crate::pod::spec::Resources { cpu_request_millis: Some(70), ..Default::default() },
        ..Default::default()
    };
    let given = std::collections::BTreeMap::from([("a-0".to_owned(), given)]);
    let worker = run(Always, true, |fake| fake.left_running("a").had_given(given));
    worker.until("resize a-0 70").await;
    worker.until("start b 0").await;
    worker.terminate(Duration::ZERO);
    let (_, asked) = worker.ended().await;
    let at = |what: &str| asked.iter().position(|asked| asked == what);
    assert!(at("resize a-0 70") < at("start b 0"), "{asked:?}");
}

#[tokio::test]
async fn a_container_with_another_image_is_restarted_and_only_then_is_the_pod_kept_so() {
    let worker = run(Always, false, |fake| fake);
    worker.until("start b 0").await;
    let mut pod = fixture::pod(Always, &[], &["a", "b"]);
    pod.spec.containers[0].image = "other".to_owned();
    worker.orders.send(Order::Run(Arc::new(pod))).unwrap();
    worker.until("save").await;
    worker.terminate(Duration::ZERO);
    let (_, asked) = worker.ended().await;
    let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
    assert_eq!(asked[..7], ["sandbox", "start a 0", "start b 0", "adopt 0", "stop a", "start a 1", "save"]);
}

#[tokio::test]
async fn a_pod_whose_volume_takes_too_much_is_evicted_and_that_is_kept() {
    let worker = run(Always, false, |fake| fake);
    worker.until("start b 0").await;
    worker.fake.exceed("too much");
    let (result, asked) = worker.ended().await;
    assert_eq!(result, Ok(()));
    let evicted = "evicted too much";
    assert_eq!(asked, ["sandbox", "start a 0", "start b 0", evicted, "stop a", "stop b", "remove"]);
}

#[tokio::test]
async fn a_pod_that_is_told_to_end_while_its_worker_takes_it_over_ends() {
    let worker = run(Always, true, |fake| {
        fake.exceed("no");
        fake.left_running("a")
    });
    let (result, asked) = worker.ended().await;
    assert_eq!((result, asked[1..].join(", ").as_str()), (Ok(()), "evicted no, stop a, remove"));
}

#[tokio::test]
async fn a_pod_that_is_on_its_way_out_is_not_evicted() {
    let worker = run(Always, false, Fake::deaf);
    worker.until("start b 0").await;
    worker.terminate(Duration::from_secs(600));
    worker.until("stop b").await;
    worker.fake.exceed("too much");
    worker.terminate(Duration::ZERO);
    let (_, asked) = worker.ended().await;
    assert!(!asked.iter().any(|asked| asked.starts_with("evicted")), "{asked:?}");
}

#[tokio::test]
async fn a_later_agent_ends_what_is_left_of_an_evicted_pod_and_starts_nothing() {
    let eviction = crate::state::record::Ending::from("no".to_owned()).at(Timestamp::now());
    let worker = run(Always, true, |fake| fake.left_running("a").was_evicted(eviction.clone()));
    let (result, asked) = worker.ended().await;
    assert_eq!((result, asked[1..].join(", ").as_str()), (Ok(()), "stop a, remove"));

    // Of its shim, too, nothing is left.
    let worker = run(Always, true, |fake| fake.was_evicted(eviction));
    let (result, asked) = worker.ended().await;
    assert_eq!((result, asked[1..].join(", ").as_str()), (Ok(()), "remove"));
}

#[tokio::test]
async fn a_pod_of_a_source_stays_when_it_is_over_until_it_is_told_to_go() {
    let pod = fixture::pod(Never, &[], &["a"]);
    let worker = run_with(pod, Habits::default(), |fake| fake.exits("a", &[0]));
    worker.until("start a 0").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(worker.fake.asked(), ["sandbox", "start a 0"]);
    worker.terminate(Duration::from_secs(30));
    let (result, asked) = worker.ended().await;
    assert_eq!((result, asked[2..].join(", ").as_str()), (Ok(()), "remove"));
}

#[tokio::test]
async fn how_a_pod_of_a_source_ended_is_kept_and_after_a_reboot_nothing_of_it_is_started() {
    let worker = run_with(fixture::pod(Never, &[], &["a"]), Habits::default(), |fake| fake.exits("a", &[3]));
    worker.until("start a 0").await;
    let kept = async {
        while worker.fake.kept_over().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), kept).await.unwrap();
    let status = worker.fake.kept_over().unwrap();
    assert_eq!(status.phase.as_deref(), Some("Failed"));

    let after_reboot = Habits { resume: true, retire: false };
    let worker = run_with(fixture::pod(Never, &[], &["a"]), after_reboot, |fake| fake.was_over(status));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(worker.fake.asked().is_empty(), "{:?}", worker.fake.asked());
    worker.terminate(Duration::from_secs(30));
    let (result, asked) = worker.ended().await;
    assert_eq!((result, asked.join(", ").as_str()), (Ok(()), "remove"));
}

#[tokio::test]
async fn what_is_left_of_a_grace_period_is_what_a_later_agent_gives() {
    let (pod, of_source) = (|| fixture::pod(Always, &[], &["a"]), Habits { resume: true, retire: false });
    let worker = run_with(pod(), Habits::default(), Fake::deaf);
    worker.until("start a 0").await;
    worker.terminate(Duration::from_secs(600));
    worker.until("stop a").await;
    let deadline = worker.fake.deadline().unwrap();
    assert!(deadline > Timestamp::now());

    // That agent is gone, and the time is over before the next one comes.
    let past = Timestamp::now() - Duration::from_secs(1);
    let worker = run_with(pod(), of_source, |fake| fake.left_running("a").deaf().was_to_end_until(past));
    let (_, asked) = worker.ended().await;
    assert_eq!(asked.last().unwrap(), "remove");
    assert!(!asked.iter().any(|asked| asked.starts_with("start")), "{asked:?}");

    // Whoever runs it in the foreground wants it to run.
    let worker = run_pod(pod(), true, |fake| fake.left_running("a").was_to_end_until(past));
    worker.until("sandbox").await;
    assert_eq!(worker.fake.running(), 1);
}

#[tokio::test]
async fn a_pod_of_a_newer_agent_is_left_alone() {
    let newer = Error("it is of a newer one".into());
    let worker = run(Always, true, |fake| fake.left_running("a").of_newer_agent(newer.clone()));
    let (result, asked) = worker.ended().await;
    assert_eq!(result, Err(newer));
    assert_eq!(asked, ["take over"]);
}
