//! How the node is: its conditions, its taints, and which new pods it takes, in the kubelet's words. Pure.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{NodeCondition, Taint};

use crate::eviction::admission;
use crate::eviction::signal::Condition;
use crate::pod::Pod;

/// How the node is. A new one is well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// What it runs short of.
    pub pressure: BTreeSet<Condition>,
    /// The machine goes down.
    pub is_going_down: bool,
}

/// A condition as it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// `type`.
    pub kind: &'static str,
    /// Whether it holds.
    pub holds: bool,
    /// In one word.
    pub reason: &'static str,
    /// In a sentence.
    pub message: &'static str,
    /// The reason of the event that tells of it.
    pub event: &'static str,
    /// The key of the taint that keeps new pods away.
    taint: Option<&'static str>,
}

impl Health {
    /// All conditions, in the order in which the kubelet tells them.
    pub fn told(&self) -> [Told; 4] {
        let told = |condition, holds: [&'static str; 3], not: [&'static str; 3], kind, taint| {
            let is_so = self.pressure.contains(&condition);
            let [reason, message, event] = if is_so { holds } else { not };
            Told { kind, holds: is_so, reason, message, event, taint: is_so.then_some(taint) }
        };
        [
            told(
                Condition::MemoryPressure,
                [
                    "KubeletHasInsufficientMemory",
                    "kubelet has insufficient memory available",
                    "NodeHasInsufficientMemory",
                ],
                [
                    "KubeletHasSufficientMemory",
                    "kubelet has sufficient memory available",
                    "NodeHasSufficientMemory",
                ],
                "MemoryPressure",
                "node.kubernetes.io/memory-pressure",
            ),
            told(
                Condition::DiskPressure,
                ["KubeletHasDiskPressure", "kubelet has disk pressure", "NodeHasDiskPressure"],
                ["KubeletHasNoDiskPressure", "kubelet has no disk pressure", "NodeHasNoDiskPressure"],
                "DiskPressure",
                "node.kubernetes.io/disk-pressure",
            ),
            told(
                Condition::PidPressure,
                [
                    "KubeletHasInsufficientPID",
                    "kubelet has insufficient PID available",
                    "NodeHasInsufficientPID",
                ],
                ["KubeletHasSufficientPID", "kubelet has sufficient PID available", "NodeHasSufficientPID"],
                "PIDPressure",
                "node.kubernetes.io/pid-pressure",
            ),
            self.ready(),
        ]
    }

    fn ready(&self) -> Told {
        let (kind, holds) = ("Ready", !self.is_going_down);
        if holds {
            let message = "kubelet is posting ready status";
            Told { kind, holds, reason: "KubeletReady", message, event: "NodeReady", taint: None }
        } else {
            let (message, taint) = ("node is shutting down", Some("node.kubernetes.io/not-ready"));
            Told { kind, holds, reason: "KubeletNotReady", message, event: "NodeNotReady", taint }
        }
    }

    /// The events that tell what has become another than `old`. A node that is new is told to be well in each respect, but not
    /// that it is ready.
    pub fn events_since(&self, old: &[NodeCondition]) -> Vec<&'static str> {
        let is_news = |told: &Told| {
            let status = if told.holds { "True" } else { "False" };
            let before = old.iter().find(|old| old.type_ == told.kind);
            before.map_or(told.kind != "Ready", |old| old.status != status)
        };
        self.told().into_iter().filter(is_news).map(|told| told.event).collect()
    }

    /// The taints of a node that had these: those of others stay. A cluster's node lifecycle controller makes them of the conditions;
    /// where there is none, the node does.
    pub fn taints(&self, old: &[Taint]) -> Vec<Taint> {
        const KEYS: [&str; 4] = [
            "node.kubernetes.io/not-ready",
            "node.kubernetes.io/memory-pressure",
            "node.kubernetes.io/disk-pressure",
            "node.kubernetes.io/pid-pressure",
        ];
        let is_anothers =
            |taint: &&Taint| !(KEYS.contains(&taint.key.as_str()) && taint.effect == "NoSchedule");
        let own = self.told().into_iter().filter_map(|told| told.taint);
        let own =
            own.map(|key| Taint { key: key.to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() });
        old.iter().filter(is_anothers).cloned().chain(own).collect()
    }

    /// Why the node does not take a new pod: reason and message.
    pub fn refusal(&self, pod: &Pod, is_static: bool) -> Option<(&'static str, String)> {
        if self.is_going_down {
            return Some(("NodeShutdown", "Pod was rejected as the node is shutting down.".to_owned()));
        }
        Some(("Evicted", admission::refusal(pod, is_static, &self.pressure)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn under(pressure: &[Condition]) -> Health {
        Health { pressure: pressure.iter().copied().collect(), is_going_down: false }
    }

    fn conditions(health: &Health) -> Vec<NodeCondition> {
        let condition = |told: Told| NodeCondition {
            type_: told.kind.to_owned(),
            status: if told.holds { "True" } else { "False" }.to_owned(),
            ..NodeCondition::default()
        };
        health.told().into_iter().map(condition).collect()
    }

    #[test]
    fn each_pressure_is_told_in_the_kubelets_words() {
        let told = |health: &Health| {
            let text = |told: Told| format!("{}={} {}: {}", told.kind, told.holds, told.reason, told.message);
            health.told().map(text)
        };
        let [memory, disk, pid, ready] = told(&Health::default());
        assert_eq!(
            memory,
            "MemoryPressure=false KubeletHasSufficientMemory: kubelet has sufficient memory available"
        );
        assert_eq!(disk, "DiskPressure=false KubeletHasNoDiskPressure: kubelet has no disk pressure");
        assert_eq!(pid, "PIDPressure=false KubeletHasSufficientPID: kubelet has sufficient PID available");
        assert_eq!(ready, "Ready=true KubeletReady: kubelet is posting ready status");
        let [memory, disk, pid, _] =
            told(&under(&[Condition::MemoryPressure, Condition::DiskPressure, Condition::PidPressure]));
        assert_eq!(
            memory,
            "MemoryPressure=true KubeletHasInsufficientMemory: kubelet has insufficient memory available"
        );
        assert_eq!(disk, "DiskPressure=true KubeletHasDiskPressure: kubelet has disk pressure");
        assert_eq!(pid, "PIDPressure=true KubeletHasInsufficientPID: kubelet has insufficient PID available");
    }

    #[test]
    fn what_changes_is_an_event() {
        let well = Health::default();
        let full = under(&[Condition::DiskPressure]);
        assert_eq!(
            well.events_since(&[]),
            ["NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID"]
        );
        assert!(well.events_since(&conditions(&well)).is_empty());
        assert_eq!(full.events_since(&conditions(&well)), ["NodeHasDiskPressure"]);
        assert_eq!(well.events_since(&conditions(&full)), ["NodeHasNoDiskPressure"]);
        let mut lost = conditions(&well);
        lost[3].status = "Unknown".to_owned();
        assert_eq!(well.events_since(&lost), ["NodeReady"]);
    }

    #[test]
    fn a_node_that_goes_down_is_not_ready_and_takes_no_pod_at_all() {
        let going = Health { is_going_down: true, ..Health::default() };
        let ready = going.told()[3];
        let told = (ready.holds, ready.reason, ready.message);
        assert_eq!(told, (false, "KubeletNotReady", "node is shutting down"));
        assert_eq!(going.events_since(&conditions(&Health::default())), ["NodeNotReady"]);
        assert_eq!(going.taints(&[])[0].key, "node.kubernetes.io/not-ready");
        let pod = crate::runtime::fixture::pod(crate::pod::spec::RestartPolicy::Always, &[], &["a"]);
        let refused = ("NodeShutdown", "Pod was rejected as the node is shutting down.".to_owned());
        assert_eq!(going.refusal(&pod, true), Some(refused));
        assert_eq!(Health::default().refusal(&pod, false), None);
    }

    #[test]
    fn taints_come_and_go_with_pressure_and_those_of_others_stay() {
        let taint =
            |key: &str, effect: &str| Taint { key: key.into(), effect: effect.into(), ..Taint::default() };
        let disk = "node.kubernetes.io/disk-pressure";
        let others = [taint("node.kubernetes.io/unschedulable", "NoSchedule"), taint(disk, "NoExecute")];
        let full = under(&[Condition::DiskPressure]);
        let tainted = full.taints(&others);
        assert_eq!(tainted, [&others[..], &[taint(disk, "NoSchedule")]].concat());
        assert_eq!(full.taints(&tainted), tainted);
        assert_eq!(Health::default().taints(&tainted), others);
    }
}
