//! The real runtime of one pod: image, volumes and network here, everything that runs by its shim.
//!
//! ```text
//!   create_sandbox:  user ids, then:
//!                    address ───────────────┐
//!                    images ────────────────┤
//!                    group, shim, connect ──┴─> pause ──> its network namespace ──> veth
//!   start:           image, volumes, directories ──> OCI configuration ──> shim
//!   pull:            an image that a start has found missing, for the next try
//!   remove:          shim ──> group ──> network ──> files, the run directory (and with it the lock) last
//! ```

mod images;
mod record;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PodCondition, PodStatus};
use serde::Serialize;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinHandle, spawn_blocking};

use super::apparmor::AppArmor;
use super::host::{CGROUP_MOUNT, Host};
use super::pod_files::{make_directories, remove_files, remove_tree, write_record};
use super::shim_client::{self, Notice, ShimClient};
use super::stop_signal::{signal_number, stop_signal};
use super::timing::{Phase, Stopwatch};
use super::{
    Captured, Error, NoSandbox, NotStarted, Pulled, Refusal, Resized, Runtime, etc_files, exec, host_name,
    oci, resize, resources, shim_process, user_ids,
};
use crate::cgroup;
use crate::container::spec::PidNamespace;
use crate::container::user;
use crate::container::user_namespace::IdRange;
use crate::failpoint;
use crate::hook;
use crate::image::Image;
use crate::image::registry::Progress;
use crate::network::{self, Network};
use crate::pod::objects::Objects;
use crate::pod::spec::Hook;
use crate::pod::{ContainerName, ContainerSpec, Origin, Pod};
use crate::shim::protocol::{Call, ExecConfig, SandboxConfig};
use crate::state::record::{ConditionsRecord, Ending, Eviction, Found, Given, PodRecord, ProbesRecord};
use crate::state::store::{self, Survive};

/// Size of the /dev/shm that the containers of a pod share, bytes.
const SHM_SIZE: u64 = 64 << 20;

/// A shim whose pod is being removed may take this long to end; then it is killed.
const SHUTDOWN_TIME: Duration = Duration::from_secs(3);

/// One pod on this node.
#[derive(Debug)]
pub struct PodRuntime {
    /// As it was taken on; see [`Self::pod`].
    pub(super) pod: Arc<Pod>,
    pub(super) host: Arc<Host>,
    /// Which source wants it, for its record.
    origin: Option<Arc<Origin>>,
    pub(super) notices: mpsc::UnboundedSender<Notice>,
    /// ConfigMaps and Secrets as they are now.
    pub(super) objects: watch::Receiver<Arc<Objects>>,
    /// Held while a shim is looked for or made, so that there is never a second one.
    shim: tokio::sync::Mutex<Option<Arc<ShimClient>>>,
    memory: Mutex<Memory>,
    /// The pod has become another while it runs.
    pub(super) adopted: Notify,
}

/// What it would cost time to find out again.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Images looked up while the sandbox was being made, by the name they have in the manifest.
    images: HashMap<String, Image>,
    /// Images pulled for a container's next start, by the name they have in the manifest.
    pulled: HashMap<(ContainerName, String), Image>,
    /// Images of volumes, likewise.
    volume_images: HashMap<String, Image>,
    stop_signals: HashMap<ContainerName, i32>,
    /// The pod's own address, once it has one.
    address: Option<Ipv4Addr>,
    /// Containers run that an earlier agent started: objects may have changed since.
    taken_over: bool,
    /// The pod's record on its way to the disk.
    saving: Option<JoinHandle<()>>,
    /// What probes have found and the conditions, likewise.
    remembering: Option<JoinHandle<()>>,
    /// The pod, once something of it has been changed while it runs.
    changed: Option<Arc<Pod>>,
    /// While a change of resources is not complete: what those that run were given before, by id.
    given: Option<BTreeMap<String, Given>>,
    /// The pod has been evicted.
    eviction: Option<Eviction>,
    /// When the pod's grace period is over.
    deadline: Option<Timestamp>,
    /// How the pod has ended.
    over: Option<Box<PodStatus>>,
}

impl PodRuntime {
    /// A runtime for a pod that this agent owns. What happens to the pod goes to `notices`.
    pub fn new(
        pod: Arc<Pod>,
        host: Arc<Host>,
        objects: watch::Receiver<Arc<Objects>>,
        notices: mpsc::UnboundedSender<Notice>,
    ) -> Self {
        let (shim, memory) = (tokio::sync::Mutex::new(None), Mutex::default());
        Self { pod, host, origin: None, objects, notices, shim, memory, adopted: Notify::new() }
    }

    /// The same for a pod that this source wants.
    #[must_use]
    pub fn with_origin(self, origin: Option<Arc<Origin>>) -> Self {
        Self { origin, ..self }
    }
}

impl Runtime for PodRuntime {
    async fn take_over(&self) -> Result<Option<u64>, Error> {
        let socket = self.host.layout.shim_socket(&self.pod.uid);
        let mut shim = self.shim.lock().await;
        let journal = self.host.layout.journal(&self.pod.uid);
        match ShimClient::connect(&socket, 1, self.notices.clone(), Some(journal)).await {
            Ok((client, last)) => {
                *shim = Some(Arc::new(client));
                self.memory().taken_over = true;
                Ok(Some(last))
            }
            Err(error @ shim_client::Error::TooNew(_)) => Err(Error::chain(&error)),
            Err(error) => {
                // It died with or after its agent. Its successor will tell what happened.
                tracing::debug!(pod = %self.pod.key, podUID = %self.pod.uid, %error, "no shim to take over");
                Ok(None)
            }
        }
    }

    async fn recall(&self) -> BTreeMap<String, Found> {
        let path = self.host.layout.probes(&self.pod.uid);
        let record = blocking(move || store::read::<ProbesRecord>(&path)).await;
        record.ok().flatten().map(ProbesRecord::into_containers).unwrap_or_default()
    }

    fn remember(&self, found: BTreeMap<String, Found>) {
        let path = self.host.layout.probes(&self.pod.uid);
        self.write_lazily(
            path,
            ProbesRecord::new(found),
            "a later agent will not know what probes have found",
        );
    }

    async fn recall_conditions(&self) -> Vec<PodCondition> {
        let path = self.host.layout.conditions(&self.pod.uid);
        let record = blocking(move || store::read::<ConditionsRecord>(&path)).await;
        record.ok().flatten().map(ConditionsRecord::into_conditions).unwrap_or_default()
    }

    fn remember_conditions(&self, conditions: Vec<PodCondition>) {
        let path = self.host.layout.conditions(&self.pod.uid);
        let record = ConditionsRecord::new(conditions);
        self.write_lazily(path, record, "a later agent will not know since when the pod's conditions hold");
    }

    async fn recall_given(&self) -> Option<BTreeMap<String, Given>> {
        let given = self.record().await.and_then(|record| record.given);
        self.memory().given.clone_from(&given);
        given
    }

    async fn recall_eviction(&self) -> Option<Eviction> {
        let eviction = self.record().await.and_then(|record| record.eviction);
        self.memory().eviction.clone_from(&eviction);
        eviction
    }

    fn evicted(&self, eviction: Eviction) {
        self.memory().eviction = Some(eviction);
        self.save();
    }

    async fn recall_over(&self) -> Option<PodStatus> {
        if self.host.layout.journal(&self.pod.uid).exists() {
            return None;
        }
        let over = self.record().await.and_then(|record| record.over);
        self.memory().over.clone_from(&over);
        over.map(|status| *status)
    }

    fn over(&self, status: PodStatus) {
        self.memory().over = Some(Box::new(status));
        self.save();
    }

    async fn recall_deadline(&self) -> Option<Timestamp> {
        let deadline = self.record().await.and_then(|record| record.deadline);
        self.memory().deadline = deadline;
        deadline
    }

    fn remember_deadline(&self, deadline: Timestamp) {
        self.memory().deadline = Some(deadline);
        let given = self.memory().given.clone();
        // A node that loses its power has lost the containers, too: the grace period is over.
        drop(self.write_record_later(given, Survive::Crash));
    }

    fn fits(&self, pod: &Pod) -> Result<(), String> {
        resize::fits(pod, &self.host.allocatable())
    }

    fn adopt(&self, pod: Arc<Pod>) {
        self.memory().changed = Some(pod);
        self.adopted.notify_one();
    }

    fn save(&self) {
        let given = self.memory().given.clone();
        // Whoever must wait for it writes it once more.
        drop(self.write_record_later(given, Survive::PowerLoss));
    }

    async fn resize(&self, running: Vec<Resized>) -> Result<(), Error> {
        let given = running.iter().map(|one| (one.id.clone(), one.given.clone())).collect();
        self.keep_record(Some(given)).await?;
        let (pod, host) = (self.pod(), Arc::clone(&self.host));
        let carried_out = blocking(move || {
            let carried_out = resize::carry_out(&pod, &running, &host);
            host.weigh_anew(&pod);
            carried_out
        });
        carried_out.await??;
        if let Ok(shim) = self.connected().await {
            // The downward API shows limits, too.
            self.refresh_volumes(&shim).await;
        }
        self.keep_record(None).await
    }

    async fn create_sandbox(&self) -> Result<Option<Ipv4Addr>, NoSandbox> {
        // First of all: what this node cannot do must not be begun.
        let hostname = host_name::of_kernel(&self.pod, &self.host.facts).map_err(|e| Error::chain(&e))?;
        let hostname = hostname.into_owned();
        // A sandbox that runs is only looked after again.
        let watch = Stopwatch::new(None, &self.notices).unless(self.memory().taken_over);
        let user_namespace = self.user_ids().await?;
        let shim = async { self.shim().await.map_err(NoSandbox::from) };
        let images = async { self.look_images_up().await.map_err(NoSandbox::from) };
        let (shim, address, ()) = tokio::try_join!(
            watch.time(Phase::Shim, shim),
            watch.time(Phase::Address, self.address()),
            watch.time(Phase::Images, images)
        )?;
        let sysctls = self.pod.spec.sysctls.iter().map(|s| (s.name.clone(), s.value.clone()));
        let (of_interface, of_namespaces) = sysctls.partition(|(name, _)| Network::is_of_interface(name));
        let config = SandboxConfig {
            hostname: hostname.clone(),
            host_network: self.pod.spec.host_network,
            host_ipc: self.pod.spec.host_ipc,
            pids: pids(&self.pod),
            cgroup: self.host.pod_group(&self.pod).join(new_id()?),
            shm_size: SHM_SIZE,
            sysctls: of_namespaces,
            user_namespace,
        };
        let pause = async { shim.call(Call::CreateSandbox(config)).await.map_err(|e| Error::chain(&e)) };
        let files = self.write_etc_files(hostname, address);
        let ((_, namespace), ()) =
            tokio::try_join!(watch.time(Phase::Sandbox, pause), watch.time(Phase::Files, files))?;
        match namespace {
            Some(namespace) if !self.pod.spec.host_network => {
                let attached = self.host.network.attach(&self.pod.uid, namespace, of_interface);
                let attached = watch.time(Phase::Network, attached).await;
                attached.map_err(no_network("attach to the network"))?;
            }
            None if !self.pod.spec.host_network => {
                return Err(Error("the shim sent no network namespace".to_owned()).into());
            }
            _ => {}
        }
        let is_taken_over = std::mem::take(&mut self.memory().taken_over);
        if is_taken_over {
            self.refresh_volumes(&shim).await;
        }
        self.save_record();
        Ok(address)
    }

    async fn pull(
        &self,
        container: &ContainerName,
        image: &str,
        progress: Arc<Progress>,
    ) -> Result<Pulled, Refusal> {
        let pulled = self.host.puller.pull(image, &self.pull_secrets(), progress).await?;
        let found = self.look_up(image).await.and_then(|found| found.map_err(|e| Error::chain(&e)));
        let found = found.map_err(|error| Refusal { reason: "ImageInspectError", message: error.0 })?;
        self.memory().pulled.insert((container.clone(), image.to_owned()), found);
        Ok(pulled)
    }

    async fn start(&self, name: &ContainerName, attempt: u32) -> Result<(), NotStarted> {
        let internal = |error: Error| Refusal { reason: "RunContainerError", message: error.0 };
        let pod = self.pod();
        let spec = spec_of(&pod, name).map_err(internal)?;
        let id = new_id().map_err(internal)?;
        let prefetched = if attempt == 0 { self.memory().images.get(&spec.image).cloned() } else { None };
        let watch = Stopwatch::new(Some(name), &self.notices);
        let pulled = self.memory().pulled.get(&(name.clone(), spec.image.clone())).cloned();
        let image = match (pulled, prefetched) {
            (Some(image), _) => image,
            (None, Some(image)) => self.admit(Ok(image), &spec.image, spec.image_pull_policy)?,
            (None, None) => {
                watch.time(Phase::Image, self.image_named(&spec.image, spec.image_pull_policy)).await?
            }
        };
        self.find_volume_images(name).await?;
        // What was pulled was for this start.
        self.memory().pulled.retain(|(container, _), _| container != name);
        let signal = stop_signal(spec, &image);
        self.memory().stop_signals.insert(name.clone(), signal);

        let shim = self.connected().await.map_err(internal)?;
        let volumes = async {
            let volumes = self.prepare_volumes(&shim).await?;
            let env = self.environment(spec, &volumes, &shim).await?;
            self.prepare_sub_paths(spec, &volumes, &env, &shim).await?;
            self.check_propagation(spec, &volumes).await?;
            Ok::<_, Refusal>((volumes, env))
        };
        let (volumes, env) = watch.time(Phase::Volumes, volumes).await?;
        let (pod, host, spec) = (Arc::clone(&pod), Arc::clone(&self.host), spec.clone());
        let config = move || {
            make_directories(&pod, &spec, attempt, &id, &host)
                .map_err(|error| Refusal { reason: "CreateContainerError", message: error.0 })?;
            let group = host.pod_group(&pod);
            let start = oci::Start {
                pod: &pod,
                spec: &spec,
                image: &image,
                id: &id,
                attempt,
                pod_group: &group,
                volumes: &volumes,
                env: &env,
            };
            let refused = |message: String| Refusal { reason: "CreateContainerError", message };
            let mut config =
                oci::config(start, &host.layout, &host.facts).map_err(|error| refused(error.to_string()))?;
            let filter = host.seccomp.filter(&spec.security.seccomp, &config.process.capabilities);
            config.process.seccomp = filter.map_err(|error| refused(error.to_string()))?;
            let profile = AppArmor::of_host().profile(&spec.security);
            config.process.apparmor_profile =
                profile.map_err(|error| refused(format!("appArmorProfile: {error}")))?;
            // As the kubelet: a user that is not allowed is no failed start, but one that is never tried.
            user::check(&config.process.user).map_err(|error| Refusal {
                reason: "CreateContainerConfigError",
                message: error.to_string(),
            })?;
            Ok(config)
        };
        let config = watch.time(Phase::Create, blocking(config)).await;
        let config = config.unwrap_or_else(|error| Err(internal(error)))?;

        let started = watch.time(Phase::Start, shim.tell(Call::StartContainer(Box::new(config)))).await;
        failpoint::reached("attempt.started");
        started.map_err(|e| internal(Error::chain(&e)).into())
    }

    async fn hook(&self, container: &ContainerName, id: &str, hook: &Hook) -> Result<(), Error> {
        // A pod that was taken over has its address still.
        let own = self.address().await?.map(IpAddr::V4);
        let pod_ip = own.unwrap_or_else(|| self.host.prober.node_address());
        let place = hook::Place { pod: &self.pod, container, id, pod_ip };
        hook::run(hook, place, self, &self.host.prober).await
    }

    async fn stop(&self, name: &ContainerName, id: &str) -> Result<(), Error> {
        let signal = self.stop_signal(name).await;
        let shim = self.connected().await?;
        shim.tell(Call::Signal { id: id.to_owned(), signal }).await.map_err(|e| Error::chain(&e))
    }

    async fn kill(&self, id: &str) -> Result<(), Error> {
        let shim = self.connected().await?;
        shim.tell(Call::Kill { id: id.to_owned() }).await.map_err(|e| Error::chain(&e))
    }

    async fn reset(&self) -> Result<(), Error> {
        let shim = self.connected().await?;
        shim.tell(Call::Reset).await.map_err(|e| Error::chain(&e))
    }

    async fn exec(
        &self,
        id: &str,
        command: &[String],
        timeout: Option<Duration>,
    ) -> Result<Captured, shim_client::Error> {
        let shim = self.shim.lock().await.clone().ok_or(shim_client::Error::Gone)?;
        let config = ExecConfig {
            id: id.to_owned(),
            args: command.to_vec(),
            timeout_ms: timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
            ..ExecConfig::default()
        };
        exec::capture(&shim, config, exec::OUTPUT_CAP).await
    }

    async fn remove(&self) -> Result<(), Error> {
        self.end_shim().await;
        failpoint::reached("removal.shim_ended");
        let saving = {
            let mut memory = self.memory();
            [memory.saving.take(), memory.remembering.take()]
        };
        for saving in saving.into_iter().flatten() {
            // A record written later would outlive the pod.
            let _ = saving.await;
        }
        let (pod, host) = (Arc::clone(&self.pod), Arc::clone(&self.host));
        let group = blocking(move || host.remove_group(&host.pod_group(&pod))).await;
        let flat = |result: Result<Result<(), Error>, Error>| result.and_then(|inner| inner);
        let group = flat(group).map_err(Error::in_step("remove the pod's cgroup"));
        failpoint::reached("removal.group_removed");
        let ids = self.release_user_ids().await;
        failpoint::reached("removal.ids_released");
        let network = self.host.network.detach(&self.pod.uid).await.map_err(|e| Error::chain(&e));
        failpoint::reached("removal.network_removed");
        let (pod, host) = (Arc::clone(&self.pod), Arc::clone(&self.host));
        let files = blocking(move || remove_files(&pod, &host)).await;
        group
            .and(network.map_err(Error::in_step("detach from the network")))
            .and(ids.map_err(Error::in_step("take the user ids back")))
            .and(flat(files))
    }
}

impl PodRuntime {
    /// Has the pod end, if it is not ending already.
    pub fn evict(&self, ending: Ending) {
        // Its worker may have ended.
        let _ = self.notices.send(Notice::Evict(ending));
    }

    /// The shim, started if there is none. A shim that died has its leavings killed first, and a successor that goes on
    /// with its journal.
    async fn shim(&self) -> Result<Arc<ShimClient>, Error> {
        let mut shim = self.shim.lock().await;
        if let Some(client) = shim.as_ref().filter(|client| !client.is_gone()) {
            return Ok(Arc::clone(client));
        }
        *shim = None;
        let (record, host) = (self.record_now(), Arc::clone(&self.host));
        blocking(move || launch(&record, &host)).await??;
        let layout = &self.host.layout;
        let socket = layout.shim_socket(&self.pod.uid);
        let journal = layout.journal(&self.pod.uid);
        let connected = ShimClient::connect(&socket, 1, self.notices.clone(), Some(journal)).await;
        let (client, _) = connected.map_err(|error| {
            let error = Error::chain(&error);
            match shim_process::last_words(layout, &self.pod.uid) {
                Some(words) => Error(format!("start the shim: {words}")),
                None => Error(format!("start the shim: {error}")),
            }
        })?;
        Ok(Arc::clone(shim.insert(Arc::new(client))))
    }

    /// The shim that runs; never makes one.
    pub(super) async fn connected(&self) -> Result<Arc<ShimClient>, Error> {
        self.shim.lock().await.clone().ok_or_else(|| Error("the shim is gone".to_owned()))
    }

    /// Writes a record of the run directory while the pod goes on; `loss` is told where that fails.
    fn write_lazily<T: Serialize + Send + 'static>(&self, path: PathBuf, record: T, loss: &'static str) {
        let mut memory = self.memory();
        let before = memory.remembering.take();
        memory.remembering = Some(tokio::spawn(async move {
            if let Some(before) = before {
                // So that an older one never comes last.
                let _ = before.await;
            }
            let written = blocking(move || store::write(&path, &record, Survive::Crash)).await;
            if let Ok(Err(error)) = written {
                tracing::warn!(error = %Error::chain(&error), "{loss}");
            }
        }));
    }

    async fn address(&self) -> Result<Option<Ipv4Addr>, NoSandbox> {
        if self.pod.spec.host_network {
            return Ok(None);
        }
        let address = self.host.network.allocate(&self.pod.uid).await;
        let address = address.map_err(no_network("allocate an address"))?;
        self.memory().address = Some(address.ip);
        Ok(Some(address.ip))
    }

    /// The pod's own address, once it has one.
    pub(super) fn known_address(&self) -> Option<Ipv4Addr> {
        self.memory().address
    }

    /// The host's ids behind the pod's own user namespace, if it is to have one.
    async fn user_ids(&self) -> Result<Option<IdRange>, NoSandbox> {
        if self.pod.spec.host_users {
            return Ok(None);
        }
        let (host, run_pod) = (Arc::clone(&self.host), self.host.layout.run_pod(&self.pod.uid));
        let allocated = blocking(move || {
            user_ids::check_kernel()?;
            host.user_ids.allocate(&run_pod)
        });
        allocated.await?.map(Some).map_err(|error| match error {
            user_ids::Error::Kernel(_) => NoSandbox::Node(Error::chain(&error)),
            _ => Error::chain(&error).into(),
        })
    }

    async fn release_user_ids(&self) -> Result<(), Error> {
        if self.pod.spec.host_users {
            return Ok(());
        }
        let (host, run_pod) = (Arc::clone(&self.host), self.host.layout.run_pod(&self.pod.uid));
        blocking(move || host.user_ids.release(&run_pod)).await?.map_err(|e| Error::chain(&e))
    }

    async fn stop_signal(&self, name: &ContainerName) -> i32 {
        let known = self.memory().stop_signals.get(name).copied();
        if let Some(signal) = known {
            return signal;
        }
        // Started by an earlier agent: the image still says.
        let pod = self.pod();
        let Ok(spec) = spec_of(&pod, name) else { return libc::SIGTERM };
        match self.look_up(&spec.image).await {
            Ok(Ok(image)) => stop_signal(spec, &image),
            Ok(Err(_)) | Err(_) => spec.lifecycle.stop_signal.as_deref().map_or(libc::SIGTERM, signal_number),
        }
    }

    async fn write_etc_files(&self, hostname: String, address: Option<Ipv4Addr>) -> Result<(), Error> {
        let (pod, host) = (Arc::clone(&self.pod), Arc::clone(&self.host));
        let written = blocking(move || etc_files::write(&pod, &hostname, address, &host.layout, &host.facts));
        written.await?.map_err(|e| Error::chain(&e))
    }

    /// The pod as it is now.
    pub fn pod(&self) -> Arc<Pod> {
        self.memory().changed.clone().unwrap_or_else(|| Arc::clone(&self.pod))
    }

    /// Lets the shim end the pod, for a while. What it does not do is done through the cgroup.
    async fn end_shim(&self) {
        let Some(shim) = self.shim.lock().await.take() else { return };
        let ended = async {
            if let Err(error) = shim.tell(Call::Shutdown).await {
                tracing::debug!(pod = %self.pod.key, podUID = %self.pod.uid, %error, "the shim did not end the pod");
            }
            shim.gone().await;
        };
        if tokio::time::timeout(SHUTDOWN_TIME, ended).await.is_err() {
            tracing::warn!(pod = %self.pod.key, podUID = %self.pod.uid, "the shim does not end; it is killed");
        }
    }

    pub(super) fn memory(&self) -> MutexGuard<'_, Memory> {
        // Plain values, whole after every operation.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For `map_err`: what a failed step of the network means for the sandbox.
fn no_network(step: &str) -> impl FnOnce(network::Error) -> NoSandbox {
    move |error| {
        let chain = Error::in_step(step)(Error::chain(&error));
        if error.is_of_setup() { NoSandbox::Node(chain) } else { chain.into() }
    }
}

fn spec_of<'a>(pod: &'a Pod, name: &ContainerName) -> Result<&'a ContainerSpec, Error> {
    pod.spec.container(name).ok_or_else(|| Error(format!("the pod has no container {name}")))
}

/// Everything on the way to a running shim. Blocks.
fn launch(record: &PodRecord, host: &Host) -> Result<(), Error> {
    let pod = &record.pod;
    let group = host.pod_group(pod);
    if host.layout.journal(&pod.uid).exists() {
        host.remove_group(&group).map_err(Error::in_step("kill what a lost shim left"))?;
    } else {
        // Of a boot before this one: nothing runs in them.
        remove_tree(&host.layout.pod(&pod.uid).join("containers"))?;
    }
    write_record(record, host, Survive::Crash)?;
    make_pod_group(pod, host, &group).map_err(Error::in_step("make the pod's cgroup"))?;
    failpoint::reached("cgroup.made");
    let spawned = host.program.spawn(&host.layout, &pod.uid, &group, Path::new(CGROUP_MOUNT));
    spawned.map_err(|e| Error::chain(&e)).map_err(Error::in_step("start the shim"))?;
    // While the shim gets ready.
    host.weigh(pod);
    Ok(())
}

fn make_pod_group(pod: &Pod, host: &Host, group: &Path) -> Result<(), Error> {
    let mut limits = resources::of_pod(pod, &host.facts.resources, host.pod_max_pids);
    match host.cgroups.create(group, &limits) {
        // The limit of processes is our own idea: a host that cannot set it runs pods without.
        Err(cgroup::Error::NoController { controller: "pids", .. }) => {
            tracing::warn!("this host cannot limit the number of processes (cgroup controller pids)");
            limits.set_pids(None);
            host.make_group(group, &limits)
        }
        created => created.map_err(|e| Error::chain(&e)),
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    spawn_blocking(work).await.map_err(|error| Error::chain(&error))
}

/// 64 random hexadecimal digits.
fn new_id() -> Result<String, Error> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| Error(format!("get random bytes: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn pids(pod: &Pod) -> PidNamespace {
    match (pod.spec.host_pid, pod.spec.share_process_namespace) {
        (true, _) => PidNamespace::Host,
        (false, true) => PidNamespace::Pod,
        (false, false) => PidNamespace::Container,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_long_and_new() {
        let (one, two) = (new_id().unwrap(), new_id().unwrap());
        assert_eq!(one.len(), 64);
        assert_ne!(one, two);
    }
}
