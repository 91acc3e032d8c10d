//! A runtime without a kernel: it writes down what it is asked, answers as told, and plays the shim.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PodCondition, PodStatus};
use tokio::sync::mpsc;

use super::fixture::exit;
use super::{Captured, Error, NoSandbox, NotStarted, Notice, Pulled, Refusal, Resized, Runtime, shim_client};
use crate::image::registry::Progress;
use crate::pod::spec::Hook;
use crate::pod::{ContainerName, Pod};
use crate::shim::protocol::{Attempt, Event, ExecExit, Record};
use crate::state::record::{Eviction, Found, Given};

/// More than that of the processors no pod can have, thousandths of one.
const NODE_MILLIS: u64 = 8000;

pub(crate) struct Fake {
    notices: mpsc::UnboundedSender<Notice>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    asked: Vec<String>,
    last_seq: u64,
    running: HashMap<String, (Attempt, i32)>,
    /// Containers whose first attempts end at once, with these codes.
    exits: HashMap<String, Vec<i32>>,
    found: BTreeMap<String, Found>,
    conditions: Vec<PodCondition>,
    sandbox_error: Option<NoSandbox>,
    /// The first sandbox ends before anybody can use it.
    sandbox_dies: bool,
    refusals: HashMap<String, Refusal>,
    /// Containers whose image is not there, and how its pulls end; the last of them again and again.
    pulls: HashMap<String, Vec<Result<Pulled, Refusal>>>,
    pulled: BTreeSet<String>,
    /// Between the record of a start and its answer; a later attempt takes longer than that to come to its record.
    answer_late: Duration,
    deaf: bool,
    given: Option<BTreeMap<String, Given>>,
    eviction: Option<Eviction>,
    was_over: Option<PodStatus>,
    over: Option<PodStatus>,
    deadline: Option<Timestamp>,
    past: bool,
    too_new: Option<Error>,
}

impl Fake {
    pub(crate) fn new(notices: mpsc::UnboundedSender<Notice>) -> Self {
        Self { notices, inner: Mutex::default() }
    }

    /// The first attempts of a container end at once, with these codes; later ones run on.
    pub(crate) fn exits(self, container: &str, codes: &[i32]) -> Self {
        self.set(|inner| drop(inner.exits.insert(container.into(), codes.to_vec())))
    }

    pub(crate) fn refuses(self, container: &str, reason: &'static str) -> Self {
        let refusal = Refusal { reason, message: "no".into() };
        self.set(|inner| drop(inner.refusals.insert(container.into(), refusal)))
    }

    /// The container's image is not there, and its pulls end like this, in turn; without any they never end.
    pub(crate) fn pulls(self, container: &str, pulls: &[Result<Pulled, Refusal>]) -> Self {
        self.set(|inner| drop(inner.pulls.insert(container.into(), pulls.to_vec())))
    }

    pub(crate) fn without_sandbox(self, error: NoSandbox) -> Self {
        self.set(|inner| inner.sandbox_error = Some(error))
    }

    pub(crate) fn first_sandbox_dies(self) -> Self {
        self.set(|inner| inner.sandbox_dies = true)
    }

    pub(crate) fn answers_late(self) -> Self {
        self.set(|inner| inner.answer_late = Duration::from_millis(20))
    }

    /// Containers ignore their stop signal.
    pub(crate) fn deaf(self) -> Self {
        self.set(|inner| inner.deaf = true)
    }

    /// An earlier agent left a sandbox with this container running in it.
    pub(crate) fn left_running(self, container: &str) -> Self {
        let attempt =
            Attempt { id: format!("{container}-0"), name: container.into(), attempt: 0, image_id: None };
        self.record(Event::SandboxStarted { pid: 7 });
        self.record(Event::ContainerStarted { container: attempt.clone(), pid: 100, user: None });
        self.set(|inner| {
            inner.running.insert(attempt.id.clone(), (attempt, 143));
            inner.past = true;
        })
    }

    /// What runs is of a newer agent.
    pub(crate) fn of_newer_agent(self, error: Error) -> Self {
        self.set(|inner| inner.too_new = Some(error))
    }

    /// An earlier agent did not complete a change of resources, before which containers had been given this.
    pub(crate) fn had_given(self, given: BTreeMap<String, Given>) -> Self {
        self.set(|inner| inner.given = Some(given))
    }

    /// An earlier agent evicted the pod.
    pub(crate) fn was_evicted(self, eviction: Eviction) -> Self {
        self.set(|inner| inner.eviction = Some(eviction))
    }

    /// The pod ended like this before the machine was started again.
    pub(crate) fn was_over(self, status: PodStatus) -> Self {
        self.set(|inner| inner.was_over = Some(status))
    }

    /// How the pod has ended, as it was kept for an agent after a reboot.
    pub(crate) fn kept_over(&self) -> Option<PodStatus> {
        self.inner.lock().unwrap().over.clone()
    }

    /// An earlier agent told the pod to end until then.
    pub(crate) fn was_to_end_until(self, deadline: Timestamp) -> Self {
        self.set(|inner| inner.deadline = Some(deadline))
    }

    /// When the pod's grace period is over, as it was kept for a later agent.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.inner.lock().unwrap().deadline
    }

    /// The pod takes more of the disk than it may.
    pub(crate) fn exceed(&self, message: &str) {
        self.notices.send(Notice::Evict(message.to_owned().into())).unwrap();
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.inner.lock().unwrap().asked.clone()
    }

    /// Containers that run.
    pub(crate) fn running(&self) -> usize {
        self.inner.lock().unwrap().running.len()
    }

    /// Not while a start is under way: a dead shim tells of no start.
    pub(crate) fn kill_shim(&self) {
        self.inner.lock().unwrap().running.clear();
        self.notices.send(Notice::Lost).unwrap();
    }

    fn set(self, change: impl FnOnce(&mut Inner)) -> Self {
        change(&mut self.inner.lock().unwrap());
        self
    }

    fn ask(&self, what: String) {
        self.inner.lock().unwrap().asked.push(what);
    }

    fn record(&self, event: Event) {
        let mut inner = self.inner.lock().unwrap();
        inner.last_seq += 1;
        let record = Record { seq: inner.last_seq, at: Timestamp::now(), event };
        // A worker that has ended hears nothing.
        let _ = self.notices.send(Notice::Record(record));
    }

    fn end(&self, id: &str, code: Option<i32>) {
        let ended = self.inner.lock().unwrap().running.remove(id);
        if let Some((container, by_signal)) = ended {
            let exit = exit(code.unwrap_or(by_signal));
            self.record(Event::ContainerExited { container, exit, message: None });
        }
    }
}

impl Runtime for Fake {
    async fn take_over(&self) -> Result<Option<u64>, Error> {
        self.ask("take over".into());
        let inner = self.inner.lock().unwrap();
        match &inner.too_new {
            Some(error) => Err(error.clone()),
            None => Ok(inner.past.then_some(inner.last_seq)),
        }
    }

    async fn recall(&self) -> BTreeMap<String, Found> {
        self.inner.lock().unwrap().found.clone()
    }

    fn remember(&self, found: BTreeMap<String, Found>) {
        self.inner.lock().unwrap().found = found;
    }

    async fn recall_conditions(&self) -> Vec<PodCondition> {
        self.inner.lock().unwrap().conditions.clone()
    }

    fn remember_conditions(&self, conditions: Vec<PodCondition>) {
        self.inner.lock().unwrap().conditions = conditions;
    }

    async fn recall_given(&self) -> Option<BTreeMap<String, Given>> {
        self.inner.lock().unwrap().given.clone()
    }

    async fn recall_eviction(&self) -> Option<Eviction> {
        self.inner.lock().unwrap().eviction.clone()
    }

    fn evicted(&self, eviction: Eviction) {
        self.ask(format!("evicted {}", eviction.message));
    }

    async fn recall_over(&self) -> Option<PodStatus> {
        self.inner.lock().unwrap().was_over.clone()
    }

    fn over(&self, status: PodStatus) {
        self.inner.lock().unwrap().over = Some(status);
    }

    async fn recall_deadline(&self) -> Option<Timestamp> {
        self.inner.lock().unwrap().deadline
    }

    fn remember_deadline(&self, deadline: Timestamp) {
        self.inner.lock().unwrap().deadline = Some(deadline);
    }

    fn fits(&self, pod: &Pod) -> Result<(), String> {
        let is_large = pod.spec.containers.iter().any(|c| c.resources.cpu_request_millis > Some(NODE_MILLIS));
        if is_large { Err("too large".into()) } else { Ok(()) }
    }

    fn adopt(&self, pod: Arc<Pod>) {
        let millis = pod.spec.containers[0].resources.cpu_request_millis.unwrap_or_default();
        self.ask(format!("adopt {millis}"));
    }

    fn save(&self) {
        self.ask("save".to_owned());
    }

    async fn resize(&self, running: Vec<Resized>) -> Result<(), Error> {
        let given = running
            .iter()
            .map(|one| format!(" {} {}", one.id, one.given.own.cpu_request_millis.unwrap_or_default()));
        self.ask(format!("resize{}", given.collect::<String>()));
        Ok(())
    }

    async fn create_sandbox(&self) -> Result<Option<Ipv4Addr>, NoSandbox> {
        self.ask("sandbox".into());
        let (error, is_there, dies) = {
            let mut inner = self.inner.lock().unwrap();
            let dies = std::mem::take(&mut inner.sandbox_dies);
            (inner.sandbox_error.clone(), std::mem::take(&mut inner.past), dies)
        };
        if let Some(error) = error {
            return Err(error);
        }
        if !is_there {
            self.record(Event::SandboxStarted { pid: 7 });
        }
        if dies {
            self.record(Event::SandboxExited { exit: exit(137) });
            return Err(Error("the sandbox ended".into()).into());
        }
        Ok(Some([10, 85, 0, 2].into()))
    }

    async fn pull(
        &self,
        container: &ContainerName,
        image: &str,
        _progress: Arc<Progress>,
    ) -> Result<Pulled, Refusal> {
        self.ask(format!("pull {container} {image}"));
        let pulled = {
            let mut inner = self.inner.lock().unwrap();
            let pulls = inner.pulls.get_mut(container.as_str()).unwrap();
            if pulls.len() > 1 { Some(pulls.remove(0)) } else { pulls.first().cloned() }
        };
        match pulled {
            Some(pulled) => {
                if pulled.is_ok() {
                    self.inner.lock().unwrap().pulled.insert(container.to_string());
                }
                pulled
            }
            None => std::future::pending().await,
        }
    }

    async fn start(&self, container: &ContainerName, attempt: u32) -> Result<(), NotStarted> {
        self.ask(format!("start {container} {attempt}"));
        let lacks_image = {
            let mut inner = self.inner.lock().unwrap();
            inner.pulls.contains_key(container.as_str()) && !inner.pulled.remove(container.as_str())
        };
        if lacks_image {
            return Err(NotStarted::NoImage("nginx:1".to_owned()));
        }
        let (refusal, code, late) = {
            let inner = self.inner.lock().unwrap();
            let code =
                inner.exits.get(container.as_str()).and_then(|codes| codes.get(attempt as usize).copied());
            (inner.refusals.get(container.as_str()).cloned(), code, inner.answer_late)
        };
        if let Some(refusal) = refusal {
            return Err(refusal.into());
        }
        tokio::time::sleep(2 * late * attempt).await;
        let id = format!("{container}-{attempt}");
        let named = Attempt { id: id.clone(), name: container.to_string(), attempt, image_id: None };
        self.inner.lock().unwrap().running.insert(id.clone(), (named.clone(), 143));
        self.record(Event::ContainerStarted { container: named, pid: 100, user: None });
        if code.is_some() {
            self.end(&id, code);
        }
        tokio::time::sleep(late).await;
        Ok(())
    }

    async fn hook(&self, container: &ContainerName, _id: &str, hook: &Hook) -> Result<(), Error> {
        self.ask(format!("hook {container} {hook:?}"));
        match hook {
            Hook::Sleep(time) => tokio::time::sleep(*time).await,
            Hook::Exec(command) if command[0] == "false" => return Err(Error("exit code 1".into())),
            _ => {}
        }
        Ok(())
    }

    async fn stop(&self, container: &ContainerName, id: &str) -> Result<(), Error> {
        self.ask(format!("stop {container}"));
        if !self.inner.lock().unwrap().deaf {
            self.end(id, None);
        }
        Ok(())
    }

    async fn kill(&self, id: &str) -> Result<(), Error> {
        self.ask(format!("kill {id}"));
        self.end(id, Some(137));
        Ok(())
    }

    async fn reset(&self) -> Result<(), Error> {
        self.ask("reset".into());
        self.record(Event::ContainersReset);
        Ok(())
    }

    async fn exec(
        &self,
        id: &str,
        command: &[String],
        timeout: Option<Duration>,
    ) -> Result<Captured, shim_client::Error> {
        self.ask(format!("exec {id} {}", command.join(" ")));
        // What the program is called says how it ends.
        let code = match command.first().map(String::as_str) {
            Some("true") => 0,
            Some("false") => 1,
            Some("hang") => {
                tokio::time::sleep(timeout.unwrap_or(Duration::MAX)).await;
                137
            }
            _ => return Err(shim_client::Error::Gone),
        };
        let exit = ExecExit { code, signal: None, timed_out: code == 137 };
        Ok(Captured { exit, output: command[1..].join(" ").into_bytes() })
    }

    async fn remove(&self) -> Result<(), Error> {
        self.ask("remove".into());
        Ok(())
    }
}
