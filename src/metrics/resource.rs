//! `/metrics/resource`: what metrics-server and autoscalers read. Pure.
//!
//! Source: `pkg/kubelet/metrics/collectors/resource_metrics.go`.

use super::text::{Exposition, Kind};
use crate::usage::node::NodeSample;
use crate::usage::{PodUsage, Sample};

/// The text; `None` of both when they could not be read.
pub fn text(read: Option<(&NodeSample, &[PodUsage])>) -> String {
    let mut text = Exposition::default();
    if let Some((node, pods)) = read {
        of_node(&mut text, node);
        of_containers(&mut text, pods);
        of_pods(&mut text, pods);
    }
    let failed = f64::from(u8::from(read.is_none()));
    let help = "1 if there was an error while getting container metrics, 0 otherwise";
    text.family("resource_scrape_error", Kind::Gauge, help).sample(&[], failed);
    let help = "1 if there was an error while getting container metrics, 0 otherwise; the name before resource_scrape_error";
    text.family("scrape_error", Kind::Gauge, help).sample(&[], failed);
    text.finish()
}

fn of_node(text: &mut Exposition, node: &NodeSample) {
    let help = "Cumulative cpu time consumed by the node in core-seconds";
    text.family("node_cpu_usage_seconds_total", Kind::Counter, help).sample(&[], node.busy.as_secs_f64());
    let help = "Current working set of the node in bytes";
    text.family("node_memory_working_set_bytes", Kind::Gauge, help).sample(&[], node.working_set as f64);
}

fn of_containers(text: &mut Exposition, pods: &[PodUsage]) {
    let mut each = |name, kind, help, value: fn(&crate::usage::ContainerUsage) -> Option<f64>| {
        let mut family = text.family(name, kind, help);
        for pod in pods {
            for container in &pod.containers {
                let labels = [
                    ("container", container.name.as_str()),
                    ("namespace", pod.key.namespace.as_str()),
                    ("pod", pod.key.name.as_str()),
                ];
                value(container).into_iter().for_each(|value| family.sample(&labels, value));
            }
        }
    };
    let help = "Cumulative cpu time consumed by the container in core-seconds";
    each("container_cpu_usage_seconds_total", Kind::Counter, help, |container| cpu(&container.sample));
    let help = "Current working set of the container in bytes";
    each("container_memory_working_set_bytes", Kind::Gauge, help, |container| memory(&container.sample));
    let help = "Start time of the container since unix epoch in seconds";
    each("container_start_time_seconds", Kind::Gauge, help, |container| {
        Some(container.since.as_millisecond() as f64 / 1000.0)
    });
}

fn of_pods(text: &mut Exposition, pods: &[PodUsage]) {
    let mut each = |name, kind, help, value: fn(&Sample) -> Option<f64>| {
        let mut family = text.family(name, kind, help);
        for pod in pods {
            let labels = [("namespace", pod.key.namespace.as_str()), ("pod", pod.key.name.as_str())];
            value(&pod.whole).into_iter().for_each(|value| family.sample(&labels, value));
        }
    };
    let help = "Cumulative cpu time consumed by the pod in core-seconds";
    each("pod_cpu_usage_seconds_total", Kind::Counter, help, cpu);
    let help = "Current working set of the pod in bytes";
    each("pod_memory_working_set_bytes", Kind::Gauge, help, memory);
}

fn cpu(sample: &Sample) -> Option<f64> {
    sample.stats.cpu.map(|cpu| cpu.usage.as_secs_f64())
}

fn memory(sample: &Sample) -> Option<f64> {
    sample.stats.memory.map(|memory| memory.working_set as f64)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::cgroup::stats::Memory;
    use crate::metrics::lint;
    use crate::usage::tests::usage;

    #[test]
    fn the_names_are_the_kubelets_and_what_nobody_counts_is_left_out() {
        let clock = Instant::now();
        let node = NodeSample { clock, busy: Duration::from_secs(9), working_set: 7 };
        let mut pod = usage(clock, 10, Duration::from_millis(1500));
        pod.containers[0].sample.stats.memory = Some(Memory { working_set: 5, ..Memory::default() });
        let found = text(Some((&node, &[pod])));
        lint::check(&found);
        let samples: Vec<&str> = found.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                "node_cpu_usage_seconds_total 9",
                "node_memory_working_set_bytes 7",
                "container_cpu_usage_seconds_total{container=\"a\",namespace=\"default\",pod=\"web\"} 1.5",
                "container_memory_working_set_bytes{container=\"a\",namespace=\"default\",pod=\"web\"} 5",
                "container_start_time_seconds{container=\"a\",namespace=\"default\",pod=\"web\"} 1",
                "pod_cpu_usage_seconds_total{namespace=\"default\",pod=\"web\"} 1.5",
                "resource_scrape_error 0",
                "scrape_error 0",
            ]
        );
    }

    #[test]
    fn what_could_not_be_read_is_an_error_and_no_figure() {
        let found = text(None);
        lint::check(&found);
        let samples: Vec<&str> = found.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(samples, ["resource_scrape_error 1", "scrape_error 1"]);
    }
}
