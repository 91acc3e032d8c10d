//! What may be changed in a Pod that is there: a few fields of the whole, and what each subresource is for.
//!
//! Source: `pkg/apis/core/validation`, ValidatePodUpdate and its like; `pkg/registry/core/pod/strategy.go`.

use serde_json::{Map, Value, json};

use crate::api::kinds::decode::field_errors;
use crate::api::object::Object;
use crate::api::resource::Part;
use crate::api::status::FieldError;
use crate::pod::object;
use crate::pod::sysctl::Allowed;
use crate::pod::update::{Refusal, Written, removed_ephemeral_containers, updated};

/// The fields of the whole that may change.
const UPDATABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
                         `spec.tolerations` (only additions to existing tolerations),\
                         `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// Changed fields that are shown in a refusal.
const MAX_SHOWN: usize = 10;

/// Takes from `old` whatever this write is not about, and counts a change of the spec.
pub(super) fn prepare(part: Part<'_>, new: &mut Object, old: &Object) {
    match part {
        Part::Whole => new.copy_from(old, "status"),
        Part::Subresource("status") => {
            new.copy_from(old, "spec");
            new.set_meta("ownerReferences", old.meta("ownerReferences").cloned());
            if let Some(Value::Object(status)) = new.map_mut().get_mut("status")
                && status.get("qosClass").and_then(Value::as_str).unwrap_or_default().is_empty()
                && let Some(class) = old.at(&["status", "qosClass"])
            {
                status.insert("qosClass".to_owned(), class.clone());
            }
        }
        Part::Subresource(name) => {
            let spec = match name {
                "resize" => resized(old, new),
                "ephemeralcontainers" => with_ephemeral_containers(old, new),
                _ => old.get("spec").cloned(),
            };
            let metadata = old.get("metadata").cloned();
            *new = old.clone();
            new.set("metadata", metadata);
            new.set("spec", spec);
        }
    }
    if new.get("spec") != old.get("spec") {
        new.set_meta("generation", Some((old.generation() + 1).into()));
    }
}

/// `old` with the resources of `new`; a container that is not in both makes them as different as they are.
fn resized(old: &Object, new: &Object) -> Option<Value> {
    let (mut spec, wanted) = (old.get("spec")?.clone(), new.get("spec")?);
    for list in ["containers", "initContainers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        let (Some(containers), Some(wanted)) = (containers, wanted[list].as_array()) else {
            continue;
        };
        if containers.len() != wanted.len() {
            containers.clone_from(wanted);
            continue;
        }
        for (container, wanted) in containers.iter_mut().zip(wanted) {
            for field in ["resources", "resizePolicy"] {
                take(container, wanted, field);
            }
        }
    }
    take(&mut spec, wanted, "resources");
    Some(spec)
}

fn with_ephemeral_containers(old: &Object, new: &Object) -> Option<Value> {
    let mut spec = old.get("spec")?.clone();
    take(&mut spec, new.get("spec")?, "ephemeralContainers");
    Some(spec)
}

fn take(object: &mut Value, from: &Value, field: &str) {
    let Value::Object(object) = object else { return };
    match from.get(field) {
        Some(value) => drop(object.insert(field.to_owned(), value.clone())),
        None => drop(object.shift_remove(field)),
    }
}

/// What is wrong with a change of the whole.
pub(super) fn whole(new: &Object, old: &Object) -> Vec<FieldError> {
    let nothing = Value::Null;
    let (new, old) = (new.get("spec").unwrap_or(&nothing), old.get("spec").unwrap_or(&nothing));
    let mut errors = Vec::new();
    for list in ["containers", "initContainers"] {
        if length(&new[list]) != length(&old[list]) {
            let why = "pod updates may not add or remove containers";
            errors.push(FieldError::forbidden(format!("spec.{list}"), why));
            return errors;
        }
    }
    errors.extend(deadline(&new["activeDeadlineSeconds"], &old["activeDeadlineSeconds"]));
    errors.extend(tolerations(&new["tolerations"], &old["tolerations"]));
    let mut equal = new.clone();
    for field in ["activeDeadlineSeconds", "tolerations"] {
        take(&mut equal, old, field);
    }
    if let (Some(..0), Some(1)) = (grace(old), grace(new)) {
        take(&mut equal, old, "terminationGracePeriodSeconds");
    }
    for list in ["containers", "initContainers"] {
        let containers = equal.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for (container, before) in containers.zip(old[list].as_array().into_iter().flatten()) {
            take(container, before, "image");
        }
    }
    if equal != *old {
        let why =
            format!("pod updates may not change fields other than {UPDATABLE}\n{}", difference(old, &equal));
        errors.push(FieldError::forbidden("spec", &why));
    }
    errors
}

fn length(list: &Value) -> usize {
    list.as_array().map_or(0, Vec::len)
}

fn grace(spec: &Value) -> Option<i64> {
    spec["terminationGracePeriodSeconds"].as_i64()
}

fn deadline(new: &Value, old: &Value) -> Option<FieldError> {
    const FIELD: &str = "spec.activeDeadlineSeconds";
    match (new.as_i64(), old.as_i64()) {
        (Some(now), Some(before)) if now > before => {
            Some(FieldError::invalid(FIELD, now, "must be less than or equal to previous value"))
        }
        (None, Some(_)) => {
            let why = "must not update from a positive integer to nil value";
            Some(FieldError::invalid(FIELD, Value::Null, why))
        }
        _ => None,
    }
}

/// They may only be added, and be given another time.
fn tolerations(new: &Value, old: &Value) -> Option<FieldError> {
    let without_time = |toleration: &Value| {
        let mut toleration = toleration.clone();
        toleration.as_object_mut().map(|fields| fields.shift_remove("tolerationSeconds"));
        toleration
    };
    let of = |list: &Value| list.as_array().into_iter().flatten().map(without_time).collect::<Vec<_>>();
    let (new, old) = (of(new), of(old));
    (!old.iter().all(|toleration| new.contains(toleration))).then(|| {
        let why = "existing toleration can not be modified except its tolerationSeconds";
        FieldError::forbidden("spec.tolerations", why)
    })
}

/// The fields that differ, each as it was and as it would be.
fn difference(old: &Value, new: &Value) -> String {
    let of = |spec: &Value| Written::of_object(&json!({ "spec": spec }));
    let changes = of(old).changes(&of(new));
    let mut lines: Vec<String> = changes.iter().take(MAX_SHOWN).map(|path| format!("  {path}")).collect();
    if changes.len() > MAX_SHOWN {
        lines.push("  ...".to_owned());
    }
    lines.join("\n")
}

/// What is wrong with a change of the status.
pub(super) fn status(new: &Object, old: &Object) -> Vec<FieldError> {
    let (now, before) = (new.text_at(&["status", "qosClass"]), old.text_at(&["status", "qosClass"]));
    let mut errors = Vec::new();
    if !before.is_empty() && now != before {
        errors.push(FieldError::invalid("status.qosClass", now, "field is immutable"));
    }
    errors
}

/// What is wrong with new resources or further ephemeral containers, as an edit of a manifest is judged.
pub(super) fn in_place(new: &Object, old: &Object, sysctls: &Allowed) -> Vec<FieldError> {
    let value = |object: &Object| Value::Object(Map::clone(object.map()));
    let after = match object::pod(&value(new), sysctls) {
        Ok((pod, _)) => pod,
        Err(problems) => return field_errors(Err(problems)),
    };
    // One that is stored was found to be right, by this version or an earlier one.
    let Ok((before, _)) = object::pod(&value(old), sysctls) else { return Vec::new() };
    let mut words = removed_ephemeral_containers(&before, &after);
    match updated(&before, &after) {
        Err(Refusal::Forbidden(why)) => words.extend(why),
        Err(Refusal::Replaces) => {
            words.push("spec: Forbidden: only cpu and memory resources are mutable".to_owned());
        }
        Ok(_) => {}
    }
    words.iter().map(|words| words.split_once(": ").unwrap_or(("spec", words))).map(in_words).collect()
}

fn in_words((field, words): (&str, &str)) -> FieldError {
    FieldError::in_words(field, words)
}
