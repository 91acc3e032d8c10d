//! Objects of the API, judged as those of files are: the same fields, the same defaults, the same checks, in the same words.

use k8s_openapi::api::core::v1 as k8s;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::decode::Reading;
use super::path::Path;
use super::problem::{Problem, Problems};
use super::report::{Document, Report};
use super::sysctl::Allowed;
use super::update::Written;
use super::yaml::Node;
use super::{Manifest, Pod, defaults, typed};

/// An object of any kind as its type has it, and what that leaves out: fields that the type does not have, and values of a wrong
/// type, which are read as zero.
pub fn typed<T: DeserializeOwned + Default>(object: &Value) -> (T, Vec<Problem>) {
    let tree = Node::from(object);
    let mut report = Report::new("");
    let read = typed::read(Some(&tree), &Path::ROOT, &mut Document::new(&tree, &mut report));
    let problems = report.finish().err();
    (read, problems.map_or_else(Vec::new, |problems| problems.iter().cloned().collect()))
}

/// Writes into a Pod what the API server does where it is silent. What Kubernetes' Pod does not have is left out.
///
/// # Errors
/// A value of a wrong type, which [`typed`] would have told.
pub fn default_pod(object: &mut Value) -> serde_json::Result<()> {
    let mut pod: k8s::Pod = serde_json::from_value(object.take())?;
    let spec = pod.spec.get_or_insert_default();
    defaults::apply(&mut pod.metadata, spec);
    *object = serde_json::to_value(pod)?;
    Ok(())
}

/// The Pod that the object describes, or everything that is wrong with it.
pub fn pod(object: &Value, sysctls: &Allowed) -> Result<(Pod, Written), Problems> {
    let mut manifest = Manifest::default();
    read(object, sysctls, &mut manifest, |reading, node| {
        let pod = reading.pod(node, &Path::ROOT);
        reading.manifest.pods.extend(pod);
    })?;
    let Some(pod) = manifest.pods.pop() else { return Err(Problems::of_file("", "no Pod in the object")) };
    let written = manifest.written.remove(&pod.key).unwrap_or_default();
    Ok((pod, written))
}

/// Everything that is wrong with a ConfigMap.
pub fn config_map(object: &Value) -> Result<(), Problems> {
    let mut manifest = Manifest::default();
    read(object, &Allowed::default(), &mut manifest, |reading, node| reading.config_map(node, &Path::ROOT))
}

/// Everything that is wrong with a Secret.
pub fn secret(object: &Value) -> Result<(), Problems> {
    let mut manifest = Manifest::default();
    read(object, &Allowed::default(), &mut manifest, |reading, node| reading.secret(node, &Path::ROOT))
}

fn read(
    object: &Value,
    sysctls: &Allowed,
    manifest: &mut Manifest,
    read: impl FnOnce(&mut Reading<'_, '_, '_>, &Node),
) -> Result<(), Problems> {
    let tree = Node::from(object);
    let mut report = Report::new("");
    let document = Document::new(&tree, &mut report);
    read(&mut Reading::new(document, &mut Default::default(), sysctls, manifest), &tree);
    report.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn minimal() -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "p", "namespace": "default", "uid": "00000000-0000-4000-8000-000000000001"},
            "spec": {"containers": [{"name": "c", "image": "nginx"}]},
        })
    }

    fn told(problems: Problems) -> Vec<(String, String)> {
        problems.iter().map(|problem| (problem.field.clone(), problem.reason.clone())).collect()
    }

    #[test]
    fn a_pod_of_the_api_is_the_pod_of_a_file() {
        let object = minimal();
        let (pod, written) = super::pod(&object, &Allowed::default()).unwrap();
        let mut manifest = crate::pod::decode(object.to_string().as_bytes(), "f").unwrap();
        assert_eq!((&pod, written), (&manifest.pods[0], manifest.written.remove(&pod.key).unwrap()));
    }

    #[test]
    fn everything_that_is_wrong_with_a_pod_is_told_with_its_field() {
        let mut object = minimal();
        object["spec"]["restartPolicy"] = "Sometimes".into();
        object["spec"]["containers"][0]["ports"] = json!([{"containerPort": 70000}]);
        let problems = told(super::pod(&object, &Allowed::default()).unwrap_err());
        let fields: Vec<&str> = problems.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, ["spec.containers[0].ports[0].containerPort", "spec.restartPolicy"]);
        assert!(problems[1].1.starts_with("Unsupported value: \"Sometimes\""), "{problems:?}");
    }

    #[test]
    fn defaults_are_written_and_what_is_unknown_is_left_out() {
        let mut object = minimal();
        object["spec"]["nonsense"] = 1.into();
        default_pod(&mut object).unwrap();
        assert_eq!(object["spec"]["restartPolicy"], "Always");
        assert_eq!(object["spec"]["containers"][0]["imagePullPolicy"], "Always");
        assert_eq!(object["spec"].get("nonsense"), None);
        let before = object.clone();
        default_pod(&mut object).unwrap();
        assert_eq!(object, before, "defaults change nothing that has them");
    }

    #[test]
    fn unknown_fields_and_wrong_types_are_found_in_any_kind() {
        let object =
            json!({"apiVersion": "v1", "kind": "Node", "spec": {"unschedulable": "yes", "colour": 1}});
        let (_, found) = typed::<k8s::Node>(&object);
        let found: Vec<_> = found.iter().map(|one| (one.field.as_str(), one.reason.as_str())).collect();
        assert_eq!(
            found,
            [
                ("spec.unschedulable", "cannot unmarshal string into bool"),
                ("spec.colour", "unknown field \"colour\""),
            ]
        );
    }
}
