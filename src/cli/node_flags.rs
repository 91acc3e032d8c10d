//! Flags of the agent about the node itself, by the kubelet's names.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::config::node::{NodeCare, Reserved};
use crate::config::pulls::PullLimits;
use crate::eviction::threshold::{TRANSITION, Written, duration, pairs};
use crate::image::collect::Policy;
use crate::shutdown::Shutdown;
use crate::shutdown::groups::{self, Groups};

#[derive(Debug, Args)]
pub(super) struct NodeFlags {
    /// Evict pods at once below these [default: memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%,
    /// imagefs.available<15%,imagefs.inodesFree<5%]; an empty text stands for never.
    #[arg(long, env = "MKUBELET_EVICTION_HARD", value_name = "SIGNAL<VALUE,...", value_parser = below)]
    eviction_hard: Option<Pairs>,
    /// Evict pods after a grace period below these.
    #[arg(long, env = "MKUBELET_EVICTION_SOFT", value_name = "SIGNAL<VALUE,...", value_parser = below, default_value = "", hide_default_value = true)]
    eviction_soft: Pairs,
    /// The grace period of each soft threshold.
    #[arg(long, value_name = "SIGNAL=DURATION,...", value_parser = equal, default_value = "", hide_default_value = true)]
    eviction_soft_grace_period: Pairs,
    /// How much more is to be left, once pods are evicted for a threshold.
    #[arg(long, value_name = "SIGNAL=VALUE,...", value_parser = equal, default_value = "", hide_default_value = true)]
    eviction_minimum_reclaim: Pairs,
    /// The node is under pressure for so long after the last sign of it.
    #[arg(long, value_name = "DURATION", value_parser = super::agent::duration, default_value = "5m")]
    eviction_pressure_transition_period: Duration,
    /// The most seconds that a pod has to end when it is evicted for a soft threshold.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    eviction_max_pod_grace_period: u64,
    /// Remove images that nobody uses when the disk that they are on is used to so many percent; 100 is never.
    #[arg(long, value_name = "PERCENT", default_value_t = 85, allow_negative_numbers = true)]
    image_gc_high_threshold: i64,
    /// Until it is used to no more than this.
    #[arg(long, value_name = "PERCENT", default_value_t = 80, allow_negative_numbers = true)]
    image_gc_low_threshold: i64,
    /// None that came, or was used, less than this before.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "2m")]
    minimum_image_ttl_duration: Duration,
    /// However much room there is: remove images that were not used for longer than this; 0s is never.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    image_maximum_gc_age: Duration,
    /// What the machine's own programs are to have, and pods are not: cpu, memory, ephemeral-storage.
    #[arg(long, value_name = "RESOURCE=QUANTITY,...", value_parser = equal, default_value = "", hide_default_value = true)]
    system_reserved: Pairs,
    /// Likewise the agent and what belongs to it.
    #[arg(long, value_name = "RESOURCE=QUANTITY,...", value_parser = equal, default_value = "", hide_default_value = true)]
    kube_reserved: Pairs,
    /// Pull images one after the other; false is all at once, unless --max-parallel-image-pulls says how many. Given neither, four.
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    serialize_image_pulls: Option<bool>,
    /// Images that are pulled at the same time.
    #[arg(long, value_name = "NUMBER")]
    max_parallel_image_pulls: Option<u32>,
    /// Pulls that may begin in a second, the others fail and are tried again later; 0 is any number.
    #[arg(long, value_name = "NUMBER", default_value_t = PullLimits::default().per_second)]
    registry_qps: u32,
    /// Pulls that may begin at once, where there is such a limit.
    #[arg(long, value_name = "NUMBER", default_value_t = PullLimits::default().burst)]
    registry_burst: u32,
    /// A shutdown of the machine waits so long for pods to end, with the help of systemd-logind; 0s is not at all.
    #[arg(
        long,
        env = "MKUBELET_SHUTDOWN_GRACE_PERIOD",
        value_name = "DURATION",
        value_parser = duration,
        default_value = "0s"
    )]
    shutdown_grace_period: Duration,
    /// The last part of that time, which is for critical pods.
    #[arg(
        long,
        env = "MKUBELET_SHUTDOWN_GRACE_PERIOD_CRITICAL_PODS",
        value_name = "DURATION",
        value_parser = duration,
        default_value = "0s"
    )]
    shutdown_grace_period_critical_pods: Duration,
    /// Instead of both: what pods from each priority on have, one group after another.
    #[arg(
        long,
        value_name = "PRIORITY=SECONDS,...",
        value_parser = Groups::parse,
        default_value = "",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    shutdown_grace_period_by_pod_priority: Groups,
    /// Where a file is written that has systemd-logind wait so long, if it would not (logind.conf(5)).
    #[arg(long, value_name = "DIR", default_value = "/etc/systemd/logind.conf.d")]
    logind_conf_dir: PathBuf,
}

/// What is written for each signal.
type Pairs = BTreeMap<String, String>;

fn below(text: &str) -> Result<Pairs, String> {
    pairs(text, '<')
}

fn equal(text: &str) -> Result<Pairs, String> {
    pairs(text, '=')
}

impl NodeFlags {
    /// What they come to.
    pub(super) fn care(&self) -> anyhow::Result<NodeCare> {
        let transition = self.eviction_pressure_transition_period;
        let written = Written {
            hard: self.eviction_hard.clone(),
            soft: self.eviction_soft.clone(),
            soft_grace_period: self.eviction_soft_grace_period.clone(),
            minimum_reclaim: self.eviction_minimum_reclaim.clone(),
            transition: (transition != TRANSITION).then_some(transition),
            max_pod_grace_seconds: self.eviction_max_pod_grace_period,
        };
        let eviction = written.read().map_err(|why| anyhow::anyhow!("--eviction-...: {why}"))?;
        let reserved =
            |flag, written| Reserved::read(written).map_err(|why| anyhow::anyhow!("{flag}: {why}"));
        let system = reserved("--system-reserved", &self.system_reserved)?;
        let reserved = system.and(reserved("--kube-reserved", &self.kube_reserved)?);
        let groups = groups::Written {
            total: self.shutdown_grace_period,
            critical: self.shutdown_grace_period_critical_pods,
            by_priority: self.shutdown_grace_period_by_pod_priority.clone(),
        };
        let groups = groups.read().map_err(|why| anyhow::anyhow!("invalid configuration: {why}"))?;
        let shutdown = Shutdown { groups, logind_conf_dir: self.logind_conf_dir.clone() };
        let images = Policy::new(
            self.image_gc_high_threshold,
            self.image_gc_low_threshold,
            self.minimum_image_ttl_duration,
            self.image_maximum_gc_age,
        );
        let images = images.map_err(|why| anyhow::anyhow!("invalid configuration: {why}"))?;
        Ok(NodeCare { eviction, reserved, shutdown, images })
    }

    /// What pulls may take.
    pub(super) fn pulls(&self) -> anyhow::Result<PullLimits> {
        let limits =
            PullLimits { per_second: self.registry_qps, burst: self.registry_burst, ..PullLimits::default() };
        let limits = limits.with(self.serialize_image_pulls, self.max_parallel_image_pulls);
        limits.map_err(|why| anyhow::anyhow!("invalid configuration: {why}"))
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::cli::client::fake::parsed;
    use crate::eviction::threshold::Eviction;

    fn eviction(line: &[&str]) -> Result<Eviction, String> {
        let flags: NodeFlags =
            parsed(["agent"].iter().chain(line).copied()).map_err(|error| error.to_string())?;
        flags.care().map(|care| care.eviction).map_err(|error| error.to_string())
    }

    #[test]
    fn what_both_flags_reserve_counts_together() {
        let care = |line: &[&str]| {
            let flags: NodeFlags = parsed(["agent"].iter().chain(line).copied()).unwrap();
            flags.care()
        };
        let both = care(&["--system-reserved=cpu=1,memory=1Gi", "--kube-reserved=cpu=500m"]).unwrap();
        assert_eq!(both.reserved, Reserved { cpu_millis: 1500, memory: 1 << 30, ephemeral_storage: 0 });
        let wrong = care(&["--kube-reserved=gpu=1"]).unwrap_err();
        assert_eq!(wrong.to_string(), "--kube-reserved: cannot reserve \"gpu\" resource");
    }

    #[test]
    fn pulls_are_limited_by_the_kubelets_flags() {
        let pulls = |line: &[&str]| {
            let flags: NodeFlags = parsed(["agent"].iter().chain(line).copied()).unwrap();
            flags.pulls().map_err(|error| error.to_string())
        };
        assert_eq!(pulls(&[]), Ok(PullLimits::default()));
        for flag in ["--serialize-image-pulls", "--serialize-image-pulls=true"] {
            let limits = PullLimits { at_once: Some(1), per_second: 5, burst: 7 };
            assert_eq!(pulls(&[flag, "--registry-qps=5", "--registry-burst", "7"]), Ok(limits));
        }
        let both = pulls(&["--serialize-image-pulls=true", "--max-parallel-image-pulls=2"]).unwrap_err();
        assert!(both.starts_with("invalid configuration: maxParallelImagePulls cannot be larger"), "{both}");
    }

    #[test]
    fn pods_have_time_at_a_shutdown_if_somebody_says_so() {
        let groups = |line: &[&str]| {
            let flags: NodeFlags =
                parsed(["agent"].iter().chain(line).copied()).map_err(|error| error.to_string())?;
            flags.care().map(|care| care.shutdown.groups).map_err(|error| error.to_string())
        };
        assert_eq!(groups(&[]), Ok(Groups::default()));
        let both = ["--shutdown-grace-period=1m30s", "--shutdown-grace-period-critical-pods=30s"];
        assert_eq!(groups(&both), Groups::parse("0=60,2000000000=30"));
        let by_priority = "--shutdown-grace-period-by-pod-priority=-5=10,100=20";
        assert_eq!(groups(&[by_priority]), Groups::parse("-5=10,100=20"));
        assert_eq!(
            groups(&[both[0], by_priority]).unwrap_err(),
            "invalid configuration: Cannot specify both shutdownGracePeriodByPodPriority and shutdownGracePeriod at the same time"
        );
        assert!(groups(&["--shutdown-grace-period=soon"]).is_err());
    }

    #[test]
    fn images_go_as_with_a_kubelet_unless_somebody_says_otherwise() {
        let images = |line: &[&str]| {
            let flags: NodeFlags =
                parsed(["agent"].iter().chain(line).copied()).map_err(|error| error.to_string())?;
            flags.care().map(|care| care.images).map_err(|error| error.to_string())
        };
        assert_eq!(images(&[]), Ok(Policy::default()));
        let asked = [
            "--image-gc-high-threshold=70",
            "--image-gc-low-threshold=60",
            "--minimum-image-ttl-duration=0s",
            "--image-maximum-gc-age=24h",
        ];
        assert_eq!(images(&asked), Policy::new(70, 60, Duration::ZERO, Duration::from_secs(86_400)));
        assert_eq!(
            images(&["--image-gc-low-threshold=-1"]).unwrap_err(),
            "invalid configuration: imageGCLowThresholdPercent (--image-gc-low-threshold) -1 must be between 0 and 100, inclusive"
        );
    }

    #[test]
    fn thresholds_are_the_kubelets_unless_somebody_says_otherwise() {
        assert_eq!(eviction(&[]), Ok(Eviction::default()));
        assert_eq!(eviction(&["--eviction-hard="]).unwrap().thresholds, []);
        let soft =
            ["--eviction-soft=memory.available<1Gi", "--eviction-soft-grace-period=memory.available=90s"];
        let soft = eviction(
            &[&soft[..], &["--eviction-hard=pid.available<10%", "--eviction-max-pod-grace-period=9"]]
                .concat(),
        );
        let soft = soft.unwrap();
        let graces: Vec<_> =
            soft.thresholds.iter().map(|one| (one.signal.as_str(), one.grace.as_secs())).collect();
        assert_eq!(graces, [("pid.available", 0), ("memory.available", 90)]);
        assert_eq!(soft.max_pod_grace, Duration::from_secs(9));
        let refused = eviction(&["--eviction-soft=memory.available<1Gi"]).unwrap_err();
        assert!(
            refused
                .contains("grace period must be specified for the soft eviction threshold memory.available"),
            "{refused}"
        );
        assert!(eviction(&["--eviction-hard=memory.available=1Gi"]).is_err());
    }
}
