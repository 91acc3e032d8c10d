//! `--custom FILE`: a part of a container that a person has written, over what a profile says.

use serde_json::{Value, json};

use crate::api::patch::Patch;
use crate::pod::yaml_to_json;

/// What a debugger is made of stays what the command line says.
const FIXED: [&str; 5] = ["name", "command", "image", "lifecycle", "volumeDevices"];

/// Reads the file. Errors are kubectl's.
pub(super) fn read(path: &str) -> Result<Value, String> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        format!("must pass a container spec json file for custom profile: open {path}: {error}")
    })?;
    let bad = |why: String| format!("{path} does not contain a valid container spec: {why}");
    let (custom, _) = yaml_to_json(&text).map_err(|why| bad(why.to_string()))?;
    let fields = custom.as_object().ok_or_else(|| bad("not an object".to_owned()))?;
    if FIXED.iter().any(|field| fields.contains_key(*field)) {
        return Err(
            "name, command, image, lifecycle and volume devices are not modifiable via custom profile"
                .to_owned(),
        );
    }
    Ok(custom)
}

/// Merges it into a container, whose lists are merged by the keys of their elements.
pub(super) fn merge(custom: &Value, container: &mut Value) -> anyhow::Result<()> {
    let mut part = custom.clone();
    part["name"] = container["name"].clone();
    let pod = |container: Value| json!({"spec": {"containers": [container]}});
    let merged = Patch::Strategic(pod(part)).apply(pod(container.take()));
    let mut merged = merged.map_err(|status| anyhow::anyhow!("{}", status.message))?;
    *container = merged["spec"]["containers"][0].take();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_custom_profile_is_merged_by_the_keys_of_lists() {
        let mut container = json!({
            "name": "a", "image": "i", "env": [{"name": "A", "value": "1"}],
            "securityContext": {"capabilities": {"add": ["SYS_PTRACE"]}},
        });
        let custom = json!({"env": [{"name": "B", "value": "2"}], "securityContext": {"runAsUser": 0}});
        merge(&custom, &mut container).unwrap();
        let names: Vec<&Value> = container["env"].as_array().unwrap().iter().map(|v| &v["name"]).collect();
        assert_eq!(names.len(), 2, "{container}");
        assert_eq!(
            container["securityContext"],
            json!({"capabilities": {"add": ["SYS_PTRACE"]}, "runAsUser": 0})
        );
        assert_eq!(container["image"], "i");
    }

    #[test]
    fn a_file_that_is_no_part_of_a_container_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("custom");
        for (text, error) in [
            ("image: i\n", "not modifiable via custom profile"),
            ("- a\n", "does not contain a valid container spec"),
            ("{", "does not contain a valid container spec"),
        ] {
            std::fs::write(&path, text).unwrap();
            let refused = read(path.to_str().unwrap()).unwrap_err();
            assert!(refused.contains(error), "{text}: {refused}");
        }
        assert!(read("/nonexistent").unwrap_err().starts_with("must pass a container spec json file"));
    }
}
