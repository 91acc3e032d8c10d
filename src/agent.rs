//! Composition root: builds the rooms, wires the channels, owns start order and shutdown.
//!
//! Taking a pod on happens under a lock of the run directory, for all pods of a manifest together: each is either new, or
//! the same as one that an earlier agent left, which goes on, or in the place of one that has become another since. Then each gets a worker.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;

use crate::config::Config;
use crate::pod::objects::Objects;
use crate::pod::{Pod, PodUid, update};
use crate::runtime::apparmor::AppArmor;
use crate::runtime::host::Host;
use crate::runtime::owner::{self, Ownership};
use crate::runtime::pod_files::{remove_tree, write_record};
use crate::runtime::pod_runtime::PodRuntime;
use crate::runtime::{Error, admit as node, reaper};
use crate::state::record::PodRecord;
use crate::state::store::{self, Survive};
use crate::status::publish::{Publisher, Update};
use crate::sync::event_loop::EventLoop;
use crate::sync::worker::{Habits, Order, Worker};

/// An agent that looks after the pods it is given, until they are gone.
#[derive(Debug)]
pub struct Agent {
    shared: Shared,
}

/// What all pods have in common.
#[derive(Debug, Clone)]
struct Shared {
    host: Arc<Host>,
    /// ConfigMaps and Secrets as they are now.
    objects: watch::Receiver<Arc<Objects>>,
    /// Where what happens is told.
    updates: mpsc::UnboundedSender<Update>,
}

/// A pod that this agent owns.
#[derive(Debug)]
struct Admitted {
    pod: Pod,
    /// As it is to go on, where its manifest was edited meanwhile.
    edited: Option<Pod>,
    ownership: Ownership,
    /// A pod of another content that was there before, and must go first.
    predecessor: Option<(Pod, Option<Ownership>)>,
    /// The same pod was there before.
    resume: bool,
}

impl Agent {
    /// Finds out what the node is like. Pods refer to `objects`; what happens to them goes to `updates`.
    pub fn new(
        config: &Config,
        objects: watch::Receiver<Arc<Objects>>,
        updates: mpsc::UnboundedSender<Update>,
    ) -> Result<Self, Error> {
        reaper::start()
            .map_err(|error| Error::chain(&error))
            .map_err(Error::in_step("become a subreaper"))?;
        Ok(Self { shared: Shared { host: Arc::new(Host::new(config)?), objects, updates } })
    }

    /// Takes all the pods on, or, if one of them cannot be, none. They run when the loop that is returned runs, and each
    /// is removed when it is over.
    pub async fn run(self, pods: Vec<Pod>) -> Result<EventLoop, Error> {
        let app_armor = AppArmor::of_host();
        for pod in &pods {
            let refused = |why| Error(format!("pod {}: {why}", pod.key));
            node::check(pod, &self.shared.host.facts, &app_armor).map_err(refused)?;
        }
        let host = Arc::clone(&self.shared.host);
        let admitted = spawn_blocking(move || admit(&host, pods)).await.map_err(|e| Error::chain(&e))??;
        let mut events = EventLoop::new();
        for admitted in admitted {
            let wanted = admitted.edited.as_ref().unwrap_or(&admitted.pod);
            let (shared, pod) = (self.shared.clone(), Arc::new(wanted.clone()));
            events.add(pod, |orders| look_after(shared, admitted, orders));
        }
        Ok(events)
    }
}

/// A pod's whole life with this agent: the end of what was in its place, then its own.
async fn look_after(shared: Shared, admitted: Admitted, orders: watch::Receiver<Order>) -> Result<(), Error> {
    let Admitted { pod, mut ownership, predecessor, resume, .. } = admitted;
    if let Some((old, old_ownership)) = predecessor {
        let is_same_uid = old.uid == pod.uid;
        let (grace, old) = (old.spec.termination_grace_period, Arc::new(old));
        // No more time than is left when the new pod is told to go, too.
        let (order, old_orders) = watch::channel(Order::Terminate { grace });
        let mut passing_on = orders.clone();
        let pass_on = async {
            while passing_on.changed().await.is_ok() {
                let passed_on = passing_on.borrow_and_update().clone();
                // What the new pod is to be like is not the old one's business.
                if matches!(passed_on, Order::Terminate { .. }) {
                    let _ = order.send(passed_on);
                }
            }
            std::future::pending::<()>().await;
        };
        let habits = Habits { resume: true, retire: true };
        let worker = worker(&shared, old, habits, old_orders);
        tokio::select! {
            ended = worker => ended.map_err(Error::in_step("end the pod that was there before"))?,
            () = pass_on => {}
        }
        drop(old_ownership);
        if is_same_uid {
            // It went with the old pod's run directory.
            ownership =
                Ownership::acquire(&shared.host.layout.owner_lock(&pod.uid)).map_err(|e| Error::chain(&e))?;
        }
    }
    let habits = Habits { resume, retire: true };
    let ended = worker(&shared, Arc::new(pod), habits, orders).await;
    drop(ownership);
    ended
}

async fn worker(
    Shared { host, objects, updates }: &Shared,
    pod: Arc<Pod>,
    habits: Habits,
    orders: watch::Receiver<Order>,
) -> Result<(), Error> {
    let (sender, notices) = mpsc::unbounded_channel();
    let runtime = Arc::new(PodRuntime::new(Arc::clone(&pod), Arc::clone(host), objects.clone(), sender));
    let publisher = Publisher::new(Arc::clone(&pod), host.facts.address, updates.clone());
    let beside = Arc::clone(&runtime);
    let worker = Worker::new(pod, runtime, habits, notices, orders, publisher, host.prober.clone()).run();
    tokio::pin!(worker);
    tokio::select! {
        ended = &mut worker => ended,
        // Objects change no more, and there is no volume to be measured any more.
        ((), ()) = async { tokio::join!(beside.follow_objects(), beside.watch_usage()) } => worker.await,
    }
}

/// Takes pods on. Blocks.
fn admit(host: &Host, pods: Vec<Pod>) -> Result<Vec<Admitted>, Error> {
    let _admission = host.admission()?;
    let left = left_behind(host)?;
    let mut admitted: Vec<Admitted> = Vec::new();
    let mut keys = HashSet::new();
    for pod in pods {
        let one = if keys.insert(pod.key.clone()) {
            admit_one(host, &left, pod)
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

fn admit_one(host: &Host, left: &[Left], pod: Pod) -> Result<Admitted, Error> {
    let of_same_uid = left.iter().find(|one| one.uid == pod.uid);
    let of_same_key = left.iter().find(|one| one.pod.as_ref().is_some_and(|old| old.key == pod.key));
    let own = |uid: &PodUid| match Ownership::acquire(&host.layout.owner_lock(uid)) {
        Err(error @ owner::Error::Owned { .. }) => {
            Err(Error(format!("pod {} is already running, {error}", pod.key)))
        }
        owned => owned.map_err(|e| Error::chain(&e)),
    };
    if let Some(old) = of_same_key.and_then(|one| one.pod.as_ref())
        && let Ok(edited) = update::updated(old, &pod)
    {
        let ownership = own(&old.uid)?;
        return Ok(Admitted { pod: old.clone(), edited, ownership, predecessor: None, resume: true });
    }
    if !pod.spec.ephemeral_containers.is_empty() {
        // They are added to a pod that runs.
        let why = "spec.ephemeralContainers: Forbidden: cannot be set on create";
        return Err(Error(format!("pod {}: {why}", pod.key)));
    }
    let ownership = own(&pod.uid)?;
    let mut predecessor = None;
    match of_same_uid.map(|one| one.pod.as_ref()) {
        None => {}
        Some(Some(old)) => predecessor = Some((old.clone(), None)),
        // Nobody knows what it was.
        Some(None) => clear(host, &pod.uid)?,
    }
    if let Some(old) = of_same_key.filter(|old| old.uid != pod.uid).and_then(|one| one.pod.clone()) {
        let old_ownership = own(&old.uid).inspect_err(|_| {
            let _ = remove_tree(&host.layout.run_pod(&pod.uid));
        })?;
        predecessor = Some((old, Some(old_ownership)));
    }
    let is_place_free = predecessor.as_ref().is_none_or(|(old, _)| old.uid != pod.uid);
    if is_place_free {
        // From now on other agents find it by its name.
        write_record(&PodRecord::new(pod.clone()), host, Survive::Crash)?;
    }
    Ok(Admitted { pod, edited: None, ownership, predecessor, resume: false })
}

/// Undoes the admission of a new pod, of which there is nothing yet but its record and its lock.
fn take_back(host: &Host, admitted: &Admitted) {
    let Admitted { pod, predecessor, .. } = admitted;
    if predecessor.as_ref().is_none_or(|(old, _)| old.uid != pod.uid) {
        // Should that fail, the next admission clears it away.
        let _ = remove_tree(&host.layout.pod(&pod.uid)).and(remove_tree(&host.layout.run_pod(&pod.uid)));
    }
}

/// What is there of a pod, whoever looks after it.
struct Left {
    uid: PodUid,
    /// `None`: its record is gone, or cannot be understood.
    pod: Option<Pod>,
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
        let pod = read_record(&layout.pod_record(&uid)).filter(|pod| pod.uid == uid);
        if pod.is_some() {
            left.push(Left { uid, pod });
        } else if let Ok(_owned) = Ownership::acquire(&layout.owner_lock(&uid)) {
            clear(host, &uid)?;
            remove_tree(&layout.run_pod(&uid))?;
        } else {
            left.push(Left { uid, pod: None });
        }
    }
    Ok(left)
}

fn read_record(path: &Path) -> Option<Pod> {
    let record: PodRecord = store::read(path)?;
    match record.into_pod() {
        Ok(pod) => Some(pod),
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
    for entry in fs::read_dir(host.layout.log()).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().ends_with(&format!("_{uid}")) {
            remove_tree(&entry.path())?;
        }
    }
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
