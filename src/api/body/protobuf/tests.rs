//! What Kubernetes writes of its kinds is read as its JSON says; anything else is refused.

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Objects with every field set, in both forms: `testdata/HEAD` of `k8s.io/api` v0.37.0-beta.0, by which Kubernetes tells when its own form changes.
macro_rules! kinds {
    ($($name:literal),* $(,)?) => {
        [$((
            $name,
            include_bytes!(concat!("testdata/", $name, ".pb")).as_slice(),
            include_str!(concat!("testdata/", $name, ".json")),
        )),*]
    };
}

#[test]
fn every_field_of_every_kind_is_what_json_says() {
    for (name, bytes, text) in kinds![
        "authentication.k8s.io.v1.SelfSubjectReview",
        "authorization.k8s.io.v1.SelfSubjectAccessReview",
        "authorization.k8s.io.v1.SelfSubjectRulesReview",
        "core.v1.Binding",
        "core.v1.ConfigMap",
        "core.v1.DeleteOptions",
        "core.v1.Event",
        "core.v1.Namespace",
        "core.v1.Node",
        "core.v1.Pod",
        "core.v1.Secret",
        "events.k8s.io.v1.Event",
        "policy.v1.Eviction",
    ] {
        let expected: Value = serde_json::from_str(text).unwrap();
        differ(name, &parse(bytes).unwrap(), &expected);
    }
}

/// Compares, and names the place.
fn differ(at: &str, read: &Value, expected: &Value) {
    let (Value::Object(read), Value::Object(expected)) = (read, expected) else {
        assert_eq!(read, expected, "{at}");
        return;
    };
    for name in read.keys().chain(expected.keys()) {
        let of = |object: &Map<String, Value>| object.get(name).cloned().unwrap_or(Value::Null);
        differ(&format!("{at}.{name}"), &of(read), &of(expected));
    }
}

/// A field with its length; all of them are short here.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat()
}

fn sealed(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
    [MAGIC.to_vec(), field(1, &meta), field(2, raw)].concat()
}

#[test]
fn what_is_empty_is_left_out_unless_it_means_something() {
    let read = |kind: &str, raw: &[u8]| parse(&sealed("v1", kind, raw)).unwrap();
    assert_eq!(read("DeleteOptions", &[8, 0])["gracePeriodSeconds"], 0);
    assert_eq!(read("DeleteOptions", &[]).get("gracePeriodSeconds"), None);
    let metadata = [field(1, b"name"), field(3, b""), vec![7 << 3, 0], field(8, &[])].concat();
    let config_map = [field(1, &metadata), vec![4 << 3, 0], field(2, &field(1, b"key"))].concat();
    assert_eq!(
        read("ConfigMap", &config_map),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "name"}, "immutable": false, "data": {"key": ""},
        })
    );
}

#[test]
fn a_message_that_comes_in_pieces_is_one_and_a_later_number_counts() {
    let (first, second) = (field(1, &field(1, b"name")), field(1, &field(3, b"space")));
    let read = parse(&sealed("v1", "ConfigMap", &[first, second].concat())).unwrap();
    assert_eq!(read["metadata"], json!({"name": "name", "namespace": "space"}));
    assert_eq!(parse(&sealed("v1", "DeleteOptions", &[8, 1, 8, 2])).unwrap()["gracePeriodSeconds"], 2);
}

#[test]
fn numbers_of_a_list_come_one_by_one_or_packed() {
    // spec.securityContext.supplementalGroups
    let read = |groups: &[u8]| {
        let raw = field(2, &field(14, groups));
        parse(&sealed("v1", "Pod", &raw)).unwrap()["spec"]["securityContext"]["supplementalGroups"].take()
    };
    assert_eq!(read(&[4 << 3, 1, 4 << 3, 2]), json!([1, 2]));
    assert_eq!(read(&field(4, &[1, 2])), json!([1, 2]));
}

#[test]
fn what_nobody_knows_is_passed_over() {
    let strange = [0xf8, 0x07, 1, 0xfa, 0x07, 1, b'x', 0xfd, 0x07, 0, 0, 0, 0];
    assert_eq!(parse(&sealed("v1", "Pod", &strange)).unwrap(), json!({"apiVersion": "v1", "kind": "Pod"}));
}

#[test]
fn what_is_no_object_is_refused_with_a_reason() {
    let why = |bytes: &[u8]| parse(bytes).unwrap_err().to_string();
    for (bytes, expected) in [
        (
            b"{}".to_vec(),
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]",
        ),
        (b"k8s\0\xff".to_vec(), "Object 'Kind' is missing"),
        (sealed("v1", "", &[]), "Object 'Kind' is missing"),
        (sealed("v2", "Pod", &[]), "no kind \"Pod\" is registered for version \"v2\""),
        (sealed("v1", "ConfigMap", &[0x0a, 9, 1]), "proto: cannot parse core.ConfigMap"),
        (sealed("v1", "ConfigMap", &[8, 1]), "proto: cannot parse core.ConfigMap.metadata"),
        (
            sealed("v1", "ConfigMap", &field(1, &field(1, b"\xff"))),
            "proto: cannot parse meta.ObjectMeta.name",
        ),
        (sealed("v1", "Pod", &field(2, &field(2, &[0x0a, 9]))), "proto: cannot parse core.Container"),
    ] {
        assert_eq!(why(&bytes), expected);
    }
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange(bytes: Vec<u8>) {
        let _ = parse(&[MAGIC, &bytes].concat());
        for kind in ["ConfigMap", "Pod", "Node", "Event"] {
            let _ = parse(&sealed("v1", kind, &bytes[..bytes.len().min(120)]));
        }
    }
}
