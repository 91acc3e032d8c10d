//! Events as `events.k8s.io/v1` shows them: the same objects, with other names of some fields and rules of its own.
//!
//! Source: `pkg/apis/events/v1/conversion.go`; `pkg/apis/core/validation/events.go`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::events::v1::Event;
use serde_json::Value;

use super::decode::decode;
use super::event::{Events, check};
use crate::api::object::Object;
use crate::api::resource::{Column, Names, Part, Resource};
use crate::api::status::FieldError;

/// `events.k8s.io/v1` Event.
#[derive(Debug, Clone, Copy, Default)]
pub struct EventsV1;

const NAMES: Names = Names {
    group: "events.k8s.io",
    version: "v1",
    plural: "events",
    singular: "event",
    kind: "Event",
    short_names: &["ev"],
    categories: &[],
    namespaced: true,
    subresources: &[],
};

/// Fields of `v1`, and what they are called here.
const FIELDS: [(&str, &str); 7] = [
    ("count", "deprecatedCount"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("involvedObject", "regarding"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
];

/// What never changes of an event, in the names of `v1`.
const IMMUTABLE: [&str; 13] = [
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "type",
    "eventTime",
    "action",
    "related",
    "reportingComponent",
    "reportingInstance",
];

impl Resource for EventsV1 {
    fn names(&self) -> &Names {
        &NAMES
    }

    fn stored_as(&self) -> &Names {
        Events.names()
    }

    fn shown(&self, mut object: Object) -> Object {
        object.set_type(&NAMES.api_version(), NAMES.kind);
        FIELDS.into_iter().for_each(|(old, new)| rename(&mut object, old, new));
        object
    }

    fn kept(&self, mut object: Object) -> Object {
        object.set_type("v1", NAMES.kind);
        FIELDS.into_iter().for_each(|(old, new)| rename(&mut object, new, old));
        object
    }

    fn decode(&self, object: &mut Object) -> Result<Vec<String>, String> {
        decode::<Event>(object)
    }

    fn prepare_for_update(&self, _part: Part<'_>, _new: &mut Object, _old: &Object) {}

    fn validate(&self, object: &Object) -> Vec<FieldError> {
        let event = self.kept(object.clone());
        let mut errors = check(&event, "reportingController");
        errors.extend(check_series(&event));
        if event.text_at(&["eventTime"]).is_empty() {
            errors.push(FieldError::required("eventTime", ""));
        }
        let kind = event.text_at(&["type"]);
        if !matches!(kind, "Normal" | "Warning") {
            errors.push(FieldError::invalid("type", "", format!("has invalid value: {kind}")));
        }
        let has_source = !event.text_at(&["source", "component"]).is_empty()
            || !event.text_at(&["source", "host"]).is_empty();
        let count = event.get("count").and_then(Value::as_i64).unwrap_or(0);
        for (field, is_set) in [
            ("firstTimestamp", !event.text_at(&["firstTimestamp"]).is_empty()),
            ("lastTimestamp", !event.text_at(&["lastTimestamp"]).is_empty()),
            ("count", count != 0),
            ("source", has_source),
        ] {
            if is_set {
                errors.push(FieldError::invalid(field, "", "needs to be unset"));
            }
        }
        errors
    }

    fn validate_update(&self, _part: Part<'_>, new: &Object, old: &Object) -> Vec<FieldError> {
        let (new, old) = (self.kept(new.clone()), self.kept(old.clone()));
        let mut errors = if new.get("series") == old.get("series") { Vec::new() } else { check_series(&new) };
        for field in IMMUTABLE {
            if new.get(field) != old.get(field) {
                let value = new.get(field).cloned().unwrap_or_default();
                errors.push(FieldError::invalid(field, value, "field is immutable"));
            }
        }
        errors
    }

    fn is_desired(&self, part: Part<'_>) -> bool {
        Events.is_desired(part)
    }

    fn columns(&self) -> &'static [Column] {
        Events.columns()
    }

    fn row(&self, object: &Object, now: Timestamp) -> Vec<Value> {
        Events.row(&self.kept(object.clone()), now)
    }

    fn fields(&self, object: &Object) -> BTreeMap<&'static str, String> {
        let text = |path: &[&str]| object.text_at(path).to_owned();
        BTreeMap::from([
            ("regarding.kind", text(&["regarding", "kind"])),
            ("regarding.namespace", text(&["regarding", "namespace"])),
            ("regarding.name", text(&["regarding", "name"])),
            ("regarding.uid", text(&["regarding", "uid"])),
            ("regarding.apiVersion", text(&["regarding", "apiVersion"])),
            ("regarding.resourceVersion", text(&["regarding", "resourceVersion"])),
            ("regarding.fieldPath", text(&["regarding", "fieldPath"])),
            ("reason", text(&["reason"])),
            ("reportingController", text(&["reportingController"])),
            ("type", text(&["type"])),
        ])
    }
}

fn rename(object: &mut Object, from: &str, to: &str) {
    if let Some(value) = object.map_mut().remove(from) {
        object.set(to, Some(value));
    }
}

/// A series counts what has happened more than once.
fn check_series(event: &Object) -> Vec<FieldError> {
    let Some(series) = event.get("series").filter(|series| !series.is_null()) else { return Vec::new() };
    let mut errors = Vec::new();
    if series["count"].as_i64().unwrap_or(0) < 2 {
        errors.push(FieldError::invalid("series.count", "", "should be at least 2"));
    }
    if series["lastObservedTime"].as_str().unwrap_or_default().is_empty() {
        errors.push(FieldError::required("series.lastObservedTime", ""));
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(change: Value) -> Object {
        let mut event = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e", "namespace": "default"},
            "eventTime": "2026-01-01T12:00:00.000000Z", "type": "Normal", "reason": "Scheduled", "action": "Binding",
            "reportingController": "default-scheduler", "reportingInstance": "s-1", "note": "Successfully assigned",
            "regarding": {"kind": "Pod", "namespace": "default", "name": "p"},
        });
        json_patch::merge(&mut event, &change);
        Object::from_value(event).unwrap()
    }

    #[test]
    fn it_is_the_event_of_the_core_group_under_other_names() {
        let of_core = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": "default"},
            "involvedObject": {"kind": "Pod", "name": "p"}, "reason": "Started", "message": "Container started",
            "source": {"component": "kubelet", "host": "n"}, "firstTimestamp": "2026-01-01T11:00:00Z",
            "lastTimestamp": "2026-01-01T12:00:00Z", "count": 3, "type": "Normal", "eventTime": null,
            "reportingComponent": "kubelet", "reportingInstance": "n",
        });
        let of_core = Object::from_value(of_core).unwrap();
        let shown = EventsV1.shown(of_core.clone());
        assert_eq!(
            shown.clone().into_value(),
            json!({
                "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e", "namespace": "default"},
                "regarding": {"kind": "Pod", "name": "p"}, "reason": "Started", "note": "Container started",
                "deprecatedSource": {"component": "kubelet", "host": "n"}, "type": "Normal", "eventTime": null,
                "deprecatedFirstTimestamp": "2026-01-01T11:00:00Z", "deprecatedLastTimestamp": "2026-01-01T12:00:00Z",
                "deprecatedCount": 3, "reportingController": "kubelet", "reportingInstance": "n",
            })
        );
        assert_eq!(EventsV1.fields(&shown)["regarding.name"], "p");
        assert_eq!(EventsV1.kept(shown), of_core);
    }

    #[test]
    fn a_new_one_says_when_it_was_and_who_reports_it_and_leaves_the_old_fields_alone() {
        let told = |change: Value| {
            let errors = EventsV1.validate(&event(change));
            errors.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(told(json!({})), Vec::<String>::new());
        for (change, expected) in [
            (json!({"eventTime": null}), "eventTime: Required value"),
            (json!({"reportingController": null}), "reportingController: Required value"),
            (json!({"type": "Odd"}), "type: Invalid value: \"\": has invalid value: Odd"),
            (json!({"deprecatedCount": 1}), "count: Invalid value: \"\": needs to be unset"),
            (
                json!({"series": {"count": 1, "lastObservedTime": "2026-01-01T12:00:00.000000Z"}}),
                "series.count: Invalid value: \"\": should be at least 2",
            ),
        ] {
            assert_eq!(told(change), [expected]);
        }
    }

    #[test]
    fn only_its_series_and_metadata_change() {
        let told = |change: Value| {
            let errors = EventsV1.validate_update(Part::Whole, &event(change), &event(json!({})));
            errors.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let series = json!({"series": {"count": 2, "lastObservedTime": "2026-01-01T12:00:01.000000Z"}});
        assert_eq!(told(series), Vec::<String>::new());
        assert_eq!(told(json!({"note": "x"})), ["message: Invalid value: \"x\": field is immutable"]);
    }
}
