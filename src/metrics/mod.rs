//! Prometheus metrics, with the names that the kubelet, cAdvisor and kube-apiserver give them.
//!
//! Two kinds of figures: what the agent counts as it goes ([`Metrics`]), and what is read when somebody asks, from which `resource`,
//! `cadvisor` and `process` make text. The text is version 0.0.4 of the exposition format
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>), written by [`text`]; labels come from what was just read, so no
//! series of a pod that is gone stays behind.

pub mod cadvisor;
pub mod counted;
#[cfg(test)]
mod lint;
pub mod process;
pub mod resource;
pub mod starts;
pub mod text;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use self::counted::{Counters, Histograms};
use self::text::{Exposition, Kind};
use crate::api::kubelet::requests::Answered;

/// What the agent counts as it goes: each metric is declared here.
#[derive(Debug)]
pub struct Metrics {
    /// What was asked of shims and of the kernel for pods, by `operation_type`.
    operations: Counters<1>,
    failed_operations: Counters<1>,
    operation_times: Histograms<1>,
    pod_starts: Histograms<0>,
    turns: Histograms<1>,
    requests: Counters<8>,
    evictions: Counters<1>,
    collected_images: Counters<1>,
    shutdown: Mutex<Option<LastShutdown>>,
}

/// When the machine's last shutdown began, and when that was over that pods were ended for it.
type LastShutdown = (Timestamp, Option<Timestamp>);

/// Upper bounds of the kubelet's histograms of operations, seconds.
const OPERATIONS: [f64; 14] = [
    0.005,
    0.0125,
    0.03125,
    0.078125,
    0.1953125,
    0.48828125,
    1.220703125,
    3.0517578125,
    7.62939453125,
    19.073486328125,
    47.6837158203125,
    119.20928955078125,
    298.0232238769531,
    745.0580596923828,
];

/// Likewise of a pod's start.
const STARTS: [f64; 14] = [0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0];

/// Likewise of a worker's turn.
const TURNS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

impl Default for Metrics {
    fn default() -> Self {
        Self {
            operations: Counters::new(["operation_type"]),
            failed_operations: Counters::new(["operation_type"]),
            operation_times: Histograms::new(["operation_type"], &OPERATIONS),
            pod_starts: Histograms::new([], &STARTS),
            turns: Histograms::new(["operation_type"], &TURNS),
            requests: Counters::new(REQUEST),
            evictions: Counters::new(["eviction_signal"]),
            collected_images: Counters::new(["reason"]),
            shutdown: Mutex::default(),
        }
    }
}

/// Labels of `apiserver_request_total`.
const REQUEST: [&str; 8] =
    ["verb", "group", "version", "resource", "subresource", "scope", "component", "code"];

impl Metrics {
    /// Something was done for a pod, under the kubelet's name for it.
    pub fn operated(&self, operation: &str, took: Duration, has_failed: bool) {
        self.operations.add([operation], 1);
        self.operation_times.observe([operation], took);
        if has_failed {
            self.failed_operations.add([operation], 1);
        }
    }

    /// A pod that was new runs, so long after it was first seen.
    pub fn pod_started(&self, took: Duration) {
        self.pod_starts.observe([], took);
    }

    /// A worker has planned and begun what is next for its pod.
    pub fn turned(&self, took: Duration) {
        self.turns.observe(["sync"], took);
    }

    /// A pod goes for this signal of eviction.
    pub fn evicted(&self, signal: &str) {
        self.evictions.add([signal], 1);
    }

    /// An image was thrown away: for its `age`, or for `space`.
    pub fn image_collected(&self, reason: &str) {
        self.collected_images.add([reason], 1);
    }

    /// A request was answered.
    pub fn answered(&self, answer: Answered<'_>) {
        let Answered { verb, group, version, resource, subresource, scope, code } = answer;
        let code = code.to_string();
        self.requests.add([verb, group, version, resource, subresource, scope, "apiserver", &code], 1);
    }

    /// The machine goes down, or went down, and pods were ended for that from `started` to `ended`.
    pub fn shut_down(&self, started: Timestamp, ended: Option<Timestamp>) {
        *self.shutdown.lock().unwrap_or_else(PoisonError::into_inner) = Some((started, ended));
    }

    /// All of them.
    pub fn write(&self, text: &mut Exposition) {
        let total = "kubelet_runtime_operations_total";
        text.counters(total, "Cumulative number of runtime operations by operation type.", &self.operations);
        let errors = "kubelet_runtime_operations_errors_total";
        let help = "Cumulative number of runtime operation errors by operation type.";
        text.counters(errors, help, &self.failed_operations);
        let durations = "kubelet_runtime_operations_duration_seconds";
        let help = "Duration in seconds of runtime operations. Broken down by operation type.";
        text.histograms(durations, help, &self.operation_times);
        let starts = "kubelet_pod_start_duration_seconds";
        let help =
            "Duration in seconds from kubelet seeing a pod for the first time to the pod starting to run";
        text.histograms(starts, help, &self.pod_starts);
        let workers = "kubelet_pod_worker_duration_seconds";
        let help = "Duration in seconds to sync a single pod. Broken down by operation type: create, update, or sync";
        text.histograms(workers, help, &self.turns);
        let help = "Counter of apiserver requests broken out for each verb, group, version, resource, scope, component, and HTTP response code.";
        text.counters("apiserver_request_total", help, &self.requests);
        let help = "Cumulative number of pod evictions by eviction signal";
        text.counters("kubelet_evictions", help, &self.evictions);
        let help = "Total number of images garbage collected by the kubelet, whether through disk usage or image age.";
        text.counters("kubelet_image_garbage_collected_total", help, &self.collected_images);
        let shutdown = *self.shutdown.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = |time: Option<Timestamp>| time.map_or(0.0, |time| time.as_duration().as_secs_f64());
        let help = "Last graceful shutdown start time since unix epoch in seconds";
        text.family("kubelet_graceful_shutdown_start_time_seconds", Kind::Gauge, help)
            .sample(&[], seconds(shutdown.map(|(started, _)| started)));
        let help = "Last graceful shutdown end time since unix epoch in seconds";
        text.family("kubelet_graceful_shutdown_end_time_seconds", Kind::Gauge, help)
            .sample(&[], seconds(shutdown.and_then(|(_, ended)| ended)));
    }
}

/// Pods and containers that an agent looks after.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Running {
    /// Pods of which a container runs.
    pub pods: u64,
    /// Containers that run, that wait to be started, and that have ended.
    pub containers: [u64; 3],
}

/// What there is to say of the agent itself beside what it counts.
pub fn write_agent(text: &mut Exposition, node: &str, running: Running, minor: u32, version: &str) {
    let mut one = text.family("kubelet_node_name", Kind::Gauge, "The node's name. The count is always 1.");
    one.sample(&[("node", node)], 1.0);
    let help = "Number of pods that have a running pod sandbox";
    text.family("kubelet_running_pods", Kind::Gauge, help).sample(&[], running.pods as f64);
    let help = "Number of containers currently running";
    let mut containers = text.family("kubelet_running_containers", Kind::Gauge, help);
    for (state, count) in ["running", "created", "exited"].into_iter().zip(running.containers) {
        containers.sample(&[("container_state", state)], count as f64);
    }
    let help =
        "A metric with a constant '1' value labeled by version and platform from which Kubernetes was built.";
    let minor = minor.to_string();
    text.family("kubernetes_build_info", Kind::Gauge, help)
        .sample(&[("major", "1"), ("minor", &minor), ("git_version", version), ("compiler", "rustc")], 1.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_told_with_the_kubelets_names() {
        let metrics = Metrics::default();
        metrics.operated("start_container", Duration::from_millis(20), true);
        metrics.pod_started(Duration::from_millis(700));
        metrics.turned(Duration::from_micros(1));
        metrics.evicted("memory.available");
        metrics.image_collected("space");
        let answer = Answered {
            verb: "LIST",
            group: "",
            version: "v1",
            resource: "pods",
            subresource: "",
            scope: "namespace",
            code: 200,
        };
        metrics.answered(answer);
        metrics.answered(answer);
        metrics.shut_down(Timestamp::from_millisecond(1_500).unwrap(), None);
        let mut text = Exposition::default();
        metrics.write(&mut text);
        write_agent(&mut text, "n", Running { pods: 2, containers: [3, 0, 1] }, 37, "v1.37.0");
        let text = text.finish();
        lint::check(&text);
        for line in [
            "kubelet_runtime_operations_total{operation_type=\"start_container\"} 1",
            "kubelet_runtime_operations_errors_total{operation_type=\"start_container\"} 1",
            "kubelet_runtime_operations_duration_seconds_bucket{operation_type=\"start_container\",le=\"0.0125\"} 0",
            "kubelet_runtime_operations_duration_seconds_bucket{operation_type=\"start_container\",le=\"0.03125\"} 1",
            "kubelet_runtime_operations_duration_seconds_bucket{operation_type=\"start_container\",le=\"+Inf\"} 1",
            "kubelet_runtime_operations_duration_seconds_sum{operation_type=\"start_container\"} 0.02",
            "kubelet_pod_start_duration_seconds_bucket{le=\"1\"} 1",
            "kubelet_pod_start_duration_seconds_count 1",
            "apiserver_request_total{verb=\"LIST\",group=\"\",version=\"v1\",resource=\"pods\",subresource=\"\",scope=\"namespace\",component=\"apiserver\",code=\"200\"} 2",
            "kubelet_evictions{eviction_signal=\"memory.available\"} 1",
            "kubelet_image_garbage_collected_total{reason=\"space\"} 1",
            "kubelet_running_pods 2",
            "kubelet_graceful_shutdown_start_time_seconds 1.5",
            "kubelet_graceful_shutdown_end_time_seconds 0",
            "kubelet_running_containers{container_state=\"exited\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
