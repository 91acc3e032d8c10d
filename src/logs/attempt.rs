//! Which attempt's log is meant by a container's name, or why there is none: the kubelet's choice, in its words
//! (`validateContainerLogStatus` in `pkg/kubelet/kubelet_pods.go`).

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, PodStatus};

/// Why there is no log. A client is told 400 with this text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoLog(String);

/// The attempt of `container` whose log is to be read, by the pod's status: the newest one, or with `previous` the last one that has
/// ended before it.
pub fn of(pod: &str, status: &PodStatus, container: &str, previous: bool) -> Result<u32, NoLog> {
    let of_kind =
        [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
    let mut statuses = of_kind.into_iter().flatten().flatten();
    let refused = |why: &str| Err(NoLog(format!("container {container:?} in pod {pod:?} {why}")));
    let Some(status) = statuses.find(|status| status.name == container) else {
        return refused("is not available");
    };
    let nothing = ContainerState::default();
    let state = status.state.as_ref().unwrap_or(&nothing);
    let last = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let id_of = |ended: &ContainerStateTerminated| ended.container_id.clone().filter(|id| !id.is_empty());
    let last_id = last.and_then(id_of);
    let id = match (state, last) {
        _ if previous => match last_id {
            Some(id) => id,
            None => {
                let why = format!("previous terminated container {container:?} in pod {pod:?} not found");
                return Err(NoLog(why));
            }
        },
        (ContainerState { running: Some(_), .. }, _) => status.container_id.clone().unwrap_or_default(),
        (ContainerState { terminated: Some(ended), .. }, _) => match id_of(ended).or(last_id) {
            Some(id) => id,
            None => return refused("is terminated"),
        },
        (_, Some(_)) => match last_id {
            Some(id) => id,
            None => return refused("is terminated"),
        },
        (ContainerState { waiting: Some(waiting), .. }, None) => {
            return match waiting.reason.as_deref().unwrap_or_default() {
                "ErrImagePull" => refused("is waiting to start: image can't be pulled"),
                "ImagePullBackOff" => refused("is waiting to start: trying and failing to pull image"),
                reason => refused(&format!("is waiting to start: {reason}")),
            };
        }
        _ => return refused("is waiting to start - no logs yet"),
    };
    Ok(attempt(status, &id))
}

/// Which start of a container had that id: restarts are counted with the newest, of which the status tells the id, if it is not
/// the last one itself.
fn attempt(status: &ContainerStatus, id: &str) -> u32 {
    let newest = u32::try_from(status.restart_count).unwrap_or(0);
    match &status.container_id {
        Some(of_newest) if of_newest != id => newest.saturating_sub(1),
        _ => newest,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{ContainerStateRunning, ContainerStateWaiting};

    use super::*;

    fn running() -> ContainerState {
        ContainerState { running: Some(ContainerStateRunning::default()), ..ContainerState::default() }
    }

    fn waiting(reason: &str) -> ContainerState {
        let waiting = ContainerStateWaiting { reason: Some(reason.to_owned()), message: None };
        ContainerState { waiting: Some(waiting), ..ContainerState::default() }
    }

    fn ended(id: &str) -> ContainerState {
        let container_id = Some(id.to_owned()).filter(|id| !id.is_empty());
        let terminated = ContainerStateTerminated { container_id, ..ContainerStateTerminated::default() };
        ContainerState { terminated: Some(terminated), ..ContainerState::default() }
    }

    /// A pod `web` with a container `c`, whose id, restarts, state and last state are these.
    fn pod(id: &str, restart_count: i32, state: ContainerState, last: Option<ContainerState>) -> PodStatus {
        let status = ContainerStatus {
            name: "c".to_owned(),
            container_id: Some(id.to_owned()).filter(|id| !id.is_empty()),
            restart_count,
            state: Some(state),
            last_state: last,
            ..ContainerStatus::default()
        };
        PodStatus { container_statuses: Some(vec![status]), ..PodStatus::default() }
    }

    #[test]
    fn the_newest_attempt_is_meant_or_the_one_before() {
        for (what, status, newest, previous) in [
            ("runs", pod("a", 0, running(), None), Ok(0), Err(())),
            ("runs again", pod("c", 2, running(), Some(ended("b"))), Ok(2), Ok(1)),
            ("has ended", pod("a", 0, ended("a"), None), Ok(0), Err(())),
            ("has ended again", pod("b", 1, ended("b"), Some(ended("a"))), Ok(1), Ok(0)),
            ("backs off", pod("b", 1, waiting("CrashLoopBackOff"), Some(ended("b"))), Ok(1), Ok(1)),
            ("begins anew", pod("", 3, waiting("PodInitializing"), Some(ended("d"))), Ok(3), Ok(3)),
            ("is unknown", pod("b", 1, ended(""), Some(ended("a"))), Ok(0), Ok(0)),
        ] {
            assert_eq!(of("web", &status, "c", false).map_err(drop), newest, "{what}");
            assert_eq!(of("web", &status, "c", true).map_err(drop), previous, "{what}, the one before");
        }
    }

    #[test]
    fn why_there_is_no_log_is_told_in_the_kubelets_words() {
        let wait = |reason| pod("", 0, waiting(reason), None);
        for (status, container, previous, expected) in [
            (wait("ContainerCreating"), "x", false, r#"container "x" in pod "web" is not available"#),
            (
                wait("ContainerCreating"),
                "c",
                true,
                r#"previous terminated container "c" in pod "web" not found"#,
            ),
            (
                wait("ContainerCreating"),
                "c",
                false,
                r#"container "c" in pod "web" is waiting to start: ContainerCreating"#,
            ),
            (
                wait("ErrImagePull"),
                "c",
                false,
                r#"container "c" in pod "web" is waiting to start: image can't be pulled"#,
            ),
            (
                wait("ImagePullBackOff"),
                "c",
                false,
                r#"container "c" in pod "web" is waiting to start: trying and failing to pull image"#,
            ),
            (pod("", 0, ended(""), None), "c", false, r#"container "c" in pod "web" is terminated"#),
            (
                pod("", 0, waiting("x"), Some(ended(""))),
                "c",
                false,
                r#"container "c" in pod "web" is terminated"#,
            ),
            (
                pod("", 0, ContainerState::default(), None),
                "c",
                false,
                r#"container "c" in pod "web" is waiting to start - no logs yet"#,
            ),
        ] {
            assert_eq!(of("web", &status, container, previous), Err(NoLog(expected.to_owned())));
        }
    }
}
