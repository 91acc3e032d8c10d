//! A pod of the command line: `web`, `pod/web`, and the container of it that is meant.

use kube::Client;
use serde_json::Value;

use super::discovery::Types;
use super::failure::{remark, told};
use super::request;

/// The annotation that names the container that people mean.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// Reads the pod that `argument` names.
pub(in crate::cli) async fn find(client: &Client, namespace: &str, argument: &str) -> anyhow::Result<Value> {
    let types = Types::of(client).await.map_err(told)?;
    let pods = types.find("pods")?;
    let name = match argument.split_once('/') {
        None => argument,
        Some((kind, name)) => {
            let of = types.find(kind)?;
            anyhow::ensure!(
                of.version == "v1" && of.kind == "Pod" && !name.is_empty(),
                "cannot attach to *v1.{}: selector for *v1.{} not implemented",
                of.kind,
                of.kind
            );
            name
        }
    };
    request::get(client, &pods.object_path(namespace, name)).await.map_err(told)
}

/// The same, of a pod that is not over; `act` is what is to be done with it: `exec into`.
pub(in crate::cli) async fn find_alive(
    client: &Client,
    namespace: &str,
    argument: &str,
    act: &str,
) -> anyhow::Result<Value> {
    let pod = find(client, namespace, argument).await?;
    if let Some(phase @ ("Succeeded" | "Failed")) = pod["status"]["phase"].as_str() {
        anyhow::bail!("cannot {act} a container in a completed pod; current phase is {phase}");
    }
    Ok(pod)
}

/// The name of an object.
pub(in crate::cli) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// The containers of a pod in the order of kubectl: the regular ones, those of its start, the ephemeral ones.
pub(in crate::cli) fn containers(pod: &Value) -> impl Iterator<Item = (&Value, &'static str)> {
    let of = |field: &str, note: &'static str| {
        pod["spec"][field].as_array().into_iter().flatten().map(move |container| (container, note))
    };
    of("containers", "").chain(of("initContainers", " (init)")).chain(of("ephemeralContainers", " (ephem)"))
}

/// The container that is meant: the one asked for, the pod's default, or its first, which is said unless `quiet`.
pub(in crate::cli) fn container(pod: &Value, asked: Option<&str>, quiet: bool) -> anyhow::Result<Value> {
    let find = |name: &str| {
        containers(pod).map(|(container, _)| container).find(|container| container["name"] == name)
    };
    if let Some(asked) = asked {
        return find(asked)
            .cloned()
            .ok_or_else(|| anyhow::anyhow!("container {asked} not found in pod {}", name(pod)));
    }
    let default = pod["metadata"]["annotations"][DEFAULT_CONTAINER].as_str().and_then(find);
    if let Some(default) = default {
        return Ok(default.clone());
    }
    let names: Vec<String> = containers(pod)
        .map(|(container, note)| format!("{}{note}", container["name"].as_str().unwrap_or_default()))
        .collect();
    let first = pod["spec"]["containers"][0].clone();
    if !quiet && names.len() > 1 {
        remark(&format!("Defaulted container {} out of: {}", first["name"], names.join(", ")));
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_container_is_the_one_asked_for_or_the_default_or_the_first() {
        let pod = |annotations: Value| {
            json!({
                "metadata": {"name": "web", "annotations": annotations},
                "spec": {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}]}
            })
        };
        let default = json!({DEFAULT_CONTAINER: "b"});
        for (annotations, asked, expected) in [
            (json!({}), None, "a"),
            (json!({}), Some("i"), "i"),
            (default.clone(), None, "b"),
            (default, Some("a"), "a"),
            (json!({DEFAULT_CONTAINER: "none"}), None, "a"),
        ] {
            let found = container(&pod(annotations), asked, false).unwrap();
            assert_eq!(found["name"], expected);
        }
        let error = container(&pod(json!({})), Some("x"), false).unwrap_err().to_string();
        assert_eq!(error, "container x not found in pod web");
    }
}
