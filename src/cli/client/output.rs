//! Objects as text: `-o yaml`, `-o json`, `-o name`.

use serde_json::Value;

use crate::api::yaml::sorted;

/// An object as YAML, its fields in the order of the alphabet, as kubectl has them.
pub(in crate::cli) fn yaml(object: &Value) -> anyhow::Result<String> {
    crate::api::yaml::of(object).map_err(anyhow::Error::msg)
}

/// An object as JSON, indented by four.
pub(in crate::cli) fn json(object: &Value) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let indented = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, indented);
    serde::Serialize::serialize(&sorted(object), &mut serializer)?;
    bytes.push(b'\n');
    Ok(String::from_utf8(bytes)?)
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
        let text = yaml(&object()).unwrap();
        let expected = "apiVersion: v1\nkind: Pod\nmetadata:\n  annotations:\n    \"n\": \"1\"\n    t: \"true\"\n    \
                        text: |\n      a\n      b\n  labels: {}\n  name: web\nspec:\n  containers:\n  - args:\n    \
                        - -x\n    - \"a: b\"\n    - '#'\n    name: c\n    ports: []\n  grace: 30\n  ok: true\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn json_is_sorted_and_indented_by_four() {
        let text = json(&object()).unwrap();
        assert!(text.starts_with("{\n    \"apiVersion\": \"v1\",\n    \"kind\": \"Pod\",\n"), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), object());
    }
}
