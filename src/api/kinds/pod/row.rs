//! A pod's line in a table: what READY, STATUS and RESTARTS say.

use std::collections::HashSet;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerStateTerminated, ContainerStatus, Pod, PodCondition, PodSpec, PodStatus,
};
use serde_json::Value;

use crate::api::table::age;

/// The cells below [`super::COLUMNS`].
pub(super) fn cells(pod: &Pod, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (pod.spec.clone().unwrap_or_default(), pod.status.clone().unwrap_or_default());
    let Summary { ready, total, reason, restarts } = summary(pod, &spec, &status);
    let restarts = match restarts {
        Restarts { count, last: Some(last) } if count != 0 => {
            format!("{count} ({} ago)", age(Some(last), now))
        }
        Restarts { count, .. } => count.to_string(),
    };
    let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let ip = status.pod_ips.iter().flatten().next().map(|ip| ip.ip.clone());
    vec![
        pod.metadata.name.clone().unwrap_or_default().into(),
        format!("{ready}/{total}").into(),
        reason.into(),
        restarts.into(),
        age(created, now).into(),
        or_none(ip).into(),
        or_none(spec.node_name.clone()).into(),
        or_none(status.nominated_node_name.clone()).into(),
        readiness_gates(&spec, &status).into(),
    ]
}

struct Summary {
    ready: usize,
    total: usize,
    reason: String,
    restarts: Restarts,
}

#[derive(Clone, Copy, Default)]
struct Restarts {
    count: i32,
    /// When a container ended that was started again.
    last: Option<Timestamp>,
}

impl Restarts {
    fn add(&mut self, status: &ContainerStatus) {
        self.count += status.restart_count;
        let ended = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
        self.last = self.last.max(ended.and_then(|ended| ended.finished_at.as_ref()).map(|time| time.0));
    }
}

fn summary(pod: &Pod, spec: &PodSpec, status: &PodStatus) -> Summary {
    let sidecars: HashSet<&str> = spec.init_containers.iter().flatten().filter_map(sidecar).collect();
    let mut summary = Summary {
        ready: 0,
        total: spec.containers.len() + sidecars.len(),
        reason: given(&status.reason).or_else(|| given(&status.phase)).unwrap_or_default(),
        restarts: Restarts::default(),
    };
    if has(status, |c| c.type_ == "PodScheduled" && c.reason.as_deref() == Some("SchedulingGated")) {
        "SchedulingGated".clone_into(&mut summary.reason);
    }
    let (initializing, of_sidecars) = of_init_containers(spec, status, &sidecars, &mut summary);
    if !initializing || has(status, |c| c.type_ == "Initialized" && c.status == "True") {
        summary.restarts = of_sidecars;
        of_containers(status, &mut summary);
    }
    if pod.metadata.deletion_timestamp.is_some() {
        if status.reason.as_deref() == Some("NodeLost") {
            "Unknown".clone_into(&mut summary.reason);
        } else if !matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
            "Terminating".clone_into(&mut summary.reason);
        }
    }
    summary
}

/// Whether the first init container that is not done yet is waited for, and how often sidecars were started again.
fn of_init_containers(
    spec: &PodSpec,
    status: &PodStatus,
    sidecars: &HashSet<&str>,
    summary: &mut Summary,
) -> (bool, Restarts) {
    let mut of_sidecars = Restarts::default();
    for (index, container) in status.init_container_statuses.iter().flatten().enumerate() {
        let is_sidecar = sidecars.contains(container.name.as_str());
        summary.restarts.add(container);
        if is_sidecar {
            of_sidecars.add(container);
        }
        let state = container.state.clone().unwrap_or_default();
        let waiting = state.waiting.and_then(|waiting| given(&waiting.reason));
        summary.reason = match (state.terminated, waiting) {
            (Some(ended), _) if ended.exit_code == 0 => continue,
            _ if is_sidecar && container.started == Some(true) => {
                summary.ready += usize::from(container.ready);
                continue;
            }
            (Some(ended), _) => format!("Init:{}", reason_of_end(&ended)),
            (None, Some(waiting)) if waiting != "PodInitializing" => format!("Init:{waiting}"),
            _ => format!("Init:{index}/{}", spec.init_containers.as_ref().map_or(0, Vec::len)),
        };
        return (true, of_sidecars);
    }
    (false, of_sidecars)
}

fn of_containers(status: &PodStatus, summary: &mut Summary) {
    let mut has_running = false;
    let mut failure = None;
    // The first container has the last word.
    for container in status.container_statuses.iter().flatten().rev() {
        summary.restarts.add(container);
        let state = container.state.clone().unwrap_or_default();
        let waiting = state.waiting.and_then(|waiting| given(&waiting.reason));
        match (waiting, state.terminated) {
            (Some(waiting), _) => summary.reason = waiting,
            (None, Some(ended)) => {
                summary.reason = reason_of_end(&ended);
                if ended.exit_code != 0 {
                    failure = Some(summary.reason.clone());
                }
            }
            (None, None) if container.ready && state.running.is_some() => {
                has_running = true;
                summary.ready += 1;
            }
            (None, None) => {}
        }
    }
    if summary.reason == "Completed" {
        let is_ready = has(status, |c| c.type_ == "Ready" && c.status == "True");
        if has_running && is_ready {
            "Running".clone_into(&mut summary.reason);
        } else if let Some(failure) = failure {
            summary.reason = failure;
        } else if has_running {
            "NotReady".clone_into(&mut summary.reason);
        }
    }
}

fn reason_of_end(ended: &ContainerStateTerminated) -> String {
    match (given(&ended.reason), ended.signal.unwrap_or(0)) {
        (Some(reason), _) => reason,
        (None, 0) => format!("ExitCode:{}", ended.exit_code),
        (None, signal) => format!("Signal:{signal}"),
    }
}

/// True gates among all of them.
fn readiness_gates(spec: &PodSpec, status: &PodStatus) -> String {
    let gates = spec.readiness_gates.as_deref().unwrap_or_default();
    if gates.is_empty() {
        return or_none(None);
    }
    let is_true = |gate: &str| has(status, |c| c.type_ == gate && c.status == "True");
    format!("{}/{}", gates.iter().filter(|gate| is_true(&gate.condition_type)).count(), gates.len())
}

fn has(status: &PodStatus, wanted: impl Fn(&PodCondition) -> bool) -> bool {
    status.conditions.iter().flatten().any(wanted)
}

/// The name of an init container that goes on running.
fn sidecar(container: &Container) -> Option<&str> {
    (container.restart_policy.as_deref() == Some("Always")).then_some(container.name.as_str())
}

fn given(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.is_empty())
}

fn or_none(text: Option<String>) -> String {
    given(&text).unwrap_or_else(|| "<none>".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: &str = "2026-01-01T12:00:00Z";

    /// READY, STATUS and RESTARTS of a pod with these containers and that status.
    fn shown(spec: Value, status: Value, deleted: bool) -> String {
        let mut pod = json!({
            "metadata": {"name": "p", "creationTimestamp": "2026-01-01T11:59:55Z"},
            "spec": spec,
            "status": status,
        });
        if deleted {
            pod["metadata"]["deletionTimestamp"] = NOW.into();
        }
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let cells = cells(&pod, NOW.parse().unwrap());
        let texts: Vec<&str> = cells[1..4].iter().map(|cell| cell.as_str().unwrap()).collect();
        texts.join(" ")
    }

    fn status(name: &str, ready: bool, restarts: i32, state: Value) -> Value {
        let (image, image_id) = ("i", "");
        json!({
            "name": name, "image": image, "imageID": image_id, "ready": ready, "restartCount": restarts, "state": state,
        })
    }

    fn waiting(reason: &str) -> Value {
        json!({"waiting": {"reason": reason}})
    }

    fn ended(code: i32, reason: &str) -> Value {
        json!({"terminated": {"exitCode": code, "reason": reason}})
    }

    #[test]
    fn the_status_is_what_the_containers_say() {
        let running = || json!({"running": {}});
        let one = || json!({"containers": [{"name": "c"}]});
        let two = || json!({"containers": [{"name": "c"}, {"name": "d"}]});
        let ready = || json!([{"type": "Ready", "status": "True"}]);
        let of = |phase: &str, statuses: Value| json!({"phase": phase, "containerStatuses": statuses});
        for (spec, status, expected) in [
            (one(), json!({"phase": "Pending"}), "0/1 Pending 0"),
            (one(), json!({"phase": "Failed", "reason": "Evicted"}), "0/1 Evicted 0"),
            (one(), of("Running", json!([status("c", true, 0, running())])), "1/1 Running 0"),
            (one(), of("Running", json!([status("c", false, 0, running())])), "0/1 Running 0"),
            (
                one(),
                of("Pending", json!([status("c", false, 0, waiting("ContainerCreating"))])),
                "0/1 ContainerCreating 0",
            ),
            (
                one(),
                of("Running", json!([status("c", false, 4, waiting("CrashLoopBackOff"))])),
                "0/1 CrashLoopBackOff 4",
            ),
            (one(), of("Failed", json!([status("c", false, 0, ended(1, "Error"))])), "0/1 Error 0"),
            (one(), of("Failed", json!([status("c", false, 0, ended(3, ""))])), "0/1 ExitCode:3 0"),
            (
                one(),
                of(
                    "Failed",
                    json!([status("c", false, 0, json!({"terminated": {"exitCode": 137, "signal": 9}}))]),
                ),
                "0/1 Signal:9 0",
            ),
            (
                one(),
                of("Succeeded", json!([status("c", false, 0, ended(0, "Completed"))])),
                "0/1 Completed 0",
            ),
            // The first container's word counts, unless it has completed and others have not.
            (
                two(),
                of(
                    "Running",
                    json!([
                        status("c", false, 0, waiting("ErrImagePull")),
                        status("d", false, 0, ended(1, "Error"))
                    ]),
                ),
                "0/2 ErrImagePull 0",
            ),
            (
                two(),
                of(
                    "Failed",
                    json!([
                        status("c", false, 0, ended(0, "Completed")),
                        status("d", false, 0, ended(1, "Error"))
                    ]),
                ),
                "0/2 Error 0",
            ),
            (
                two(),
                of(
                    "Running",
                    json!([status("c", false, 0, ended(0, "Completed")), status("d", true, 0, running())]),
                ),
                "1/2 NotReady 0",
            ),
            (
                two(),
                json!({
                    "phase": "Running",
                    "conditions": ready(),
                    "containerStatuses":
                        [status("c", false, 0, ended(0, "Completed")), status("d", true, 0, running())],
                }),
                "1/2 Running 0",
            ),
            (
                one(),
                json!({
                    "phase": "Pending",
                    "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}],
                }),
                "0/1 SchedulingGated 0",
            ),
        ] {
            assert_eq!(shown(spec, status.clone(), false), expected, "{status}");
        }
    }

    #[test]
    fn the_status_of_a_pod_that_initializes_is_that_of_its_init_containers() {
        let spec = || {
            json!({
                "initContainers": [{"name": "a"}, {"name": "s", "restartPolicy": "Always"}, {"name": "b"}],
                "containers": [{"name": "c"}],
            })
        };
        let done = || status("a", false, 0, ended(0, "Completed"));
        let mut started = status("s", true, 2, json!({"running": {}}));
        started["started"] = true.into();
        let blocked = status("c", false, 0, waiting("PodInitializing"));
        let of = |init: Value| json!({"phase": "Pending", "initContainerStatuses": init, "containerStatuses": [blocked]});
        for (status, expected) in [
            (of(json!([status("a", false, 0, json!({"running": {}}))])), "0/2 Init:0/3 0"),
            (of(json!([status("a", false, 0, waiting("PodInitializing"))])), "0/2 Init:0/3 0"),
            (of(json!([status("a", false, 3, waiting("CrashLoopBackOff"))])), "0/2 Init:CrashLoopBackOff 3"),
            (of(json!([status("a", false, 0, ended(1, "Error"))])), "0/2 Init:Error 0"),
            (of(json!([status("a", false, 0, ended(7, ""))])), "0/2 Init:ExitCode:7 0"),
            (
                of(json!([status("a", false, 0, json!({"terminated": {"exitCode": 137, "signal": 9}}))])),
                "0/2 Init:Signal:9 0",
            ),
            (of(json!([done(), status("s", false, 0, waiting("PodInitializing"))])), "0/2 Init:1/3 0"),
            (of(json!([done(), started, status("b", false, 0, json!({"running": {}}))])), "1/2 Init:2/3 2"),
            (
                of(json!([done(), started, status("b", false, 0, ended(0, "Completed"))])),
                "1/2 PodInitializing 2",
            ),
        ] {
            assert_eq!(shown(spec(), status.clone(), false), expected, "{status}");
        }
    }

    #[test]
    fn restarts_tell_how_long_ago_the_last_one_was() {
        let mut again = status("c", true, 3, json!({"running": {}}));
        again["lastState"] = json!({"terminated": {"exitCode": 1, "finishedAt": "2026-01-01T11:58:00Z"}});
        let spec = || json!({"containers": [{"name": "c"}, {"name": "d"}]});
        let other = status("d", true, 1, json!({"running": {}}));
        let status = json!({"phase": "Running", "containerStatuses": [again, other]});
        assert_eq!(shown(spec(), status.clone(), false), "2/2 Running 4 (2m ago)");
    }

    #[test]
    fn a_pod_that_is_being_deleted_terminates_until_it_is_over() {
        let spec = || json!({"containers": [{"name": "c"}]});
        let over = json!([status("c", false, 0, ended(0, "Completed"))]);
        for (status, expected) in [
            (json!({"phase": "Running"}), "0/1 Terminating 0"),
            (json!({"phase": "Succeeded", "containerStatuses": over}), "0/1 Completed 0"),
            (json!({"phase": "Running", "reason": "NodeLost"}), "0/1 Unknown 0"),
        ] {
            assert_eq!(shown(spec(), status, true), expected);
        }
    }

    #[test]
    fn the_wide_columns_say_where_the_pod_is() {
        let pod = json!({
            "metadata": {"name": "p"},
            "spec": {
                "containers": [], "nodeName": "n",
                "readinessGates": [{"conditionType": "a"}, {"conditionType": "b"}],
            },
            "status": {
                "podIPs": [{"ip": "10.0.0.2"}, {"ip": "fd00::2"}],
                "conditions": [{"type": "a", "status": "True"}, {"type": "b", "status": "False"}],
            },
        });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let wide = cells(&pod, Timestamp::UNIX_EPOCH).split_off(4);
        assert_eq!(json!(wide), json!(["<unknown>", "10.0.0.2", "n", "<none>", "1/2"]));
        let bare = cells(&Pod::default(), Timestamp::UNIX_EPOCH).split_off(5);
        assert_eq!(json!(bare), json!(["<none>", "<none>", "<none>", "<none>"]));
    }
}
