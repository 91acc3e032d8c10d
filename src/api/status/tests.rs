//! The words of failures.

use serde_json::json;

use super::*;

const PODS: Names = Names {
    group: "",
    version: "v1",
    plural: "pods",
    singular: "pod",
    kind: "Pod",
    short_names: &[],
    categories: &[],
    namespaced: true,
    subresources: &[],
};
const DEPLOYMENTS: Names = Names { group: "apps", plural: "deployments", kind: "Deployment", ..PODS };

#[test]
fn failures_are_worded_as_the_api_server_words_them() {
    let one = [FieldError::required("spec.a", "")];
    let two = [FieldError::invalid("a", 70000, "must be less"), FieldError::forbidden("b", "no")];
    for (status, code, reason, message) in [
        (Status::not_found(&PODS, "a"), 404, "NotFound", "pods \"a\" not found"),
        (Status::not_found(&DEPLOYMENTS, "a"), 404, "NotFound", "deployments.apps \"a\" not found"),
        (Status::already_exists(&PODS, "a"), 409, "AlreadyExists", "pods \"a\" already exists"),
        (
            Status::stale(&PODS, "a"),
            409,
            "Conflict",
            "Operation cannot be fulfilled on pods \"a\": the object has been modified; please apply your changes to the latest version and try again",
        ),
        (Status::forbidden(&PODS, "a", "no"), 403, "Forbidden", "pods \"a\" is forbidden: no"),
        (Status::invalid(&PODS, "a", &one), 422, "Invalid", "Pod \"a\" is invalid: spec.a: Required value"),
        (
            Status::invalid(&DEPLOYMENTS, "a", &two),
            422,
            "Invalid",
            "Deployment.apps \"a\" is invalid: [a: Invalid value: 70000: must be less, b: Forbidden: no]",
        ),
        (Status::too_large(9), 413, "RequestEntityTooLarge", "Request entity too large: limit is 9"),
    ] {
        assert_eq!((status.code, status.reason, status.message.as_str()), (code, reason, message));
    }
}

#[test]
fn a_status_carries_what_it_is_about() {
    let status = Status::invalid(&PODS, "a", &[FieldError::not_supported("spec.x", "Q", &["A", "B"])]);
    let words = "Unsupported value: \"Q\": supported values: \"A\", \"B\"";
    assert_eq!(
        status.to_json(),
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": format!("Pod \"a\" is invalid: spec.x: {words}"), "reason": "Invalid",
            "details": {"name": "a", "kind": "Pod", "causes": [
                {"reason": "FieldValueNotSupported", "message": words, "field": "spec.x"}
            ]},
            "code": 422,
        })
    );
}

#[test]
fn words_tell_their_reason() {
    for (words, reason) in [
        ("Required value", "FieldValueRequired"),
        ("Duplicate value: \"a\"", "FieldValueDuplicate"),
        ("Too long: may not be more than 3 bytes", "FieldValueTooLong"),
        ("what else", "FieldValueInvalid"),
    ] {
        let cause = FieldError::in_words("a", words).cause();
        assert_eq!(
            (cause.reason.as_str(), cause.message.as_str(), cause.field.as_str()),
            (reason, words, "a")
        );
    }
}
