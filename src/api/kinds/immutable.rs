//! Objects that have promised not to change (KEP-1412).

use serde_json::Value;

use crate::api::object::Object;
use crate::api::status::FieldError;

const WHY: &str = "field is immutable when `immutable` is set";

/// What a change does to an object that is `immutable`: neither that word nor these fields may be others.
pub(super) fn check(new: &Object, old: &Object, fields: &[&str]) -> Vec<FieldError> {
    let is_immutable = |object: &Object| object.get("immutable").and_then(Value::as_bool) == Some(true);
    if !is_immutable(old) {
        return Vec::new();
    }
    let changed = fields.iter().copied().filter(|field| new.get(field) != old.get(field));
    let word = (!is_immutable(new)).then_some("immutable");
    word.into_iter().chain(changed).map(|field| FieldError::forbidden(field, WHY)).collect()
}
