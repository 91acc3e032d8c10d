//! What patches make of objects.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn strategic(object: Value, patch: Value) -> Result<Value, String> {
    Patch::Strategic(patch).apply(object).map_err(|status| status.message)
}

#[test]
fn a_strategic_patch_merges_maps_and_the_lists_that_have_keys() {
    let named = |names: &[&str]| -> Value { names.iter().map(|name| json!({"name": name})).collect() };
    let containers = |list: Value| json!({"spec": {"containers": list}});
    for (what, object, patch, expected) in [
        ("a member is set", json!({"a": 1}), json!({"b": 2}), json!({"a": 1, "b": 2})),
        ("a null removes", json!({"a": 1, "b": 2}), json!({"a": null}), json!({"b": 2})),
        (
            "a null of nothing is nothing",
            json!({}),
            json!({"a": null, "b": {"c": null, "d": 1}}),
            json!({"b": {"d": 1}}),
        ),
        ("maps merge", json!({"a": {"b": 1}}), json!({"a": {"c": 2}}), json!({"a": {"b": 1, "c": 2}})),
        ("another type replaces", json!({"a": [1]}), json!({"a": {"b": 1}}), json!({"a": {"b": 1}})),
        ("plain lists are replaced", json!({"a": [1, 2]}), json!({"a": [3]}), json!({"a": [3]})),
        (
            "sets are joined",
            json!({"metadata": {"finalizers": ["a", "b"]}}),
            json!({"metadata": {"finalizers": ["b", "c"]}}),
            json!({"metadata": {"finalizers": ["a", "b", "c"]}}),
        ),
        (
            "values are taken from a set",
            json!({"metadata": {"finalizers": ["a", "b", "a"]}}),
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a", "x"]}}),
            json!({"metadata": {"finalizers": ["b"]}}),
        ),
        (
            "elements of the same key merge, new ones come last",
            containers(json!([{"name": "a", "image": "1", "tty": true}, {"name": "b"}])),
            containers(json!([{"name": "c"}, {"name": "a", "image": "2", "tty": null}])),
            containers(json!([{"name": "a", "image": "2"}, {"name": "b"}, {"name": "c"}])),
        ),
        (
            "lists in elements have keys of their own",
            containers(json!([{"name": "a", "env": [{"name": "x", "value": "1"}], "args": ["p"]}])),
            containers(
                json!([{"name": "a", "env": [{"name": "y"}, {"name": "x", "value": "2"}], "args": ["q"]}]),
            ),
            containers(
                json!([{"name": "a", "env": [{"name": "x", "value": "2"}, {"name": "y"}], "args": ["q"]}]),
            ),
        ),
        (
            "an element is deleted by its key",
            containers(named(&["a", "b"])),
            containers(json!([{"name": "a", "$patch": "delete"}, {"name": "x", "$patch": "delete"}])),
            containers(named(&["b"])),
        ),
        (
            "a list is replaced",
            containers(named(&["a", "b"])),
            containers(json!([{"$patch": "replace"}, {"name": "c", "env": null}])),
            containers(named(&["c"])),
        ),
        (
            "a map is replaced",
            json!({"a": {"b": 1}}),
            json!({"a": {"c": 2, "$patch": "replace"}}),
            json!({"a": {"c": 2}}),
        ),
        ("a map is emptied", json!({"a": {"b": 1}}), json!({"a": {"$patch": "delete"}}), json!({"a": {}})),
        (
            "only retained members stay",
            json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}),
            json!({"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/"}, "$retainKeys": ["name", "hostPath"]}]}}),
            json!({"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}}),
        ),
        (
            "an order is set, and who is not named stays near its neighbours",
            containers(named(&["a", "x", "b", "y", "c"])),
            json!({"spec": {"$setElementOrder/containers": named(&["c", "b", "n", "a"]), "containers": [{"name": "n"}]}}),
            containers(named(&["x", "y", "c", "b", "n", "a"])),
        ),
        (
            "an order of a set",
            json!({"metadata": {"finalizers": ["a", "b", "c"]}}),
            json!({"metadata": {"$setElementOrder/finalizers": ["c", "a"]}}),
            json!({"metadata": {"finalizers": ["b", "c", "a"]}}),
        ),
        (
            "an order without a list is nothing",
            json!({"a": 1}),
            json!({"spec": {"$setElementOrder/containers": [{"name": "a"}]}}),
            json!({"a": 1, "spec": {}}),
        ),
        (
            "nothing that is new has directives in it",
            json!({}),
            containers(
                json!([{"name": "a", "env": [{"name": "x", "$patch": "delete"}], "$setElementOrder/env": []}]),
            ),
            containers(json!([{"name": "a", "env": []}])),
        ),
        (
            "conditions merge by type",
            json!({"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "x"}]}}),
            json!({"status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "New"}]}}),
            json!({"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "x"}, {"type": "New"}]}}),
        ),
    ] {
        assert_eq!(strategic(object, patch), Ok(expected), "{what}");
    }
}

#[test]
fn what_is_no_strategic_patch_is_refused() {
    for (patch, words) in [
        (json!({"$patch": "merge"}), "unknown patch type found: \"merge\""),
        (
            json!({"spec": {"containers": [{"image": "x"}]}}),
            "map: {\"image\":\"x\"} does not contain declared merge key: name",
        ),
        (json!({"spec": {"containers": ["a"]}}), "spec.containers: an element of the patch is no object"),
        (json!({"$retainKeys": ["a"], "b": 1}), "$retainKeys does not name \"b\", which the patch sets"),
        (json!({"$retainKeys": 1}), "$retainKeys is not a list"),
        (json!({"$setElementOrder/a": 1}), "$setElementOrder/a is not a list"),
        (json!({"$deleteFromPrimitiveList/a": 1}), "$deleteFromPrimitiveList/a is not a list"),
    ] {
        assert_eq!(strategic(json!({}), patch.clone()), Err(words.to_owned()), "{patch}");
    }
}

#[test]
fn a_patch_is_what_its_media_type_says() {
    let read = |media_type: &str, bytes: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", media_type.parse().unwrap());
        Patch::read(&headers, bytes.as_bytes()).map_err(|status| (status.code, status.message))
    };
    let [operations, merge, strategic] = TYPES;
    let add = r#"[{"op":"add","path":"/a","value":1}]"#;
    assert_eq!(read(operations, add).unwrap().apply(json!({})), Ok(json!({"a": 1})));
    let text = r#"{"a":null,"b":1}"#;
    assert_eq!(read(merge, text), Ok(Patch::Merge(json!({"a": null, "b": 1}))));
    assert_eq!(
        read(&format!("{strategic}; charset=utf-8"), text),
        Ok(Patch::Strategic(json!({"a": null, "b": 1})))
    );
    let (code, message) = read("application/apply-patch+yaml", "a: 1").unwrap_err();
    assert_eq!(code, 415);
    assert!(message.ends_with(&TYPES.join(", ")), "{message}");
    assert_eq!(read(operations, "{}").unwrap_err().0, 400);
    assert_eq!(read(merge, "[]").unwrap_err().0, 400);
    assert_eq!(read(merge, "{").unwrap_err().0, 400);
    let long = format!("[{}]", vec![r#"{"op":"remove","path":"/a"}"#; 10_001].join(","));
    assert_eq!(
        read(operations, &long).unwrap_err(),
        (413, "The allowed maximum operations in a JSON patch is 10000, got 10001".to_owned())
    );
}

#[test]
fn a_json_patch_that_does_not_fit_is_refused_whole() {
    let patch = |text: &str| Patch::Json(serde_json::from_str(text).unwrap()).apply(json!({"a": 1}));
    for text in [
        r#"[{"op":"test","path":"/a","value":2}]"#,
        r#"[{"op":"remove","path":"/b"}]"#,
        r#"[{"op":"replace","path":"/b","value":1}]"#,
        r#"[{"op":"add","path":"/b/c","value":1}]"#,
    ] {
        let status = patch(text).unwrap_err();
        assert_eq!((status.code, status.reason), (422, "Invalid"), "{text}");
        assert!(!status.details.causes[0].message.is_empty());
    }
}

/// JSON without nulls, of the keys that patches meet each other at.
fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![any::<bool>().prop_map(Value::from), (0..3_i32).prop_map(Value::from)];
    let tree = leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            members(inner).prop_map(Value::Object),
        ]
    });
    members(tree).prop_map(Value::Object)
}

fn members(value: impl Strategy<Value = Value>) -> impl Strategy<Value = serde_json::Map<String, Value>> {
    prop::collection::btree_map("[abc]", value, 0..3).prop_map(|map| map.into_iter().collect())
}

/// A document some of whose members are null.
fn patch() -> impl Strategy<Value = Value> {
    (document(), prop::collection::vec("[abc]", 0..2)).prop_map(|(mut patch, removed)| {
        removed.into_iter().for_each(|key| patch[key] = Value::Null);
        patch
    })
}

proptest! {
    #[test]
    fn patching_twice_is_patching_once(object in document(), patch in patch()) {
        for patch in [Patch::Merge(patch.clone()), Patch::Strategic(patch)] {
            let once = patch.apply(object.clone()).unwrap();
            prop_assert_eq!(patch.apply(once.clone()).unwrap(), once);
        }
    }

    #[test]
    fn nothing_changes_nothing_and_into_nothing_a_document_comes_whole(object in document()) {
        for patch in [Patch::Merge, Patch::Strategic] {
            prop_assert_eq!(patch(json!({})).apply(object.clone()).unwrap(), object.clone());
            prop_assert_eq!(patch(object.clone()).apply(json!({})).unwrap(), object.clone());
        }
    }

    #[test]
    fn without_keys_a_strategic_patch_is_a_merge_patch(object in document(), patch in patch()) {
        prop_assert_eq!(
            Patch::Strategic(patch.clone()).apply(object.clone()).unwrap(),
            Patch::Merge(patch).apply(object).unwrap()
        );
    }
}
