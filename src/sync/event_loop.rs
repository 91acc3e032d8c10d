//! The agent's main loop: a map of workers, and one closed list of what can happen to it.
//!
//! There is one worker for a namespace and name at a time, and never two. What a source changes of a pod is passed on to its worker
//! as far as a pod that runs can change; else the pod is ended, and when it is gone, what is wanted under its name then is taken on.
//!
//! ```text
//!    wanted                          same pod: Order::Run
//!   ┌────────┐ taken on  ┌─────────┐<────┐                        ┌──────┐
//!   │ nobody ├──────────>│ worker  ├─────┘   Order::Terminate     │ gone │──> nobody
//!   └────────┘           └────┬────┘ ───────────────────────────> └──────┘
//!        ^                    dropped, deleted, or another pod        │
//!        └─────────────── refused: again in a while ──────────────────┘
//! ```
//!
//! What an earlier agent has left is taken on as it was, when the sources have had a moment to say what they want, and ended only
//! when all of them have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};

use super::room::Beside;
use super::worker::Order;
use crate::pod::objects::Objects;
use crate::pod::update;
use crate::pod::{Origin, Pod, PodKey, PodUid, SourceKind};
use crate::runtime::Error;
use crate::source::merge::Merge;
use crate::source::{Deletion, SourceEvent};

/// How long the sources have to say what they want, before pods that an earlier agent left are looked after as they were.
const FIRST_WORD: Duration = Duration::from_secs(1);

/// What could not be done is tried again in this time.
const AGAIN: Duration = Duration::from_secs(10);

/// All that can wake the agent.
#[derive(Debug)]
pub enum Event {
    /// The person wants to go: the first time each pod gets its grace period, the second time none.
    Stop,
    /// The agent is to end, and its pods to go on without it.
    Leave,
    /// A source says what it wants.
    Source(SourceEvent),
    /// The sources have had their time for a first word.
    Waited,
    /// It is time to try again what could not be done.
    Again,
    /// Somebody asks whether the loop is alive; it answers in its turn.
    Alive(oneshot::Sender<()>),
    /// A pod's manifest was edited: it should go on as this one.
    Update(Box<Pod>),
    /// A pod is gone from the node, or could not be looked after.
    Gone {
        /// Which.
        key: PodKey,
        /// What went wrong with it.
        result: Result<(), Error>,
    },
}

/// A worker's task, to be started with the orders for its pod; ends when the pod is gone.
pub type LookAfter = Box<dyn FnOnce(watch::Receiver<Order>) -> BoxFuture<'static, Result<(), Error>> + Send>;

/// A pod that is to be looked after.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The pod.
    pub pod: Arc<Pod>,
    /// Who wants it.
    pub origin: Arc<Origin>,
    /// ConfigMaps and Secrets as its source has them now.
    pub objects: watch::Receiver<Arc<Objects>>,
    /// When the loop heard of it.
    pub heard: Instant,
    /// An earlier agent has left it, and it goes on as it was or with what such a pod can change.
    pub goes_on: bool,
}

/// A pod that an earlier agent has left.
#[derive(Debug, Clone)]
pub struct Left {
    /// As it was last.
    pub pod: Arc<Pod>,
    /// Who wanted it.
    pub origin: Arc<Origin>,
    /// It may have processes.
    pub runs: bool,
    /// It has ended for good, and takes nothing of the node any more.
    pub is_over: bool,
}

/// A pod that has been taken on.
pub struct Admitted {
    /// As it is, which may be as an earlier agent has left it, with another uid.
    pub pod: Arc<Pod>,
    /// Its worker.
    pub look_after: LookAfter,
}

/// Why a pod cannot be taken on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// One line.
    pub message: String,
    /// Kubernetes' word for it.
    pub reason: &'static str,
    /// Another try would end the same.
    pub is_final: bool,
}

impl Refused {
    /// Of a pod that the node cannot run.
    pub fn unexpected(message: String, is_final: bool) -> Self {
        Self { message, reason: "UnexpectedAdmissionError", is_final }
    }

    /// The same for a person.
    pub fn into_error(self) -> Error {
        Error(self.message)
    }
}

/// What went wrong may go well at another time.
impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::unexpected(error.0, false)
    }
}

/// What an agent does for its loop.
pub trait Keeper: Send + Sync + 'static {
    /// What earlier agents have left, and nobody looks after.
    fn left(&self) -> impl Future<Output = Vec<Left>> + Send;

    /// Takes pods on `beside` those that are there, each by itself; the answers are in the same order.
    fn admit(
        &self,
        pods: Vec<Candidate>,
        beside: Vec<Beside>,
    ) -> impl Future<Output = Vec<Result<Admitted, Refused>>> + Send;

    /// Learns what a source wants.
    fn wanted(&self, _: &SourceEvent) {}

    /// Tells that a pod was refused.
    fn refused(&self, pod: &Candidate, why: &Refused);

    /// Tells that a pod that is being deleted is not on the node.
    fn absent(&self, pod: &Candidate);

    /// Tells a person.
    fn say(&self, line: &str);
}

/// What the agent has to do with one pod.
#[derive(Debug)]
struct Worker {
    pod: Arc<Pod>,
    origin: Option<Arc<Origin>>,
    orders: watch::Sender<Order>,
    /// When its grace period is over, once it is to end.
    ends: Option<Timestamp>,
    /// An edit of it that is not allowed, and has been told of.
    forbidden: Option<Pod>,
    /// It was taken on without anybody wanting it.
    was_left: bool,
}

/// A pod that could not be taken on, and why.
#[derive(Debug)]
struct Refusal {
    pod: Pod,
    why: Refused,
    /// It is to be tried again.
    is_due: bool,
}

/// The workers, and what is wanted.
#[derive(Debug)]
pub struct EventLoop<K> {
    keeper: K,
    wanted: Merge,
    /// Of each source, for its pods.
    objects: BTreeMap<SourceKind, watch::Sender<Arc<Objects>>>,
    workers: BTreeMap<PodKey, Worker>,
    /// When each pod that is wanted and has no worker was first heard of.
    heard: BTreeMap<PodKey, Instant>,
    /// On the node without a worker.
    left: Vec<Left>,
    /// Pods that could not be taken on.
    refused: BTreeMap<PodKey, Refusal>,
    /// Pods of which their source has been told that they are gone, and that it still has.
    told_gone: BTreeMap<PodKey, PodUid>,
    /// They will be tried again.
    is_again_coming: bool,
    /// The loop serves sources, and stays without workers.
    stays: bool,
    /// The sources have had their time for a first word.
    has_waited: bool,
    events: mpsc::UnboundedReceiver<Event>,
    sender: mpsc::UnboundedSender<Event>,
    stops: u32,
}

/// How the loop ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// How often it was told to stop.
    pub stops: u32,
    /// What went wrong, with the pods that it went wrong with.
    pub errors: Vec<Error>,
}

impl<K: Keeper> EventLoop<K> {
    /// A loop without workers and sources, which ends when there are no workers any more.
    pub fn new(keeper: K) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        Self {
            keeper,
            wanted: Merge::default(),
            objects: BTreeMap::new(),
            workers: BTreeMap::new(),
            heard: BTreeMap::new(),
            left: Vec::new(),
            refused: BTreeMap::new(),
            told_gone: BTreeMap::new(),
            is_again_coming: false,
            stays: false,
            has_waited: false,
            events,
            sender,
            stops: 0,
        }
    }

    /// A loop that runs what these sources want, until it is told to leave or to stop.
    pub fn serving(keeper: K, sources: &[SourceKind]) -> Self {
        let mut events = Self::new(keeper);
        events.wanted = Merge::expecting(sources.iter().copied());
        events.stays = true;
        events
    }

    /// Where events are sent.
    pub fn sender(&self) -> mpsc::UnboundedSender<Event> {
        self.sender.clone()
    }

    /// Adds a worker for a pod that nobody but the person in front of the agent wants.
    pub fn add(&mut self, admitted: Admitted) {
        self.hire(admitted, None, false);
    }

    /// Runs until every pod is gone, or the agent is to leave.
    pub async fn run(mut self) -> Ended {
        let mut errors = Vec::new();
        if self.stays {
            self.left = self.keeper.left().await;
            self.send_later(FIRST_WORD, Event::Waited);
        }
        while !self.workers.is_empty() || self.stays && self.stops == 0 {
            // Never closed: the loop holds a sender itself.
            let Some(event) = self.events.recv().await else { break };
            match event {
                Event::Stop => self.stop(),
                Event::Leave => break,
                Event::Source(event) => self.source(event).await,
                Event::Waited => {
                    self.has_waited = true;
                    self.reconcile().await;
                }
                Event::Again => {
                    self.is_again_coming = false;
                    for refusal in self.refused.values_mut() {
                        refusal.is_due = !refusal.why.is_final;
                    }
                    self.reconcile().await;
                }
                Event::Alive(answer) => drop(answer.send(())),
                Event::Update(pod) => self.update(*pod),
                Event::Gone { key, result } => errors.extend(self.gone(&key, result).await),
            }
        }
        Ended { stops: self.stops, errors }
    }

    async fn source(&mut self, event: SourceEvent) {
        let objects = self.objects_of(event.source);
        if **objects.borrow() != *event.objects {
            objects.send_replace(Arc::clone(&event.objects));
        }
        let now = Instant::now();
        for key in event.pods.iter().map(|wanted| &wanted.pod.key) {
            if !self.workers.contains_key(key) {
                self.heard.entry(key.clone()).or_insert(now);
            }
        }
        self.keeper.wanted(&event);
        for line in self.wanted.take(event) {
            self.keeper.say(&line);
        }
        self.heard.retain(|key, _| self.wanted.get(key).is_some());
        // At first they are awaited all together: pods are taken on together, too.
        if self.has_waited || self.wanted.is_ready() {
            self.has_waited = true;
            self.reconcile().await;
        }
    }

    fn objects_of(&mut self, source: SourceKind) -> &watch::Sender<Arc<Objects>> {
        self.objects.entry(source).or_insert_with(|| watch::Sender::new(Arc::default()))
    }

    async fn gone(&mut self, key: &PodKey, result: Result<(), Error>) -> Option<Error> {
        let Worker { pod, origin, .. } = self.workers.remove(key)?;
        let error = result.err().map(Error::in_step(format!("pod {key}")));
        match (&error, origin) {
            (None, Some(_)) => {
                // By its worker.
                self.told_gone.insert(key.clone(), pod.uid.clone());
                self.reconcile().await;
            }
            // What is left of it is in the way of a successor.
            (Some(error), Some(origin)) => {
                self.keeper.say(&error.0);
                self.left.push(Left { pod: Arc::clone(&pod), origin, runs: false, is_over: false });
                let why = Refused::unexpected(error.0.clone(), false);
                let wanted = self.wanted.get(key).map_or_else(|| Pod::clone(&pod), |(w, _)| w.pod.clone());
                self.refuse(wanted, why);
                return None;
            }
            (_, None) => {}
        }
        error
    }

    /// Gives workers their orders, and takes on what has none, until everything is as it is wanted.
    async fn reconcile(&mut self) {
        if self.stops > 0 || !self.has_waited {
            return;
        }
        for (key, worker) in &mut self.workers {
            if let Some(origin) = worker.origin.clone() {
                instruct(key, worker, &origin, &self.wanted, &self.keeper);
            }
        }
        let wanted: Vec<PodKey> = self.wanted.keys().cloned().collect();
        self.told_gone.retain(|key, _| wanted.contains(key));
        let left = &self.left;
        self.refused.retain(|key, _| wanted.contains(key) || left.iter().any(|left| left.pod.key == *key));
        let mut candidates: Vec<(Candidate, Task)> = Vec::new();
        for key in &wanted {
            candidates.extend(self.candidate(key));
        }
        candidates.extend(self.candidates_left(wanted));
        if !candidates.is_empty() {
            self.admit(candidates).await;
        }
    }

    /// What an earlier agent has left that is to be looked after, or to be ended. One after another, should there be two of one name.
    fn candidates_left(&mut self, wanted: Vec<PodKey>) -> Vec<(Candidate, Task)> {
        let mut keys: BTreeSet<PodKey> = wanted.into_iter().collect();
        let refused = self.refused.iter().filter(|(_, refusal)| !refusal.is_due).map(|(key, _)| key);
        keys.extend(self.workers.keys().chain(refused).cloned());
        let is_ready = self.wanted.is_ready();
        let is_due = |left: &&Left| left.runs || is_ready && !self.wanted.cannot_tell(&left.origin);
        let due = self.left.iter().filter(is_due).filter(|left| keys.insert(left.pod.key.clone()));
        let due: Vec<Left> = due.cloned().collect();
        let candidate = |Left { pod, origin, .. }| {
            let objects = self.objects_of(origin.source).subscribe();
            (Candidate { pod, origin, objects, heard: Instant::now(), goes_on: true }, Task::Left)
        };
        due.into_iter().map(candidate).collect()
    }

    /// The pod of that name that is to be taken on.
    fn candidate(&mut self, key: &PodKey) -> Option<(Candidate, Task)> {
        let (wanted, source) = self.wanted.get(key)?;
        // What has become another meanwhile is tried at once.
        let refusal = self.refused.get(key);
        let is_refused = refusal.is_some_and(|refusal| !refusal.is_due && refusal.pod == wanted.pod);
        if self.workers.contains_key(key) || is_refused {
            return None;
        }
        let (pod, deletion, is_over) = (Arc::new(wanted.pod.clone()), wanted.deletion, wanted.is_over);
        let origin = Arc::new(Origin { source, place: wanted.place.clone() });
        let objects = self.objects_of(source).subscribe();
        let heard = self.heard.get(key).copied().unwrap_or_else(Instant::now);
        let mut left = self.left.iter().filter(|left| left.pod.key == *key).peekable();
        let is_left = left.peek().is_some();
        let goes_on = left.any(|left| update::updated(&left.pod, &pod).is_ok());
        let candidate = Candidate { pod, origin, objects, heard, goes_on };
        match deletion {
            Some(_) if !is_left => {
                let uid = candidate.pod.uid.clone();
                if self.told_gone.insert(key.clone(), uid.clone()) != Some(uid) {
                    self.keeper.absent(&candidate);
                }
                None
            }
            // Whatever it was, it is not to run a second time.
            None if is_over && !is_left => None,
            _ => Some((candidate, Task::Wanted)),
        }
    }

    async fn admit(&mut self, candidates: Vec<(Candidate, Task)>) {
        let pods = candidates.iter().map(|(candidate, _)| candidate.clone()).collect();
        let of_workers = self.workers.values().filter_map(|worker| worker.beside(&self.wanted));
        let beside = of_workers.chain(self.left.iter().filter_map(Left::beside));
        let answers = self.keeper.admit(pods, beside.collect()).await;
        for ((candidate, task), answer) in candidates.into_iter().zip(answers) {
            let key = candidate.pod.key.clone();
            match answer {
                Ok(admitted) => {
                    self.refused.remove(&key);
                    self.heard.remove(&key);
                    let is_taken = |left: &Left| match task {
                        Task::Wanted => left.pod.key == key,
                        Task::Left => left.pod.uid == candidate.pod.uid,
                    };
                    self.left.retain(|left| !is_taken(left));
                    self.hire(admitted, Some(Arc::clone(&candidate.origin)), task == Task::Left);
                    if let Some(worker) = self.workers.get_mut(&key) {
                        instruct(&key, worker, &candidate.origin, &self.wanted, &self.keeper);
                    }
                }
                Err(why) => {
                    if self.refused.get(&key).is_none_or(|before| before.why != why) {
                        self.keeper.refused(&candidate, &why);
                    }
                    self.refuse(Pod::clone(&candidate.pod), why);
                }
            }
        }
    }

    fn hire(&mut self, admitted: Admitted, origin: Option<Arc<Origin>>, was_left: bool) {
        let Admitted { pod, look_after } = admitted;
        let (orders, receiver) = watch::channel(Order::Run(Arc::clone(&pod)));
        let (key, task, sender) = (pod.key.clone(), tokio::spawn(look_after(receiver)), self.sender.clone());
        let worker = Worker { pod, origin, orders, ends: None, forbidden: None, was_left };
        self.workers.insert(key.clone(), worker);
        tokio::spawn(async move {
            let result = task.await.unwrap_or_else(|panic| Err(Error::chain(&panic)));
            // Fails only when the loop has been dropped.
            let _ = sender.send(Event::Gone { key, result });
        });
    }

    fn refuse(&mut self, pod: Pod, why: Refused) {
        if !why.is_final && !self.is_again_coming {
            self.is_again_coming = true;
            self.send_later(AGAIN, Event::Again);
        }
        self.refused.insert(pod.key.clone(), Refusal { pod, why, is_due: false });
    }

    fn send_later(&self, time: Duration, event: Event) {
        let sender = self.sender.clone();
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            let _ = sender.send(event);
        });
    }

    /// A pod that is on its way out stays as it is.
    fn update(&mut self, pod: Pod) {
        let worker = self.workers.get_mut(&pod.key).filter(|_| self.stops == 0);
        if let Some(worker) = worker {
            // The uid of an edited manifest may be another one.
            worker.go_on_as(Pod { uid: worker.pod.uid.clone(), ..pod });
        }
    }

    fn stop(&mut self) {
        self.stops += 1;
        for worker in self.workers.values() {
            let grace =
                if self.stops > 1 { Duration::ZERO } else { worker.pod.spec.termination_grace_period };
            // A worker that has just ended needs no orders.
            let _ = worker.orders.send(Order::Terminate { grace });
        }
    }
}

/// Why a pod is taken on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Wanted,
    Left,
}

/// Passes on what is wanted of a pod now.
fn instruct(key: &PodKey, worker: &mut Worker, origin: &Origin, wanted: &Merge, keeper: &impl Keeper) {
    let Some((wanted_pod, _)) = wanted.get(key) else {
        let is_settled = !worker.was_left || wanted.is_ready();
        if is_settled && !wanted.cannot_tell(origin) {
            worker.end(None);
        }
        return;
    };
    worker.was_left = false;
    match update::updated(&worker.pod, &wanted_pod.pod) {
        _ if worker.ends.is_some() => {}
        Ok(None) => worker.forbidden = None,
        Ok(Some(updated)) => {
            worker.forbidden = None;
            worker.go_on_as(updated);
        }
        Err(update::Refusal::Forbidden(why)) => {
            if worker.forbidden.as_ref() != Some(&wanted_pod.pod) {
                why.iter().for_each(|why| keeper.say(&format!("pod {key}: {why}")));
                worker.forbidden = Some(wanted_pod.pod.clone());
            }
        }
        Err(update::Refusal::Replaces) => return worker.end(None),
    }
    if let Some(deletion) = wanted_pod.deletion {
        worker.end(Some(deletion));
    }
}

impl Left {
    fn beside(&self) -> Option<Beside> {
        let is_static = self.origin.source != SourceKind::Api;
        (!self.is_over).then(|| Beside { pod: Arc::clone(&self.pod), is_static })
    }
}

impl Worker {
    /// As it counts for a new pod: one that its source has no more does not, though it may not have ended yet.
    fn beside(&self, wanted: &Merge) -> Option<Beside> {
        let is_static = self.origin.as_ref().is_none_or(|origin| origin.source != SourceKind::Api);
        let is_wanted =
            || wanted.get(&self.pod.key).is_some_and(|(wanted, _)| wanted.pod.uid == self.pod.uid);
        (self.ends.is_none() || is_wanted()).then(|| Beside { pod: Arc::clone(&self.pod), is_static })
    }

    fn go_on_as(&mut self, pod: Pod) {
        self.pod = Arc::new(pod);
        let _ = self.orders.send(Order::Run(Arc::clone(&self.pod)));
    }

    /// Has the pod end, in the time that its deletion leaves, or within its own grace period. It has never more time than it had.
    fn end(&mut self, deletion: Option<Deletion>) {
        let now = Timestamp::now();
        let deadline = match (deletion, self.ends) {
            (None, Some(_)) => return,
            (None, None) => super::restart::after(now, self.pod.spec.termination_grace_period),
            (Some(Deletion { grace, deadline }), _) => deadline.min(super::restart::after(now, grace)),
        };
        if self.ends.is_some_and(|before| deadline >= before) {
            return;
        }
        self.ends = Some(deadline);
        let grace = Duration::try_from(deadline.duration_since(now)).unwrap_or_default();
        let _ = self.orders.send(Order::Terminate { grace });
    }
}

#[cfg(test)]
mod tests;
