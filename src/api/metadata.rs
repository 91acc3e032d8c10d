//! `metadata`: what the server sets, what it keeps, and what it refuses, for every kind alike.
//!
//! Source: `k8s.io/apimachinery/pkg/api/validation/objectmeta.go`, `k8s.io/apiserver/pkg/registry/rest`.

use serde_json::Value;

use super::object::{Object, rfc3339};
use super::resource::{Context, Resource};
use super::status::{FieldError, Status};
use crate::pod::names;

/// Bytes of all annotations of an object together.
const MAX_ANNOTATIONS: usize = 256 * 1024;
/// Letters and digits of which no word is made that somebody could mind.
const SUFFIX: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// Characters that are put behind `generateName`.
const SUFFIX_LENGTH: usize = 5;
/// Longest name that is generated.
const MAX_GENERATED: usize = 63;
/// Members of `metadata` that a client may send and that are not kept: nobody here tracks who set which field.
const NOT_KEPT: [&str; 2] = ["managedFields", "selfLink"];

/// Why a name is no DNS subdomain of RFC 1123.
pub fn subdomain_problem(name: &str) -> Option<String> {
    names::dns_subdomain(name).into_iter().next()
}

/// Why a name is no DNS label of RFC 1123.
pub fn label_problem(name: &str) -> Option<String> {
    names::dns_label(name).into_iter().next()
}

/// Sets what the server sets on a new object: its name if that is to be generated, a uid, the time.
pub fn complete(object: &mut Object, context: &Context) -> Result<(), Status> {
    if object.name().is_empty() {
        let prefix = object.meta("generateName").and_then(Value::as_str).unwrap_or_default().to_owned();
        if !prefix.is_empty() {
            object.set_meta("name", Some(generated(&prefix)?.into()));
        }
    }
    object.set_meta("uid", Some(new_uid()?.into()));
    object.set_meta_time("creationTimestamp", context.now);
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "generation"].into_iter().chain(NOT_KEPT)
    {
        object.set_meta(field, None);
    }
    Ok(())
}

/// Puts back what a client that updates need not repeat, and what it may not set.
pub fn keep(new: &mut Object, old: &Object) {
    for field in ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        if new.meta(field).is_none_or(|value| value.is_null() || *value == "") {
            new.set_meta(field, old.meta(field).cloned());
        }
    }
    for field in ["generation", "generateName"] {
        new.set_meta(field, old.meta(field).cloned());
    }
    new.set_meta("resourceVersion", old.meta("resourceVersion").cloned());
    NOT_KEPT.into_iter().for_each(|field| new.set_meta(field, None));
}

/// What is wrong with the metadata of a new object.
pub fn validate(kind: &dyn Resource, object: &Object) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let text = |field| object.meta(field).and_then(Value::as_str).unwrap_or_default();
    let prefix = text("generateName");
    if !prefix.is_empty() {
        // Something is put behind it, so it may end with a dash.
        let problem = kind.name_problem(&format!("{}a", prefix.trim_end_matches('-')));
        errors.extend(problem.map(|why| FieldError::invalid("metadata.generateName", prefix, why)));
    }
    if object.name().is_empty() {
        errors.push(FieldError::required("metadata.name", "name or generateName is required"));
    } else if let Some(why) = kind.name_problem(object.name()) {
        errors.push(FieldError::invalid("metadata.name", object.name(), why));
    }
    let namespace = object.namespace();
    if !kind.names().namespaced {
        if !namespace.is_empty() {
            errors.push(FieldError::forbidden("metadata.namespace", "not allowed on this type"));
        }
    } else if namespace.is_empty() {
        errors.push(FieldError::required("metadata.namespace", ""));
    } else if let Some(why) = label_problem(namespace) {
        errors.push(FieldError::invalid("metadata.namespace", namespace, why));
    }
    maps(object, &mut errors);
    errors
}

/// What is wrong with a change of metadata.
pub fn validate_update(new: &Object, old: &Object) -> Vec<FieldError> {
    let mut errors = Vec::new();
    maps(new, &mut errors);
    for field in
        ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"]
    {
        let value = new.meta(field);
        if value != old.meta(field) {
            let value = value.cloned().unwrap_or_default();
            errors.push(FieldError::invalid(format!("metadata.{field}"), value, "field is immutable"));
        }
    }
    if old.deletion_timestamp().is_some() {
        let known: Vec<&str> = old.finalizers().collect();
        let added: Vec<&str> = new.finalizers().filter(|finalizer| !known.contains(finalizer)).collect();
        if !added.is_empty() {
            let words = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers {added:?}"
            );
            errors.push(FieldError::forbidden("metadata.finalizers", &words));
        }
    }
    errors
}

/// A time as `metadata` has it, for kinds that set their own.
pub fn time(at: jiff::Timestamp) -> Value {
    rfc3339(at).into()
}

fn maps(object: &Object, errors: &mut Vec<FieldError>) {
    for (key, value) in object.labels() {
        let wrong = names::qualified_name(key).into_iter().map(|why| (key, why));
        let wrong = wrong.chain(names::label_value(value).into_iter().map(|why| (value, why)));
        errors.extend(wrong.map(|(text, why)| FieldError::invalid("metadata.labels", text, why)));
    }
    let mut size = 0;
    for (key, value) in object.annotations() {
        let wrong = names::qualified_name(&key.to_lowercase()).into_iter();
        errors.extend(wrong.map(|why| FieldError::invalid("metadata.annotations", key, why)));
        size += key.len() + value.len();
    }
    if size > MAX_ANNOTATIONS {
        errors.push(FieldError::too_long("metadata.annotations", MAX_ANNOTATIONS));
    }
    for finalizer in object.finalizers() {
        let wrong = names::qualified_name(finalizer).into_iter();
        errors.extend(wrong.map(|why| FieldError::invalid("metadata.finalizers", finalizer, why)));
    }
}

fn generated(prefix: &str) -> Result<String, Status> {
    let mut random = [0_u8; SUFFIX_LENGTH];
    getrandom::fill(&mut random).map_err(|error| Status::internal(format!("get random bytes: {error}")))?;
    let base: String = prefix.chars().take(MAX_GENERATED - SUFFIX_LENGTH).collect();
    let suffix = random.iter().map(|byte| char::from(SUFFIX[usize::from(*byte) % SUFFIX.len()]));
    Ok(base.chars().chain(suffix).collect())
}

/// A random UUID (version 4 of RFC 9562), as the API server gives.
pub fn new_uid() -> Result<String, Status> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| Status::internal(format!("get random bytes: {error}")))?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = |range: std::ops::Range<usize>| -> String {
        bytes[range].iter().map(|byte| format!("{byte:02x}")).collect()
    };
    Ok([hex(0..4), hex(4..6), hex(6..8), hex(8..10), hex(10..16)].join("-"))
}

#[cfg(test)]
mod tests;
