//! Events: what happened to other objects.
//!
//! Source: `pkg/apis/core/validation/events.go`, which checks little of what comes as `v1`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource};
use serde_json::Value;

use super::columns::{NAME, text, wide};
use super::decode::decode;
use crate::api::object::Object;
use crate::api::resource::{Column, Names, Part, Resource};
use crate::api::status::FieldError;
use crate::api::table::age;
use crate::pod::names;

/// `v1` Event.
#[derive(Debug, Clone, Copy, Default)]
pub struct Events;

const NAMES: Names = Names {
    group: "",
    version: "v1",
    plural: "events",
    singular: "event",
    kind: "Event",
    short_names: &["ev"],
    categories: &[],
    namespaced: true,
    subresources: &[],
};

const COLUMNS: [Column; 10] = [
    text("Last Seen", "When it happened last."),
    text("Type", "Normal or Warning; there may be others."),
    text("Reason", "What happened, in one word, for programs."),
    text("Object", "What it happened to."),
    wide("Subobject", "The part of the object that it happened to."),
    wide("Source", "Who tells of it."),
    text("Message", "What happened, for people."),
    wide("First Seen", "When it happened first."),
    wide("Count", "How often it has happened."),
    Column { priority: 1, ..NAME },
];

impl Resource for Events {
    fn names(&self) -> &Names {
        &NAMES
    }

    fn decode(&self, object: &mut Object) -> Result<Vec<String>, String> {
        decode::<Event>(object)
    }

    fn prepare_for_update(&self, _part: Part<'_>, _new: &mut Object, _old: &Object) {}

    fn validate(&self, object: &Object) -> Vec<FieldError> {
        check(object, "reportingComponent")
    }

    fn is_desired(&self, _part: Part<'_>) -> bool {
        false
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn row(&self, object: &Object, now: Timestamp) -> Vec<Value> {
        let event: Event = object.to().unwrap_or_default();
        let of_event = event.event_time.as_ref().map(|time| time.0);
        let first = event.first_timestamp.as_ref().map(|time| time.0).or(of_event);
        let last = event.last_timestamp.as_ref().map(|time| time.0).or(first);
        let (last, count) = match &event.series {
            Some(series) => {
                (series.last_observed_time.as_ref().map(|time| time.0), series.count.unwrap_or(0))
            }
            // One of the newer form that stands alone is not counted.
            None => (last, event.count.filter(|count| *count != 0).unwrap_or(1)),
        };
        let kind = event.involved_object.kind.as_deref().unwrap_or_default().to_lowercase();
        let involved = match event.involved_object.name.as_deref().unwrap_or_default() {
            "" => kind,
            name => format!("{kind}/{name}"),
        };
        vec![
            age(last, now).into(),
            event.type_.clone().unwrap_or_default().into(),
            event.reason.clone().unwrap_or_default().into(),
            involved.into(),
            event.involved_object.field_path.clone().unwrap_or_default().into(),
            source(&event).into(),
            event.message.as_deref().unwrap_or_default().trim().into(),
            age(first, now).into(),
            count.into(),
            object.name().into(),
        ]
    }

    fn fields(&self, object: &Object) -> BTreeMap<&'static str, String> {
        let text = |path: &[&str]| object.text_at(path).to_owned();
        let source = match object.text_at(&["source", "component"]) {
            "" => object.text_at(&["reportingComponent"]),
            component => component,
        };
        BTreeMap::from([
            ("involvedObject.kind", text(&["involvedObject", "kind"])),
            ("involvedObject.namespace", text(&["involvedObject", "namespace"])),
            ("involvedObject.name", text(&["involvedObject", "name"])),
            ("involvedObject.uid", text(&["involvedObject", "uid"])),
            ("involvedObject.apiVersion", text(&["involvedObject", "apiVersion"])),
            ("involvedObject.resourceVersion", text(&["involvedObject", "resourceVersion"])),
            ("involvedObject.fieldPath", text(&["involvedObject", "fieldPath"])),
            ("reason", text(&["reason"])),
            ("reportingComponent", text(&["reportingComponent"])),
            ("source", source.to_owned()),
            ("type", text(&["type"])),
        ])
    }
}

/// Everything that is wrong with an Event; `controller` is what the field of who reports it is called.
pub(super) fn check(object: &Object, controller: &str) -> Vec<FieldError> {
    let involved = object.text_at(&["involvedObject", "namespace"]);
    let is_new = !object.text_at(&["eventTime"]).is_empty();
    let of_cluster: &[&str] = if is_new { &["default", "kube-system"] } else { &["default"] };
    let mut errors = Vec::new();
    let agrees = match involved {
        "" => of_cluster.contains(&object.namespace()),
        // An event of the newer form may be about an object of another namespace.
        involved => is_new || involved == object.namespace(),
    };
    if !agrees {
        let why = "does not match event.namespace";
        errors.push(FieldError::invalid("involvedObject.namespace", involved, why));
    }
    if is_new {
        errors.extend(of_newer_form(object, controller));
    }
    errors
}

/// What an event that has an `eventTime` needs beside it.
fn of_newer_form(object: &Object, controller: &str) -> Vec<FieldError> {
    let of = |field: &'static str| object.text_at(&[field]);
    let mut errors = Vec::new();
    for (field, name) in [
        ("reportingComponent", controller),
        ("reportingInstance", "reportingInstance"),
        ("action", "action"),
        ("reason", "reason"),
    ] {
        if of(field).is_empty() {
            errors.push(FieldError::required(name, ""));
        }
    }
    let wrong = names::qualified_name(of("reportingComponent")).into_iter();
    let wrong = wrong.filter(|_| !of("reportingComponent").is_empty());
    errors.extend(wrong.map(|why| FieldError::invalid(controller, of("reportingComponent"), why)));
    for (field, most) in [("reportingInstance", 128), ("action", 128), ("reason", 128), ("message", 1024)] {
        if of(field).len() > most {
            errors.push(FieldError::invalid(field, "", format!("can have at most {most} characters")));
        }
    }
    errors
}

fn source(event: &Event) -> String {
    let EventSource { component, host } = event.source.clone().unwrap_or_default();
    let either = |one: Option<String>, other: &Option<String>| {
        one.filter(|text| !text.is_empty()).or_else(|| other.clone()).unwrap_or_default()
    };
    let component = either(component, &event.reporting_component);
    match either(host, &event.reporting_instance).as_str() {
        "" => component,
        instance => format!("{component}, {instance}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: &str = "2026-01-01T12:00:00Z";

    fn event(fields: Value) -> Object {
        let mut object = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "p.1", "namespace": "default"},
            "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default", "fieldPath": "spec.containers{c}"},
            "reason": "Started", "message": " Started container c\n", "type": "Normal",
            "source": {"component": "kubelet", "host": "n"},
        });
        object.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        Object::from_value(object).unwrap()
    }

    fn row(fields: Value) -> Value {
        json!(Events.row(&event(fields), NOW.parse().unwrap()))
    }

    #[test]
    fn its_row_says_when_what_happened_to_whom() {
        let seen = json!({"firstTimestamp": "2026-01-01T11:00:00Z", "lastTimestamp": "2026-01-01T11:59:30Z", "count": 4});
        assert_eq!(
            row(seen),
            json!([
                "30s",
                "Normal",
                "Started",
                "pod/p",
                "spec.containers{c}",
                "kubelet, n",
                "Started container c",
                "60m",
                4,
                "p.1",
            ])
        );
    }

    #[test]
    fn one_of_the_newer_form_has_one_time_or_a_series() {
        let time = "2026-01-01T11:59:00.000000Z";
        let cells = row(json!({"eventTime": time}));
        assert_eq!(json!([cells[0], cells[7], cells[8]]), json!(["60s", "60s", 1]));
        let series = json!({"count": 7, "lastObservedTime": "2026-01-01T11:59:59.000000Z"});
        let cells = row(json!({"eventTime": time, "series": series}));
        assert_eq!(json!([cells[0], cells[7], cells[8]]), json!(["1s", "60s", 7]));
    }

    #[test]
    fn it_is_in_the_namespace_of_what_it_is_about() {
        let told = |fields: Value| {
            let errors = Events.validate(&event(fields));
            errors.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(told(json!({})), Vec::<String>::new());
        assert_eq!(told(json!({"involvedObject": {"kind": "Node", "name": "n"}})), Vec::<String>::new());
        assert_eq!(
            told(json!({"involvedObject": {"namespace": "other"}})),
            ["involvedObject.namespace: Invalid value: \"other\": does not match event.namespace"]
        );
    }

    #[test]
    fn one_of_the_newer_form_says_who_reports_it() {
        let errors = Events.validate(&event(json!({"eventTime": NOW, "reason": "x".repeat(129)})));
        let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "reportingComponent: Required value",
                "reportingInstance: Required value",
                "action: Required value",
                "reason: Invalid value: \"\": can have at most 128 characters",
            ]
        );
    }
}
