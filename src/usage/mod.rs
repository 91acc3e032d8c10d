//! What the pods of a run directory use: read from their cgroups, told in the words of the kubelet's Summary API.
//!
//! ```text
//!   run directory, pod records ──> read ──> PodUsage, twice ──> summary ──> Summary (JSON)
//!                  cgroup::stats ─┘                       ├──> agent::meter ──> metrics.k8s.io
//!                                                         └──> cli (table)
//! ```
//!
//! Nothing here needs an agent, or changes anything: what runs and where is in the journals and in /proc.

pub mod network;
pub mod node;
pub mod read;
pub mod summary;

use std::time::{Duration, Instant};

use jiff::Timestamp;

use self::network::Interface;
use crate::cgroup::stats::Stats;
use crate::pod::spec::Resources;
use crate::pod::{ContainerName, PodKey, PodUid};

/// What one pod has used up to a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct PodUsage {
    /// Its namespace and name.
    pub key: PodKey,
    /// Its uid.
    pub uid: PodUid,
    /// Since when its sandbox runs.
    pub since: Timestamp,
    /// Its cgroup, from the root of the hierarchy.
    pub group: String,
    /// Its network interfaces; none of its own when it is on the node's network.
    pub network: Vec<Interface>,
    /// All of it: the containers, its shim and pause.
    pub whole: Sample,
    /// The containers that run, in the order of the pod's spec.
    pub containers: Vec<ContainerUsage>,
}

/// Likewise, one container.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerUsage {
    /// Its name.
    pub name: ContainerName,
    /// Its id, a new one for each attempt.
    pub id: String,
    /// Its cgroup, from the root of the hierarchy.
    pub group: String,
    /// Its image, as the pod names it.
    pub image: String,
    /// What it asks for, and may have at most.
    pub asks: Resources,
    /// Since when it runs.
    pub since: Timestamp,
    /// What it has used.
    pub sample: Sample,
}

/// A group's counters, and when they were read.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// By the calendar.
    pub at: Timestamp,
    /// By a clock that nobody sets.
    pub clock: Instant,
    /// The counters.
    pub stats: Stats,
}

impl Sample {
    /// CPU time used per time since an earlier sample of the same group: 1.0 is one processor. `None` when it cannot be told.
    pub fn processors_since(&self, earlier: &Self) -> Option<f64> {
        let (now, then) = (self.stats.cpu?.usage, earlier.stats.cpu?.usage);
        let elapsed =
            self.clock.checked_duration_since(earlier.clock).filter(|time| *time > Duration::ZERO)?;
        Some(now.checked_sub(then)?.as_secs_f64() / elapsed.as_secs_f64())
    }
}

impl PodUsage {
    /// The same container at another moment; another attempt of it is not the same.
    pub fn container(&self, id: &str) -> Option<&ContainerUsage> {
        self.containers.iter().find(|container| container.id == id)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::cgroup::stats::Cpu;
    use crate::runtime::fixture::{at, name, pod};

    /// Container `a` of a pod that has used so much CPU time at such a moment, seconds.
    pub(crate) fn usage(clock: Instant, second: u64, used: Duration) -> PodUsage {
        let pod = pod(crate::pod::spec::RestartPolicy::Always, &[], &["a"]);
        let cpu = Some(Cpu { usage: used, user: used, system: Duration::ZERO });
        let sample = Sample {
            at: at(second as i64),
            clock: clock + Duration::from_secs(second),
            stats: Stats { cpu, ..Stats::default() },
        };
        let a = ContainerUsage {
            name: name("a"),
            id: "a-0".into(),
            group: "/kubepods/pod/a-0".into(),
            image: "image".into(),
            asks: Resources::default(),
            since: at(1),
            sample: sample.clone(),
        };
        let (group, network) = ("/kubepods/pod".into(), Vec::new());
        PodUsage {
            key: pod.key,
            uid: pod.uid,
            since: at(0),
            group,
            network,
            whole: sample,
            containers: vec![a],
        }
    }

    #[test]
    fn processors_are_time_used_by_time_passed() {
        let clock = Instant::now();
        let sample = |second, millis| usage(clock, second, Duration::from_millis(millis)).whole;
        assert_eq!(sample(12, 2500).processors_since(&sample(10, 1500)), Some(0.5));
        assert_eq!(sample(12, 1500).processors_since(&sample(10, 1500)), Some(0.0));
        assert_eq!(sample(10, 2500).processors_since(&sample(10, 1500)), None, "no time passed");
        assert_eq!(sample(12, 1).processors_since(&sample(10, 2)), None, "another group");
        let unknown = Sample { stats: Stats::default(), ..sample(12, 1) };
        assert_eq!(unknown.processors_since(&sample(10, 0)), None);
    }
}
