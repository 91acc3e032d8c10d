//! The agent dies while it comes up, starts a pod, learns of a pod's end, or removes a pod.

use std::fs;

use serde_json::json;

use super::{Failing, at_each};
use crate::objects::config_map;
use crate::world::{World, http_get, until, with_objects};

/// Where it dies in each scenario.
pub(super) const POINTS: &[&[&str]] = &[FIRST, RECORD, START, NETWORK, WATCHED, OVER, END, IDS];

const FIRST: &[&str] = &[
    "boot.written",
    "boot.renamed",
    "revisions.json.created",
    "revisions.json.written",
    "revisions.json.synced",
    "revisions.json.renamed",
    "revisions.json.kept",
    "oci-layout.created",
    "oci-layout.written",
    "oci-layout.synced",
    "oci-layout.renamed",
    "oci-layout.kept",
    "objects.created",
    "objects.written",
    "objects.committed",
    "objects.applied",
];

const RECORD: &[&str] = &[
    "admission.owned",
    "pod.json.created",
    "pod.json.written",
    "pod.json.synced",
    "pod.json.renamed",
    "pod.json.kept",
];

const START: &[&str] = &[
    "cgroup.begun",
    "cgroup.made",
    "shim.bound",
    "shim.spawned",
    "etc.created",
    "files.written",
    "files.linked",
    "files.renamed",
    "attempt.made",
    "attempt.logged",
    "attempt.started",
];

const NETWORK: &[&str] = &[
    "ipam.created",
    "ipam.written",
    "ipam.noted",
    "network.table_made",
    "network.bridge_made",
    "network.bridge_ready",
    "network.cable_made",
    "network.cable_ready",
];

const WATCHED: &[&str] = &[
    "probes.json.created",
    "probes.json.written",
    "probes.json.renamed",
    "conditions.json.created",
    "conditions.json.written",
    "conditions.json.renamed",
    "objects.flushing",
    "objects.flushed",
];

const OVER: &[&str] = &[
    "pod.json.created",
    "pod.json.written",
    "pod.json.synced",
    "pod.json.renamed",
    "pod.json.kept",
    "objects.written",
    "objects.committed",
    "objects.applied",
];

const END: &[&str] = &[
    "removal.shim_ended",
    "removal.group_removed",
    "removal.cable_removed",
    "removal.address_released",
    "removal.leases_removed",
    "removal.bridge_removed",
    "removal.table_removed",
    "removal.network_removed",
    "removal.logs_removed",
    "removal.files_removed",
    "removal.run_removed",
];

const IDS: &[&str] = &["ids.created", "ids.written", "removal.ids_released"];

/// Puts the manifest of a pod `p` that may run once: an init container `i`, and `a`, which serves, is probed and has files.
fn put_pod(world: &World) {
    let probe = json!({"tcpSocket": {"port": 80}, "periodSeconds": 1});
    let a = world.container("a", &["term=0", "read=/v/colour", "serve=80", "wait"]).mount("v", "/v");
    let pod = world.pod("p", [a.with("readinessProbe", probe.clone()).with("startupProbe", probe)]);
    let pod = pod.init([world.container("i", &["exit=0"])]).restart_policy("Never");
    let pod = pod.volume(json!({"name": "v", "configMap": {"name": "settings"}}));
    let settings = config_map("settings", json!({"colour": "blue"}));
    world.manifests().put_text("p.json", &with_objects(&pod, &[settings]));
}

/// An agent comes, and the pod is as if nothing had happened; then it ends.
fn expect_one_life(failing: &Failing<'_>) {
    let world = failing.world;
    let agent = failing.agent();
    agent.expect_running("p", "a", 0);
    until("the pod to be ready", || world.container_status("a").filter(|status| status["ready"] == true));
    assert_eq!(world.container_status("a").unwrap()["restartCount"], 0);
    assert_eq!(world.answer("a", "read=/v/colour").unwrap(), json!("blue"));
    assert_eq!(http_get(agent.ip("p"), 80, "/").1, "a");
    assert_eq!(world.pod_uids().len(), 1);
    agent.clear(world);
    assert_eq!((world.ledger().ends("i"), world.ledger().ends("a")), (vec![Some(0)], vec![Some(0)]));
}

/// The agent dies on its way to a pod that is ready.
fn start_at_each(points: &[&str]) {
    at_each(points, |failing, point| {
        failing.arm(point);
        put_pod(failing.world);
        failing.expect_dead(failing.agent(), point);
        expect_one_life(failing);
    });
}

#[test]
fn an_agent_that_dies_at_its_first_start_is_followed_by_one_that_works() {
    start_at_each(FIRST);
}

#[test]
fn an_agent_that_dies_while_it_writes_a_pods_record_is_followed_by_one_that_runs_the_pod_once() {
    start_at_each(RECORD);
}

#[test]
fn an_agent_that_dies_while_it_starts_a_pod_is_followed_by_one_that_runs_it_once() {
    start_at_each(START);
}

#[test]
fn an_agent_that_dies_while_it_connects_a_pod_is_followed_by_one_that_runs_it_once() {
    start_at_each(NETWORK);
}

#[test]
fn an_agent_that_dies_while_it_notes_what_probes_found_is_followed_by_one_that_runs_the_pod_on() {
    start_at_each(WATCHED);
}

#[test]
fn an_agent_that_dies_while_it_notes_a_pods_end_is_followed_by_one_that_tells_it() {
    at_each(OVER, |failing, point| {
        let world = failing.world;
        let pod = world.pod("p", [world.container("a", &["until=/ledger/go", "exit=3"])]);
        world.manifests().put(&pod.restart_policy("Never"));
        let agent = failing.agent();
        agent.expect_running("p", "a", 0);
        failing.arm(point);
        world.touch("go");
        failing.expect_dead(agent, point);

        let agent = failing.agent();
        agent.expect("container default/p/a: Terminated (Error, exit code 3)");
        agent.expect("pod default/p: Failed");
        let told = || world.container_status("a").filter(|status| status["state"]["terminated"].is_object());
        let status = until("the API to tell the end", told);
        assert_eq!(status["state"]["terminated"]["exitCode"], 3);
        agent.clear(world);
        assert_eq!(world.ledger().ends("a"), [Some(3)]);
    });
}

#[test]
fn an_agent_that_dies_while_it_removes_a_pod_is_followed_by_one_that_leaves_nothing() {
    at_each(END, |failing, point| {
        let world = failing.world;
        put_pod(world);
        let agent = failing.agent();
        agent.expect_running("p", "a", 0);
        failing.arm(point);
        world.manifests().clear();
        failing.expect_dead(agent, point);
        let agent = failing.agent();
        agent.expect_lock(world);
        agent.clear(world);
        assert_eq!((world.ledger().ends("i"), world.ledger().ends("a")), (vec![Some(0)], vec![Some(0)]));
    });
}

#[test]
fn an_agent_that_dies_with_a_pods_user_ids_is_followed_by_one_that_loses_none() {
    at_each(IDS, |failing, point| {
        let world = failing.world;
        let pod = world.pod("p", [world.container("a", &["term=0", "wait"])]).restart_policy("Never");
        world.manifests().put(&pod.spec("hostUsers", json!(false)));
        if !point.starts_with("removal.") {
            failing.arm(point);
            failing.expect_dead(failing.agent(), point);
        }
        let mut agent = failing.agent();
        agent.expect_running("p", "a", 0);
        if point.starts_with("removal.") {
            failing.arm(point);
            world.manifests().clear();
            failing.expect_dead(agent, point);
            agent = failing.agent();
        }
        agent.clear(world);
        assert_eq!(world.ledger().ends("a"), [Some(0)]);
        let run = world.run_dir().display().to_string();
        let held = fs::read_dir("/run/mkubelet-user-ids").into_iter().flatten().flatten();
        let held = held.filter(|file| fs::read_to_string(file.path()).is_ok_and(|of| of.starts_with(&run)));
        assert_eq!(held.count(), 0, "ids are held by a pod that is gone");
    });
}
