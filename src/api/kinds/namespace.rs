//! Namespaces.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use serde_json::{Value, json};

use super::columns::{AGE, NAME, text};
use super::decode::decode;
use crate::api::metadata;
use crate::api::object::Object;
use crate::api::resource::{Column, Context, Names, Part, Resource, Subresource};
use crate::api::status::FieldError;
use crate::api::table::age;

/// `v1` Namespace.
#[derive(Debug, Clone, Copy, Default)]
pub struct Namespaces;

const NAMES: Names = Names {
    group: "",
    version: "v1",
    plural: "namespaces",
    singular: "namespace",
    kind: "Namespace",
    short_names: &["ns"],
    categories: &[],
    namespaced: false,
    subresources: &[
        Subresource { name: "finalize", kind: "", api_version: "", verbs: &["update"] },
        Subresource::STATUS,
    ],
};

const COLUMNS: [Column; 3] = [NAME, text("Status", "The status of the namespace"), AGE];

/// The label by which selectors find a namespace by its name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

impl Resource for Namespaces {
    fn names(&self) -> &Names {
        &NAMES
    }

    fn decode(&self, object: &mut Object) -> Result<Vec<String>, String> {
        decode::<Namespace>(object)
    }

    fn default(&self, object: &mut Object) {
        let name = object.name().to_owned();
        if object.label(NAME_LABEL).is_none() && !name.is_empty() {
            let mut labels = object.meta("labels").cloned().unwrap_or_else(|| json!({}));
            labels[NAME_LABEL] = name.into();
            object.set_meta("labels", Some(labels));
        }
    }

    /// The finalizer stands for the objects in it, which go before it does.
    fn prepare_for_create(&self, object: &mut Object, _context: &Context) {
        object.set("spec", Some(json!({"finalizers": ["kubernetes"]})));
        object.set("status", Some(json!({"phase": "Active"})));
    }

    fn prepare_for_update(&self, part: Part<'_>, new: &mut Object, old: &Object) {
        match part {
            Part::Subresource("status") => new.copy_from(old, "spec"),
            Part::Subresource(_) => new.copy_from(old, "status"),
            Part::Whole => {
                new.copy_from(old, "spec");
                new.copy_from(old, "status");
            }
        }
    }

    fn validate(&self, _object: &Object) -> Vec<FieldError> {
        Vec::new()
    }

    fn validate_update(&self, part: Part<'_>, new: &Object, _old: &Object) -> Vec<FieldError> {
        let phase = new.text_at(&["status", "phase"]);
        let (expected, when) = match new.deletion_timestamp() {
            None => ("Active", "empty"),
            Some(_) => ("Terminating", "not empty"),
        };
        if part != Part::Subresource("status") || phase == expected {
            return Vec::new();
        }
        let why = format!("may only be '{expected}' if `deletionTimestamp` is {when}");
        vec![FieldError::invalid("status.Phase", phase, why)]
    }

    fn name_problem(&self, name: &str) -> Option<String> {
        metadata::label_problem(name)
    }

    fn deletion_forbidden(&self, name: &str) -> Option<&'static str> {
        let is_needed = ["default", "kube-system", "kube-public"].contains(&name);
        is_needed.then_some("this namespace may not be deleted")
    }

    fn mark_going(&self, object: &mut Object) {
        object.set("status", Some(json!({"phase": "Terminating"})));
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn row(&self, object: &Object, now: Timestamp) -> Vec<Value> {
        let phase = object.text_at(&["status", "phase"]);
        vec![object.name().into(), phase.into(), age(object.creation_timestamp(), now).into()]
    }

    fn fields(&self, object: &Object) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("name", object.name().to_owned()),
            ("status.phase", object.text_at(&["status", "phase"]).to_owned()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(metadata: Value, phase: &str) -> Object {
        Object::from_value(json!({"metadata": metadata, "status": {"phase": phase}})).unwrap()
    }

    #[test]
    fn a_new_one_is_active_and_found_by_its_name() {
        let mut object = namespace(json!({"name": "a", "labels": {"b": "c"}}), "Odd");
        Namespaces.default(&mut object);
        let context = Context { now: Timestamp::UNIX_EPOCH, node_name: "n".to_owned() };
        Namespaces.prepare_for_create(&mut object, &context);
        assert_eq!(object.label("kubernetes.io/metadata.name"), Some("a"));
        assert_eq!(
            json!(Namespaces.row(&object, Timestamp::UNIX_EPOCH)),
            json!(["a", "Active", "<unknown>"])
        );
    }

    #[test]
    fn it_is_active_until_it_is_deleted_and_terminates_from_then_on() {
        let deleted = || json!({"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z"});
        let told = |metadata: Value, phase: &str| {
            let new = namespace(metadata, phase);
            let errors = Namespaces.validate_update(Part::Subresource("status"), &new, &new);
            errors.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(told(json!({"name": "a"}), "Active"), Vec::<String>::new());
        assert_eq!(told(deleted(), "Terminating"), Vec::<String>::new());
        assert_eq!(
            told(json!({"name": "a"}), "Terminating"),
            [
                "status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"
            ]
        );
    }
}
