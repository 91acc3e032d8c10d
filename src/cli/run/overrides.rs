//! `--overrides`: a patch of the pod that `run` makes, before it is sent. Pure.

use clap::Args;
use serde_json::{Value, json};

use crate::api::patch::Patch;

#[derive(Debug, Default, Args)]
pub(super) struct Overrides {
    /// A patch of the pod, as JSON.
    #[arg(long, value_name = "JSON", requires = "image")]
    overrides: Option<String>,
    /// How the patch is meant: merge, json or strategic.
    #[arg(long, value_name = "TYPE", default_value = "merge")]
    override_type: String,
}

impl Overrides {
    /// What the patch makes of a pod. Errors are kubectl's.
    pub(super) fn apply(&self, pod: Value) -> anyhow::Result<Value> {
        let Some(text) = self.overrides.as_deref().filter(|text| !text.is_empty()) else { return Ok(pod) };
        let object = || serde_json::from_str(text).ok().filter(Value::is_object);
        let patch = match self.override_type.as_str() {
            "merge" => Patch::Merge(object().ok_or_else(|| anyhow::anyhow!("Invalid JSON Patch"))?),
            "strategic" => {
                Patch::Strategic(object().ok_or_else(|| anyhow::anyhow!("invalid JSON document"))?)
            }
            "json" => Patch::Json(serde_json::from_str(text)?),
            other => anyhow::bail!("invalid override type: {other}"),
        };
        let mut pod = patch.apply(pod).map_err(|status| anyhow::anyhow!("{}", status.message))?;
        // What every container is written with.
        let containers = pod["spec"]["containers"].as_array_mut().into_iter().flatten();
        for container in containers.filter_map(Value::as_object_mut) {
            container.entry("resources").or_insert_with(|| json!({}));
        }
        Ok(pod)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overridden(kind: &str, text: &str) -> Result<Value, String> {
        let overrides = Overrides { overrides: Some(text.to_owned()), override_type: kind.to_owned() };
        let pod = json!({"metadata": {"labels": {"run": "x"}}, "spec": {"containers": [{"name": "x", "image": "i"}]}});
        overrides.apply(pod).map_err(|error| error.to_string())
    }

    #[test]
    fn a_patch_of_each_type_changes_the_pod() {
        for (kind, text, pointer, expected) in [
            ("merge", r#"{"spec":{"hostNetwork":true}}"#, "/spec/hostNetwork", json!(true)),
            (
                "merge",
                r#"{"spec":{"containers":[{"name":"y"}]}}"#,
                "/spec/containers",
                json!([{"name": "y", "resources": {}}]),
            ),
            (
                "strategic",
                r#"{"spec":{"containers":[{"name":"x","tty":true}]}}"#,
                "/spec/containers",
                json!([{"name": "x", "image": "i", "tty": true, "resources": {}}]),
            ),
            (
                "json",
                r#"[{"op":"add","path":"/metadata/labels/a","value":"b"}]"#,
                "/metadata/labels",
                json!({"run": "x", "a": "b"}),
            ),
        ] {
            assert_eq!(overridden(kind, text).unwrap().pointer(pointer), Some(&expected), "{kind} {text}");
        }
    }

    #[test]
    fn what_is_no_patch_is_told_in_kubectls_words() {
        for (kind, text, error) in [
            ("merge", "{", "Invalid JSON Patch"),
            ("merge", "a: 1", "Invalid JSON Patch"),
            ("strategic", "{", "invalid JSON document"),
            ("foo", "{}", "invalid override type: foo"),
        ] {
            assert_eq!(overridden(kind, text).unwrap_err(), error, "{kind} {text}");
        }
        assert!(overridden("json", "{").is_err());
    }
}
