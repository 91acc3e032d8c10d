//! Secrets.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Map, Value};

use super::columns::{AGE, NAME, text};
use super::decode::{decode, field_errors};
use super::{entries, immutable};
use crate::api::object::Object;
use crate::api::resource::{Column, Names, Part, Resource};
use crate::api::status::FieldError;
use crate::api::table::age;
use crate::pod::object;

/// `v1` Secret.
#[derive(Debug, Clone, Copy, Default)]
pub struct Secrets;

const NAMES: Names = Names {
    group: "",
    version: "v1",
    plural: "secrets",
    singular: "secret",
    kind: "Secret",
    short_names: &[],
    categories: &[],
    namespaced: true,
    subresources: &[],
};

const COLUMNS: [Column; 4] =
    [NAME, text("Type", "What the keys mean."), text("Data", "How many keys there are."), AGE];

impl Resource for Secrets {
    fn names(&self) -> &Names {
        &NAMES
    }

    fn decode(&self, object: &mut Object) -> Result<Vec<String>, String> {
        decode::<Secret>(object)
    }

    /// `stringData` is for writing only: it goes over into `data`.
    fn default(&self, object: &mut Object) {
        if let Some(Value::Object(texts)) = object.map_mut().shift_remove("stringData") {
            let data = object.map_mut().entry("data").or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(data) = data {
                data.extend(texts.into_iter().map(|(key, text)| {
                    let encoded = STANDARD.encode(text.as_str().unwrap_or_default());
                    (key, encoded.into())
                }));
            }
        }
        if object.text_at(&["type"]).is_empty() {
            object.set("type", Some("Opaque".into()));
        }
    }

    fn prepare_for_update(&self, _part: Part<'_>, _new: &mut Object, _old: &Object) {}

    fn validate(&self, object: &Object) -> Vec<FieldError> {
        field_errors(object::secret(&Value::Object(object.map().clone())))
    }

    fn validate_update(&self, _part: Part<'_>, new: &Object, old: &Object) -> Vec<FieldError> {
        let kind = new.text_at(&["type"]);
        let is_other = kind != old.text_at(&["type"]);
        let mut errors: Vec<FieldError> =
            is_other.then(|| FieldError::invalid("type", kind, "field is immutable")).into_iter().collect();
        errors.extend(immutable::check(new, old, &["data"]));
        errors.extend(self.validate(new));
        errors
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn row(&self, object: &Object, now: Timestamp) -> Vec<Value> {
        let age = age(object.creation_timestamp(), now);
        vec![
            object.name().into(),
            object.text_at(&["type"]).into(),
            entries(object, "data").into(),
            age.into(),
        ]
    }

    fn fields(&self, object: &Object) -> BTreeMap<&'static str, String> {
        BTreeMap::from([("type", object.text_at(&["type"]).to_owned())])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(fields: Value) -> Object {
        let mut object =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": "b"}});
        object.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let mut object = Object::from_value(object).unwrap();
        Secrets.default(&mut object);
        object
    }

    fn told(errors: Vec<FieldError>) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn texts_become_data_and_win_over_it() {
        let object = secret(json!({"data": {"a": "eA==", "b": "eA=="}, "stringData": {"b": "y"}}));
        assert_eq!(object.get("data"), Some(&json!({"a": "eA==", "b": "eQ=="})));
        assert_eq!((object.get("stringData"), object.text_at(&["type"])), (None, "Opaque"));
    }

    #[test]
    fn types_that_kubernetes_knows_have_keys_that_must_be_there() {
        for (kind, data, expected) in [
            ("Opaque", json!({}), Vec::new()),
            ("example.com/any", json!({}), Vec::new()),
            ("kubernetes.io/tls", json!({"tls.crt": ""}), vec!["data[tls.key]: Required value"]),
            (
                "kubernetes.io/basic-auth",
                json!({}),
                vec!["data[username]: Required value", "data[password]: Required value"],
            ),
            ("kubernetes.io/ssh-auth", json!({"ssh-privatekey": "eA=="}), Vec::new()),
            (
                "kubernetes.io/dockerconfigjson",
                json!({".dockerconfigjson": "eA=="}),
                vec![
                    "data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": must be a JSON object",
                ],
            ),
            (
                "kubernetes.io/service-account-token",
                json!({}),
                vec!["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
            ),
        ] {
            assert_eq!(
                told(Secrets.validate(&secret(json!({"type": kind, "data": data})))),
                expected,
                "{kind}"
            );
        }
    }

    #[test]
    fn its_type_stays() {
        let (old, new) = (secret(json!({})), secret(json!({"type": "x"})));
        let told = told(Secrets.validate_update(Part::Whole, &new, &old));
        assert_eq!(told, ["type: Invalid value: \"x\": field is immutable"]);
    }

    #[test]
    fn its_row_never_shows_a_value() {
        let object = secret(json!({"stringData": {"password": "hunter2"}}));
        assert_eq!(
            json!(Secrets.row(&object, Timestamp::UNIX_EPOCH)),
            json!(["a", "Opaque", 1, "<unknown>"])
        );
    }
}
