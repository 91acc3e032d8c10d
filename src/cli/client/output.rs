//! Objects as text: `-o yaml`, `-o json`, `-o name`.

use std::fmt::Write;

use serde_json::Value;

use crate::api::yaml::sorted;

/// An object as YAML, as kubectl writes it.
pub(in crate::cli) fn yaml(object: &Value) -> String {
    crate::api::yaml::of(object)
}

/// An object as JSON, indented by four.
pub(in crate::cli) fn json(object: &Value) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let indented = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, indented);
    serde::Serialize::serialize(&sorted(object), &mut serializer)?;
    bytes.push(b'\n');
    Ok(harmless_in_html(&String::from_utf8(bytes)?))
}

/// An object as JSON in one line, its fields in order.
pub(in crate::cli) fn compact(object: &Value) -> String {
    harmless_in_html(&sorted(object).to_string())
}

/// Go's JSON is fit for a script in a page. All that is replaced can only be within strings.
fn harmless_in_html(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => drop(write!(escaped, "\\u{:04x}", u32::from(c))),
            _ => escaped.push(c),
        }
    }
    escaped
}

/// Several objects as one.
pub(in crate::cli) fn list(items: Vec<Value>) -> Value {
    serde_json::json!({"apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""}})
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object() -> Value {
        json!({
            "kind": "Pod", "apiVersion": "v1",
            "metadata": {"name": "web", "labels": {}, "annotations": {"n": "1", "t": "true", "text": "a\nb\n"}},
            "spec": {"containers": [{"name": "c", "args": ["-x", "a: b", "#"], "ports": []}], "grace": 30, "ok": true}
        })
    }

    #[test]
    fn yaml_is_sorted_and_what_looks_like_another_type_is_quoted() {
        let text = yaml(&object());
        let expected = "apiVersion: v1\nkind: Pod\nmetadata:\n  annotations:\n    \"n\": \"1\"\n    t: \"true\"\n    \
                        text: |\n      a\n      b\n  labels: {}\n  name: web\nspec:\n  containers:\n  - args:\n    \
                        - -x\n    - 'a: b'\n    - '#'\n    name: c\n    ports: []\n  grace: 30\n  ok: true\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn json_is_sorted_and_indented_by_four() {
        let text = json(&object()).unwrap();
        assert!(text.starts_with("{\n    \"apiVersion\": \"v1\",\n    \"kind\": \"Pod\",\n"), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), object());
        let text = json(&json!({"b": "<&>\u{2028}", "a": 1})).unwrap();
        assert_eq!(text, "{\n    \"a\": 1,\n    \"b\": \"\\u003c\\u0026\\u003e\\u2028\"\n}\n");
        assert_eq!(compact(&json!({"b": ">", "a": 1})), r#"{"a":1,"b":"\u003e"}"#);
    }
}
