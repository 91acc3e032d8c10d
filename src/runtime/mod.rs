//! Carries the actions of `sync` out, and watches what becomes of them.

pub mod admit;
pub mod apparmor;
pub mod credential_provider;
mod environment;
pub mod etc_files;
pub mod exec;
pub mod host;
pub mod host_name;
mod node_credentials;
pub mod observe;
pub mod oci;
pub mod owner;
pub mod pause;
pub mod pod_files;
pub mod pod_logs;
pub mod pod_runtime;
pub mod pull;
mod pull_rate;
pub mod reaper;
pub mod resize;
pub mod resources;
pub mod seccomp;
pub mod shares;
pub mod shim_client;
pub mod shim_process;
pub mod stop_signal;
pub mod timing;
pub mod user_ids;
mod volumes;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
pub(crate) mod fixture;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PodCondition, PodStatus};

pub use exec::Captured;
pub use pull::Pulled;
pub use resize::Resized;
pub use shim_client::Notice;

use crate::image::registry::Progress;
use crate::pod::spec::Hook;
use crate::pod::{ContainerName, Pod};
use crate::state::record::{Eviction, Found, Given};

/// An error with its causes, on one line, to be told to a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

impl Error {
    /// The error and its causes in one line.
    pub fn chain(error: &(dyn std::error::Error + 'static)) -> Self {
        let causes = std::iter::successors(Some(error), |error| error.source());
        Self(causes.map(ToString::to_string).collect::<Vec<_>>().join(": "))
    }

    /// Likewise, below the name of what was tried.
    pub fn in_step(step: impl std::fmt::Display) -> impl FnOnce(Self) -> Self {
        move |error| Self(format!("{step}: {error}"))
    }
}

/// Why a sandbox could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoSandbox {
    /// The node is not set up for pods: another try would end the same until a person has mended that.
    Node(Error),
    /// For this time; the next one may have one.
    ThisTime(Error),
}

impl From<Error> for NoSandbox {
    fn from(error: Error) -> Self {
        Self::ThisTime(error)
    }
}

impl From<NoSandbox> for Error {
    fn from(why: NoSandbox) -> Self {
        match why {
            NoSandbox::Node(error) | NoSandbox::ThisTime(error) => error,
        }
    }
}

/// Why a container was not even asked to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// In Kubernetes' words, such as `ErrImagePull`.
    pub reason: &'static str,
    /// One line a person can act on.
    pub message: String,
}

/// Why a container has not been started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotStarted {
    /// It cannot be.
    Refused(Refusal),
    /// This image, as the pod names it, is to be pulled first.
    NoImage(String),
}

impl From<Refusal> for NotStarted {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Does things to one pod. What becomes of them comes as a [`Notice`], through the channel that the implementation was
/// made with; a notice is in the channel before the call that caused it returns.
pub trait Runtime: Send + Sync + 'static {
    /// Finds out what an earlier agent left of the pod. All that is known is in the channel when this returns, up to the
    /// record number returned; `None` if there is no shim to ask. An error means that there is one which is nothing for this agent, and
    /// that the pod is to be left alone.
    fn take_over(&self) -> impl Future<Output = Result<Option<u64>, Error>> + Send;

    /// What an earlier agent's probes had found, by container id.
    fn recall(&self) -> impl Future<Output = BTreeMap<String, Found>> + Send;

    /// Keeps what probes have found, for a later agent. Returns at once; what was told last is what stays.
    fn remember(&self, found: BTreeMap<String, Found>);

    /// The pod's conditions as an earlier agent told them last.
    fn recall_conditions(&self) -> impl Future<Output = Vec<PodCondition>> + Send;

    /// Keeps the pod's conditions, for a later agent. Returns at once; what was told last is what stays.
    fn remember_conditions(&self, conditions: Vec<PodCondition>);

    /// What the containers that run had been given before a change of resources that an earlier agent did not complete, by id.
    fn recall_given(&self) -> impl Future<Output = Option<BTreeMap<String, Given>>> + Send;

    /// Why an earlier agent evicted the pod, if it did.
    fn recall_eviction(&self) -> impl Future<Output = Option<Eviction>> + Send;

    /// Keeps it that the pod is evicted, for a later agent. Returns at once.
    fn evicted(&self, eviction: Eviction);

    /// How the pod was told to have ended, if that was in an earlier boot of the machine: of this one there is nothing of it.
    fn recall_over(&self) -> impl Future<Output = Option<PodStatus>> + Send;

    /// Keeps it that the pod has ended like this, for an agent after a reboot. Returns at once.
    fn over(&self, status: PodStatus);

    /// When the grace period is over that an earlier agent has given the pod, if it has.
    fn recall_deadline(&self) -> impl Future<Output = Option<Timestamp>> + Send;

    /// Keeps it that the pod's grace period is over then, for a later agent. Returns at once.
    fn remember_deadline(&self, deadline: Timestamp);

    /// Whether the node could ever give the pod what it requests; else why not, in the kubelet's words.
    fn fits(&self, pod: &Pod) -> Result<(), String>;

    /// From now on the pod is this one, of which only what may be changed while it runs is another.
    fn adopt(&self, pod: Arc<Pod>);

    /// Keeps the pod as it is now, for a later agent. Returns at once.
    fn save(&self);

    /// Gives the pod's group and the containers that run what the pod asks for now.
    fn resize(&self, running: Vec<Resized>) -> impl Future<Output = Result<(), Error>> + Send;

    /// Makes the shim, the sandbox and its network, as far as they are missing; returns the pod's address. All that a
    /// shim which died has left is killed first.
    fn create_sandbox(&self) -> impl Future<Output = Result<Option<Ipv4Addr>, NoSandbox>> + Send;

    /// Starts a container. That its program cannot be started is told by a record.
    fn start(
        &self,
        container: &ContainerName,
        attempt: u32,
    ) -> impl Future<Output = Result<(), NotStarted>> + Send;

    /// Pulls an image for the container's next start, which will find it. Dropped before its end, this leaves what it has
    /// to the next pull.
    fn pull(
        &self,
        container: &ContainerName,
        image: &str,
        progress: Arc<Progress>,
    ) -> impl Future<Output = Result<Pulled, Refusal>> + Send;

    /// Runs a hook of a running container to its end. An error is what the hook said, or why it could not be run.
    fn hook(
        &self,
        container: &ContainerName,
        id: &str,
        hook: &Hook,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Sends a container its stop signal. Fine when it has ended.
    fn stop(&self, container: &ContainerName, id: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Kills a container and all its processes. Fine when it has ended.
    fn kill(&self, id: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Has it written down that all containers begin anew, none of which runs.
    fn reset(&self) -> impl Future<Output = Result<(), Error>> + Send;

    /// Runs a program in a running container, to its end; it and all that it has started are killed after `timeout`. Dropped
    /// before its end, this leaves the program to its timeout.
    fn exec(
        &self,
        id: &str,
        command: &[String],
        timeout: Option<Duration>,
    ) -> impl Future<Output = Result<Captured, shim_client::Error>> + Send;

    /// Removes all that the pod has on the node, whatever state it is in. Every step is taken even if one fails; the first
    /// error is returned.
    fn remove(&self) -> impl Future<Output = Result<(), Error>> + Send;
}
