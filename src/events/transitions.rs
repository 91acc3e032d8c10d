//! What two statuses of a pod, one after the other, say has happened between them. Pure.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, PodStatus};

use super::Event;
use crate::pod::{ContainerName, ContainerSpec, Pod};

/// Why a container waits as long as nothing is wrong.
const AS_IT_SHOULD: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// The events of all containers that the earlier status knows, in their order.
///
/// Of those whose image was `pulled` for their next attempt, that has been told already.
///
/// An agent that has just taken a pod over knows of no earlier status, and so tells nothing again.
pub fn between(
    pod: &Pod,
    before: &PodStatus,
    after: &PodStatus,
    pulled: &BTreeSet<ContainerName>,
) -> Vec<Event> {
    let lists = [
        (&pod.spec.init_containers, &before.init_container_statuses, &after.init_container_statuses),
        (&pod.spec.containers, &before.container_statuses, &after.container_statuses),
        (
            &pod.spec.ephemeral_containers,
            &before.ephemeral_container_statuses,
            &after.ephemeral_container_statuses,
        ),
    ];
    let mut events = Vec::new();
    for (specs, before, after) in lists {
        for after in after.iter().flatten() {
            let spec = specs.iter().find(|spec| spec.name.as_str() == after.name);
            let before = before.iter().flatten().find(|before| before.name == after.name);
            if let (Some(spec), Some(before)) = (spec, before) {
                events.extend(of_container(pod, spec, before, after, pulled.contains(&spec.name)));
            }
        }
    }
    events
}

/// The containers that the later status has as ready, and the earlier one as not.
pub fn became_ready(before: &PodStatus, after: &PodStatus) -> Vec<ContainerName> {
    let all = |status: &PodStatus| {
        let lists = [&status.init_container_statuses, &status.container_statuses].map(Clone::clone);
        lists.into_iter().flatten().flatten().collect::<Vec<_>>()
    };
    let was_not = |name: &str| all(before).iter().any(|container| container.name == name && !container.ready);
    let ready = all(after).into_iter().filter(|container| container.ready && was_not(&container.name));
    ready.filter_map(|container| container.name.parse().ok()).collect()
}

fn of_container(
    pod: &Pod,
    spec: &ContainerSpec,
    before: &ContainerStatus,
    after: &ContainerStatus,
    is_pulled: bool,
) -> Vec<Event> {
    let name: &ContainerName = &spec.name;
    if let Some(why) = waits_for(after).filter(|why| waits_for(before).as_ref() != Some(why)) {
        return match why {
            (reason, _) if AS_IT_SHOULD.contains(&reason) => Vec::new(),
            ("CrashLoopBackOff", _) => vec![Event::back_off(pod, name)],
            ("ErrImagePull", _) => vec![Event::failed(pod, name, "ErrImagePull")],
            (reason @ "ImagePullBackOff", message) => {
                // What the last try said comes after it.
                let told = message.unwrap_or_default().split(": ErrImagePull: ").next().unwrap_or_default();
                vec![Event::pull_back_off(pod, name, told), Event::failed(pod, name, reason)]
            }
            (reason @ "ErrImageNeverPull", message) => {
                let told = Event::never_pull(pod, name, message.unwrap_or_default());
                vec![told, Event::failed(pod, name, reason)]
            }
            (reason @ ("InvalidImageName" | "ImageInspectError"), message) => {
                let told = Event::inspect_failed(pod, name, message.unwrap_or_default());
                vec![told, Event::failed(pod, name, reason)]
            }
            (reason, message) => vec![Event::failed(pod, name, message.unwrap_or(reason))],
        };
    }
    if !begins(before, after) {
        return Vec::new();
    }
    let present = (!is_pulled).then(|| Event::present(pod, name, &after.image));
    present.into_iter().chain([Event::created(pod, name), Event::started(pod, name)]).collect()
}

/// True if an attempt of this container has begun.
pub fn has_begun(container: &ContainerName, before: &PodStatus, after: &PodStatus) -> bool {
    let find = |status: &PodStatus| {
        let lists = [
            &status.init_container_statuses,
            &status.container_statuses,
            &status.ephemeral_container_statuses,
        ];
        let mut all = lists.into_iter().flatten().flatten();
        all.find(|status| status.name == container.as_str()).cloned()
    };
    find(before).zip(find(after)).is_some_and(|(before, after)| begins(&before, &after))
}

fn begins(before: &ContainerStatus, after: &ContainerStatus) -> bool {
    let has_run = |status: &ContainerStatus| {
        status.state.as_ref().is_some_and(|state| state.running.is_some() || has_started(state))
    };
    after.container_id != before.container_id && has_run(after)
}

/// It has ended, and had begun before.
fn has_started(state: &ContainerState) -> bool {
    state.terminated.as_ref().is_some_and(|ended| ended.started_at.is_some())
}

/// Reason and message.
fn waits_for(status: &ContainerStatus) -> Option<(&str, Option<&str>)> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    Some((waiting.reason.as_deref()?, waiting.message.as_deref()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::pod::spec::RestartPolicy;
    use crate::runtime::fixture::pod;

    fn status(container: &Value) -> PodStatus {
        let mut whole =
            json!({"name": "a", "image": "busybox", "imageID": "", "ready": false, "restartCount": 0});
        json_patch::merge(&mut whole, container);
        serde_json::from_value(json!({"containerStatuses": [whole]})).unwrap()
    }

    fn waiting(reason: &str, message: Option<&str>) -> PodStatus {
        status(&json!({"state": {"waiting": {"reason": reason, "message": message}}}))
    }

    fn running(id: &str) -> PodStatus {
        status(&json!({"state": {"running": {"startedAt": "1970-01-01T00:00:00Z"}}, "containerID": id}))
    }

    fn ended(id: &str, started: Option<&str>) -> PodStatus {
        status(&json!({"state": {"terminated": {"exitCode": 1, "startedAt": started}}, "containerID": id}))
    }

    #[test]
    fn a_container_becomes_ready_when_it_was_not() {
        let is = |ready: bool| status(&json!({"ready": ready}));
        for (before, after, expected) in [
            (is(false), is(true), vec!["a"]),
            (is(true), is(true), vec![]),
            (is(true), is(false), vec![]),
            // Of what it was before, nothing is known.
            (PodStatus::default(), is(true), vec![]),
        ] {
            let names = became_ready(&before, &after);
            assert_eq!(names.iter().map(ContainerName::as_str).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn images_are_told_of_as_a_kubelet_does() {
        let pod = pod(RestartPolicy::Always, &[], &["a"]);
        let back_off = "Back-off pulling image \"x\"";
        let long = format!("{back_off}: ErrImagePull: GET https://x: 404");
        let never = "Container image \"x\" is not present with pull policy of Never";
        for (reason, message, expected) in [
            ("ErrImagePull", "GET https://x: 404", vec!["Warning Failed Error: ErrImagePull".to_owned()]),
            (
                "ImagePullBackOff",
                long.as_str(),
                vec![
                    format!("Normal BackOff {back_off}"),
                    "Warning Failed Error: ImagePullBackOff".to_owned(),
                ],
            ),
            (
                "ErrImageNeverPull",
                never,
                vec![
                    format!("Warning ErrImageNeverPull {never}"),
                    "Warning Failed Error: ErrImageNeverPull".to_owned(),
                ],
            ),
            (
                "InvalidImageName",
                "Failed to apply",
                vec![
                    "Warning InspectFailed Failed to apply".to_owned(),
                    "Warning Failed Error: InvalidImageName".to_owned(),
                ],
            ),
        ] {
            let after = waiting(reason, Some(message));
            let events = between(&pod, &waiting("ContainerCreating", None), &after, &BTreeSet::new());
            let told = events.iter().map(|e| format!("{} {} {}", e.kind.as_str(), e.reason, e.message));
            assert_eq!(told.collect::<Vec<_>>(), expected);
        }
        let pulled = ["a".parse().unwrap()].into();
        let (before, after) = (waiting("ContainerCreating", None), running("1"));
        let events = between(&pod, &before, &after, &pulled);
        assert_eq!(events.iter().map(|event| event.reason).collect::<Vec<_>>(), ["Created", "Started"]);
        assert!(has_begun(&"a".parse().unwrap(), &before, &after));
        assert!(!has_begun(&"a".parse().unwrap(), &after, &after));
    }

    #[test]
    fn each_change_is_told_once() {
        let pod = pod(RestartPolicy::Always, &[], &["a"]);
        let creating = || waiting("ContainerCreating", None);
        let no_config = || waiting("CreateContainerConfigError", Some("configmap \"c\" not found"));
        let back_off = || waiting("CrashLoopBackOff", Some("back-off 10s restarting"));
        let start = ["Pulled", "Created", "Started"];
        for (before, after, expected) in [
            (creating(), running("1"), start.as_slice()),
            (running("1"), running("1"), &[]),
            (ended("1", None), running("2"), &start),
            // It ended before anybody looked.
            (creating(), ended("1", Some("1970-01-01T00:00:00Z")), &start),
            (running("1"), ended("1", Some("1970-01-01T00:00:00Z")), &[]),
            // It never began.
            (creating(), ended("1", None), &[]),
            (ended("1", None), back_off(), &["BackOff"]),
            (back_off(), back_off(), &[]),
            (back_off(), running("2"), &start),
            (creating(), no_config(), &["Failed"]),
            (no_config(), no_config(), &[]),
            (PodStatus::default(), creating(), &[]),
            // Of what it was before, nothing is known.
            (PodStatus::default(), running("1"), &[]),
        ] {
            let reasons: Vec<_> =
                between(&pod, &before, &after, &BTreeSet::new()).iter().map(|event| event.reason).collect();
            assert_eq!(reasons, expected, "{before:?} {after:?}");
        }
        let failed = between(&pod, &creating(), &no_config(), &BTreeSet::new());
        assert_eq!(failed[0].message, "Error: configmap \"c\" not found");
    }
}
