//! Namespaces.

use k8s_openapi::api::core::v1::Namespace;
use serde_json::json;

use crate::api::metadata;
use crate::api::object::Object;
use crate::api::resource::{Context, Names, Resource, Subresource, decode_as};
use crate::api::status::FieldError;

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
    subresources: &[Subresource::STATUS],
};

impl Resource for Namespaces {
    fn names(&self) -> &Names {
        &NAMES
    }

    fn decode(&self, object: &mut Object) -> Result<Vec<String>, String> {
        decode_as::<Namespace>(object)
    }

    fn default(&self, object: &mut Object) {
        let name = object.name().to_owned();
        if object.label(NAME_LABEL).is_none() && !name.is_empty() {
            let mut labels = object.meta("labels").cloned().unwrap_or_else(|| json!({}));
            labels[NAME_LABEL] = name.into();
            object.set_meta("labels", Some(labels));
        }
    }

    fn prepare_for_create(&self, object: &mut Object, _context: &Context) {
        object.set("spec", Some(json!({"finalizers": ["kubernetes"]})));
        object.set("status", Some(json!({"phase": "Active"})));
    }

    fn validate(&self, _object: &Object) -> Vec<FieldError> {
        Vec::new()
    }

    fn name_problem(&self, name: &str) -> Option<String> {
        metadata::label_problem(name)
    }
}

/// The label by which selectors find a namespace by its name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";
