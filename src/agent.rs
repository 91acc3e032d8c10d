//! Composition root: builds the rooms, wires the channels, owns start order and shutdown.
//!
//! Taking pods on happens under a lock of the run directory, for many of them together: each is either new, or
//! the same as one that an earlier agent left, which goes on, or in the place of one that has become another since. Then each gets a worker.

pub mod active;
pub mod api;
mod collector;
pub mod desired;
pub mod heap;
mod images;
mod known;
mod kubelet;
mod look;
mod meter;
mod pressure;
mod room;
mod shutdown;
pub mod streams;
pub mod traces;

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use active::Active;
use desired::Desired;
use k8s_openapi::api::core::v1::PodStatus;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;

use self::room::{REJECTED, Rooms};
use crate::cluster::health::Health;
use crate::cluster::reporter::StaticPods;
use crate::config::Config;
use crate::events::Event;
use crate::failpoint;
use crate::metrics::Metrics;
use crate::pod::objects::Objects;
use crate::pod::{Origin, Pod, PodUid, SourceKind, update};
use crate::runtime::apparmor::AppArmor;
use crate::runtime::host::Host;
use crate::runtime::owner::{self, Ownership};
use crate::runtime::pod_files::{remove_tree, write_record};
use crate::runtime::pod_runtime::PodRuntime;
use crate::runtime::timing::{Phase, Span};
use crate::runtime::{Error, admit as node, pod_logs, reaper};
use crate::source::{SourceEvent, Wanted};
use crate::state::record::{Cause, PodRecord};
use crate::state::store::{self, Survive};
use crate::status::publish::{Change, Publisher, Update};
use crate::sync::event_loop::{self, Candidate, EventLoop, Keeper, Refused};
use crate::sync::room::Beside;
use crate::sync::worker::{Habits, Order, Worker};

/// Tells a person a line.
pub type Say = fn(&str);

/// An agent that looks after the pods it is given, until they are gone.
#[derive(Debug)]
pub struct Agent {
    shared: Shared,
    say: Say,
    /// What the manifests of static pods say, for those who show them.
    statics: watch::Sender<StaticPods>,
    /// How the node is.
    health: watch::Sender<Health>,
    /// The images that its sources want.
    desired: watch::Sender<Desired>,
    /// Of an agent that serves sources.
    _only_one: Option<Ownership>,
}

/// What all pods have in common.
#[derive(Debug, Clone)]
struct Shared {
    host: Arc<Host>,
    /// Where what happens is told.
    updates: mpsc::UnboundedSender<Update>,
    /// Pods are of somebody who waits for their end.
    retire: bool,
    /// Those that have a worker.
    active: Active,
    /// How the node is: not every pod is taken on at any time.
    health: watch::Receiver<Health>,
    /// What is counted.
    metrics: Arc<Metrics>,
    /// Who takes which room.
    rooms: Rooms,
}

/// A pod that this agent owns.
#[derive(Debug)]
struct Admitted {
    pod: Pod,
    /// As it is to go on, where its manifest was edited meanwhile.
    edited: Option<Pod>,
    ownership: Ownership,
    /// Pods of another content that were there before, and must go first.
    predecessors: Vec<(Pod, Option<Ownership>)>,
    /// The same pod was there before.
    resume: bool,
    origin: Option<Arc<Origin>>,
    /// ConfigMaps and Secrets as they are now.
    objects: watch::Receiver<Arc<Objects>>,
}

impl Agent {
    /// Finds out what the node is like. What happens to pods goes to `updates`, what else a person should know to `say`.
    pub fn new(config: &Config, updates: mpsc::UnboundedSender<Update>, say: Say) -> Result<Self, Error> {
        reaper::start()
            .map_err(|error| Error::chain(&error))
            .map_err(Error::in_step("become a subreaper"))?;
        let (health, receiver) = watch::channel(Health::default());
        let (host, active) = (Arc::new(Host::new(config)?), Active::default());
        let rooms = Rooms::of_node(config.max_pods);
        let metrics = Arc::default();
        let shared = Shared { host, updates, retire: true, active, health: receiver, metrics, rooms };
        let (statics, desired) = (watch::Sender::default(), watch::Sender::default());
        Ok(Self { shared, say, statics, health, desired, _only_one: None })
    }

    /// The node, as this agent uses it.
    pub fn host(&self) -> &Arc<Host> {
        &self.shared.host
    }

    /// The pods that it looks after.
    pub fn active(&self) -> Active {
        self.shared.active.clone()
    }

    /// How the node is, to be told by whoever finds out.
    pub fn health(&self) -> watch::Sender<Health> {
        self.health.clone()
    }

    /// The images that its sources want.
    pub fn desired(&self) -> watch::Receiver<Desired> {
        self.desired.subscribe()
    }

    /// What this agent counts.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.shared.metrics)
    }

    /// What the manifests of static pods say.
    pub fn statics(&self) -> watch::Receiver<StaticPods> {
        self.statics.subscribe()
    }

    /// Takes all the pods on, or, if one of them cannot be, none; they refer to `objects`. They run when the loop that is returned
    /// runs, and each is removed when it is over.
    pub async fn run(
        self,
        pods: Vec<Pod>,
        objects: watch::Receiver<Arc<Objects>>,
    ) -> Result<EventLoop<Self>, Error> {
        let app_armor = AppArmor::of_host();
        for pod in &pods {
            let refused = |why| Error(format!("pod {}: {why}", pod.key));
            node::check(pod, &self.shared.host.facts, &app_armor).map_err(refused)?;
        }
        let host = Arc::clone(&self.shared.host);
        let admitted = spawn_blocking(move || admit_all(&host, pods, &objects)).await;
        let admitted = admitted.map_err(|e| Error::chain(&e))??;
        let admitted: Vec<_> = admitted.into_iter().map(|one| self.shared.looked_after(one)).collect();
        let mut events = EventLoop::new(self);
        admitted.into_iter().for_each(|one| events.add(one));
        Ok(events)
    }

    /// Runs what these sources want, and looks after what an earlier agent has left, once the loop that is returned runs. There
    /// may be one such agent in a run directory.
    pub fn keep(self, sources: &[SourceKind]) -> Result<EventLoop<Self>, Error> {
        let layout = &self.shared.host.layout;
        let only_one = Ownership::acquire(&layout.agent_lock()).map_err(|error| match error {
            owner::Error::Owned { pid } => {
                Error(format!("an agent of {} is already running, process {pid}", layout.run().display()))
            }
            error => Error::chain(&error),
        })?;
        self.desired.send_replace(Desired::of(sources));
        let shared = Shared { retire: false, ..self.shared };
        Ok(EventLoop::serving(Self { shared, _only_one: Some(only_one), ..self }, sources))
    }
}

impl Keeper for Agent {
    async fn left(&self) -> Vec<event_loop::Left> {
        let (host, say) = (Arc::clone(&self.shared.host), self.say);
        let left = spawn_blocking(move || unowned(&host, say)).await.map_err(|e| Error::chain(&e));
        left.and_then(|left| left).unwrap_or_else(|error| {
            self.say(&format!("find out what an earlier agent left: {error}"));
            Vec::new()
        })
    }

    async fn admit(
        &self,
        pods: Vec<Candidate>,
        beside: Vec<Beside>,
    ) -> Vec<Result<event_loop::Admitted, Refused>> {
        let (host, count) = (Arc::clone(&self.shared.host), pods.len());
        let candidates = pods.clone();
        let found = self.find_room(&pods, beside);
        let with_room = pods.into_iter().zip(found).collect();
        let answers = spawn_blocking(move || admit_each(&host, with_room)).await;
        let answers = answers.unwrap_or_else(|panic| {
            let why = Refused::unexpected(Error::chain(&panic).0, false);
            (0..count).map(|_| Err(why.clone())).collect()
        });
        let looked_after = |(answer, candidate): (Result<Admitted, Refused>, &Candidate)| {
            let admitted = answer?;
            if !admitted.resume {
                let spans = vec![Span::until_now(Phase::Admit, candidate.heard)];
                self.tell(candidate, Change::Timed(spans));
            }
            Ok(self.shared.looked_after(admitted))
        };
        answers.into_iter().zip(&candidates).map(looked_after).collect()
    }

    fn wanted(&self, event: &SourceEvent) {
        let pods = event.pods.iter().map(|wanted| &wanted.pod);
        self.desired.send_modify(|desired| desired.tell(event.source, pods));
        if event.source == SourceKind::Api {
            return;
        }
        self.statics.send_modify(|statics| {
            statics.retain(|(source, _), _| *source != event.source);
            let written =
                |wanted: &Wanted| Some(((event.source, wanted.pod.key.clone()), wanted.written.clone()?));
            statics.extend(event.pods.iter().filter_map(written));
        });
    }

    fn refused(&self, candidate: &Candidate, why: &Refused) {
        self.say(&why.message);
        let status = PodStatus {
            phase: Some(if why.is_final { "Failed" } else { "Pending" }.to_owned()),
            reason: Some(why.reason.to_owned()),
            message: Some(why.message.clone()),
            ..PodStatus::default()
        };
        let event = why.message.strip_prefix(REJECTED).unwrap_or(&why.message);
        self.tell(candidate, Change::Event(Event::rejected(why.reason, event)));
        self.tell(candidate, Change::Status(Box::new(status)));
    }

    fn absent(&self, candidate: &Candidate) {
        self.tell(candidate, Change::Deleted);
    }

    fn say(&self, line: &str) {
        (self.say)(line);
    }
}

impl Agent {
    fn tell(&self, Candidate { pod, origin, .. }: &Candidate, change: Change) {
        let update = Update { pod: Arc::clone(pod), origin: Some(Arc::clone(origin)), change };
        // Nobody listening is no reason to stop.
        let _ = self.shared.updates.send(update);
    }
}

impl Shared {
    fn looked_after(&self, admitted: Admitted) -> event_loop::Admitted {
        let shared = self.clone();
        let pod = Arc::new(admitted.edited.as_ref().unwrap_or(&admitted.pod).clone());
        let look_after = Box::new(|orders| Box::pin(look_after(shared, admitted, orders)) as _);
        event_loop::Admitted { pod, look_after }
    }
}

/// A pod's whole life with this agent: the end of what was in its place, then its own.
async fn look_after(shared: Shared, admitted: Admitted, orders: watch::Receiver<Order>) -> Result<(), Error> {
    let Admitted { pod, mut ownership, predecessors, resume, origin, objects, .. } = admitted;
    let life = Life { shared: &shared, origin: &origin, objects: &objects };
    for (old, old_ownership) in predecessors {
        let is_same_uid = old.uid == pod.uid;
        life.end_predecessor(old, orders.clone()).await?;
        drop(old_ownership);
        if is_same_uid {
            // It went with the old pod's run directory.
            ownership =
                Ownership::acquire(&shared.host.layout.owner_lock(&pod.uid)).map_err(|e| Error::chain(&e))?;
        }
    }
    let ended = life.worker(Arc::new(pod), resume, orders).await;
    drop(ownership);
    ended
}

/// What the worker of a pod needs, and that of a pod that was in its place.
struct Life<'a> {
    shared: &'a Shared,
    origin: &'a Option<Arc<Origin>>,
    objects: &'a watch::Receiver<Arc<Objects>>,
}

impl Life<'_> {
    async fn end_predecessor(&self, old: Pod, mut orders: watch::Receiver<Order>) -> Result<(), Error> {
        let (grace, old) = (old.spec.termination_grace_period, Arc::new(old));
        // No more time than is left when the new pod is told to go, too.
        let (order, old_orders) = watch::channel(Order::Terminate { grace });
        let pass_on = async {
            while orders.changed().await.is_ok() {
                let passed_on = orders.borrow_and_update().clone();
                // What the new pod is to be like is not the old one's business.
                if matches!(passed_on, Order::Terminate { .. }) {
                    let _ = order.send(passed_on);
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            ended = self.worker(old, true, old_orders) => {
                ended.map_err(Error::in_step("end the pod that was there before"))
            }
            () = pass_on => Ok(()),
        }
    }

    async fn worker(&self, pod: Arc<Pod>, resume: bool, orders: watch::Receiver<Order>) -> Result<(), Error> {
        let Shared { host, updates, retire, metrics, .. } = self.shared;
        let (sender, notices) = mpsc::unbounded_channel();
        let runtime = PodRuntime::new(Arc::clone(&pod), Arc::clone(host), self.objects.clone(), sender);
        let runtime = Arc::new(runtime.with_origin(self.origin.clone()));
        let publisher = Publisher::new(Arc::clone(&pod), host.facts.address, updates.clone());
        let publisher = publisher.with_origin(self.origin.clone());
        let is_static = self.origin.as_ref().is_some_and(|origin| origin.source != SourceKind::Api);
        let _stay = self.shared.active.enter(&runtime, is_static, publisher.life());
        let (beside, habits) = (Arc::clone(&runtime), Habits { resume, retire: *retire });
        let worker = Worker::new(pod, runtime, habits, notices, orders, publisher, host.prober.clone());
        let worker = worker.with_metrics(Arc::clone(metrics)).run();
        tokio::pin!(worker);
        tokio::select! {
            ended = &mut worker => ended,
            // Objects change no more, and there is no volume to be measured any more.
            ((), ()) = async { tokio::join!(beside.follow_objects(), beside.watch_usage()) } => worker.await,
        }
    }
}

/// Takes all pods on or none. Blocks.
fn admit_all(
    host: &Host,
    pods: Vec<Pod>,
    objects: &watch::Receiver<Arc<Objects>>,
) -> Result<Vec<Admitted>, Error> {
    let _admission = host.admission()?;
    let left = left_behind(host)?;
    let mut admitted: Vec<Admitted> = Vec::new();
    let mut keys = HashSet::new();
    for pod in pods {
        let one = if keys.insert(pod.key.clone()) {
            admit_one(host, &left, pod, None, objects.clone()).map_err(Refused::into_error)
        } else {
            Err(Error(format!("pod {} is there twice", pod.key)))
        };
        match one {
            Ok(one) => admitted.push(one),
            Err(error) => {
                for one in admitted.iter().filter(|one| !one.resume) {
                    take_back(host, one);
                }
                return Err(error);
            }
        }
    }
    Ok(admitted)
}

/// Takes pods on, each by itself, for which there is room. Blocks.
fn admit_each(
    host: &Host,
    candidates: Vec<(Candidate, Result<(), Refused>)>,
) -> Vec<Result<Admitted, Refused>> {
    let not_now = |error: Error| Refused::unexpected(error.0, false);
    let begun = host.admission().and_then(|admission| Ok((admission, left_behind(host)?)));
    let app_armor = AppArmor::of_host();
    let admit = |(Candidate { pod, origin, objects, .. }, room): (Candidate, Result<(), Refused>)| {
        room?;
        let refused = |why| Refused::unexpected(format!("pod {}: {why}", pod.key), true);
        node::check(&pod, &host.facts, &app_armor).map_err(refused)?;
        let (_, left) = begun.as_ref().map_err(|error| not_now(error.clone()))?;
        admit_one(host, left, Pod::clone(&pod), Some(origin), objects)
    };
    candidates.into_iter().map(admit).collect()
}

fn admit_one(
    host: &Host,
    left: &[Left],
    pod: Pod,
    origin: Option<Arc<Origin>>,
    objects: watch::Receiver<Arc<Objects>>,
) -> Result<Admitted, Refused> {
    let own = |uid: &PodUid| match Ownership::acquire(&host.layout.owner_lock(uid)) {
        Err(error @ owner::Error::Owned { .. }) => {
            Err(Error(format!("pod {} is already running, {error}", pod.key)))
        }
        owned => owned.map_err(|e| Error::chain(&e)),
    };
    let of_same_key = || left.iter().filter_map(|one| one.pod.as_ref()).filter(|old| old.key == pod.key);
    // That of the same uid above all: there are two while one takes the other's place.
    let goes_on = |old: &&Pod| update::updated(old, &pod).is_ok();
    let same = of_same_key().filter(|old| old.uid == pod.uid).chain(of_same_key()).find(goes_on);
    let others = |uid: &PodUid| {
        let others = of_same_key().filter(|old| old.uid != *uid);
        others.map(|old| Ok((old.clone(), Some(own(&old.uid)?)))).collect::<Result<Vec<_>, Error>>()
    };
    // What runs already goes on.
    let is_static = origin.as_ref().is_none_or(|origin| origin.source != SourceKind::Api);
    if let Some(old) = same {
        if is_static {
            begin_again(host, &old.uid)?;
        }
        let edited = update::updated(old, &pod).unwrap_or_default();
        let ownership = own(&old.uid)?;
        let (predecessors, pod) = (others(&old.uid)?, old.clone());
        return Ok(Admitted { pod, edited, ownership, predecessors, resume: true, origin, objects });
    }
    if !pod.spec.ephemeral_containers.is_empty() {
        // They are added to a pod that runs.
        let why = "spec.ephemeralContainers: Forbidden: cannot be set on create";
        return Err(Error(format!("pod {}: {why}", pod.key)).into());
    }
    if let Some(why) = left.iter().find(|one| one.uid == pod.uid).and_then(Left::left_alone) {
        return Err(why.into());
    }
    let ownership = own(&pod.uid)?;
    failpoint::reached("admission.owned");
    let mut predecessors = others(&pod.uid).inspect_err(|_| {
        let _ = remove_tree(&host.layout.run_pod(&pod.uid));
    })?;
    match left.iter().find(|one| one.uid == pod.uid).map(|one| one.pod.as_ref()) {
        // From now on other agents find it by its name.
        None => write_new(&pod, origin.as_deref(), host)?,
        // Nobody knows what it was.
        Some(None) => {
            clear(host, &pod.uid)?;
            write_new(&pod, origin.as_deref(), host)?;
        }
        Some(Some(old)) => predecessors.push((old.clone(), None)),
    }
    Ok(Admitted { pod, edited: None, ownership, predecessors, resume: false, origin, objects })
}

fn write_new(pod: &Pod, origin: Option<&Origin>, host: &Host) -> Result<(), Error> {
    write_record(&PodRecord::new(pod.clone()).with_origin(origin.cloned()), host, Survive::Crash)
}

/// A static pod that ended with its machine begins again with the next agent: nobody but this node would make another one.
fn begin_again(host: &Host, uid: &PodUid) -> Result<(), Error> {
    let record = read_record(&host.layout.pod_record(uid));
    let went_down = |record: &PodRecord| {
        record.eviction.as_ref().is_some_and(|eviction| eviction.cause == Cause::NodeShutdown)
    };
    match record.filter(went_down) {
        Some(record) => write_record(&record.with_eviction(None).with_over(None), host, Survive::Crash),
        None => Ok(()),
    }
}

/// Undoes the admission of a new pod, of which there is nothing yet but its record and its lock.
fn take_back(host: &Host, admitted: &Admitted) {
    let Admitted { pod, predecessors, .. } = admitted;
    if predecessors.iter().all(|(old, _)| old.uid != pod.uid) {
        // Should that fail, the next admission clears it away.
        let _ = remove_tree(&host.layout.pod(&pod.uid)).and(remove_tree(&host.layout.run_pod(&pod.uid)));
    }
}

/// What is there of a pod, whoever looks after it.
struct Left {
    uid: PodUid,
    /// `None`: its record is gone, or cannot be understood.
    pod: Option<Pod>,
    /// Which source of an agent wanted it, if one did.
    origin: Option<Origin>,
    /// The version of its record, where a newer agent has written that.
    newer: Option<u32>,
    /// Its record says that it has ended for good.
    is_over: bool,
}

impl Left {
    /// Why nothing is done about it.
    fn left_alone(&self) -> Option<Error> {
        let (uid, version) = (&self.uid, self.newer?);
        Some(Error(format!(
            "pod {uid}: its record is of a newer mkubelet (version {version}): it is left alone; run that mkubelet again to end it"
        )))
    }
}

/// What agents that served sources have left, and nobody looks after. Blocks.
fn unowned(host: &Host, say: Say) -> Result<Vec<event_loop::Left>, Error> {
    let _admission = host.admission()?;
    let mut unowned = Vec::new();
    for one in left_behind(host)? {
        if let Some(why) = one.left_alone() {
            say(&why.0);
        }
        let Left { uid, pod, origin, is_over, .. } = one;
        if let (Some(pod), Some(origin)) = (pod, origin)
            && Ownership::acquire(&host.layout.owner_lock(&uid)).is_ok()
        {
            let runs = host.layout.journal(&uid).exists();
            unowned.push(event_loop::Left { pod: Arc::new(pod), origin: Arc::new(origin), runs, is_over });
        }
    }
    Ok(unowned)
}

/// All pods that are there. The remains of those whose agent died between two steps, so that nobody knows what they were,
/// are cleared away.
fn left_behind(host: &Host) -> Result<Vec<Left>, Error> {
    let layout = &host.layout;
    let mut uids: HashSet<PodUid> = HashSet::new();
    for directory in [layout.run_pods(), layout.pods()] {
        uids.extend(names(&directory));
    }
    let mut left = Vec::new();
    for uid in uids {
        let record = read_record(&layout.pod_record(&uid)).filter(|record| record.pod.uid == uid);
        if let Some(PodRecord { pod, origin, over, .. }) = record {
            left.push(Left { uid, pod: Some(pod), origin, newer: None, is_over: over.is_some() });
        } else if let newer @ Some(_) = store::newer(&layout.pod_record(&uid)) {
            left.push(Left { uid, pod: None, origin: None, newer, is_over: false });
        } else if let Ok(_owned) = Ownership::acquire(&layout.owner_lock(&uid)) {
            clear(host, &uid)?;
            remove_tree(&layout.run_pod(&uid))?;
        } else {
            left.push(Left { uid, pod: None, origin: None, newer: None, is_over: false });
        }
    }
    Ok(left)
}

fn read_record(path: &Path) -> Option<PodRecord> {
    let record: PodRecord = store::read(path)?;
    match record.understood() {
        Ok(record) => Some(record),
        Err(_) if store::newer(path).is_some() => None,
        Err(error) => {
            store::quarantine(path, &error.to_string());
            None
        }
    }
}

/// Ends and removes all of a pod but its run directory, of which nothing but the uid is known.
fn clear(host: &Host, uid: &PodUid) -> Result<(), Error> {
    for group in host.possible_groups(uid) {
        host.remove_group(&group)?;
    }
    pod_logs::remove_of(uid, &host.layout)?;
    remove_tree(&host.layout.pod(uid))?;
    // All but the lock; the pod's address is given back when its directory is gone.
    for entry in fs::read_dir(host.layout.run_pod(uid)).into_iter().flatten().flatten() {
        let path = entry.path();
        if path == host.layout.owner_lock(uid) {
            continue;
        }
        if path.is_dir() {
            // What a shim mounted there went with it.
            remove_tree(&path)?;
        } else {
            fs::remove_file(&path).map_err(|error| Error(format!("remove {}: {error}", path.display())))?;
        }
    }
    Ok(())
}

fn names(directory: &Path) -> impl Iterator<Item = PodUid> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}
