//! Descriptions beside what kubectl 1.32 printed of the same objects.
//!
//! Four things are as in later versions of kubectl: ports have their names, `Optional` of projected volumes says false where nothing is
//! said, and of a node neither a lease nor a version of kube-proxy is told, which an agent without a cluster has not got.

use serde_json::json;

use super::*;

/// When kubectl printed the golden files.
fn now() -> Zoned {
    "2026-11-25T20:39:23Z[UTC]".parse().unwrap()
}

#[track_caller]
fn check(recorded: &str, expected: &str) {
    let recorded: Value = serde_json::from_str(recorded).unwrap();
    let list = |field: &str| recorded[field].as_array().cloned().unwrap_or_default();
    let around = Surroundings { events: Some(list("events")), pods: list("pods") };
    let described = text(&recorded["object"], &around, now());
    let differs = described.lines().zip(expected.lines()).find(|(described, expected)| described != expected);
    assert_eq!(differs, None, "in\n{described}");
    assert_eq!(described.len(), expected.len(), "{described}");
}

#[test]
fn a_pod_is_described_as_by_kubectl() {
    check(include_str!("tests/pod.json"), include_str!("tests/pod.txt"));
}

#[test]
fn a_node_is_described_as_by_kubectl() {
    check(include_str!("tests/node.json"), include_str!("tests/node.txt"));
}

#[test]
fn small_objects_are_described_as_by_kubectl() {
    let event = json!({
        "type": "Warning", "reason": "R", "message": "m\n", "firstTimestamp": "2026-11-25T20:39:13Z",
        "reportingComponent": "kubelet"
    });
    for (object, events, expected) in [
        (
            json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": "default", "labels": {"kubernetes.io/metadata.name": "default"}},
                "status": {"phase": "Active", "conditions": [{"type": "T", "status": "True", "reason": "R", "message": "m"}]}
            }),
            vec![],
            "Name:         default\nLabels:       kubernetes.io/metadata.name=default\nAnnotations:  <none>\n\
             Status:       Active\nConditions:\n  Type  Status  LastTransitionTime               Reason  Message\n  \
             ----  ------  ------------------               ------  -------\n  \
             T     True    Mon, 01 Jan 0001 00:00:00 +0000  R       m\n",
        ),
        (
            json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "settings", "namespace": "default", "annotations": {"note": "two\nlines"}},
                "data": {"empty": "", "multi": "first\nsecond\n"}, "binaryData": {"blob": "AAECAw=="}
            }),
            vec![],
            "Name:         settings\nNamespace:    default\nLabels:       <none>\nAnnotations:  note:\n                \
             two\n                lines\n\nData\n====\nempty:\n----\n\n\nmulti:\n----\nfirst\nsecond\n\n\n\nBinaryData\n\
             ====\nblob: 4 bytes\n\nEvents:  <none>\n",
        ),
        (
            json!({
                "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
                "metadata": {"name": "keys", "namespace": "default"},
                "data": {"user": "YWRtaW4=", "password": "aHVudGVyMg=="}
            }),
            vec![],
            "Name:         keys\nNamespace:    default\nLabels:       <none>\nAnnotations:  <none>\n\nType:  Opaque\n\n\
             Data\n====\npassword:  7 bytes\nuser:      5 bytes\n",
        ),
        (
            json!({
                "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": "n", "uid": "u"},
                "involvedObject": {"apiVersion": "v1", "fieldPath": "spec"}, "count": 1, "list": ["\u{1b}[1m", {"a": true}]
            }),
            vec![event],
            "Name:         e\nNamespace:    n\nLabels:       <none>\nAnnotations:  <none>\nAPI Version:  v1\n\
             Count:        1\nInvolved Object:\n  API Version:  v1\n  Field Path:   spec\nKind:           Event\n\
             List:\n  ^[[1m\n  A:  true\nMetadata:\n  UID:  u\nEvents:\n  Type     Reason  Age   From     Message\n  \
             ----     ------  ----  ----     -------\n  Warning  R       10s   kubelet  m\n",
        ),
    ] {
        assert_eq!(text(&object, &Surroundings { events: Some(events), pods: Vec::new() }, now()), expected);
    }
}

#[test]
fn a_long_annotation_is_cut_and_the_manifest_that_an_object_was_made_of_is_not_told() {
    let long = "x".repeat(200);
    let annotations = json!({"a": long, crate::cli::client::three_way::LAST_APPLIED: "{}"});
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", "annotations": annotations}});
    let described = text(&object, &Surroundings::default(), now());
    let expected = format!("Annotations:  a:\n                {}...\nStatus:", "x".repeat(138));
    assert!(described.contains(&expected), "{described}");
}

mod verb {

    use super::super::*;
    use super::json;
    use crate::cli::client::fake::{not_found, parsed, server};

    #[tokio::test]
    async fn one_object_comes_with_its_events_and_several_without() {
        let pod = |name: &str| json!({"metadata": {"name": name, "namespace": "default", "uid": "u"}});
        let events = "GET /api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Dweb%2CinvolvedObject.uid%3Du";
        for (line, asked) in [
            ("describe pod web", vec!["GET /api/v1/namespaces/default/pods/web", events]),
            ("describe pod/web --show-events=false", vec!["GET /api/v1/namespaces/default/pods/web"]),
            ("describe po", vec!["GET /api/v1/namespaces/default/pods"]),
            // A name that there is none of stands for all that begin with it.
            (
                "describe pod we",
                vec![
                    "GET /api/v1/namespaces/default/pods/we",
                    "GET /api/v1/namespaces/default/pods",
                    "GET /api/v1/namespaces/default/pods/web",
                    events,
                ],
            ),
        ] {
            let (client, requests) = server(move |asked| match asked.line.rsplit_once('/').unwrap().1 {
                "web" => (200, pod("web")),
                "we" => not_found("we"),
                _ => (200, json!({"items": [pod("web"), pod("other")]})),
            });
            let arguments = parsed(line.split(' ')).unwrap();
            run(&client, &arguments).await.unwrap();
            assert_eq!(requests.lines(), asked, "{line}");
        }
    }
}
