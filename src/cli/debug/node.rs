//! The pod for `mkubelet debug node/NAME`.

use http::Method;
use kube::Client;
use serde_json::{Value, json};

use super::{Arguments, suffix};
use crate::cli::client::failure::told;
use crate::cli::client::query::Query;
use crate::cli::client::request::{JSON, ask};
use crate::cli::say;

/// The container's name, unless it is given another.
pub(super) const CONTAINER: &str = "debugger";

/// Makes the pod; returns its name.
pub(super) async fn create(
    client: &Client,
    pods: &str,
    arguments: &Arguments,
    node: &str,
) -> anyhow::Result<String> {
    let name = format!("node-debugger-{node}-{}", suffix()?);
    let container = arguments.container.as_deref().unwrap_or(CONTAINER);
    let pod = pod(arguments, node, &name, container)?;
    if !arguments.quiet {
        say(&format!("Creating debugging pod {name} with container {container} on node {node}.\n"))?;
    }
    let mut query = Query::default();
    query.add("fieldManager", "kubectl-debug");
    ask(client, Method::POST, &query.below(pods), JSON, Some(&pod)).await.map_err(told)?;
    Ok(name)
}

fn pod(arguments: &Arguments, node: &str, name: &str, container: &str) -> anyhow::Result<Value> {
    let profile = arguments.profile;
    let mut container = arguments.container(container)?;
    profile.secure(&mut container, true);
    let mut spec = json!({
        "nodeName": node, "restartPolicy": "Never", "tolerations": [{"operator": "Exists"}],
    });
    if profile.has_host_root() {
        spec["volumes"] = json!([{"name": "host-root", "hostPath": {"path": "/"}}]);
        container["volumeMounts"] = json!([{"name": "host-root", "mountPath": "/host"}]);
    }
    if profile.has_host_namespaces() {
        for field in ["hostNetwork", "hostPID", "hostIPC"] {
            spec[field] = true.into();
        }
    }
    arguments.customize(&mut container)?;
    spec["containers"] = json!([container]);
    Ok(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}))
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::cli::client::fake::parsed;

    #[test]
    fn the_profile_says_what_of_the_host_the_pod_has() {
        for (profile, namespaces, root, context) in [
            ("legacy", true, true, json!(null)),
            ("general", true, true, json!(null)),
            ("baseline", false, false, json!(null)),
            ("netadmin", true, false, json!({"capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}})),
            ("sysadmin", true, true, json!({"privileged": true})),
        ] {
            let flag = format!("--profile={profile}");
            let arguments = parsed(["debug", "node/n", "--image=i", &flag]).unwrap();
            let spec = &pod(&arguments, "n", "x", CONTAINER).unwrap()["spec"];
            assert_eq!(spec["hostPID"] == true && spec["hostNetwork"] == true, namespaces, "{profile}");
            let container = &spec["containers"][0];
            assert_eq!(container["volumeMounts"][0]["mountPath"] == "/host", root, "{profile}");
            assert_eq!(spec["volumes"][0]["hostPath"]["path"] == "/", root, "{profile}");
            assert_eq!(container["securityContext"], context, "{profile}");
        }
    }
}
