//! An object as it is stored and served: a JSON map with names for the parts that every kind has.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Any Kubernetes object. Kinds that want types convert it (`Object::to`); everything else asks the accessors.
///
/// Absent and empty are the same to them, as they are to Go: a missing name is `""`, missing labels are none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Object(Map<String, Value>);

/// Why something is not an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("json: cannot unmarshal {0} into Go value of type map[string]interface {{}}")]
pub struct NotAnObject(&'static str);

impl Object {
    /// An object that says no more than what it is.
    pub fn new(api_version: &str, kind: &str) -> Self {
        let mut object = Self::default();
        object.set_type(api_version, kind);
        object
    }

    /// The object that a JSON value is.
    pub fn from_value(value: Value) -> Result<Self, NotAnObject> {
        match value {
            Value::Object(map) => Ok(Self(map)),
            other => Err(NotAnObject(json_type(&other))),
        }
    }

    /// The object of one of `k8s-openapi`'s types.
    pub fn of<T: Serialize>(typed: &T) -> Result<Self, serde_json::Error> {
        serde_json::from_value(serde_json::to_value(typed)?)
    }

    /// Likewise back. Fields that the type does not have are dropped.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(&Value::Object(self.0.clone()))
    }

    /// As a JSON value.
    pub fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    /// All members.
    pub fn map(&self) -> &Map<String, Value> {
        &self.0
    }

    /// All members, to be changed.
    pub fn map_mut(&mut self) -> &mut Map<String, Value> {
        &mut self.0
    }

    /// The value of a top-level member, such as `spec`.
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field)
    }

    /// What stands at a path of keys, such as `["status", "phase"]`.
    pub fn at(&self, path: &[&str]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.0.get(*first)?, |value, key| value.get(key))
    }

    /// Likewise, if it is a string; else `""`.
    pub fn text_at(&self, path: &[&str]) -> &str {
        self.at(path).and_then(Value::as_str).unwrap_or_default()
    }

    /// Sets a top-level member; nothing removes it.
    pub fn set(&mut self, field: &str, value: Option<Value>) {
        put(&mut self.0, field, value);
    }

    /// Takes a top-level member from another object, or removes it if that has none.
    pub fn copy_from(&mut self, other: &Self, field: &str) {
        self.set(field, other.get(field).cloned());
    }

    /// `v1`, `apps/v1`, ...
    pub fn api_version(&self) -> &str {
        self.text_at(&["apiVersion"])
    }

    /// `Pod`, ...
    pub fn kind(&self) -> &str {
        self.text_at(&["kind"])
    }

    /// Says what the object is, ahead of everything else in it.
    pub fn set_type(&mut self, api_version: &str, kind: &str) {
        self.0.shift_insert(0, "kind".to_owned(), kind.into());
        self.0.shift_insert(1, "apiVersion".to_owned(), api_version.into());
    }

    /// `metadata.name`
    pub fn name(&self) -> &str {
        self.meta_text("name")
    }

    /// `metadata.namespace`; `""` for objects of the whole cluster.
    pub fn namespace(&self) -> &str {
        self.meta_text("namespace")
    }

    /// `metadata.uid`
    pub fn uid(&self) -> &str {
        self.meta_text("uid")
    }

    /// `metadata.resourceVersion`, opaque to everyone but the store.
    pub fn resource_version(&self) -> &str {
        self.meta_text("resourceVersion")
    }

    /// `metadata.generation`; 0 for kinds that do not count.
    pub fn generation(&self) -> i64 {
        self.meta("generation").and_then(Value::as_i64).unwrap_or_default()
    }

    /// `metadata.labels`
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts("labels")
    }

    /// One label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.meta("labels")?.get(key)?.as_str()
    }

    /// `metadata.annotations`
    pub fn annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts("annotations")
    }

    /// One annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.meta("annotations")?.get(key)?.as_str()
    }

    /// `metadata.creationTimestamp`
    pub fn creation_timestamp(&self) -> Option<Timestamp> {
        self.meta_text("creationTimestamp").parse().ok()
    }

    /// `metadata.deletionTimestamp`: when its grace is over.
    pub fn deletion_timestamp(&self) -> Option<Timestamp> {
        self.meta_text("deletionTimestamp").parse().ok()
    }

    /// `metadata.deletionGracePeriodSeconds`
    pub fn deletion_grace_period(&self) -> Option<i64> {
        self.meta("deletionGracePeriodSeconds")?.as_i64()
    }

    /// `metadata.finalizers`: while there are any the object stays.
    pub fn finalizers(&self) -> impl Iterator<Item = &str> {
        self.meta("finalizers").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }

    /// A member of `metadata`.
    pub fn meta(&self, field: &str) -> Option<&Value> {
        self.0.get("metadata")?.get(field)
    }

    /// Sets a member of `metadata`; nothing removes it.
    pub fn set_meta(&mut self, field: &str, value: Option<Value>) {
        put(self.metadata_mut(), field, value);
    }

    /// Sets one of the times of `metadata`, in whole seconds as the API server writes them.
    pub fn set_meta_time(&mut self, field: &str, time: Timestamp) {
        self.set_meta(field, Some(rfc3339(time).into()));
    }

    /// Removes members that are null, at any depth: to Kubernetes they are as good as absent.
    pub fn drop_nulls(&mut self) {
        drop_nulls_of(&mut self.0);
    }

    fn meta_text(&self, field: &str) -> &str {
        self.meta(field).and_then(Value::as_str).unwrap_or_default()
    }

    fn texts(&self, field: &str) -> impl Iterator<Item = (&str, &str)> {
        let map = self.meta(field).and_then(Value::as_object);
        map.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
    }

    fn metadata_mut(&mut self) -> &mut Map<String, Value> {
        let metadata = self.0.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        if !metadata.is_object() {
            *metadata = Value::Object(Map::new());
        }
        let Value::Object(map) = metadata else { unreachable!("it was made one") };
        map
    }
}

/// A time as the API server writes it: UTC, whole seconds.
pub fn rfc3339(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// What Go's JSON decoder calls the kind of a value.
pub fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn put(map: &mut Map<String, Value>, field: &str, value: Option<Value>) {
    match value {
        Some(value) => {
            map.insert(field.to_owned(), value);
        }
        // The others keep their order.
        None => {
            map.shift_remove(field);
        }
    }
}

fn drop_nulls_of(map: &mut Map<String, Value>) {
    map.retain(|_, value| !value.is_null());
    map.values_mut().for_each(drop_nulls_in);
}

fn drop_nulls_in(value: &mut Value) {
    match value {
        Value::Object(map) => drop_nulls_of(map),
        Value::Array(elements) => elements.iter_mut().for_each(drop_nulls_in),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Object {
        Object::from_value(value).unwrap()
    }

    #[test]
    fn absent_and_null_and_of_another_type_are_all_nothing() {
        for metadata in
            [json!(null), json!({}), json!({"name": null, "labels": null}), json!({"name": 1, "labels": "a"})]
        {
            let object = object(json!({ "metadata": metadata }));
            assert_eq!((object.name(), object.labels().count(), object.label("a")), ("", 0, None));
        }
    }

    #[test]
    fn metadata_is_made_when_it_is_missing() {
        let mut object = object(json!({"metadata": null}));
        object.set_meta("name", Some("a".into()));
        object.set_meta_time("creationTimestamp", "2026-11-25T16:00:00.9Z".parse().unwrap());
        assert_eq!(
            object.into_value(),
            json!({"metadata": {"name": "a", "creationTimestamp": "2026-11-25T16:00:00Z"}})
        );
    }

    #[test]
    fn nulls_go_at_any_depth_but_not_the_elements_of_lists() {
        let mut object = object(json!({"a": null, "b": {"c": null, "d": [null, {"e": null, "f": 1}]}}));
        object.drop_nulls();
        assert_eq!(object.into_value(), json!({"b": {"d": [null, {"f": 1}]}}));
    }

    #[test]
    fn the_type_stands_first() {
        let mut object = object(json!({"spec": {}, "kind": "X"}));
        object.set_type("v1", "Pod");
        assert_eq!(serde_json::to_string(&object).unwrap(), r#"{"kind":"Pod","apiVersion":"v1","spec":{}}"#);
    }

    #[test]
    fn what_is_no_map_is_no_object() {
        assert_eq!(
            Object::from_value(json!([1])).unwrap_err().to_string(),
            "json: cannot unmarshal array into Go value of type map[string]interface {}"
        );
    }
}
