//! One task per pod: everything that is done to a pod is done here, in turn, by what [`plan`] says.
//!
//! ```text
//!              order: Run                     order: Terminate            nothing runs any more
//!   ┌─────────┐          ┌─────────────────┐               ┌─────────────┐                ┌─────────┐
//!   │ take    ├─────────>│ Running         ├──────────────>│ Terminating ├───────────────>│ Removed │
//!   │ over    │          │ plan, act, wait │  over and     │ the same    │   Remove       └─────────┘
//!   └─────────┘          └─────────────────┘  to retire    └─────────────┘
//!        └── what an earlier agent left; nothing, for a new pod
//! ```
//!
//! It goes from left to right only. Each turn of the loop takes in everything that is known, plans, starts the actions as
//! futures of this very task, publishes the status, and waits for the next thing to happen. An action that is under way is
//! noted in `Observed`, so that the plan does not ask for it again. Nothing here blocks, and nothing polls.

mod done;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodStatus;
use tokio::sync::{mpsc, watch};

use done::{Done, Last};

use super::outcome::{evict, outcome};
use super::plan::{Action, Intent, plan, terminate};
use super::probing::{self, Probes};
use super::resize;
use crate::events::Event;
use crate::image::registry::Progress;
use crate::metrics::Metrics;
use crate::pod::spec::{Hook, Lifecycle};
use crate::pod::{ContainerName, Pod};
use crate::probe::{self, Prober};
use crate::runtime::observe::{Observed, PostStart, Pull, Resize, StopStep, Stopping};
use crate::runtime::{Error, Notice, Refusal, Runtime, timing};
use crate::state::record::{Cause, Ending};
use crate::status::publish::Publisher;

/// SIGKILL that could not be sent is tried again after this time.
const KILL_AGAIN: Duration = Duration::from_secs(1);

/// What is wanted of a pod. The latest order counts; from `Terminate` there is no way back.
#[derive(Debug, Clone, PartialEq)]
pub enum Order {
    /// It should run, as this one, of which only what may be changed in a running pod is another than before.
    Run(Arc<Pod>),
    /// It should be gone, with that much time to end by itself.
    Terminate {
        /// Time to SIGKILL.
        grace: Duration,
    },
}

/// How a worker treats its pod.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Habits {
    /// It is a pod of somebody who waits for its end: it is removed when it is over or cannot be started, and one that an
    /// earlier agent was about to end runs on.
    pub retire: bool,
    /// An earlier agent may have left something of the pod.
    pub resume: bool,
}

/// The task of one pod.
pub struct Worker<R> {
    pod: Arc<Pod>,
    runtime: Arc<R>,
    habits: Habits,
    notices: mpsc::UnboundedReceiver<Notice>,
    orders: watch::Receiver<Order>,
    publisher: Publisher,
    observed: Observed,
    intent: Intent,
    /// The pod as it is to be when the change of resources that is under way has come to its end.
    next: Option<Arc<Pod>>,
    /// The pod has been changed since it was kept on the disk.
    unsaved: bool,
    /// How the pod has ended is kept on the disk.
    is_end_kept: bool,
    /// Why the pod could not be started at all.
    failure: Option<Error>,
    under_way: FuturesUnordered<BoxFuture<'static, Done>>,
    probes: Probes,
    metrics: Arc<Metrics>,
}

/// What can wake a worker.
enum Wake {
    Noticed(Notice),
    Ordered(Order),
    Probed(probe::Verdict),
    Done(Done),
    Time,
}

/// What a kubelet's metrics call it, if it is an operation of its runtime at all.
fn operation(action: &Action) -> Option<&'static str> {
    match action {
        Action::CreateSandbox => Some("run_podsandbox"),
        Action::Start { .. } => Some("start_container"),
        Action::Pull { .. } => Some("pull_image"),
        Action::Stop { .. } | Action::Kill { .. } => Some("stop_container"),
        Action::Resize => Some("update_container"),
        Action::PostStart { .. } | Action::PreStop { .. } | Action::Reset | Action::Remove => None,
    }
}

impl<R: Runtime> Worker<R> {
    /// A worker for `pod`, whose runtime sends what happens to `notices`.
    pub fn new(
        pod: Arc<Pod>,
        runtime: Arc<R>,
        habits: Habits,
        notices: mpsc::UnboundedReceiver<Notice>,
        orders: watch::Receiver<Order>,
        publisher: Publisher,
        prober: Prober,
    ) -> Self {
        Self {
            pod,
            runtime,
            habits,
            notices,
            orders,
            publisher,
            observed: Observed::default(),
            intent: Intent::Run,
            next: None,
            unsaved: false,
            is_end_kept: false,
            failure: None,
            under_way: FuturesUnordered::new(),
            probes: Probes::new(prober),
            metrics: Arc::default(),
        }
    }

    /// The same, which counts what it does.
    #[must_use]
    pub fn with_metrics(self, metrics: Arc<Metrics>) -> Self {
        Self { metrics, ..self }
    }

    /// Looks after the pod until it is gone from the node. An error is what kept it from starting, or from going.
    pub async fn run(mut self) -> Result<(), Error> {
        let mut told_to_end = None;
        if self.habits.resume {
            if let Some(status) = self.runtime.recall_over().await.filter(|_| !self.habits.retire) {
                return self.stay_over(status).await;
            }
            told_to_end = self.take_over().await?;
            self.observed.eviction = self.runtime.recall_eviction().await;
            self.go_on_ending().await;
        }
        self.observed.began.get_or_insert_with(Timestamp::now);
        let order = self.orders.borrow_and_update().clone();
        self.obey(order);
        told_to_end.into_iter().for_each(|ending| self.take_in(Notice::Evict(ending)));
        loop {
            let begun = Instant::now();
            self.take_notices();
            let now = Timestamp::now();
            if self.habits.retire
                && self.intent == Intent::Run
                && outcome(&self.pod, &self.observed, now).is_some()
            {
                // Told before it is on its way out, for that is how it ended.
                self.tell_status(now);
                self.intent = self.intent.terminate(now, Duration::ZERO);
            }
            let plan = plan(&self.pod, &self.observed, self.intent, now);
            if plan.actions.contains(&Action::Remove) {
                return self.remove(now).await;
            }
            for action in plan.actions {
                self.act(action, now);
            }
            self.probes.follow(&self.pod, &self.observed, self.intent, &self.runtime);
            self.tell_status(now);
            self.metrics.turned(begun.elapsed());
            match self.next_event(plan.wake_at).await {
                Wake::Noticed(notice) => self.take_in(notice),
                Wake::Ordered(order) => self.obey(order),
                Wake::Probed(verdict) => {
                    let failed = probing::judge(&self.pod, &mut self.observed, verdict);
                    failed.into_iter().for_each(|event| self.publisher.happened(event));
                }
                Wake::Done(done) => self.finish(done),
                Wake::Time => {}
            }
        }
    }

    /// The pod has ended before the machine was started again: as with a kubelet it stays to be seen, and is not begun anew.
    async fn stay_over(mut self, status: PodStatus) -> Result<(), Error> {
        self.publisher.was_over(status);
        let is_to_go = self.orders.wait_for(|order| matches!(order, Order::Terminate { .. })).await.is_ok();
        if !is_to_go {
            // Who gives orders is gone, and soon this agent is.
            return std::future::pending().await;
        }
        self.publisher.terminating(Duration::ZERO);
        self.publisher.leaving().await;
        let removed = self.runtime.remove().await;
        self.publisher.deleted();
        removed
    }

    /// Learns all that happened before this agent, and gives what the pod was told to end for meanwhile. An error: the pod is none for
    /// this agent.
    async fn take_over(&mut self) -> Result<Option<Ending>, Error> {
        let mut told_to_end = None;
        match self.runtime.take_over().await? {
            Some(last) => {
                while self.observed.last_seq < last
                    && let Some(notice) = self.notices.recv().await
                {
                    match notice {
                        Notice::Record(record) => self.observed.fold(record),
                        Notice::Evict(ending) => told_to_end = told_to_end.or(Some(ending)),
                        Notice::Objects | Notice::Timed(_) | Notice::Happened(_) => {}
                        Notice::Lost => {
                            self.observed.shim_lost(Timestamp::now());
                            return Ok(told_to_end);
                        }
                    }
                }
                self.observed.taken_over();
                self.publisher.timed(timing::recalled(&self.observed, Timestamp::now(), Instant::now()));
                if let Some(given) = self.runtime.recall_given().await {
                    self.observed.recall_given(given);
                }
                self.probes.resumed(&mut self.observed, self.runtime.recall().await);
                self.publisher.resumed(self.runtime.recall_conditions().await);
            }
            // Whatever ran is gone, or will be killed before anything is started.
            None => self.observed.shim_lost(Timestamp::now()),
        }
        Ok(told_to_end)
    }

    /// A pod that was on its way out is so still, and has what was left of its grace period.
    async fn go_on_ending(&mut self) {
        if self.habits.retire {
            return;
        }
        if let Some(deadline) = self.runtime.recall_deadline().await {
            self.intent = Intent::Terminate { deadline };
            self.publisher.terminating(until(deadline, Timestamp::now()));
        }
    }

    /// Tells how the pod is, and keeps for a later agent since when.
    fn tell_status(&mut self, now: Timestamp) {
        let before = self.publisher.conditions().to_vec();
        self.publisher.status(&self.observed, self.intent, now);
        let conditions = self.publisher.conditions();
        if conditions != before {
            self.runtime.remember_conditions(conditions.to_vec());
        }
        if let Some(status) = self.publisher.over()
            && self.intent == Intent::Run
            && !self.habits.retire
            && !self.is_end_kept
        {
            self.is_end_kept = true;
            self.runtime.over(status.clone());
        }
    }

    async fn next_event(&mut self, wake_at: Option<Timestamp>) -> Wake {
        loop {
            match self.next_wake(wake_at).await {
                // What comes of it is a moment away: there is nothing to do or to tell.
                Wake::Noticed(Notice::Record(record)) if record.event.is_only_begun() => {
                    self.observed.fold(record);
                }
                wake => return wake,
            }
        }
    }

    async fn next_wake(&mut self, wake_at: Option<Timestamp>) -> Wake {
        let wait = wake_at.map(|at| until(at, Timestamp::now()));
        tokio::select! {
            biased;
            Some(notice) = self.notices.recv() => Wake::Noticed(notice),
            // Who gives orders may be gone: then the last one stands.
            Ok(()) = self.orders.changed() => {
                Wake::Ordered(self.orders.borrow_and_update().clone())
            }
            Some(done) = self.under_way.next(), if !self.under_way.is_empty() => Wake::Done(done),
            verdict = self.probes.verdict() => Wake::Probed(verdict),
            () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => Wake::Time,
        }
    }

    /// A reply comes after the records before it, so these must be taken in before it is.
    fn take_notices(&mut self) {
        while let Ok(notice) = self.notices.try_recv() {
            self.take_in(notice);
        }
    }

    /// Takes one thing in, and tells of it: what is over within a moment is worth a line, too.
    fn take_in(&mut self, notice: Notice) {
        let now = Timestamp::now();
        match notice {
            Notice::Record(record) if record.event.is_only_begun() => return self.observed.fold(record),
            Notice::Record(record) => self.observed.fold(record),
            Notice::Objects => self.observed.retry_held(),
            // The pod is what it was before.
            Notice::Timed(spans) => return self.publisher.timed(spans),
            Notice::Happened(event) => return self.publisher.happened(event),
            Notice::Evict(ending) if self.intent == Intent::Run => {
                if let Some(eviction) = evict(&self.pod, &mut self.observed, ending, now) {
                    tracing::info!(pod = %self.pod.key, podUID = %self.pod.uid, message = eviction.message, "Evicted");
                    // Of the shutdown an event of the node tells.
                    if eviction.cause != Cause::NodeShutdown {
                        self.publisher.happened(Event::evicted(eviction.cause.reason(), &eviction.message));
                    }
                    self.runtime.evicted(eviction);
                }
            }
            // It is on its way out, and has no more time for that than the machine.
            Notice::Evict(ending) if ending.cause == Cause::NodeShutdown => {
                self.obey(Order::Terminate { grace: ending.grace });
            }
            Notice::Evict(_) => {}
            Notice::Lost => {
                tracing::info!(pod = %self.pod.key, podUID = %self.pod.uid, "the pod's shim is gone");
                self.publisher.happened(Event::sandbox_changed());
                self.observed.shim_lost(now);
            }
        }
        self.tell_status(now);
    }

    fn obey(&mut self, order: Order) {
        let grace = match order {
            Order::Run(pod) if self.intent == Intent::Run => return self.follow(pod),
            Order::Run(_) => return,
            Order::Terminate { grace } => grace,
        };
        let (before, now) = (self.intent, Timestamp::now());
        self.intent = terminate(before, &self.pod, &self.observed, now, grace);
        if self.intent != before {
            self.publisher.terminating(grace);
            let deadline = match self.intent {
                Intent::Run => None,
                Intent::Terminate { deadline } => Some(deadline),
                Intent::Kill { since } => Some(since),
            };
            if let Some(deadline) = deadline.filter(|_| !self.habits.retire) {
                self.runtime.remember_deadline(deadline);
            }
        }
    }

    /// Goes on as this pod, as far as the node can.
    fn follow(&mut self, pod: Arc<Pod>) {
        if self.observed.resize == Resize::UnderWay {
            self.next = Some(pod);
            return;
        }
        let fits = if pod == self.pod { Ok(()) } else { self.runtime.fits(&pod) };
        let pod = match &fits {
            Ok(()) => pod,
            Err(_) => Arc::new(resize::without_resources_of(&pod, &self.pod)),
        };
        self.observed.infeasible = fits.err();
        if pod != self.pod {
            resize::begin(&self.pod, &pod, &mut self.observed);
            self.runtime.adopt(Arc::clone(&pod));
            self.publisher.adopt(Arc::clone(&pod));
            self.pod = pod;
            self.unsaved = true;
            self.save();
        }
    }

    /// Has the pod kept on the disk as it is now, unless something of it is still to be restarted for that: a later agent that reads
    /// it takes what runs for what it says.
    fn save(&mut self) {
        if self.unsaved && !resize::is_pending(&self.pod, &self.observed) {
            self.unsaved = false;
            self.runtime.save();
        }
    }

    /// Begins an action, and notes that it is under way.
    fn act(&mut self, action: Action, now: Timestamp) {
        tracing::debug!(pod = %self.pod.key, podUID = %self.pod.uid, ?action, "act");
        let runtime = Arc::clone(&self.runtime);
        let operation = operation(&action);
        let done: BoxFuture<'static, Done> = match action {
            Action::CreateSandbox => {
                self.observed.creating = true;
                Box::pin(async move { Done::Sandbox(runtime.create_sandbox().await) })
            }
            Action::Start { container, attempt } => {
                let known = self.observed.container_mut(&container);
                // It is given what the pod asks for now.
                known.starting = true;
                let last = Box::new(Last { given: known.given.take(), image: known.old_image.take() });
                let missing = self.missing_target(&container);
                Box::pin(async move {
                    let started = match missing {
                        Some(refusal) => Err(refusal.into()),
                        None => runtime.start(&container, attempt).await,
                    };
                    Done::Start(container, last, started)
                })
            }
            Action::Pull { container, image } => {
                self.observed.container_mut(&container).pull = Pull::UnderWay(image.clone());
                self.publisher.happened(Event::pulling(&self.pod, &container, &image));
                let progress = Arc::new(Progress::default());
                self.publisher.pulling(&image, &progress);
                Box::pin(async move {
                    let pulled = runtime.pull(&container, &image, progress).await;
                    Done::Pull(container, image, pulled)
                })
            }
            Action::PostStart { container, id } => {
                self.observed.container_mut(&container).post_start = PostStart::Running;
                let hook = self.hooks(&container).post_start;
                Box::pin(async move {
                    let result = run_hook(&*runtime, &container, &id, hook).await;
                    Done::PostStart(container, id, result)
                })
            }
            Action::PreStop { container, id, deadline } => {
                self.stopping(&container, Stopping { deadline, step: StopStep::PreStop });
                let hook = self.hooks(&container).pre_stop;
                Box::pin(async move {
                    let result = run_hook(&*runtime, &container, &id, hook).await;
                    Done::PreStop(container, id, result)
                })
            }
            Action::Stop { container, id, deadline, kill_at } => {
                self.stopping(&container, Stopping { deadline, step: StopStep::Signalled { kill_at } });
                Box::pin(async move {
                    let stopped = runtime.stop(&container, &id).await;
                    Done::Stop(container, stopped)
                })
            }
            Action::Resize => {
                self.observed.resize = Resize::UnderWay;
                let running = resize::running(&self.pod, &self.observed);
                Box::pin(async move { Done::Resize(runtime.resize(running).await) })
            }
            Action::Kill { container, id } => {
                self.stopping(&container, Stopping { deadline: now, step: StopStep::Killed });
                Box::pin(async move {
                    let killed = runtime.kill(&id).await;
                    Done::Kill(container, killed)
                })
            }
            Action::Reset => {
                self.observed.resetting = true;
                Box::pin(async move { Done::Reset(runtime.reset().await) })
            }
            // The loop ends with it instead.
            Action::Remove => return,
        };
        let (metrics, begun) = (Arc::clone(&self.metrics), Instant::now());
        self.under_way.push(Box::pin(async move {
            let done = done.await;
            if let Some(operation) = operation {
                metrics.operated(operation, begun.elapsed(), done.has_failed());
            }
            done
        }));
    }

    /// Why an ephemeral container cannot be where it can see the processes of another.
    fn missing_target(&self, container: &ContainerName) -> Option<Refusal> {
        let spec = &self.pod.spec;
        let target = spec.container(container)?.target.as_ref()?;
        let is_there = spec.share_process_namespace
            || spec.host_pid
            || self.observed.container(target).running().is_some();
        (!is_there).then(|| Refusal {
            reason: "CreateContainerConfigError",
            message: format!("unable to find target container \"{target}\""),
        })
    }

    fn stopping(&mut self, name: &ContainerName, stopping: Stopping) {
        let container = self.observed.container_mut(name);
        if container.stopping.replace(stopping).is_none() {
            let has_new_image = container.old_image.is_some() && self.intent == Intent::Run;
            self.publisher.happened(match &container.health.unhealthy {
                _ if has_new_image => Event::redefined(&self.pod, name),
                Some(unhealthy) => Event::unhealthy_ends(&self.pod, name, unhealthy.probe),
                None => Event::stopping(&self.pod, name),
            });
        }
    }

    fn hooks(&self, container: &ContainerName) -> Lifecycle {
        self.pod.spec.container(container).map(|spec| spec.lifecycle.clone()).unwrap_or_default()
    }

    async fn remove(mut self, now: Timestamp) -> Result<(), Error> {
        self.probes.stop();
        self.publisher.status(&self.observed, self.intent, now);
        self.publisher.leaving().await;
        // What is still under way has nothing left to act on.
        self.under_way.clear();
        let removed = self.runtime.remove().await;
        self.publisher.deleted();
        match self.failure {
            Some(failure) => Err(failure),
            None => removed,
        }
    }
}

/// Runs a hook of a container; fine when it has none.
async fn run_hook(
    runtime: &impl Runtime,
    container: &ContainerName,
    id: &str,
    hook: Option<Hook>,
) -> Result<(), Error> {
    match hook {
        Some(hook) => runtime.hook(container, id, &hook).await,
        None => Ok(()),
    }
}

/// A hook's error has its command in it, which may be a script.
fn on_one_line(error: &Error) -> String {
    error.0.replace('\n', "\\n")
}

fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
