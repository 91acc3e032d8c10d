//! A pod's status as a patch: all that the status says, and nothing of what it said before.

use k8s_openapi::api::core::v1::PodStatus;
use serde_json::{Map, Value, json};

/// Fields of a PodStatus that this node sets, now or later. A merge patch leaves out nothing unless it is told to.
const FIELDS: [&str; 16] = [
    "conditions",
    "containerStatuses",
    "ephemeralContainerStatuses",
    "hostIP",
    "hostIPs",
    "initContainerStatuses",
    "message",
    "nominatedNodeName",
    "observedGeneration",
    "phase",
    "podIP",
    "podIPs",
    "qosClass",
    "reason",
    "resize",
    "startTime",
];

/// The JSON merge patch (RFC 7386) that gives the pod with that uid this status, and is refused for another pod of the name.
pub fn patch(uid: &str, status: &PodStatus) -> serde_json::Result<Value> {
    let mut fields = match serde_json::to_value(status)? {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    for field in FIELDS {
        fields.entry(field).or_insert(Value::Null);
    }
    Ok(json!({"metadata": {"uid": uid}, "status": fields}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_longer_said_is_taken_away() {
        let before = PodStatus { reason: Some("Evicted".into()), ..PodStatus::default() };
        let after = PodStatus { phase: Some("Running".into()), ..PodStatus::default() };
        let mut object = json!({"metadata": {"uid": "u"}, "status": serde_json::to_value(before).unwrap()});
        json_patch::merge(&mut object, &patch("u", &after).unwrap());
        assert_eq!(object, json!({"metadata": {"uid": "u"}, "status": {"phase": "Running"}}));
    }

    #[test]
    fn every_field_that_is_derived_is_known() {
        let pod = crate::runtime::fixture::pod(crate::pod::spec::RestartPolicy::Always, &["i"], &["a"]);
        let now = jiff::Timestamp::UNIX_EPOCH;
        let observed = crate::runtime::observe::Observed::default();
        let run = crate::sync::plan::Intent::Run;
        let address = Some("192.0.2.7".parse().unwrap());
        let status = crate::status::derive::derive(&pod, &observed, run, address, None, now);
        let value = serde_json::to_value(status).unwrap();
        for field in value.as_object().unwrap().keys() {
            assert!(FIELDS.contains(&field.as_str()), "{field}");
        }
    }
}
