//! ConfigMaps.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::Value;

use super::columns::{AGE, NAME, text};
use super::decode::{decode, field_errors};
use super::{entries, immutable};
use crate::api::object::Object;
use crate::api::resource::{Column, Names, Part, Resource};
use crate::api::status::FieldError;
use crate::api::table::age;
use crate::pod::object;

/// `v1` ConfigMap.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConfigMaps;

const NAMES: Names = Names {
    group: "",
    version: "v1",
    plural: "configmaps",
    singular: "configmap",
    kind: "ConfigMap",
    short_names: &["cm"],
    categories: &[],
    namespaced: true,
    subresources: &[],
};

const COLUMNS: [Column; 3] = [NAME, text("Data", "How many keys there are."), AGE];

impl Resource for ConfigMaps {
    fn names(&self) -> &Names {
        &NAMES
    }

    fn decode(&self, object: &mut Object) -> Result<Vec<String>, String> {
        decode::<ConfigMap>(object)
    }

    fn prepare_for_update(&self, _part: Part<'_>, _new: &mut Object, _old: &Object) {}

    fn validate(&self, object: &Object) -> Vec<FieldError> {
        field_errors(object::config_map(&Value::Object(object.map().clone())))
    }

    fn validate_update(&self, _part: Part<'_>, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = immutable::check(new, old, &["data", "binaryData"]);
        errors.extend(self.validate(new));
        errors
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn row(&self, object: &Object, now: Timestamp) -> Vec<Value> {
        let keys = entries(object, "data") + entries(object, "binaryData");
        vec![object.name().into(), keys.into(), age(object.creation_timestamp(), now).into()]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config_map(fields: Value) -> Object {
        let mut object =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "b"}});
        object.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        Object::from_value(object).unwrap()
    }

    fn told(errors: Vec<FieldError>) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn its_keys_are_names_of_files_and_stand_in_one_map() {
        let fine = config_map(json!({"data": {"a.b": "c"}, "binaryData": {"d": "AAE="}}));
        assert_eq!(ConfigMaps.validate(&fine), []);
        let wrong = config_map(json!({"data": {"a": "b"}, "binaryData": {"a": ""}}));
        assert_eq!(
            told(ConfigMaps.validate(&wrong)),
            ["data[a]: Invalid value: \"a\": duplicate of key present in binaryData"]
        );
    }

    #[test]
    fn it_holds_a_mebibyte() {
        let of = |size: usize| config_map(json!({"data": {"a": "x".repeat(size)}}));
        assert_eq!(ConfigMaps.validate(&of(1 << 20)), []);
        assert_eq!(ConfigMaps.validate(&of((1 << 20) + 1)).len(), 1);
    }

    #[test]
    fn one_that_is_immutable_stays_as_it_is() {
        let old = config_map(json!({"data": {"a": "b"}, "immutable": true}));
        let change = |fields: Value| told(ConfigMaps.validate_update(Part::Whole, &config_map(fields), &old));
        let why = "Forbidden: field is immutable when `immutable` is set";
        assert_eq!(change(json!({"data": {"a": "b"}, "immutable": true})), Vec::<String>::new());
        assert_eq!(change(json!({"data": {"a": "b"}})), [format!("immutable: {why}")]);
        assert_eq!(change(json!({"data": {"a": "c"}, "immutable": true})), [format!("data: {why}")]);
    }

    #[test]
    fn its_row_counts_the_keys_of_both_maps() {
        let object = config_map(json!({"data": {"a": "", "b": ""}, "binaryData": {"c": ""}}));
        assert_eq!(json!(ConfigMaps.row(&object, Timestamp::UNIX_EPOCH)), json!(["a", 3, "<unknown>"]));
    }
}
