//! ConfigMaps.

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::Value;

use crate::api::object::Object;
use crate::api::resource::{Names, Part, Resource, decode_as};
use crate::api::status::FieldError;

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

impl Resource for ConfigMaps {
    fn names(&self) -> &Names {
        &NAMES
    }

    fn decode(&self, object: &mut Object) -> Result<Vec<String>, String> {
        decode_as::<ConfigMap>(object)
    }

    fn prepare_for_update(&self, _part: Part<'_>, _new: &mut Object, _old: &Object) {}

    fn validate(&self, object: &Object) -> Vec<FieldError> {
        let keys = |field: &str| object.get(field).and_then(Value::as_object);
        let (Some(data), Some(binary)) = (keys("data"), keys("binaryData")) else { return Vec::new() };
        let twice = data.keys().filter(|key| binary.contains_key(*key));
        twice
            .map(|key| {
                FieldError::invalid(
                    format!("data[{key}]"),
                    key.as_str(),
                    "duplicate of key present in binaryData",
                )
            })
            .collect()
    }
}
