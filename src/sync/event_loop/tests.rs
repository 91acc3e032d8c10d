//! The loop with a keeper that only plays: who is taken on, and which orders they get.

use std::sync::Mutex;

use super::*;
use crate::pod::spec::RestartPolicy;
use crate::runtime::fixture;
use crate::source::{Deletion, Wanted};

const WAIT: Duration = Duration::from_secs(30);

/// What the loop has asked for, in words; pods end when their worker is told to.
#[derive(Default)]
struct Fake {
    seen: Arc<Seen>,
    left: Vec<Left>,
}

#[derive(Default)]
struct Seen {
    asked: Mutex<Vec<String>>,
    /// Pods that are refused, and why.
    refusals: Mutex<BTreeMap<String, Refused>>,
    /// The first workers of these pods fail to remove them.
    failing: Mutex<BTreeSet<String>>,
    /// Workers wait for this before they end.
    hold: Mutex<Option<watch::Receiver<bool>>>,
}

impl Seen {
    fn note(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }

    async fn look_after(
        self: Arc<Self>,
        pod: Arc<Pod>,
        mut orders: watch::Receiver<Order>,
    ) -> Result<(), Error> {
        loop {
            let order = orders.borrow_and_update().clone();
            match order {
                Order::Run(now) if now == pod => {}
                Order::Run(now) => {
                    self.note(format!("{} goes on as {}", now.key.name, now.spec.containers[0].image))
                }
                Order::Terminate { grace } => {
                    // Rounded up: the deadline is a moment away.
                    self.note(format!("end {} {}", pod.key.name, grace.as_millis().div_ceil(1000)));
                    break;
                }
            }
            orders.changed().await.unwrap();
        }
        let hold = self.hold.lock().unwrap().clone();
        if let Some(mut hold) = hold {
            hold.wait_for(|is_over| *is_over).await.unwrap();
        }
        let fails = self.failing.lock().unwrap().remove(&pod.key.name);
        if fails { Err(Error("no luck".into())) } else { Ok(()) }
    }
}

impl Keeper for Fake {
    async fn left(&self) -> Vec<Left> {
        self.left.clone()
    }

    async fn admit(&self, pods: Vec<Candidate>, _: Vec<Beside>) -> Vec<Result<Admitted, Refused>> {
        let admit = |Candidate { pod, .. }: Candidate| {
            if let Some(why) = self.seen.refusals.lock().unwrap().get(&pod.key.name) {
                return Err(why.clone());
            }
            self.seen.note(format!("admit {} {}", pod.key.name, pod.spec.containers[0].image));
            let (seen, own) = (Arc::clone(&self.seen), Arc::clone(&pod));
            let look_after: LookAfter = Box::new(|orders| Box::pin(seen.look_after(own, orders)));
            Ok(Admitted { pod, look_after })
        };
        pods.into_iter().map(admit).collect()
    }

    fn refused(&self, candidate: &Candidate, why: &Refused) {
        self.seen.note(format!("refuse {}: {}", candidate.pod.key.name, why.message));
    }

    fn absent(&self, candidate: &Candidate) {
        self.seen.note(format!("absent {}", candidate.pod.key.name));
    }

    fn say(&self, line: &str) {
        self.seen.note(format!("say {line}"));
    }
}

/// A loop that runs.
struct Running {
    seen: Arc<Seen>,
    events: mpsc::UnboundedSender<Event>,
    ended: tokio::task::JoinHandle<Ended>,
}

impl Running {
    fn new(sources: &[SourceKind], left: Vec<Left>) -> Self {
        let seen = Arc::new(Seen::default());
        let events = EventLoop::serving(Fake { seen: Arc::clone(&seen), left }, sources);
        Self { seen, events: events.sender(), ended: tokio::spawn(events.run()) }
    }

    fn wants(&self, source: SourceKind, pods: Vec<Wanted>) {
        self.wants_but(source, pods, &[]);
    }

    fn wants_but(&self, source: SourceKind, pods: Vec<Wanted>, unread: &[&str]) {
        let unread = unread.iter().map(|place| (*place).to_owned()).collect();
        let event = SourceEvent { source, pods, objects: Arc::default(), unread };
        self.events.send(Event::Source(event)).unwrap();
    }

    /// Waits until all of that has been asked, and nothing else.
    async fn asked(&self, expected: &[&str]) {
        let is_so = || *self.seen.asked.lock().unwrap() == expected;
        let wait = async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // What is too much comes a moment later.
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let _ = tokio::time::timeout(WAIT, wait).await;
        assert_eq!(*self.seen.asked.lock().unwrap(), expected);
    }
}

fn pod(name: &str, image: &str, uid: &str) -> Pod {
    let mut pod = fixture::pod(RestartPolicy::Always, &[], &["a"]);
    pod.key.name = name.to_owned();
    pod.uid = uid.parse().unwrap();
    pod.spec.containers[0].image = image.to_owned();
    pod
}

fn wanted(name: &str, image: &str) -> Wanted {
    Wanted {
        pod: pod(name, image, &format!("uid-{name}")),
        place: format!("{name}.yaml"),
        deletion: None,
        is_over: false,
        written: None,
    }
}

/// This grace period, and a deadline that many seconds from now.
fn deletion(grace: u64, deadline: i64) -> Deletion {
    Deletion {
        grace: Duration::from_secs(grace),
        deadline: Timestamp::now() + jiff::SignedDuration::from_secs(deadline),
    }
}

fn left(name: &str, source: SourceKind, runs: bool) -> Left {
    let origin = Arc::new(Origin { source, place: format!("{name}.yaml") });
    Left { pod: Arc::new(wanted(name, "i").pod), origin, runs, is_over: false }
}

use SourceKind::{Api, File};

#[tokio::test(start_paused = true)]
async fn pods_come_change_and_go_with_their_source() {
    let agent = Running::new(&[File], vec![]);
    agent.wants(File, vec![wanted("a", "i"), wanted("b", "i")]);
    agent.asked(&["admit a i", "admit b i"]).await;
    agent.wants(File, vec![wanted("a", "j")]);
    agent.asked(&["admit a i", "admit b i", "a goes on as j", "end b 30"]).await;
    agent.events.send(Event::Leave).unwrap();
    assert_eq!(agent.ended.await.unwrap(), Ended::default());
}

#[tokio::test(start_paused = true)]
async fn another_pod_of_the_same_name_begins_when_the_old_one_is_gone_and_the_newest_counts() {
    let agent = Running::new(&[File], vec![]);
    let (release, hold) = watch::channel(false);
    *agent.seen.hold.lock().unwrap() = Some(hold);
    agent.wants(File, vec![wanted("a", "i")]);
    for image in ["j", "k"] {
        let pod = pod("a", image, "another");
        agent.wants(File, vec![Wanted { pod, ..wanted("a", image) }]);
    }
    agent.asked(&["admit a i", "end a 30"]).await;
    release.send_replace(true);
    agent.asked(&["admit a i", "end a 30", "admit a k"]).await;
}

#[tokio::test(start_paused = true)]
async fn the_grace_period_of_a_deletion_only_shrinks_and_its_pod_does_not_come_back() {
    let agent = Running::new(&[Api], vec![]);
    let (release, hold) = watch::channel(false);
    *agent.seen.hold.lock().unwrap() = Some(hold);
    agent.wants(Api, vec![wanted("a", "i")]);
    agent.asked(&["admit a i"]).await;
    let within =
        |seconds| vec![Wanted { deletion: Some(deletion(seconds, seconds as i64 + 1)), ..wanted("a", "i") }];
    agent.wants(Api, within(20));
    agent.asked(&["admit a i", "end a 20"]).await;
    agent.wants(Api, within(60));
    release.send_replace(true);
    // That it is gone its worker has told.
    agent.asked(&["admit a i", "end a 20"]).await;
    agent.wants(Api, within(60));
    agent.wants(Api, vec![]);
    agent.asked(&["admit a i", "end a 20"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_has_its_whole_grace_period_but_not_beyond_its_deadline() {
    for (grace, deadline, expected) in
        [(1, 2, "end a 1"), (30, 31, "end a 30"), (30, 5, "end a 5"), (30, -7, "end a 0")]
    {
        let agent = Running::new(&[Api], vec![]);
        agent.wants(Api, vec![wanted("a", "i")]);
        agent.asked(&["admit a i"]).await;
        agent.wants(Api, vec![Wanted { deletion: Some(deletion(grace, deadline)), ..wanted("a", "i") }]);
        agent.asked(&["admit a i", expected]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn that_a_deleted_pod_is_not_on_the_node_is_told_once() {
    let agent = Running::new(&[Api], vec![]);
    let deleted =
        |uid: &str| Wanted { pod: pod("a", "i", uid), deletion: Some(deletion(0, 0)), ..wanted("a", "i") };
    agent.wants(Api, vec![deleted("1")]);
    agent.wants(Api, vec![deleted("1"), wanted("b", "i")]);
    agent.asked(&["absent a", "admit b i"]).await;
    agent.wants(Api, vec![deleted("2"), wanted("b", "i")]);
    agent.asked(&["absent a", "admit b i", "absent a"]).await;
}

#[tokio::test(start_paused = true)]
async fn one_pod_that_is_refused_keeps_no_other_from_running_and_is_tried_again() {
    let agent = Running::new(&[File], vec![]);
    for (name, is_final) in [("bad", true), ("busy", false)] {
        let why = Refused::unexpected("no".into(), is_final);
        agent.seen.refusals.lock().unwrap().insert(name.into(), why);
    }
    agent.wants(File, vec![wanted("bad", "i"), wanted("busy", "i"), wanted("good", "i")]);
    let first = ["admit good i", "refuse bad: no", "refuse busy: no"];
    agent.asked(&first).await;
    // Told once, however often it is tried.
    tokio::time::sleep(3 * AGAIN).await;
    agent.asked(&first).await;
    agent.seen.refusals.lock().unwrap().clear();
    tokio::time::sleep(2 * AGAIN).await;
    agent.asked(&[&first[..], &["admit busy i"]].concat()).await;
    agent.wants(File, vec![wanted("bad", "j"), wanted("busy", "i"), wanted("good", "i")]);
    agent.asked(&[&first[..], &["admit busy i", "admit bad j"]].concat()).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_left_is_looked_after_and_ended_only_when_every_source_has_spoken() {
    let all =
        vec![left("a", File, true), left("b", File, true), left("c", Api, true), left("d", File, false)];
    let agent = Running::new(&[File, Api], all);
    agent.wants(File, vec![wanted("b", "j")]);
    tokio::time::sleep(2 * FIRST_WORD).await;
    // What has no processes waits, since it may not be wanted.
    agent.asked(&["admit b j", "admit a i", "admit c i"]).await;
    agent.wants(Api, vec![]);
    agent
        .asked(&["admit b j", "admit a i", "admit c i", "admit d i", "end a 30", "end c 30", "end d 30"])
        .await;
}

#[tokio::test(start_paused = true)]
async fn what_came_from_a_file_that_cannot_be_read_runs_on() {
    let agent = Running::new(&[File], vec![left("a", File, true), left("b", File, true)]);
    agent.wants_but(File, vec![], &["a.yaml"]);
    agent.asked(&["admit a i", "admit b i", "end b 30"]).await;
    agent.wants(File, vec![]);
    agent.asked(&["admit a i", "admit b i", "end b 30", "end a 30"]).await;
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_removed_is_removed_later_and_in_nobodys_way() {
    let agent = Running::new(&[File], vec![]);
    agent.seen.failing.lock().unwrap().insert("a".into());
    agent.wants(File, vec![wanted("a", "i")]);
    agent.wants(File, vec![]);
    let first = ["admit a i", "end a 30", "say pod default/a: no luck"];
    agent.asked(&first).await;
    tokio::time::sleep(2 * AGAIN).await;
    agent.asked(&[&first[..], &["admit a i", "end a 30"]].concat()).await;
}

#[tokio::test]
async fn the_first_stop_is_graceful_the_second_is_not_and_errors_name_their_pod() {
    let mut events = EventLoop::new(Fake::default());
    let pod = Arc::new(fixture::pod(RestartPolicy::Always, &[], &["a"]));
    let (seen, mut orders) = mpsc::unbounded_channel();
    let look_after: LookAfter = Box::new(|mut receiver| {
        Box::pin(async move {
            for _ in 0..2 {
                receiver.changed().await.unwrap();
                seen.send(receiver.borrow_and_update().clone()).unwrap();
            }
            Err(Error("no luck".into()))
        })
    });
    events.add(Admitted { pod, look_after });
    let sender = events.sender();
    let ended = tokio::spawn(events.run());
    for grace in [30, 0] {
        sender.send(Event::Stop).unwrap();
        let grace = Duration::from_secs(grace);
        assert_eq!(orders.recv().await, Some(Order::Terminate { grace }));
    }
    let ended = ended.await.unwrap();
    assert_eq!(ended, Ended { stops: 2, errors: vec![Error("pod default/web: no luck".into())] });
}
