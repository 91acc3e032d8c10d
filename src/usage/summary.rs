//! The Summary API of the kubelet (`/stats/summary`, k8s.io/kubelet/pkg/apis/stats/v1alpha1), as far as cgroups know it. Pure.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::network::Interface;
use super::node::NodeSample;
use super::{PodUsage, Sample};
use crate::cgroup::stats;

/// The node and its pods.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    node: Node,
    pods: Vec<Pod>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    node_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<Cpu>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<NodeMemory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fs: Option<Disk>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeMemory {
    time: String,
    available_bytes: u64,
    working_set_bytes: u64,
}

/// A file system, bytes and inodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Disk {
    /// That users other than root may still have.
    pub available_bytes: u64,
    /// In all.
    pub capacity_bytes: u64,
    /// That are used.
    pub used_bytes: u64,
    /// That are left.
    pub inodes_free: u64,
    /// In all.
    pub inodes: u64,
    /// That are used.
    pub inodes_used: u64,
}

/// What the machine itself uses.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeUsage {
    /// The first of two looks.
    pub earlier: NodeSample,
    /// The second.
    pub now: NodeSample,
    /// When that was, by the calendar.
    pub at: Timestamp,
    /// Since when it is up, if that is known.
    pub since: Option<Timestamp>,
    /// That it has, bytes.
    pub memory: u64,
    /// The file system that pods are on.
    pub disk: Option<Disk>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Network {
    time: String,
    name: String,
    #[serde(flatten)]
    first: Traffic,
    interfaces: Vec<NamedTraffic>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct NamedTraffic {
    name: String,
    #[serde(flatten)]
    traffic: Traffic,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Traffic {
    rx_bytes: u64,
    rx_errors: u64,
    tx_bytes: u64,
    tx_errors: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Pod {
    pod_ref: Reference,
    start_time: String,
    containers: Vec<Container>,
    #[serde(flatten)]
    usage: Usage,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<Network>,
    #[serde(rename = "process_stats", skip_serializing_if = "Option::is_none")]
    processes: Option<Processes>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Reference {
    name: String,
    namespace: String,
    uid: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    name: String,
    start_time: String,
    #[serde(flatten)]
    usage: Usage,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Usage {
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<Cpu>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<Memory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    io: Option<Io>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cpu {
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_nano_cores: Option<u64>,
    usage_core_nano_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<Psi>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Memory {
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    available_bytes: Option<u64>,
    usage_bytes: u64,
    working_set_bytes: u64,
    rss_bytes: u64,
    page_faults: u64,
    major_page_faults: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<Psi>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Io {
    time: String,
    psi: Psi,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Psi {
    full: PsiData,
    some: PsiData,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct PsiData {
    /// Microseconds: the kernel's figure, as the kubelet hands it on.
    total: u64,
    avg10: f64,
    avg60: f64,
    avg300: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Processes {
    process_count: u64,
}

/// The summary of a node at the time of `now`; how fast CPU time is used follows from `earlier`.
pub fn summary(node: &str, earlier: &[PodUsage], now: &[PodUsage]) -> Summary {
    let pods = now.iter().map(|pod| {
        let before = earlier.iter().find(|before| before.uid == pod.uid);
        let containers = pod.containers.iter().map(|container| Container {
            name: container.name.to_string(),
            start_time: time(container.since),
            usage: usage(
                before.and_then(|b| b.container(&container.id)).map(|b| &b.sample),
                &container.sample,
            ),
        });
        Pod {
            pod_ref: Reference {
                name: pod.key.name.to_string(),
                namespace: pod.key.namespace.to_string(),
                uid: pod.uid.to_string(),
            },
            start_time: time(pod.since),
            containers: containers.collect(),
            usage: usage(before.map(|before| &before.whole), &pod.whole),
            network: network(&pod.network, pod.whole.at),
            processes: pod.whole.stats.pids.map(|pids| Processes { process_count: pids.current }),
        }
    });
    let (node_name, pods) = (node.to_owned(), pods.collect());
    Summary { node: Node { node_name, start_time: None, cpu: None, memory: None, fs: None }, pods }
}

impl Summary {
    /// The same with what the machine itself uses.
    #[must_use]
    pub fn with_node(self, usage: &NodeUsage) -> Self {
        let NodeUsage { earlier, now, at, since, memory, disk } = usage;
        let node = Node {
            start_time: since.map(time),
            cpu: Some(Cpu {
                time: time(*at),
                usage_nano_cores: now.processors_since(earlier).map(|processors| (processors * 1e9) as u64),
                usage_core_nano_seconds: nanoseconds(now.busy),
                psi: None,
            }),
            memory: Some(NodeMemory {
                time: time(*at),
                available_bytes: memory.saturating_sub(now.working_set),
                working_set_bytes: now.working_set,
            }),
            fs: disk.clone(),
            ..self.node
        };
        Self { node, ..self }
    }
}

/// The kubelet has the figures of eth0 once more as those of the pod.
fn network(interfaces: &[Interface], at: Timestamp) -> Option<Network> {
    let traffic = |interface: &Interface| Traffic {
        rx_bytes: interface.received.bytes,
        rx_errors: interface.received.errors,
        tx_bytes: interface.sent.bytes,
        tx_errors: interface.sent.errors,
    };
    let first = interfaces.iter().find(|interface| interface.name == "eth0")?;
    let named = interfaces.iter().filter(|interface| interface.name != "lo");
    let named = named.map(|one| NamedTraffic { name: one.name.clone(), traffic: traffic(one) });
    Some(Network {
        time: time(at),
        name: first.name.clone(),
        first: traffic(first),
        interfaces: named.collect(),
    })
}

fn usage(before: Option<&Sample>, now: &Sample) -> Usage {
    let at = || time(now.at);
    let pressure = now.stats.pressure;
    let cpu = now.stats.cpu.map(|cpu| Cpu {
        time: at(),
        usage_nano_cores: before.and_then(|before| now.processors_since(before)).map(|n| (n * 1e9) as u64),
        usage_core_nano_seconds: nanoseconds(cpu.usage),
        psi: pressure.map(|pressure| psi(pressure.cpu)),
    });
    let memory = now.stats.memory.map(|memory| Memory {
        time: at(),
        available_bytes: memory.limit.map(|limit| limit.saturating_sub(memory.working_set)),
        usage_bytes: memory.usage,
        working_set_bytes: memory.working_set,
        rss_bytes: memory.rss,
        page_faults: memory.faults,
        major_page_faults: memory.major_faults,
        psi: pressure.map(|pressure| psi(pressure.memory)),
    });
    Usage { cpu, memory, io: pressure.map(|pressure| Io { time: at(), psi: psi(pressure.io) }) }
}

fn psi(stalls: stats::Stalls) -> Psi {
    let data = |stall: stats::Stall| PsiData {
        total: u64::try_from(stall.total.as_micros()).unwrap_or(u64::MAX),
        avg10: stall.avg10,
        avg60: stall.avg60,
        avg300: stall.avg300,
    };
    Psi { full: data(stalls.full), some: data(stalls.some) }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// As metav1.Time is written.
fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use serde_json::json;

    use super::super::tests;
    use super::*;
    use crate::cgroup::stats::{Memory, Pids, Pressure, Stall, Stalls};

    #[test]
    fn the_fields_are_those_of_the_summary_api() {
        let clock = Instant::now();
        let earlier = tests::usage(clock, 10, Duration::from_secs(1));
        let mut now = tests::usage(clock, 12, Duration::from_secs(2));
        let some = Stall { avg10: 1.5, avg60: 0.5, avg300: 0.25, total: Duration::from_micros(77) };
        let cpu = Stalls { some, full: Stall::default() };
        now.whole.stats.pids = Some(Pids { current: 4, limit: None });
        let sample = &mut now.containers[0].sample;
        sample.stats.pressure = Some(Pressure { cpu, ..Pressure::default() });
        sample.stats.memory = Some(Memory {
            usage: 100,
            working_set: 80,
            rss: 50,
            limit: Some(128),
            faults: 7,
            major_faults: 1,
            ..Memory::default()
        });
        let found = serde_json::to_value(summary("node", &[earlier], &[now])).unwrap();
        let time = &found["pods"][0]["cpu"]["time"];
        let calm = json!({"total": 0, "avg10": 0.0, "avg60": 0.0, "avg300": 0.0});
        let quiet = json!({"full": calm, "some": calm});
        let busy = json!({"full": calm, "some": {"total": 77, "avg10": 1.5, "avg60": 0.5, "avg300": 0.25}});
        let usage =
            json!({"time": time, "usageNanoCores": 500_000_000, "usageCoreNanoSeconds": 2_000_000_000_u64});
        let mut with_pressure = usage.clone();
        with_pressure["psi"] = busy;
        assert_eq!(
            found["pods"][0]["containers"],
            json!([{
                "name": "a",
                "startTime": "1970-01-01T00:00:01Z",
                "cpu": with_pressure,
                "memory": {
                    "time": time, "availableBytes": 48, "usageBytes": 100, "workingSetBytes": 80, "rssBytes": 50,
                    "pageFaults": 7, "majorPageFaults": 1, "psi": quiet,
                },
                "io": {"time": time, "psi": quiet},
            }])
        );
        assert_eq!(found["pods"][0]["cpu"], usage);
        assert_eq!(found["pods"][0]["process_stats"], json!({"process_count": 4}));
        assert_eq!(found["pods"][0]["podRef"]["namespace"], "default");
        assert_eq!(found["node"], json!({"nodeName": "node"}));
    }

    #[test]
    fn the_machine_and_the_network_of_a_pod_are_told_too() {
        let clock = Instant::now();
        let mut pod = tests::usage(clock, 12, Duration::from_secs(2));
        let traffic = |bytes| super::super::network::Traffic { bytes, packets: 1, errors: 2, dropped: 3 };
        let interface = |name: &str| Interface { name: name.into(), received: traffic(5), sent: traffic(6) };
        pod.network = vec![interface("lo"), interface("eth0")];
        let look = |second: u64| NodeSample {
            clock: clock + Duration::from_secs(second),
            busy: Duration::from_millis(500 * second),
            working_set: 30,
        };
        let disk = Disk {
            available_bytes: 1,
            capacity_bytes: 2,
            used_bytes: 1,
            inodes_free: 3,
            inodes: 4,
            inodes_used: 1,
        };
        let usage = NodeUsage {
            earlier: look(10),
            now: look(12),
            at: pod.whole.at,
            since: Some(pod.since),
            memory: 100,
            disk: Some(disk),
        };
        let found = serde_json::to_value(summary("node", &[], &[pod]).with_node(&usage)).unwrap();
        let time = "1970-01-01T00:00:12Z";
        assert_eq!(
            found["node"],
            json!({
                "nodeName": "node",
                "startTime": "1970-01-01T00:00:00Z",
                "cpu": {"time": time, "usageNanoCores": 500_000_000, "usageCoreNanoSeconds": 6_000_000_000_u64},
                "memory": {"time": time, "availableBytes": 70, "workingSetBytes": 30},
                "fs": {
                    "availableBytes": 1, "capacityBytes": 2, "usedBytes": 1, "inodesFree": 3, "inodes": 4,
                    "inodesUsed": 1,
                },
            })
        );
        let eth0 = json!({"name": "eth0", "rxBytes": 5, "rxErrors": 2, "txBytes": 6, "txErrors": 2});
        let mut network = eth0.clone();
        network["time"] = time.into();
        network["interfaces"] = json!([eth0]);
        assert_eq!(found["pods"][0]["network"], network);
    }

    #[test]
    fn a_rate_takes_two_looks_at_the_same_attempt() {
        let clock = Instant::now();
        let now = tests::usage(clock, 12, Duration::from_secs(2));
        let mut restarted = tests::usage(clock, 10, Duration::from_secs(1));
        restarted.containers[0].id = "a-1".into();
        for earlier in [&[][..], &[restarted]] {
            let found = serde_json::to_value(summary("node", earlier, std::slice::from_ref(&now))).unwrap();
            assert_eq!(found["pods"][0]["containers"][0]["cpu"].get("usageNanoCores"), None);
        }
    }
}
