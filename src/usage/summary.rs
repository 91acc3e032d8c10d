//! The Summary API of the kubelet (`/stats/summary`, k8s.io/kubelet/pkg/apis/stats/v1alpha1), as far as cgroups know it. Pure.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

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
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Pod {
    pod_ref: Reference,
    start_time: String,
    containers: Vec<Container>,
    #[serde(flatten)]
    usage: Usage,
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
            processes: pod.whole.stats.pids.map(|pids| Processes { process_count: pids.current }),
        }
    });
    Summary { node: Node { node_name: node.to_owned() }, pods: pods.collect() }
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
