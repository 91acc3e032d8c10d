//! What a person is told about a pod, situation by situation.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::*;
use crate::pod::spec::RestartPolicy::{self, Always, Never, OnFailure};
use crate::pod::spec::{ExitCodes, Hook, RestartAction, RestartRule};
use crate::runtime::fixture::{self, History, at, exit, name, pod};
use crate::runtime::observe::{Held, PostStart, Pull};
use crate::shim::protocol::{Exit, User};
use crate::sync::outcome::evict;

fn status(pod: &Pod, h: &History, now: i64) -> PodStatus {
    derive(pod, &h.observed, Intent::Run, None, None, at(now))
}

/// A container's state in a few words.
fn said(status: &ContainerStatus) -> String {
    let state = status.state.as_ref().unwrap();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    if state.running.is_some() {
        "Running".into()
    } else if let Some(waiting) = &state.waiting {
        format!("Waiting {} {}", text(&waiting.reason), text(&waiting.message)).trim_end().into()
    } else if let Some(ended) = &state.terminated {
        format!("Terminated {} {} {}", text(&ended.reason), ended.exit_code, text(&ended.message))
            .trim_end()
            .into()
    } else {
        "nothing".into()
    }
}

/// Phase, then each container's state, init containers first.
fn summary(status: &PodStatus) -> Vec<String> {
    let init = status.init_container_statuses.iter().flatten();
    let containers = status.container_statuses.iter().flatten();
    [status.phase.clone().unwrap()].into_iter().chain(init.chain(containers).map(said)).collect()
}

#[track_caller]
fn check(policy: RestartPolicy, init: &[&str], h: &History, now: i64, want: &[&str]) {
    assert_eq!(summary(&status(&pod(policy, init, &["a"]), h, now)), want);
}

#[test]
fn a_pod_that_begins_is_pending() {
    let h = History::default();
    check(Always, &[], &h, 0, &["Pending", "Waiting ContainerCreating"]);
    check(Always, &["i"], &h, 0, &["Pending", "Waiting ContainerCreating", "Waiting PodInitializing"]);
}

#[test]
fn init_containers_keep_a_pod_pending() {
    let mut h = History::ready();
    h.start(0, "i");
    check(Always, &["i"], &h, 1, &["Pending", "Running", "Waiting PodInitializing"]);
    h.exit(1, "i", 0);
    check(Always, &["i"], &h, 1, &["Pending", "Terminated Completed 0", "Waiting ContainerCreating"]);
    h.start(1, "a");
    check(Always, &["i"], &h, 1, &["Running", "Terminated Completed 0", "Running"]);
}

#[test]
fn a_failed_init_container_fails_a_pod_that_must_not_restart() {
    let mut h = History::ready();
    h.start(0, "i").exit(1, "i", 2);
    check(Never, &["i"], &h, 1, &["Failed", "Terminated Error 2", "Waiting PodInitializing"]);
}

#[test]
fn a_crash_loop_is_running_and_waiting() {
    let mut h = History::ready();
    h.start(0, "a").exit(1, "a", 1);
    check(Always, &[], &h, 1, &["Running", "Terminated Error 1"]);
    h.start(1, "a").exit(2, "a", 1);
    let back_off =
        "Waiting CrashLoopBackOff back-off 10s restarting failed container=a pod=web_default(uid-1)";
    check(Always, &[], &h, 2, &["Running", back_off]);
    check(Always, &[], &h, 12, &["Running", "Terminated Error 1"]);
    let status = status(&pod(Always, &[], &["a"]), &h, 2);
    let container = &status.container_statuses.unwrap()[0];
    let last = container.last_state.as_ref().unwrap().terminated.as_ref().unwrap();
    assert_eq!(last.container_id.as_deref(), Some("mkubelet://a-1"));
    assert_eq!((container.restart_count, container.ready), (1, false));
}

#[test]
fn what_went_down_with_its_sandbox_does_not_wait() {
    let mut h = History::ready();
    h.start(0, "a").exit(1, "a", 1).start(1, "a").exit(2, "a", 137);
    h.observed.sandbox = Sandbox::Lost { at: at(2) };
    check(Always, &[], &h, 2, &["Running", "Terminated Error 137"]);
}

#[test]
fn the_end_is_told_by_policy_and_exit_codes() {
    for (policy, code, want) in [
        (Never, 0, ["Succeeded", "Terminated Completed 0"]),
        (Never, 3, ["Failed", "Terminated Error 3"]),
        (OnFailure, 0, ["Succeeded", "Terminated Completed 0"]),
        (OnFailure, 3, ["Running", "Terminated Error 3"]),
        (Always, 0, ["Running", "Terminated Completed 0"]),
    ] {
        let mut h = History::ready();
        h.start(0, "a").exit(1, "a", code);
        check(policy, &[], &h, 1, &want);
    }
}

#[test]
fn every_kind_of_end_has_its_reason() {
    let oom = Exit { signal: Some(9), oom_killed: true, ..exit(137) };
    let lost = Exit { lost: true, ..exit(137) };
    for (exit, want) in [
        (oom, "Terminated OOMKilled 137"),
        (lost, "Terminated ContainerStatusUnknown 137 it ended while nobody watched: its shim was gone"),
        (Exit { signal: Some(15), ..exit(143) }, "Terminated Error 143"),
    ] {
        let mut h = History::ready();
        h.start(0, "a").exits(1, "a", exit);
        check(Never, &[], &h, 1, &["Failed", want]);
    }
    let mut h = History::ready();
    h.start_fails(0, "a");
    check(
        Never,
        &[],
        &h,
        1,
        &["Failed", "Terminated StartError 128 execve /nope: ENOENT: No such file or directory"],
    );
}

#[test]
fn what_a_container_says_as_it_ends_is_told_and_told_again_after_its_restart() {
    let oom = Exit { signal: Some(9), oom_killed: true, ..exit(137) };
    for (exit, want) in [
        (exit(0), "Terminated Completed 0 why"),
        (exit(1), "Terminated Error 1 why"),
        (oom, "Terminated OOMKilled 137 why"),
    ] {
        let mut h = History::ready();
        h.start(0, "a").exits_saying(1, "a", exit, Some("why"));
        assert_eq!(summary(&status(&pod(Never, &[], &["a"]), &h, 1))[1], want);
        h.start(2, "a");
        let status = status(&pod(Always, &[], &["a"]), &h, 2);
        let last = status.container_statuses.unwrap()[0].last_state.clone().unwrap().terminated.unwrap();
        assert_eq!(last.message.as_deref(), Some("why"));
    }
}

#[test]
fn the_messages_of_a_pod_are_twelve_kibibytes_together_at_most() {
    for (init, containers, ephemeral, part) in [(0, 1, 0, 12_288), (1, 2, 0, 4096), (2, 2, 1, 2457)] {
        let names = |kind: &str, count| (0..count).map(|n| format!("{kind}{n}")).collect::<Vec<_>>();
        let (init, containers) = (names("i", init), names("c", containers));
        let mut pod = pod(
            Never,
            &init.iter().map(String::as_str).collect::<Vec<_>>(),
            &containers.iter().map(String::as_str).collect::<Vec<_>>(),
        );
        let debugger = |n| fixture::container(&format!("e{n}"));
        pod.spec.ephemeral_containers = (0..ephemeral).map(debugger).collect();
        // Characters of two bytes, after one of one.
        let long = format!("x{}", "é".repeat(10_000));
        let mut h = History::ready();
        h.start(0, "c0").exits_saying(1, "c0", exit(0), Some(&long));
        let status = status(&pod, &h, 1);
        let state = status.container_statuses.unwrap()[0].state.clone().unwrap();
        let told = state.terminated.unwrap().message.unwrap();
        assert!(long.starts_with(&told) && told.len() <= part && told.len() >= part - 1, "{}", told.len());
    }
}

#[test]
fn a_restart_of_all_containers_is_a_condition_until_all_have_ended() {
    let mut pod = pod(Never, &["i"], &["a", "b"]);
    let kinds = |status: &PodStatus| -> Vec<String> {
        status.conditions.iter().flatten().map(|condition| condition.type_.clone()).collect()
    };
    let mut h = History::ready();
    h.start(0, "i").exit(1, "i", 0).start(1, "a").start(1, "b");
    assert!(!kinds(&status(&pod, &h, 1)).contains(&"AllContainersRestarting".to_owned()));

    let exit_codes = ExitCodes::In(vec![42]);
    let rule = RestartRule { action: RestartAction::RestartAllContainers, exit_codes };
    pod.spec.containers[0].restart_rules.push(rule);
    let mut before: Option<PodStatus> = None;
    let mut told = |h: &History, now| {
        let status = derive(&pod, &h.observed, Intent::Run, None, before.as_ref(), at(now));
        let said = |kind: &str| {
            let condition = status.conditions.iter().flatten().find(|condition| condition.type_ == kind);
            let condition = condition.unwrap();
            [Some(condition.status.as_str()), condition.reason.as_deref(), condition.message.as_deref()]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(" ")
        };
        let told = [said("AllContainersRestarting"), said("Initialized"), status.phase.clone().unwrap()];
        before = Some(status);
        told
    };
    let restarting = "True RestartAllContainersStarted container exited with restart policy rule";
    assert_eq!(told(&h, 1), ["False", "True", "Running"]);
    h.exit(2, "a", 42);
    assert_eq!(told(&h, 2), [restarting, "True", "Running"]);
    h.exit(2, "b", 137);
    assert_eq!(told(&h, 2), [restarting, "True", "Running"]);
    // It was initialized once; its phase begins anew.
    h.reset(2);
    assert_eq!(told(&h, 2), ["False", "True", "Pending"]);
    h.start(2, "i").exit(3, "i", 0).start(3, "a").start(3, "b");
    assert_eq!(told(&h, 3), ["False", "True", "Running"]);
    h.exit(4, "b", 0).exit(4, "a", 1);
    assert_eq!(told(&h, 4), ["False PodFailed", "True", "Failed"]);
}

#[test]
fn a_missing_image_is_waited_for() {
    let mut h = History::ready();
    let held = Held::again(None, "ErrImagePull", "image \"x\" is not there".into(), at(0));
    h.observed.container_mut(&name("a")).held = Some(held);
    check(Never, &[], &h, 1, &["Pending", "Waiting ErrImagePull image \"x\" is not there"]);
}

#[test]
fn a_failed_pull_is_told_as_itself_and_then_as_a_back_off_also_while_it_is_tried_again() {
    let mut h = History::ready();
    let known = h.observed.container_mut(&name("a"));
    known.held = Some(Held::again(None, "ErrImagePull", "404".into(), at(0)));
    known.pull = Pull::Due("x:1".to_owned());
    check(Never, &[], &h, 1, &["Pending", "Waiting ErrImagePull 404"]);
    let back_off = "Waiting ImagePullBackOff Back-off pulling image \"x:1\": ErrImagePull: 404";
    check(Never, &[], &h, 2, &["Pending", back_off]);
    h.observed.container_mut(&name("a")).pull = Pull::UnderWay("x:1".to_owned());
    check(Never, &[], &h, 12, &["Pending", back_off]);
}

#[test]
fn a_pod_that_is_told_to_go_ends_as_its_containers_did() {
    for (code, phase) in [(0, "Succeeded"), (143, "Failed")] {
        let pod = pod(Always, &[], &["a"]);
        let intent = Intent::Terminate { deadline: at(30) };
        let mut h = History::ready();
        h.start(0, "a");
        assert_eq!(derive(&pod, &h.observed, intent, None, None, at(1)).phase.unwrap(), "Running");
        h.exit(1, "a", code);
        assert_eq!(derive(&pod, &h.observed, intent, None, None, at(1)).phase.unwrap(), phase);
    }
}

#[test]
fn conditions_tell_how_far_a_pod_has_come() {
    let conditions = |pod: &Pod, h: &History| -> String {
        let conditions = status(pod, h, 9).conditions.unwrap();
        let short = |c: &k8s_openapi::api::core::v1::PodCondition| {
            format!("{}={}", c.type_, c.reason.clone().unwrap_or(c.status.clone()))
        };
        conditions.iter().map(short).collect::<Vec<_>>().join(" ")
    };
    let pod = pod(Never, &["i"], &["a"]);
    let mut h = History::default();
    let check = |h: &History, want: &str| assert_eq!(conditions(&pod, h), want);
    check(
        &h,
        "PodReadyToStartContainers=False Initialized=ContainersNotInitialized Ready=ContainersNotReady \
         ContainersReady=ContainersNotReady PodScheduled=True",
    );
    h.sandbox(0).start(0, "i").exit(1, "i", 0).start(1, "a");
    h.observed.address = Some([10, 85, 0, 2].into());
    check(
        &h,
        "PodReadyToStartContainers=True Initialized=True Ready=True ContainersReady=True PodScheduled=True",
    );
    h.exit(2, "a", 0);
    check(
        &h,
        "PodReadyToStartContainers=True Initialized=PodCompleted Ready=PodCompleted ContainersReady=PodCompleted \
         PodScheduled=True",
    );
}

#[test]
fn start_time_is_set_once() {
    let pod = pod(Always, &[], &["a"]);
    let first = derive(&pod, &Observed::default(), Intent::Run, None, None, at(5));
    let second = derive(&pod, &History::ready().observed, Intent::Run, None, Some(&first), at(9));
    assert_eq!(second.start_time.unwrap().0, at(5));
}

#[test]
fn durations_are_written_as_go_does() {
    for (seconds, want) in [(10, "10s"), (80, "1m20s"), (160, "2m40s"), (300, "5m0s")] {
        assert_eq!(go_duration(Duration::from_secs(seconds)), want);
    }
}

#[test]
fn sidecars_are_ready_and_started_as_containers_are_and_do_not_decide_the_phase() {
    let mut pod = pod(Never, &["s"], &["a"]);
    pod.spec.init_containers[0].restart_policy = Some(Always);
    let mut h = History::ready();
    h.start(0, "s");
    let flags = |h: &History| {
        let s = &status(&pod, h, 9).init_container_statuses.unwrap()[0];
        (s.ready, s.started.unwrap(), s.restart_count)
    };
    assert_eq!(flags(&h), (true, true, 0));
    assert_eq!(summary(&status(&pod, &h, 0)), ["Pending", "Running", "Waiting ContainerCreating"]);
    h.start(1, "a").exit(2, "s", 1);
    assert_eq!(flags(&h), (false, false, 0));
    assert_eq!(summary(&status(&pod, &h, 2)), ["Running", "Terminated Error 1", "Running"]);
    h.start(3, "s").exit(4, "a", 0);
    assert_eq!(summary(&status(&pod, &h, 4)), ["Running", "Running", "Terminated Completed 0"]);
    h.exit(5, "s", 143);
    assert_eq!(
        summary(&status(&pod, &h, 5)),
        ["Succeeded", "Terminated Error 143", "Terminated Completed 0"]
    );
}

#[test]
fn an_unready_sidecar_makes_its_pod_unready() {
    let mut pod = pod(Always, &["s"], &["a"]);
    pod.spec.init_containers[0].restart_policy = Some(Always);
    let mut h = History::ready();
    h.start(0, "s").start(0, "a");
    let ready = |h: &History| {
        let conditions = status(&pod, h, 9).conditions.unwrap();
        let ready = conditions.into_iter().find(|c| c.type_ == "Ready").unwrap();
        (ready.status, ready.message.unwrap_or_default())
    };
    assert_eq!(ready(&h), ("True".into(), String::new()));
    h.exit(1, "s", 1);
    assert_eq!(ready(&h), ("False".into(), "containers with unready status: [s]".into()));
}

#[test]
fn a_container_waits_while_its_post_start_hook_runs() {
    let mut pod = pod(Never, &[], &["a", "b"]);
    pod.spec.containers[0].lifecycle.post_start = Some(Hook::Sleep(Duration::ZERO));
    let mut h = History::ready();
    h.start(0, "a");
    let creating = "Waiting ContainerCreating";
    assert_eq!(summary(&status(&pod, &h, 0)), ["Pending", creating, creating]);
    h.start(0, "b").observed.container_mut(&name("a")).post_start = PostStart::Running;
    assert_eq!(summary(&status(&pod, &h, 0)), ["Pending", creating, "Running"]);
    h.observed.container_mut(&name("a")).post_start = PostStart::Failed("exit code 1".into());
    assert_eq!(
        summary(&status(&pod, &h, 0)),
        ["Pending", "Waiting PostStartHookError exit code 1", "Running"]
    );
    h.observed.container_mut(&name("a")).post_start = PostStart::Done;
    assert_eq!(summary(&status(&pod, &h, 0)), ["Running", "Running", "Running"]);
}

#[test]
fn an_exceeded_deadline_is_told_at_once_and_for_good() {
    let mut pod = pod(Always, &[], &["a"]);
    pod.spec.active_deadline = Some(Duration::from_secs(10));
    let mut h = History::ready();
    h.start(0, "a");
    assert_eq!(summary(&status(&pod, &h, 9)), ["Running", "Running"]);
    for second in [10, 60] {
        let status = status(&pod, &h, second);
        assert_eq!(status.phase.as_deref(), Some("Failed"));
        assert_eq!(status.reason.as_deref(), Some("DeadlineExceeded"));
        let message = "Pod was active on the node longer than the specified deadline";
        assert_eq!(status.message.as_deref(), Some(message));
        h.exit(11, "a", 0);
    }
}

#[test]
fn an_eviction_is_told_at_once_and_for_good_and_by_no_condition() {
    let pod = pod(Always, &[], &["a"]);
    let mut h = History::ready();
    h.start(0, "a");
    let kinds = |status: &PodStatus| -> Vec<String> {
        status.conditions.iter().flatten().map(|condition| condition.type_.clone()).collect()
    };
    let before = kinds(&status(&pod, &h, 9));
    let message = "Usage of EmptyDir volume \"cache\" exceeds the limit \"1Mi\". ";
    evict(&pod, &mut h.observed, message.to_owned(), at(10)).unwrap();
    for second in [10, 60] {
        let status = status(&pod, &h, second);
        assert_eq!(status.phase.as_deref(), Some("Failed"));
        assert_eq!(status.reason.as_deref(), Some("Evicted"));
        assert_eq!(status.message.as_deref(), Some(message));
        assert_eq!(kinds(&status), before);
        h.exit(11, "a", 0);
    }
}

#[test]
fn addresses_users_and_generations_are_told() {
    let mut pod = pod(Always, &[], &["a"]);
    pod.generation = Some(3);
    let mut h = History::ready();
    h.start(0, "a");
    h.observed.address = Some([10, 85, 0, 2].into());
    h.observed.container_mut(&name("a")).user = Some(User { uid: 1, gid: 2, groups: vec![2, 3] });
    let node = Some([192, 0, 2, 7].into());
    let told = derive(&pod, &h.observed, Intent::Run, node, None, at(1));
    assert_eq!((told.host_ip.as_deref(), told.pod_ip.as_deref()), (Some("192.0.2.7"), Some("10.85.0.2")));
    assert_eq!((told.host_ips.unwrap().len(), told.pod_ips.unwrap().len()), (1, 1));
    assert_eq!(told.observed_generation, Some(3));
    assert!(told.conditions.unwrap().iter().all(|c| c.observed_generation == Some(3)));
    let user = told.container_statuses.unwrap()[0].user.clone().unwrap().linux.unwrap();
    assert_eq!((user.uid, user.gid, user.supplemental_groups), (1, 2, Some(vec![2, 3])));

    // On the host's network a pod has the host's address.
    pod.spec.host_network = true;
    h.observed.address = None;
    let told = derive(&pod, &h.observed, Intent::Run, node, None, at(1));
    assert_eq!(told.pod_ip.as_deref(), Some("192.0.2.7"));
}

#[test]
fn resources_that_are_not_there_yet_show_as_conditions_and_not_as_resources() {
    let old = {
        let mut pod = pod(Always, &[], &["a"]);
        pod.spec.containers[0].resources.cpu_request_millis = Some(100);
        pod
    };
    let mut new = Pod { generation: Some(2), ..old.clone() };
    new.spec.containers[0].resources.cpu_request_millis = Some(200);
    let mut h = History::ready();
    h.start(0, "a");
    crate::sync::resize::begin(&old, &new, &mut h.observed);
    let shown = |h: &History| {
        let status = status(&new, h, 5);
        let container = &status.container_statuses.as_ref().unwrap()[0];
        let cpu = |list: &BTreeMap<String, Quantity>| list["cpu"].0.clone();
        let has = container.resources.as_ref().and_then(|has| has.requests.as_ref()).map(cpu).unwrap();
        let allocated = container.allocated_resources.as_ref().map(cpu).unwrap();
        let conditions = status.conditions.iter().flatten().filter(|c| c.type_.starts_with("PodResize"));
        let conditions: Vec<_> = conditions
            .map(|c| {
                assert_eq!((c.status.as_str(), c.observed_generation), ("True", Some(2)));
                let text = |text: &Option<String>| text.clone().unwrap_or_default();
                format!("{} {} {}", c.type_, text(&c.reason), text(&c.message)).trim_end().to_owned()
            })
            .collect();
        (has, allocated, conditions)
    };
    let (one, two) = ("100m".to_owned(), "200m".to_owned());
    let in_progress = |rest: &str| vec![format!("PodResizeInProgress{rest}")];
    assert_eq!(shown(&h), (one.clone(), two.clone(), in_progress("")));
    crate::sync::resize::end(&new, Err("no".into()), at(5), &mut h.observed);
    assert_eq!(shown(&h), (one, two.clone(), in_progress(" Error no")));
    h.observed.infeasible = Some("never".into());
    h.observed.resize = Resize::Done;
    assert_eq!(shown(&h).2, ["PodResizePending Infeasible never"]);
    h.observed.infeasible = None;
    crate::sync::resize::end(&new, Ok(()), at(6), &mut h.observed);
    assert_eq!(shown(&h), (two.clone(), two, Vec::new()));
}

#[test]
fn ephemeral_containers_have_a_status_of_their_own_and_count_for_nothing() {
    let mut pod = pod(Always, &["i"], &["a"]);
    let debug =
        crate::pod::ContainerSpec { restart_policy: Some(Never), ..crate::runtime::fixture::container("d") };
    pod.spec.ephemeral_containers = vec![debug];
    let mut h = History::ready();
    let shown = |h: &History| {
        let status = status(&pod, h, 9);
        let debug = &status.ephemeral_container_statuses.as_ref().unwrap()[0];
        assert_eq!((debug.ready, debug.started, debug.restart_count), (false, None, 0));
        let ready = status.conditions.iter().flatten().find(|c| c.type_ == "Ready").unwrap().status.clone();
        (status.phase.clone().unwrap(), ready, said(debug))
    };
    let expected = |phase: &str, ready: &str, state: &str| (phase.into(), ready.into(), state.into());
    assert_eq!(shown(&h), expected("Pending", "False", "Waiting PodInitializing"));
    h.start(0, "d");
    assert_eq!(shown(&h), expected("Pending", "False", "Running"));
    h.start(0, "i").exit(1, "i", 0).start(1, "a");
    assert_eq!(shown(&h), expected("Running", "True", "Running"));
    h.exit(2, "d", 1);
    assert_eq!(shown(&h), expected("Running", "True", "Terminated Error 1"));
}
