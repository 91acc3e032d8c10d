//! Records as they are on disk, each with its version. They are read by later releases, so a field is only ever added.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PodCondition, PodStatus};
use serde::{Deserialize, Serialize};

use crate::pod::spec::Resources;
use crate::pod::{Origin, Pod};

/// Version of the records that are written. Others are not understood.
pub(super) const VERSION: u32 = 1;

/// `pod.json`: a pod that is wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PodRecord {
    version: u32,
    /// The pod.
    pub pod: Pod,
    /// While a change of its resources is not complete: what those that run were given before it, by container id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<BTreeMap<String, Given>>,
    /// It has been evicted, and is not to come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eviction: Option<Eviction>,
    /// Which source of an agent wants it; none for a pod that somebody runs in the foreground.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// It is on its way out: when its grace period is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// It has ended for good, and nothing of it runs: how it was told then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<Box<PodStatus>>,
}

/// Why a pod may not go on on this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eviction {
    /// Since when.
    pub at: Timestamp,
    /// In the kubelet's words.
    pub message: String,
    /// What it goes for.
    #[serde(default)]
    pub cause: Cause,
    /// What it has to end by itself.
    #[serde(default = "immediate")]
    pub grace: Duration,
}

/// What a pod goes for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// It takes more of the disk than it may itself.
    #[default]
    LocalStorage,
    /// The node runs short of something.
    NodePressure,
    /// A critical pod needs its room.
    Preemption,
    /// The machine goes down.
    NodeShutdown,
}

impl Cause {
    /// The kubelet's word for it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::LocalStorage | Self::NodePressure => "Evicted",
            Self::Preemption => "Preempting",
            Self::NodeShutdown => "Terminated",
        }
    }
}

/// The grace period of a pod that is evicted at once (the kubelet's immediateEvictionGracePeriodSeconds).
fn immediate() -> Duration {
    Duration::from_secs(1)
}

/// An eviction that has not come to its pod yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// What for.
    pub cause: Cause,
    /// In the kubelet's words.
    pub message: String,
    /// What the pod has to end by itself.
    pub grace: Duration,
}

impl Ending {
    /// From `at` on.
    pub fn at(self, at: Timestamp) -> Eviction {
        let Self { cause, message, grace } = self;
        Eviction { at, message, cause, grace }
    }
}

/// Of a pod that takes more of the disk than it may: it goes at once.
impl From<String> for Ending {
    fn from(message: String) -> Self {
        Self { cause: Cause::LocalStorage, message, grace: immediate() }
    }
}

/// Resources that a container was given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// Its own requests and limits.
    pub own: Resources,
    /// The pod's at that time.
    pub whole: Resources,
}

/// `probes.json`: what the probes of running containers have found, for the agent that comes after this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbesRecord {
    version: u32,
    containers: BTreeMap<String, Found>,
}

/// `conditions.json`: the pod's conditions with the times of their last changes, for the agent that comes after this one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConditionsRecord {
    version: u32,
    conditions: Vec<PodCondition>,
}

/// `shutdown.json`: the last shutdown of the machine that pods were ended for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShutdownRecord {
    version: u32,
    started: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended: Option<Timestamp>,
}

/// What the probes of one attempt of a container have found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The startup probe has succeeded.
    pub started: bool,
    /// The readiness probe says so.
    pub ready: bool,
}

/// A record of a version that this program does not know.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("version {0} is not understood")]
pub struct UnknownVersion(u32);

impl PodRecord {
    /// The record of a pod.
    pub fn new(pod: Pod) -> Self {
        Self { version: VERSION, pod, given: None, eviction: None, origin: None, deadline: None, over: None }
    }

    /// The same, of a pod that this source wants.
    #[must_use]
    pub fn with_origin(self, origin: Option<Origin>) -> Self {
        Self { origin, ..self }
    }

    /// The same, of a pod whose grace period is over then.
    #[must_use]
    pub fn with_deadline(self, deadline: Option<Timestamp>) -> Self {
        Self { deadline, ..self }
    }

    /// The same, of a pod that has ended like this.
    #[must_use]
    pub fn with_over(self, over: Option<Box<PodStatus>>) -> Self {
        Self { over, ..self }
    }

    /// The same, of a pod that is about to be given other resources.
    #[must_use]
    pub fn with_given(self, given: Option<BTreeMap<String, Given>>) -> Self {
        Self { given, ..self }
    }

    /// The same, of a pod that has been evicted.
    #[must_use]
    pub fn with_eviction(self, eviction: Option<Eviction>) -> Self {
        Self { eviction, ..self }
    }

    /// The record itself, if its version is known.
    pub fn understood(self) -> Result<Self, UnknownVersion> {
        if self.version == VERSION { Ok(self) } else { Err(UnknownVersion(self.version)) }
    }
}

impl ProbesRecord {
    /// The record of what was found, by container id.
    pub fn new(containers: BTreeMap<String, Found>) -> Self {
        Self { version: VERSION, containers }
    }

    /// By container id; nothing if the record's version is not known: then it is found out again.
    pub fn into_containers(self) -> BTreeMap<String, Found> {
        if self.version == VERSION { self.containers } else { BTreeMap::new() }
    }
}

impl ConditionsRecord {
    /// The record of what was told.
    pub fn new(conditions: Vec<PodCondition>) -> Self {
        Self { version: VERSION, conditions }
    }

    /// Nothing if the record's version is not known: then the conditions hold since they were seen to.
    pub fn into_conditions(self) -> Vec<PodCondition> {
        if self.version == VERSION { self.conditions } else { Vec::new() }
    }
}

impl ShutdownRecord {
    /// The record of one that began then; `ended`: when pods had ended, or their time was over.
    pub fn new(started: Timestamp, ended: Option<Timestamp>) -> Self {
        Self { version: VERSION, started, ended }
    }

    /// When it began and ended; nothing if the record's version is not known.
    pub fn into_times(self) -> Option<(Timestamp, Option<Timestamp>)> {
        (self.version == VERSION).then_some((self.started, self.ended))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::spec::RestartPolicy;
    use crate::runtime::fixture::pod;

    #[test]
    fn a_pod_comes_back_as_it_was() {
        let pod = pod(RestartPolicy::Always, &["i"], &["a"]);
        let text = serde_json::to_string(&PodRecord::new(pod.clone())).unwrap();
        assert!(text.starts_with("{\"version\":1,\"pod\":{"), "{text}");
        assert_eq!(serde_json::from_str::<PodRecord>(&text).unwrap().understood().unwrap().pod, pod);
    }

    #[test]
    fn an_eviction_comes_back_and_one_that_an_older_release_did_not_know_of_is_none() {
        let record = PodRecord::new(pod(RestartPolicy::Always, &[], &["a"]));
        let text = serde_json::to_string(&record).unwrap();
        assert!(!text.contains("eviction"));
        assert_eq!(serde_json::from_str::<PodRecord>(&text).unwrap().eviction, None);
        let eviction = Ending::from("full".to_owned()).at(Timestamp::UNIX_EPOCH);
        let text = serde_json::to_string(&record.with_eviction(Some(eviction.clone()))).unwrap();
        assert_eq!(serde_json::from_str::<PodRecord>(&text).unwrap().eviction, Some(eviction.clone()));
        let of_older = r#"{"at": "1970-01-01T00:00:00Z", "message": "full"}"#;
        assert_eq!(serde_json::from_str::<Eviction>(of_older).unwrap(), eviction);
    }

    #[test]
    fn a_record_of_another_version_is_refused() {
        let record = PodRecord { version: 2, ..PodRecord::new(pod(RestartPolicy::Always, &[], &["a"])) };
        assert_eq!(record.understood(), Err(UnknownVersion(2)));
    }
}
