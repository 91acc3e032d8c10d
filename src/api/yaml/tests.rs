//! Whole texts; what kubectl makes of the same is compared in the end-to-end tests.

use proptest::prelude::*;
use serde_json::json;

use super::*;

#[test]
fn values_stand_as_kubectl_has_them() {
    let value = json!({
        "metadata": {"name": "web", "labels": {}, "annotations": {"n": "1", "a10": "x", "a9": "y"}},
        "spec": {"containers": [{"name": "c", "args": ["-x", "a: b", ["in", []]], "ports": []}], "empty": "", "ok": true, "none": null},
        "number": 7,
    });
    let expected = r#"metadata:
  annotations:
    a9: "y"
    a10: x
    "n": "1"
  labels: {}
  name: web
number: 7
spec:
  containers:
  - args:
    - -x
    - 'a: b'
    - - in
      - []
    name: c
    ports: []
  empty: ""
  none: null
  ok: true
"#;
    assert_eq!(of(&value), expected);
    assert_eq!(of(&json!([1, {"a": 2, "b": 3}])), "- 1\n- a: 2\n  b: 3\n");
    assert_eq!(of(&json!("x")), "x\n");
    assert_eq!(of(&json!({})), "{}\n");
}

#[test]
fn lines_stay_lines() {
    for (text, expected) in [
        ("a\nb\n", "a: |\n  a\n  b\n"),
        ("a\nb", "a: |-\n  a\n  b\n"),
        ("a\n\nb\n\n", "a: |+\n  a\n\n  b\n\n"),
        ("\n", "a: |2+\n\n"),
        ("  a\n b\n", "a: |2\n    a\n   b\n"),
        ("a\tb\n", "a: \"a\\tb\\n\"\n"),
    ] {
        assert_eq!(of(&json!({"a": text})), expected, "{text:?}");
    }
    assert_eq!(of(&json!({"a": ["x\ny\n", "z"]})), "a:\n- |\n  x\n  y\n- z\n");
}

#[test]
fn long_texts_are_broken_at_a_space_after_eighty_columns() {
    let words = |first: char| format!("{first}{}", "2345678 2".repeat(12));
    let text = |text: &str| of(&json!({"a": text}));
    let (plain, single, double) = (text(&words('w')), text(&words('#')), text(&format!("\t{}", words('w'))));
    for (text, lines) in [(&plain, 2), (&single, 2), (&double, 2)] {
        assert_eq!(text.lines().count(), lines, "{text}");
        let (first, second) = text.split_once('\n').unwrap();
        assert!((81..90).contains(&first.len()) && second.starts_with("  2"), "{text}");
    }
    assert_eq!(text(&"x".repeat(200)), format!("a: {}\n", "x".repeat(200)));
    // A key stays in its line; one of more than 128 bytes is told as such.
    let key = words('k') + &"x".repeat(40);
    assert_eq!(of(&json!({key.clone(): "v"})).lines().last(), Some(": v"));
    assert_eq!(of(&json!({key[..120].trim(): "v"})), format!("{}: v\n", key[..120].trim()));
}

/// Any value as JSON has it.
fn values() -> impl Strategy<Value = Value> {
    let text = prop_oneof!["[ -~]{0,12}", "[a-z: #\n'\"\\\\-]{0,160}", "\\PC{0,8}", any::<String>()];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(text.clone(), inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(value in values()) {
        let text = of(&value);
        let read = crate::pod::yaml_to_json(&text).map(|(value, _)| value);
        prop_assert_eq!(read, Ok(value), "{}", text);
    }

    #[test]
    fn keys_have_one_order(a: String, b: String) {
        prop_assert_eq!(key::compare(&a, &b), key::compare(&b, &a).reverse());
    }
}
