//! What the API server does to Pods, and what it refuses.

use serde_json::json;

use super::*;
use crate::api::resource::DeleteOptions;

fn written(spec: Value) -> Object {
    let metadata =
        json!({"name": "p", "namespace": "default", "uid": "00000000-0000-4000-8000-000000000001"});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec});
    Object::from_value(pod).unwrap()
}

/// As it is stored when somebody creates it.
fn created(spec: Value) -> Object {
    let mut object = written(spec);
    let pods = Pods::allowing(Allowed::default());
    assert_eq!(pods.decode(&mut object), Ok(Vec::new()));
    pods.default(&mut object);
    pods.prepare_for_create(&mut object, &context());
    assert_eq!(pods.validate(&object), []);
    object
}

fn context() -> Context {
    Context { now: "2026-01-01T12:00:00Z".parse().unwrap(), node_name: "node".to_owned() }
}

fn one() -> Object {
    let limits =
        json!({"limits": {"cpu": "1", "memory": "64Mi"}, "requests": {"cpu": "500m", "memory": "32Mi"}});
    created(json!({"containers": [{"name": "c", "image": "nginx:1", "resources": limits}]}))
}

/// What is said of a write of `part` that does this to the pod; the pod as it would be.
fn changed(part: Part<'_>, change: impl FnOnce(&mut Value)) -> (Vec<String>, Object) {
    let old = one();
    let mut value = old.clone().into_value();
    change(&mut value);
    let mut new = Object::from_value(value).unwrap();
    let pods = Pods::allowing(Allowed::default());
    pods.default(&mut new);
    pods.prepare_for_update(part, &mut new, &old);
    let errors = pods.validate_update(part, &new, &old);
    (errors.iter().map(ToString::to_string).collect(), new)
}

const FINE: Vec<String> = Vec::new();

#[test]
fn a_new_pod_is_pending_and_belongs_to_the_node() {
    let pod = one();
    assert_eq!(pod.text_at(&["spec", "nodeName"]), "node");
    assert_eq!(pod.text_at(&["status", "phase"]), "Pending");
    assert_eq!(pod.text_at(&["status", "qosClass"]), "Burstable");
    assert_eq!(pod.generation(), 1);
    let scheduled = &pod.at(&["status", "conditions"]).unwrap()[0];
    assert_eq!((&scheduled["type"], &scheduled["status"]), (&json!("PodScheduled"), &json!("True")));
}

#[test]
fn a_pod_of_another_node_or_scheduler_waits_for_it() {
    let containers = json!([{"name": "c", "image": "nginx"}]);
    for (spec, node) in [
        (json!({"containers": containers, "nodeName": "other"}), "other"),
        (json!({"containers": containers, "schedulerName": "mine"}), ""),
    ] {
        let pod = created(spec);
        assert_eq!(pod.text_at(&["spec", "nodeName"]), node);
        assert_eq!(pod.at(&["status", "conditions"]), None);
        assert_eq!(pod.text_at(&["status", "phase"]), "Pending");
        assert_eq!(Pods::allowing(Allowed::default()).announcement(&pod, &context()), None);
    }
}

#[test]
fn that_a_pod_has_got_its_node_is_told_in_the_schedulers_words() {
    let event = Pods::allowing(Allowed::default()).announcement(&one(), &context()).unwrap();
    assert_eq!(event.text_at(&["message"]), "Successfully assigned default/p to node");
    assert_eq!(event.text_at(&["reason"]), "Scheduled");
    assert_eq!(event.text_at(&["reportingComponent"]), "default-scheduler");
    assert_eq!(event.text_at(&["eventTime"]), "2026-01-01T12:00:00.000000Z");
    assert_eq!(crate::api::kinds::Events.validate(&event), []);
}

#[test]
fn the_defaults_of_the_api_server_are_written() {
    let pod = created(json!({
        "containers": [{
            "name": "c", "image": "nginx", "ports": [{"containerPort": 80}], "livenessProbe": {"httpGet": {"port": 80}},
        }],
    }));
    let spec = pod.get("spec").unwrap();
    let container = &spec["containers"][0];
    for (found, expected) in [
        (&spec["restartPolicy"], json!("Always")),
        (&spec["dnsPolicy"], json!("ClusterFirst")),
        (&spec["terminationGracePeriodSeconds"], json!(30)),
        (&spec["schedulerName"], json!("default-scheduler")),
        (&spec["enableServiceLinks"], json!(true)),
        (&spec["securityContext"], json!({})),
        (&spec["priority"], json!(0)),
        (&container["imagePullPolicy"], json!("Always")),
        (&container["terminationMessagePath"], json!("/dev/termination-log")),
        (&container["terminationMessagePolicy"], json!("File")),
        (&container["resources"], json!({})),
        (&container["ports"], json!([{"containerPort": 80, "protocol": "TCP"}])),
        (
            &container["livenessProbe"],
            json!({
                "failureThreshold": 3, "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}, "periodSeconds": 10,
                "successThreshold": 1, "timeoutSeconds": 1,
            }),
        ),
    ] {
        assert_eq!(*found, expected);
    }
}

#[test]
fn what_is_wrong_is_told_in_the_api_servers_words() {
    let mut object = written(json!({
        "containers": [{"name": "c", "image": "i"}, {"name": "c", "image": "i"}], "restartPolicy": "Sometimes",
        "overhead": {"cpu": "1"},
    }));
    let pods = Pods::allowing(Allowed::default());
    pods.default(&mut object);
    let errors = pods.validate(&object);
    let mut told: Vec<_> = errors.iter().map(|error| (error.field.as_str(), error.cause().reason)).collect();
    told.sort();
    assert_eq!(
        told,
        [
            ("spec.containers[1].name", "FieldValueDuplicate".to_owned()),
            ("spec.overhead", "FieldValueForbidden".to_owned()),
            ("spec.restartPolicy", "FieldValueNotSupported".to_owned()),
        ]
    );
}

#[test]
fn of_the_whole_only_a_few_fields_may_change() {
    let refused = |told: &[String], why: &str| {
        assert!(told.iter().any(|words| words.contains(why)), "{told:?} does not say {why:?}");
    };
    let (told, new) = changed(Part::Whole, |pod| pod["spec"]["containers"][0]["image"] = "nginx:2".into());
    assert_eq!((told, new.generation()), (FINE, 2));
    let (told, new) = changed(Part::Whole, |pod| pod["metadata"]["labels"] = json!({"a": "b"}));
    assert_eq!((told, new.generation()), (FINE, 1));
    let (told, _) = changed(Part::Whole, |pod| pod["spec"]["activeDeadlineSeconds"] = 60.into());
    assert_eq!(told, FINE);
    let (told, _) = changed(Part::Whole, |pod| {
        pod["spec"]["tolerations"].as_array_mut().unwrap().push(json!({"key": "x", "operator": "Exists"}));
    });
    assert_eq!(told, FINE);
    let (told, _) = changed(Part::Whole, |pod| pod["spec"]["tolerations"] = json!([]));
    refused(&told, "spec.tolerations: Forbidden: existing toleration can not be modified");
    let (told, _) = changed(Part::Whole, |pod| pod["spec"]["hostname"] = "other".into());
    refused(
        &told,
        "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`",
    );
    refused(&told, "spec.hostname");
    let (told, _) = changed(Part::Whole, |pod| {
        pod["spec"]["containers"].as_array_mut().unwrap().push(json!({"name": "d", "image": "i"}));
    });
    refused(&told, "spec.containers: Forbidden: pod updates may not add or remove containers");
    let (told, _) =
        changed(Part::Whole, |pod| pod["spec"]["containers"][0]["resources"]["limits"]["cpu"] = "2".into());
    refused(&told, "pod updates may not change fields other than");
}

#[test]
fn a_write_of_the_status_changes_nothing_else() {
    let (told, new) = changed(Part::Subresource("status"), |pod| {
        pod["spec"]["hostname"] = "other".into();
        pod["status"] = json!({"phase": "Running"});
    });
    assert_eq!(told, FINE);
    assert_eq!((new.text_at(&["spec", "hostname"]), new.text_at(&["status", "phase"])), ("", "Running"));
    assert_eq!(new.text_at(&["status", "qosClass"]), "Burstable", "it need not be repeated");
    let (told, _) = changed(Part::Whole, |pod| pod["status"] = json!({"phase": "Failed"}));
    assert_eq!(told, FINE, "a write of the whole does not touch it");
    let (told, _) =
        changed(Part::Subresource("status"), |pod| pod["status"]["qosClass"] = "Guaranteed".into());
    assert_eq!(told, ["status.qosClass: Invalid value: \"Guaranteed\": field is immutable"]);
}

#[test]
fn resize_changes_resources_and_nothing_else() {
    let (told, new) = changed(Part::Subresource("resize"), |pod| {
        pod["spec"]["containers"][0]["resources"]["limits"]["cpu"] = "2".into();
        pod["spec"]["containers"][0]["image"] = "other".into();
        pod["metadata"]["labels"] = json!({"a": "b"});
    });
    assert_eq!(told, FINE);
    let container = &new.get("spec").unwrap()["containers"][0];
    assert_eq!(
        (&container["resources"]["limits"]["cpu"], &container["image"]),
        (&json!("2"), &json!("nginx:1"))
    );
    assert_eq!((new.label("a"), new.generation()), (None, 2));
    let (told, _) =
        changed(Part::Subresource("resize"), |pod| pod["spec"]["containers"][0]["resources"] = json!({}));
    assert!(told.iter().any(|words| words.contains("Pod QOS Class may not change")), "{told:?}");
}

#[test]
fn ephemeral_containers_can_be_added() {
    let (told, new) = changed(Part::Subresource("ephemeralcontainers"), |pod| {
        pod["spec"]["ephemeralContainers"] = json!([{"name": "debug", "image": "busybox:1"}]);
        pod["spec"]["hostname"] = "other".into();
    });
    assert_eq!(told, FINE);
    let spec = new.get("spec").unwrap();
    assert_eq!((&spec["ephemeralContainers"][0]["name"], spec.get("hostname")), (&json!("debug"), None));
}

#[test]
fn a_pod_goes_with_its_grace_and_one_that_is_over_at_once() {
    let deletion = |spec: Value, status: Value, seconds: Option<i64>| {
        let mut pod = written(spec);
        pod.set("status", Some(status));
        Pods::allowing(Allowed::default())
            .deletion(&pod, &DeleteOptions { grace_period_seconds: seconds, ..DeleteOptions::default() })
    };
    let spec = || json!({"nodeName": "n", "terminationGracePeriodSeconds": 30});
    let running = || json!({"phase": "Running"});
    let graceful = |seconds| Deletion::Graceful { seconds };
    for (spec, status, seconds, expected) in [
        (spec(), running(), None, graceful(30)),
        (spec(), running(), Some(5), graceful(5)),
        (spec(), running(), Some(-1), graceful(1)),
        (spec(), running(), Some(0), Deletion::Now),
        (spec(), json!({"phase": "Succeeded"}), None, Deletion::Now),
        (spec(), json!({"phase": "Failed"}), Some(30), Deletion::Now),
        (json!({"terminationGracePeriodSeconds": 30}), json!({"phase": "Pending"}), None, Deletion::Now),
    ] {
        assert_eq!(deletion(spec, status.clone(), seconds), expected, "{status} {seconds:?}");
    }
}

#[test]
fn pods_are_selected_by_phase_and_node() {
    let fields = Pods::allowing(Allowed::default()).fields(&one());
    assert_eq!((fields["status.phase"].as_str(), fields["spec.nodeName"].as_str()), ("Pending", "node"));
    assert_eq!(fields["spec.hostNetwork"], "false");
}
