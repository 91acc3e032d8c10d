//! Kubernetes Events: what happens to pods, in the kubelet's words. No I/O; `cluster::recorder` sends them.
//!
//! Reasons are those of the kubelet (`pkg/kubelet/events`): dashboards and people look for them.

pub mod transitions;

use std::time::Duration;

use crate::pod::{ContainerName, Pod};
use crate::probe;
use crate::runtime::Pulled;

/// Something that happened to a pod, or to the node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Event {
    /// Whether it is as it should be.
    pub kind: Kind,
    /// One word, such as `Started`.
    pub reason: &'static str,
    /// For people, one line.
    pub message: String,
    /// The field of the pod that it is about, such as `spec.containers{web}`; `None`: the pod.
    pub field_path: Option<String>,
}

/// `type` of an Event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// As it should be.
    Normal,
    /// Somebody may want to know.
    Warning,
}

impl Kind {
    /// Kubernetes' word.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Normal => "Normal",
            Kind::Warning => "Warning",
        }
    }
}

impl Event {
    fn of_pod(kind: Kind, reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind, reason, message: message.into(), field_path: None }
    }

    fn of(
        pod: &Pod,
        container: &ContainerName,
        kind: Kind,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self { field_path: Some(field_path(pod, container)), ..Self::of_pod(kind, reason, message) }
    }

    /// The container's image is there.
    pub fn present(pod: &Pod, container: &ContainerName, image: &str) -> Self {
        let message = format!("Container image {image:?} already present on machine");
        Self::of(pod, container, Kind::Normal, "Pulled", message)
    }

    /// The container's image is being pulled.
    pub fn pulling(pod: &Pod, container: &ContainerName, image: &str) -> Self {
        Self::of(pod, container, Kind::Normal, "Pulling", format!("Pulling image {image:?}"))
    }

    /// It has been.
    pub fn pulled(pod: &Pod, container: &ContainerName, image: &str, pulled: &Pulled) -> Self {
        let [took, whole] = [pulled.took, pulled.took + pulled.waited].map(go_time);
        let size = pulled.size;
        let message = format!(
            "Successfully pulled image {image:?} in {took} ({whole} including waiting). Image size: {size} bytes."
        );
        Self::of(pod, container, Kind::Normal, "Pulled", message)
    }

    /// It could not be.
    pub fn pull_failed(pod: &Pod, container: &ContainerName, image: &str, why: &str) -> Self {
        let message = format!("Failed to pull image {image:?}: {why}");
        Self::of(pod, container, Kind::Warning, "Failed", message)
    }

    /// It is not tried again yet.
    pub fn pull_back_off(pod: &Pod, container: &ContainerName, message: &str) -> Self {
        Self::of(pod, container, Kind::Normal, "BackOff", message)
    }

    /// It is not there, and must not be pulled.
    pub fn never_pull(pod: &Pod, container: &ContainerName, message: &str) -> Self {
        Self::of(pod, container, Kind::Warning, "ErrImageNeverPull", message)
    }

    /// It has no proper name, or is damaged.
    pub fn inspect_failed(pod: &Pod, container: &ContainerName, message: &str) -> Self {
        Self::of(pod, container, Kind::Warning, "InspectFailed", message)
    }

    /// Secrets that were to open registries are not there.
    pub fn pull_secrets_missing(names: &[String]) -> Self {
        let names = names.join(", ");
        let message = format!(
            "Unable to retrieve some image pull secrets ({names}); attempting to pull the image may not succeed."
        );
        Self::of_pod(Kind::Warning, "FailedToRetrieveImagePullSecret", message)
    }

    /// The container has been made.
    pub fn created(pod: &Pod, container: &ContainerName) -> Self {
        Self::of(pod, container, Kind::Normal, "Created", "Container created")
    }

    /// Its program runs.
    pub fn started(pod: &Pod, container: &ContainerName) -> Self {
        Self::of(pod, container, Kind::Normal, "Started", "Container started")
    }

    /// It could not be made or started.
    pub fn failed(pod: &Pod, container: &ContainerName, why: &str) -> Self {
        Self::of(pod, container, Kind::Warning, "Failed", format!("Error: {why}"))
    }

    /// It is not started again yet, for it has ended too often.
    pub fn back_off(pod: &Pod, container: &ContainerName) -> Self {
        let (name, uid) = (format!("{}_{}", pod.key.name, pod.key.namespace), &pod.uid);
        let message = format!("Back-off restarting failed container {container} in pod {name}({uid})");
        Self::of(pod, container, Kind::Warning, "BackOff", message)
    }

    /// It is asked to end because its pod is.
    pub fn stopping(pod: &Pod, container: &ContainerName) -> Self {
        Self::of(pod, container, Kind::Normal, "Killing", format!("Stopping container {container}"))
    }

    /// It is asked to end because it has another image.
    pub fn redefined(pod: &Pod, container: &ContainerName) -> Self {
        let message = format!("Container {container} definition changed, will be restarted");
        Self::of(pod, container, Kind::Normal, "Killing", message)
    }

    /// It is asked to end because a probe says so.
    pub fn unhealthy_ends(pod: &Pod, container: &ContainerName, probe: probe::Kind) -> Self {
        let probe = probe.to_string().to_lowercase();
        let message = format!("Container {container} failed {probe} probe, will be restarted");
        Self::of(pod, container, Kind::Normal, "Killing", message)
    }

    /// A probe has failed, be it as often as it may or not.
    pub fn probe_failed(pod: &Pod, container: &ContainerName, probe: probe::Kind, output: &str) -> Self {
        Self::of(pod, container, Kind::Warning, "Unhealthy", format!("{probe} probe failed: {output}"))
    }

    /// Its postStart hook has failed. What the hook said may be secret.
    pub fn post_start_failed(pod: &Pod, container: &ContainerName) -> Self {
        Self::of(pod, container, Kind::Warning, "FailedPostStartHook", "PostStartHook failed")
    }

    /// Likewise its preStop hook.
    pub fn pre_stop_failed(pod: &Pod, container: &ContainerName) -> Self {
        Self::of(pod, container, Kind::Warning, "FailedPreStopHook", "PreStopHook failed")
    }

    /// The pod has no network or no namespaces yet.
    pub fn sandbox_failed(why: &str) -> Self {
        let message = format!("Failed to create pod sandbox: {why}");
        Self::of_pod(Kind::Warning, "FailedCreatePodSandBox", message)
    }

    /// What held the pod's namespaces is gone.
    pub fn sandbox_changed() -> Self {
        let message = "Pod sandbox changed, it will be killed and re-created.";
        Self::of_pod(Kind::Normal, "SandboxChanged", message)
    }

    /// The pod takes more than the node can give it, or is in the way of another.
    pub fn evicted(reason: &'static str, message: &str) -> Self {
        Self::of_pod(Kind::Warning, reason, message)
    }

    /// The node does not take the pod.
    pub fn rejected(reason: &'static str, why: &str) -> Self {
        Self::of_pod(Kind::Warning, reason, why)
    }

    /// What the node's condition has become, in the kubelet's word for it.
    pub fn of_node(node: &str, reason: &'static str) -> Self {
        Self::of_pod(Kind::Normal, reason, format!("Node {node} status is now: {reason}"))
    }

    /// The agent begins its work on the node.
    pub fn node_starting() -> Self {
        Self::of_pod(Kind::Normal, "Starting", "Starting kubelet.")
    }

    /// The node is of another boot than it was told to be.
    pub fn node_rebooted(node: &str, boot: &str) -> Self {
        let message = format!("Node {node} has been rebooted, boot id: {boot}");
        Self::of_pod(Kind::Warning, "Rebooted", message)
    }

    /// The machine goes down, or does not after all.
    pub fn node_shutdown(is_going_down: bool) -> Self {
        let what = if is_going_down { "event" } else { "cancellation" };
        Self::of_pod(Kind::Normal, "NodeShutdown", format!("Shutdown manager detected shutdown {what}"))
    }

    /// There is too little of something.
    pub fn eviction_threshold_met(resource: &str) -> Self {
        let message = format!("Attempting to reclaim {resource}");
        Self::of_pod(Kind::Warning, "EvictionThresholdMet", message)
    }

    /// Images that went were not enough.
    pub fn free_disk_space_failed(message: &str) -> Self {
        Self::of_pod(Kind::Warning, "FreeDiskSpaceFailed", message)
    }

    /// The disk of the images has no size.
    pub fn invalid_disk_capacity(message: &str) -> Self {
        Self::of_pod(Kind::Warning, "InvalidDiskCapacity", message)
    }

    /// Images could not be thrown away, again.
    pub fn image_gc_failed(message: &str) -> Self {
        Self::of_pod(Kind::Warning, "ImageGCFailed", message)
    }

    /// The node cannot run the pod at all.
    pub fn refused(why: &str) -> Self {
        Self::of_pod(Kind::Warning, "FailedAdmission", why)
    }
}

/// As Go prints a time of whole milliseconds: `0s`, `12ms`, `1.5s`, `1m0.25s`.
fn go_time(time: Duration) -> String {
    let millis = time.as_millis();
    let (minutes, rest) = (millis / 60_000, millis % 60_000);
    let fraction = format!("{}.{:03}", rest / 1000, rest % 1000);
    let seconds = fraction.trim_end_matches('0').trim_end_matches('.');
    match (minutes, rest) {
        (0, 0) => "0s".to_owned(),
        (0, 1..1000) => format!("{rest}ms"),
        (0, _) => format!("{seconds}s"),
        (1..60, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{}h{}m{seconds}s", minutes / 60, minutes % 60),
    }
}

/// Where in the pod a container stands.
fn field_path(pod: &Pod, container: &ContainerName) -> String {
    let has = |containers: &[crate::pod::ContainerSpec]| containers.iter().any(|one| one.name == *container);
    let list = match () {
        () if has(&pod.spec.init_containers) => "initContainers",
        () if has(&pod.spec.ephemeral_containers) => "ephemeralContainers",
        () => "containers",
    };
    format!("spec.{list}{{{container}}}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::spec::RestartPolicy;
    use crate::runtime::fixture::{name, pod};

    #[test]
    fn times_of_pulls_are_printed_as_go_does() {
        for (millis, expected) in [
            (0, "0s"),
            (7, "7ms"),
            (1000, "1s"),
            (1540, "1.54s"),
            (60_000, "1m0s"),
            (61_007, "1m1.007s"),
            (3_600_000, "1h0m0s"),
        ] {
            assert_eq!(go_time(Duration::from_millis(millis)), expected);
        }
        let pod = pod(RestartPolicy::Always, &[], &["a"]);
        let pulled = Pulled { took: Duration::from_millis(12), waited: Duration::from_secs(1), size: 345 };
        assert_eq!(
            Event::pulled(&pod, &name("a"), "nginx:1", &pulled).message,
            "Successfully pulled image \"nginx:1\" in 12ms (1.012s including waiting). Image size: 345 bytes."
        );
    }

    #[test]
    fn events_are_in_the_kubelets_words_and_name_their_container() {
        let pod = pod(RestartPolicy::Always, &["i"], &["a"]);
        let (i, a) = (name("i"), name("a"));
        let back_off = format!("Back-off restarting failed container a in pod web_default({})", pod.uid);
        for (event, expected) in [
            (
                Event::present(&pod, &i, "nginx:1"),
                "spec.initContainers{i} Normal Pulled Container image \"nginx:1\" already present on machine",
            ),
            (Event::started(&pod, &a), "spec.containers{a} Normal Started Container started"),
            (Event::back_off(&pod, &a), &format!("spec.containers{{a}} Warning BackOff {back_off}")),
            (
                Event::probe_failed(
                    &pod,
                    &a,
                    probe::Kind::Liveness,
                    "HTTP probe failed with statuscode: 500",
                ),
                "spec.containers{a} Warning Unhealthy Liveness probe failed: HTTP probe failed with statuscode: 500",
            ),
            (
                Event::unhealthy_ends(&pod, &a, probe::Kind::Liveness),
                "spec.containers{a} Normal Killing Container a failed liveness probe, will be restarted",
            ),
            (
                Event::redefined(&pod, &a),
                "spec.containers{a} Normal Killing Container a definition changed, will be restarted",
            ),
            (
                Event::sandbox_failed("no address is free"),
                " Warning FailedCreatePodSandBox Failed to create pod sandbox: no address is free",
            ),
        ] {
            let path = event.field_path.as_deref().unwrap_or_default();
            let text = format!("{path} {} {} {}", event.kind.as_str(), event.reason, event.message);
            assert_eq!(text, expected);
        }
    }
}
