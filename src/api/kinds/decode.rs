//! From what a client sent to the kind's type and back: what the API server does before it looks at an object.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::object::Object;
use crate::api::status::FieldError;
use crate::pod::object::typed;
use crate::pod::{Problem, Problems};

/// Reads the object as a `T` and writes it as one: null and unknown fields go, quantities become text. Gives the paths of the
/// unknown ones, or says in Go's words what cannot be read.
pub(super) fn decode<T: DeserializeOwned + Serialize + Default>(
    object: &mut Object,
) -> Result<Vec<String>, String> {
    let kind = object.kind().to_owned();
    let (read, problems) = typed::<T>(&Value::Object(object.map().clone()));
    let (unknown, wrong): (Vec<Problem>, Vec<Problem>) =
        problems.into_iter().partition(|problem| problem.reason.starts_with("unknown field"));
    if let Some(first) = wrong.first() {
        return Err(unreadable(&kind, first));
    }
    *object = Object::of(&read).map_err(|error| error.to_string())?;
    Ok(unknown.into_iter().map(|problem| problem.field).collect())
}

/// What is wrong with an object's fields beside its metadata, of which the handlers know.
pub(super) fn field_errors(verdict: Result<(), Problems>) -> Vec<FieldError> {
    const OF_ALL_KINDS: [&str; 6] = ["annotations", "generateName", "labels", "name", "namespace", "uid"];
    let problems = verdict.err();
    let problems = problems.iter().flat_map(Problems::iter);
    let of_kind = problems.filter(|problem| {
        let field = problem.field.strip_prefix("metadata.");
        !field.is_some_and(|field| OF_ALL_KINDS.contains(&field))
    });
    of_kind.map(|problem| FieldError::in_words(&problem.field, words(&problem.reason))).collect()
}

/// A field that Kubernetes has and this program has not is one that may not be set here.
fn words(reason: &str) -> String {
    if reason.starts_with("not supported by") { format!("Forbidden: {reason}") } else { reason.to_owned() }
}

/// As Go's JSON decoder says it: without indices.
fn unreadable(kind: &str, Problem { field, reason, .. }: &Problem) -> String {
    let mut path = String::from(kind);
    for part in field.split(['.', '[']).filter(|part| !part.ends_with(']') && !part.is_empty()) {
        path.push('.');
        path.push_str(part);
    }
    let reason = reason.split(": ").next().unwrap_or(reason);
    match reason.split_once(" into ") {
        Some((what, wanted)) => format!("json: {what} into Go struct field {path} of type {wanted}"),
        None => format!("json: {path}: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    use super::*;

    fn pod(spec: Value) -> Object {
        let pod =
            json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"creationTimestamp": null}, "spec": spec});
        Object::from_value(pod).unwrap()
    }

    #[test]
    fn what_is_unknown_is_named_and_dropped() {
        let mut object = pod(json!({"containers": [{"name": "c", "nmae": 1, "ports": null}], "x": {}}));
        assert_eq!(decode::<Pod>(&mut object).unwrap(), ["spec.containers[0].nmae", "spec.x"]);
        assert_eq!(
            object.into_value(),
            json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"containers": [{"name": "c"}]},
            })
        );
    }

    #[test]
    fn quantities_may_be_numbers() {
        let mut object =
            pod(json!({"containers": [{"name": "c", "resources": {"limits": {"cpu": 1, "memory": 1.5}}}]}));
        assert_eq!(decode::<Pod>(&mut object), Ok(Vec::new()));
        let limits = object.at(&["spec"]).unwrap()["containers"][0]["resources"]["limits"].clone();
        assert_eq!(limits, json!({"cpu": "1", "memory": "1.5"}));
    }

    #[test]
    fn a_value_of_a_wrong_type_is_told_as_go_does() {
        for (spec, expected) in [
            (
                json!({"activeDeadlineSeconds": "1"}),
                "json: cannot unmarshal string into Go struct field Pod.spec.activeDeadlineSeconds of type int64",
            ),
            (
                json!({"containers": [{"name": 1}]}),
                "json: cannot unmarshal number into Go struct field Pod.spec.containers.name of type string",
            ),
        ] {
            assert_eq!(decode::<Pod>(&mut pod(spec)).unwrap_err(), expected);
        }
    }

    #[test]
    fn what_this_program_does_not_carry_out_is_forbidden_and_metadata_are_not_told_twice() {
        let problems = |field: &str, reason: &str| {
            let mut problems = Problems::of_file("", reason).iter().cloned().collect::<Vec<_>>();
            problems[0].field = field.to_owned();
            Problems::collect(problems).map_or(Ok(()), Err)
        };
        let told = field_errors(problems("spec.overhead", "not supported by this version of mkubelet"));
        assert_eq!(
            told[0].to_string(),
            "spec.overhead: Forbidden: not supported by this version of mkubelet"
        );
        assert_eq!(told[0].cause().reason, "FieldValueForbidden");
        assert_eq!(field_errors(problems("metadata.name", "Required value")), []);
        assert_eq!(field_errors(problems("metadata.annotations[a]", "Invalid value: 1: no")).len(), 1);
    }
}
