//! Which container of a pod a stream is for.
//!
//! Source: `validateContainer` in Kubernetes' `pkg/registry/core/pod/strategy.go`.

use serde_json::Value;

use super::{ContainerRef, PodRef};
use crate::api::object::Object;
use crate::api::status::Status;

/// In the order in which messages list them.
const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// The container of that name, or, without a name, the only one that the pod has. Its init containers do not count for that.
pub fn choose(pod: &Object, name: &str) -> Result<ContainerRef, Status> {
    let spec = pod.get("spec");
    let of = |list: &str| -> Vec<&str> {
        let containers = spec.and_then(|spec| spec.get(list)).and_then(Value::as_array);
        containers.into_iter().flatten().filter_map(|container| container["name"].as_str()).collect()
    };
    let refuse = |why: String| Err(Status::bad_request(why));
    let container = match (name, of("containers").as_slice()) {
        ("", [only]) => (*only).to_owned(),
        ("", []) => return refuse(format!("a container name must be specified for pod {}", pod.name())),
        ("", _) => {
            let all = LISTS.map(of).concat().join(" ");
            return refuse(format!(
                "a container name must be specified for pod {}, choose one of: [{all}]",
                pod.name()
            ));
        }
        (name, _) if LISTS.iter().any(|list| of(list).contains(&name)) => name.to_owned(),
        (name, _) => return refuse(format!("container {name} is not valid for pod {}", pod.name())),
    };
    Ok(ContainerRef { pod: pod_ref(pod), container })
}

/// What names a pod to the agent.
pub fn pod_ref(pod: &Object) -> PodRef {
    PodRef { namespace: pod.namespace().to_owned(), name: pod.name().to_owned(), uid: pod.uid().to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_container_is_chosen_or_refused_in_the_api_servers_words() {
        let names =
            |names: &[&str]| -> Vec<Value> { names.iter().map(|name| json!({"name": name})).collect() };
        let pod = |containers: &[&str], init: &[&str], ephemeral: &[&str]| {
            Object::from_value(json!({
                "metadata": {"name": "web", "namespace": "default", "uid": "u"},
                "spec": {
                    "containers": names(containers),
                    "initContainers": names(init),
                    "ephemeralContainers": names(ephemeral),
                },
            }))
            .unwrap()
        };
        for (pod, name, expected) in [
            (pod(&["a"], &["i"], &["e"]), "", Ok("a")),
            (pod(&["a"], &["i"], &["e"]), "i", Ok("i")),
            (pod(&["a"], &["i"], &["e"]), "e", Ok("e")),
            (pod(&["a"], &[], &[]), "b", Err("container b is not valid for pod web")),
            (
                pod(&["a", "b"], &["i"], &[]),
                "",
                Err("a container name must be specified for pod web, choose one of: [i a b]"),
            ),
            (pod(&[], &[], &[]), "", Err("a container name must be specified for pod web")),
        ] {
            let found = choose(&pod, name).map(|chosen| chosen.container);
            let found = found.map_err(|status| (status.code, status.message));
            assert_eq!(found, expected.map(str::to_owned).map_err(|why| (400, why.to_owned())), "{name}");
        }
        let chosen = choose(&pod(&["a"], &[], &[]), "").unwrap();
        assert_eq!(chosen.to_string(), "default/web/a");
    }
}
