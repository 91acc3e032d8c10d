//! What becomes of metadata.

use std::collections::HashSet;

use serde_json::json;

use super::super::kinds::{config_map::ConfigMaps, namespace::Namespaces};
use super::*;

fn object(metadata: Value) -> Object {
    Object::from_value(json!({ "metadata": metadata })).unwrap()
}

fn context() -> Context {
    Context { now: "2026-11-25T16:00:00Z".parse().unwrap(), node_name: "n".into() }
}

#[test]
fn a_new_object_gets_what_only_the_server_sets() {
    let mut new = object(json!({
        "name": "a", "uid": "mine", "generation": 7, "deletionTimestamp": "2020-01-01T00:00:00Z", "managedFields": [],
        "labels": {"a": "b"},
    }));
    complete(&mut new, &context()).unwrap();
    assert_ne!(new.uid(), "mine");
    let uid = new.uid().to_owned();
    assert_eq!(
        new.into_value(),
        json!({"metadata": {"name": "a", "uid": uid, "labels": {"a": "b"}, "creationTimestamp": "2026-11-25T16:00:00Z"}})
    );
}

#[test]
fn names_are_generated_and_never_too_long() {
    let name = |prefix: &str| {
        let mut new = object(json!({ "generateName": prefix }));
        complete(&mut new, &context()).unwrap();
        assert!(
            validate(&ConfigMaps, &{
                new.set_meta("namespace", Some("default".into()));
                new.clone()
            })
            .is_empty()
        );
        new.name().to_owned()
    };
    assert!(name("job-").starts_with("job-") && name("job-").len() == 9);
    assert_eq!(name(&"x".repeat(200)).len(), MAX_GENERATED);
    let names: HashSet<String> = (0..100).map(|_| name("a-")).collect();
    assert!(names.len() > 95);
}

#[test]
fn uids_are_of_version_4() {
    let uid = new_uid().unwrap();
    assert_eq!(uid.len(), 36);
    assert_eq!(&uid[14..15], "4");
    assert!("89ab".contains(&uid[19..20]));
}

#[test]
fn bad_metadata_is_refused_by_field() {
    let refused = |metadata: Value| -> Vec<String> {
        validate(&ConfigMaps, &object(metadata)).iter().map(|error| error.field.clone()).collect()
    };
    for (metadata, fields) in [
        (json!({"name": "a", "namespace": "b", "labels": {"a.b/c": ""}}), vec![]),
        (json!({"namespace": "b"}), vec!["metadata.name"]),
        (json!({"name": "A", "namespace": "b"}), vec!["metadata.name"]),
        (json!({"name": "a", "generateName": "_", "namespace": "b"}), vec!["metadata.generateName"]),
        (json!({"name": "a"}), vec!["metadata.namespace"]),
        (json!({"name": "a", "namespace": "a.b"}), vec!["metadata.namespace"]),
        (json!({"name": "a", "namespace": "b", "labels": {"-": "_"}}), vec!["metadata.labels"; 2]),
        (json!({"name": "a", "namespace": "b", "annotations": {"a/b/c": ""}}), vec!["metadata.annotations"]),
        (
            json!({"name": "a", "namespace": "b", "annotations": {"a": "x".repeat(MAX_ANNOTATIONS)}}),
            vec!["metadata.annotations"],
        ),
        (json!({"name": "a", "namespace": "b", "finalizers": ["a b"]}), vec!["metadata.finalizers"]),
    ] {
        assert_eq!(refused(metadata.clone()), fields, "{metadata}");
    }
    let cluster_wide = validate(&Namespaces, &object(json!({"name": "a", "namespace": "b"})));
    assert_eq!(cluster_wide[0].to_string(), "metadata.namespace: Forbidden: not allowed on this type");
}

#[test]
fn what_an_update_leaves_out_is_kept_and_what_it_changes_is_refused() {
    let old = object(json!({
        "name": "a", "namespace": "b", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z", "generation": 3,
        "resourceVersion": "9", "deletionTimestamp": "2026-01-02T00:00:00Z", "finalizers": ["x.y/z"],
    }));
    let mut new = object(json!({"name": "a", "namespace": "b", "generation": 99, "finalizers": []}));
    keep(&mut new, &old);
    assert_eq!((new.uid(), new.generation(), new.resource_version()), ("u", 3, "9"));
    assert_eq!(validate_update(&new, &old), []);
    let mut other = new.clone();
    other.set_meta("uid", Some("v".into()));
    other.set_meta("finalizers", Some(json!(["new.one/here"])));
    let words: Vec<String> = validate_update(&other, &old).iter().map(ToString::to_string).collect();
    assert_eq!(
        words,
        [
            "metadata.uid: Invalid value: \"v\": field is immutable",
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new \
             finalizers [\"new.one/here\"]",
        ]
    );
}
