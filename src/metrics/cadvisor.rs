//! `/metrics/cadvisor`: containers, pods and the machine, with cAdvisor's names and labels. Pure.
//!
//! Source: `github.com/google/cadvisor/metrics/prometheus.go` and `docs/storage/prometheus.md`.

use super::text::{Exposition, Kind};
use crate::cgroup::stats::{Pressure, Stalls, Stats};
use crate::pod::spec::Resources;
use crate::usage::PodUsage;
use crate::usage::network::Interface;
use crate::usage::node::NodeSample;

/// The machine itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// Processors.
    pub cores: u64,
    /// Bytes.
    pub memory: u64,
    /// Of this boot.
    pub boot_id: String,
    /// Of the installation.
    pub machine_id: String,
    /// Of the firmware.
    pub system_uuid: String,
}

/// What one series is of, and its figures.
struct Group<'u> {
    labels: [(&'static str, &'u str); 6],
    stats: &'u Stats,
    /// When it began, seconds since 1970; when it was looked at.
    times: [f64; 2],
    /// What a container asks for.
    asks: Option<&'u Resources>,
}

/// Samples of a group: one more label, and the value.
type Samples = Vec<(Option<(&'static str, &'static str)>, f64)>;

/// A family, and its samples of a group.
struct Figure {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    samples: fn(&Group<'_>) -> Samples,
}

/// The text.
pub fn text(machine: &Machine, node: &NodeSample, pods: &[PodUsage]) -> String {
    let mut text = Exposition::default();
    let groups = groups(pods);
    for Figure { name, kind, help, samples } in FIGURES {
        let mut family = text.family(name, *kind, help);
        for group in &groups {
            for (label, value) in samples(group) {
                let labels: Vec<_> = group.labels.into_iter().chain(label).collect();
                family.sample(&labels, value);
            }
        }
        // The root of all groups is the machine.
        let of_root = match *name {
            "container_cpu_usage_seconds_total" => Some((Some(("cpu", "total")), node.busy.as_secs_f64())),
            "container_memory_working_set_bytes" => Some((None, node.working_set as f64)),
            _ => None,
        };
        if let Some((label, value)) = of_root {
            let root = labels("", "", "", ["/", "", ""]);
            family.sample(&root.into_iter().chain(label).collect::<Vec<_>>(), value);
        }
    }
    networks(&mut text, pods);
    let of_machine = [
        ("boot_id", machine.boot_id.as_str()),
        ("machine_id", &machine.machine_id),
        ("system_uuid", &machine.system_uuid),
    ];
    let help = "Number of logical CPU cores.";
    text.family("machine_cpu_cores", Kind::Gauge, help).sample(&of_machine, machine.cores as f64);
    let help = "Amount of memory installed on the machine.";
    text.family("machine_memory_bytes", Kind::Gauge, help).sample(&of_machine, machine.memory as f64);
    text.finish()
}

fn labels<'u>(
    namespace: &'u str,
    pod: &'u str,
    container: &'u str,
    [id, image, name]: [&'u str; 3],
) -> [(&'static str, &'u str); 6] {
    [
        ("container", container),
        ("id", id),
        ("image", image),
        ("name", name),
        ("namespace", namespace),
        ("pod", pod),
    ]
}

fn groups(pods: &[PodUsage]) -> Vec<Group<'_>> {
    let seconds = |at: jiff::Timestamp| at.as_millisecond() as f64 / 1000.0;
    let of_pod = |pod: &'_ PodUsage| seconds(pod.since);
    let mut groups = Vec::new();
    for pod in pods {
        let (namespace, name) = (pod.key.namespace.as_str(), pod.key.name.as_str());
        groups.push(Group {
            labels: labels(namespace, name, "", [&pod.group, "", ""]),
            stats: &pod.whole.stats,
            times: [of_pod(pod), seconds(pod.whole.at)],
            asks: None,
        });
        groups.extend(pod.containers.iter().map(|container| Group {
            labels: labels(
                namespace,
                name,
                container.name.as_str(),
                [&container.group, &container.image, &container.id],
            ),
            stats: &container.sample.stats,
            times: [seconds(container.since), seconds(container.sample.at)],
            asks: Some(&container.asks),
        }));
    }
    groups
}

fn networks(text: &mut Exposition, pods: &[PodUsage]) {
    let mut each = |name, help, value: fn(&Interface) -> u64| {
        let mut family = text.family(name, Kind::Counter, help);
        for pod in pods {
            let (namespace, name) = (pod.key.namespace.as_str(), pod.key.name.as_str());
            for interface in &pod.network {
                let whole = labels(namespace, name, "", [&pod.group, "", ""]);
                let labels: Vec<_> =
                    whole.into_iter().chain([("interface", interface.name.as_str())]).collect();
                family.sample(&labels, value(interface) as f64);
            }
        }
    };
    each("container_network_receive_bytes_total", "Cumulative count of bytes received", |i| i.received.bytes);
    let help = "Cumulative count of packets received";
    each("container_network_receive_packets_total", help, |i| i.received.packets);
    let help = "Cumulative count of errors encountered while receiving";
    each("container_network_receive_errors_total", help, |i| i.received.errors);
    let help = "Cumulative count of packets dropped while receiving";
    each("container_network_receive_packets_dropped_total", help, |i| i.received.dropped);
    let help = "Cumulative count of bytes transmitted";
    each("container_network_transmit_bytes_total", help, |i| i.sent.bytes);
    let help = "Cumulative count of packets transmitted";
    each("container_network_transmit_packets_total", help, |i| i.sent.packets);
    let help = "Cumulative count of errors encountered while transmitting";
    each("container_network_transmit_errors_total", help, |i| i.sent.errors);
    let help = "Cumulative count of packets dropped while transmitting";
    each("container_network_transmit_packets_dropped_total", help, |i| i.sent.dropped);
}

fn one(value: Option<f64>) -> Samples {
    value.map(|value| (None, value)).into_iter().collect()
}

fn waited(group: &Group<'_>, of: fn(&Pressure) -> Stalls, full: bool) -> Samples {
    let stalls = group.stats.pressure.as_ref().map(of);
    one(stalls.map(|stalls| if full { stalls.full } else { stalls.some }.total.as_secs_f64()))
}

use Kind::{Counter, Gauge};

static FIGURES: &[Figure] = &[
    Figure {
        name: "container_cpu_usage_seconds_total",
        kind: Counter,
        help: "Cumulative cpu time consumed in seconds.",
        samples: |g| {
            let cpu = g.stats.cpu.map(|cpu| cpu.usage.as_secs_f64());
            cpu.map(|cpu| (Some(("cpu", "total")), cpu)).into_iter().collect()
        },
    },
    Figure {
        name: "container_cpu_user_seconds_total",
        kind: Counter,
        help: "Cumulative user cpu time consumed in seconds.",
        samples: |g| one(g.stats.cpu.map(|cpu| cpu.user.as_secs_f64())),
    },
    Figure {
        name: "container_cpu_system_seconds_total",
        kind: Counter,
        help: "Cumulative system cpu time consumed in seconds.",
        samples: |g| one(g.stats.cpu.map(|cpu| cpu.system.as_secs_f64())),
    },
    Figure {
        name: "container_cpu_cfs_periods_total",
        kind: Counter,
        help: "Number of elapsed enforcement period intervals.",
        samples: |g| one(g.stats.throttling.map(|throttling| throttling.periods as f64)),
    },
    Figure {
        name: "container_cpu_cfs_throttled_periods_total",
        kind: Counter,
        help: "Number of throttled period intervals.",
        samples: |g| one(g.stats.throttling.map(|throttling| throttling.throttled as f64)),
    },
    Figure {
        name: "container_cpu_cfs_throttled_seconds_total",
        kind: Counter,
        help: "Total time duration the container has been throttled.",
        samples: |g| one(g.stats.throttling.map(|throttling| throttling.time.as_secs_f64())),
    },
    Figure {
        name: "container_memory_usage_bytes",
        kind: Gauge,
        help: "Current memory usage in bytes, including all memory regardless of when it was accessed",
        samples: |g| one(g.stats.memory.map(|memory| memory.usage as f64)),
    },
    Figure {
        name: "container_memory_working_set_bytes",
        kind: Gauge,
        help: "Current working set in bytes.",
        samples: |g| one(g.stats.memory.map(|memory| memory.working_set as f64)),
    },
    Figure {
        name: "container_memory_rss",
        kind: Gauge,
        help: "Size of RSS in bytes.",
        samples: |g| one(g.stats.memory.map(|memory| memory.rss as f64)),
    },
    Figure {
        name: "container_memory_cache",
        kind: Gauge,
        help: "Number of bytes of page cache memory.",
        samples: |g| one(g.stats.memory.map(|memory| memory.cache as f64)),
    },
    Figure {
        name: "container_memory_mapped_file",
        kind: Gauge,
        help: "Size of memory mapped files in bytes.",
        samples: |g| one(g.stats.memory.map(|memory| memory.mapped as f64)),
    },
    Figure {
        name: "container_memory_swap",
        kind: Gauge,
        help: "Container swap usage in bytes.",
        samples: |g| one(g.stats.memory.map(|memory| memory.swap as f64)),
    },
    Figure {
        name: "container_memory_max_usage_bytes",
        kind: Gauge,
        help: "Maximum memory usage recorded in bytes",
        samples: |g| one(g.stats.memory.and_then(|memory| memory.peak).map(|peak| peak as f64)),
    },
    Figure {
        name: "container_oom_events_total",
        kind: Counter,
        help: "Count of out of memory events observed for the container",
        samples: |g| one(g.stats.memory.map(|memory| memory.oom_kills as f64)),
    },
    Figure {
        name: "container_memory_failures_total",
        kind: Counter,
        help: "Cumulative count of memory allocation failures.",
        samples: |g| {
            let faults = g.stats.memory.map(|memory| {
                [
                    (Some(("failure_type", "pgfault")), memory.faults as f64),
                    (Some(("failure_type", "pgmajfault")), memory.major_faults as f64),
                ]
            });
            faults.into_iter().flatten().collect()
        },
    },
    Figure {
        name: "container_fs_reads_bytes_total",
        kind: Counter,
        help: "Cumulative count of bytes read",
        samples: |g| one(g.stats.io.map(|io| io.read_bytes as f64)),
    },
    Figure {
        name: "container_fs_writes_bytes_total",
        kind: Counter,
        help: "Cumulative count of bytes written",
        samples: |g| one(g.stats.io.map(|io| io.written_bytes as f64)),
    },
    Figure {
        name: "container_fs_reads_total",
        kind: Counter,
        help: "Cumulative count of reads completed",
        samples: |g| one(g.stats.io.map(|io| io.reads as f64)),
    },
    Figure {
        name: "container_fs_writes_total",
        kind: Counter,
        help: "Cumulative count of writes completed",
        samples: |g| one(g.stats.io.map(|io| io.writes as f64)),
    },
    Figure {
        name: "container_threads",
        kind: Gauge,
        help: "Number of threads running inside the container",
        samples: |g| one(g.stats.pids.map(|pids| pids.current as f64)),
    },
    Figure {
        name: "container_threads_max",
        kind: Gauge,
        help: "Maximum number of threads allowed inside the container, infinity if value is zero",
        samples: |g| one(g.stats.pids.map(|pids| pids.limit.unwrap_or(0) as f64)),
    },
    Figure {
        name: "container_pressure_cpu_waiting_seconds_total",
        kind: Counter,
        help: "Total time duration tasks in the container have waited due to CPU congestion.",
        samples: |g| waited(g, |pressure| pressure.cpu, false),
    },
    Figure {
        name: "container_pressure_cpu_stalled_seconds_total",
        kind: Counter,
        help: "Total time duration no tasks in the container could make progress due to CPU congestion.",
        samples: |g| waited(g, |pressure| pressure.cpu, true),
    },
    Figure {
        name: "container_pressure_memory_waiting_seconds_total",
        kind: Counter,
        help: "Total time duration tasks in the container have waited due to memory congestion.",
        samples: |g| waited(g, |pressure| pressure.memory, false),
    },
    Figure {
        name: "container_pressure_memory_stalled_seconds_total",
        kind: Counter,
        help: "Total time duration no tasks in the container could make progress due to memory congestion.",
        samples: |g| waited(g, |pressure| pressure.memory, true),
    },
    Figure {
        name: "container_pressure_io_waiting_seconds_total",
        kind: Counter,
        help: "Total time duration tasks in the container have waited due to IO congestion.",
        samples: |g| waited(g, |pressure| pressure.io, false),
    },
    Figure {
        name: "container_pressure_io_stalled_seconds_total",
        kind: Counter,
        help: "Total time duration no tasks in the container could make progress due to IO congestion.",
        samples: |g| waited(g, |pressure| pressure.io, true),
    },
    Figure {
        name: "container_start_time_seconds",
        kind: Gauge,
        help: "Start time of the container since unix epoch in seconds.",
        samples: |g| one(Some(g.times[0])),
    },
    Figure {
        name: "container_last_seen",
        kind: Gauge,
        help: "Last time a container was seen by the exporter",
        samples: |g| one(Some(g.times[1])),
    },
    Figure {
        name: "container_spec_cpu_period",
        kind: Gauge,
        help: "CPU period of the container.",
        samples: |g| one(g.asks.and_then(|asks| asks.cpu_limit_millis).map(|_| 100_000.0)),
    },
    Figure {
        name: "container_spec_cpu_quota",
        kind: Gauge,
        help: "CPU quota of the container.",
        samples: |g| one(g.asks.and_then(|asks| asks.cpu_limit_millis).map(|millis| (millis * 100) as f64)),
    },
    Figure {
        name: "container_spec_cpu_shares",
        kind: Gauge,
        help: "CPU share of the container.",
        samples: |g| {
            one(g.asks.map(|asks| (asks.cpu_request_millis.unwrap_or(0) * 1024 / 1000).max(2) as f64))
        },
    },
    Figure {
        name: "container_spec_memory_limit_bytes",
        kind: Gauge,
        help: "Memory limit for the container.",
        samples: |g| one(g.asks.map(|asks| asks.memory_limit.unwrap_or(0) as f64)),
    },
];

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::cgroup::stats::{Io, Memory, Pids, Pressure, Throttling};
    use crate::metrics::lint;
    use crate::usage::network::Traffic;
    use crate::usage::tests::usage;

    #[test]
    fn every_series_has_cadvisors_labels_and_is_there_once() {
        let clock = Instant::now();
        let mut pod = usage(clock, 10, Duration::from_millis(1500));
        let container = &mut pod.containers[0];
        container.asks = Resources {
            cpu_limit_millis: Some(500),
            cpu_request_millis: Some(250),
            memory_limit: Some(64 << 20),
            ..Resources::default()
        };
        container.sample.stats = Stats {
            throttling: Some(Throttling::default()),
            memory: Some(Memory { working_set: 5, faults: 7, swap: 3, ..Memory::default() }),
            io: Some(Io::default()),
            pids: Some(Pids::default()),
            pressure: Some(Pressure::default()),
            ..container.sample.stats.clone()
        };
        let traffic = Traffic { bytes: 1, packets: 2, errors: 3, dropped: 4 };
        let interface = |name: &str| Interface { name: name.into(), received: traffic, sent: traffic };
        pod.network = vec![interface("eth0"), interface("lo")];
        let mut other = pod.clone();
        other.key.name = "web2".into();
        let node = NodeSample { clock, busy: Duration::from_secs(9), working_set: 7 };
        let machine = Machine { cores: 2, memory: 4096, ..Machine::default() };
        let found = text(&machine, &node, &[pod, other]);
        lint::check(&found);
        let of_a = "container=\"a\",id=\"/kubepods/pod/a-0\",image=\"image\",name=\"a-0\",namespace=\"default\",pod=\"web\"";
        let of_pod =
            "container=\"\",id=\"/kubepods/pod\",image=\"\",name=\"\",namespace=\"default\",pod=\"web\"";
        let of_root = "container=\"\",id=\"/\",image=\"\",name=\"\",namespace=\"\",pod=\"\"";
        for line in [
            format!("container_cpu_usage_seconds_total{{{of_a},cpu=\"total\"}} 1.5"),
            format!("container_cpu_usage_seconds_total{{{of_pod},cpu=\"total\"}} 1.5"),
            format!("container_cpu_usage_seconds_total{{{of_root},cpu=\"total\"}} 9"),
            format!("container_memory_working_set_bytes{{{of_a}}} 5"),
            format!("container_memory_swap{{{of_a}}} 3"),
            format!("container_memory_failures_total{{{of_a},failure_type=\"pgfault\"}} 7"),
            format!("container_spec_cpu_quota{{{of_a}}} 50000"),
            format!("container_spec_cpu_shares{{{of_a}}} 256"),
            format!("container_spec_memory_limit_bytes{{{of_a}}} 67108864"),
            format!("container_network_transmit_packets_dropped_total{{{of_pod},interface=\"eth0\"}} 4"),
            "machine_cpu_cores{boot_id=\"\",machine_id=\"\",system_uuid=\"\"} 2".to_owned(),
        ] {
            assert!(found.lines().any(|found| found == line), "{line}\n{found}");
        }
    }
}
