//! What is wrong with one field of an object, in the words of `k8s.io/apimachinery/pkg/util/validation/field`.

use std::fmt;

use serde_json::Value;

use super::Cause;

/// One thing that is wrong with an object. Prints `FIELD: WORDS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Such as `spec.containers[0].name`.
    pub field: String,
    /// What sort of thing.
    pub reason: FieldReason,
    /// All of it, such as `Invalid value: "A": must be lower case`.
    pub words: String,
}

/// What sort of thing can be wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldReason {
    /// It is missing.
    Required,
    /// It is not what the field takes.
    Invalid,
    /// It is none of the values that there are.
    NotSupported,
    /// It may not be set like this here.
    Forbidden,
    /// It is there twice.
    Duplicate,
    /// It names something that is not there.
    NotFound,
    /// It is too long.
    TooLong,
    /// It has too many elements.
    TooMany,
}

/// Each with what its words begin with, and what a cause calls it.
const REASONS: [(FieldReason, &str, &str); 8] = [
    (FieldReason::Required, "Required value", "FieldValueRequired"),
    (FieldReason::Invalid, "Invalid value", "FieldValueInvalid"),
    (FieldReason::NotSupported, "Unsupported value", "FieldValueNotSupported"),
    (FieldReason::Forbidden, "Forbidden", "FieldValueForbidden"),
    (FieldReason::Duplicate, "Duplicate value", "FieldValueDuplicate"),
    (FieldReason::NotFound, "Not found", "FieldValueNotFound"),
    (FieldReason::TooLong, "Too long", "FieldValueTooLong"),
    (FieldReason::TooMany, "Too many", "FieldValueTooMany"),
];

impl FieldError {
    /// A field that is missing; `detail` may be empty.
    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        Self::without_value(field, FieldReason::Required, detail)
    }

    /// A value that the field does not take.
    pub fn invalid(field: impl Into<String>, value: impl Into<Value>, detail: impl fmt::Display) -> Self {
        let words = format!("Invalid value: {}: {detail}", value.into());
        Self { field: field.into(), reason: FieldReason::Invalid, words }
    }

    /// A value that is none of the `supported` ones.
    pub fn not_supported(field: impl Into<String>, value: impl Into<Value>, supported: &[&str]) -> Self {
        let supported: Vec<String> = supported.iter().map(|value| format!("{value:?}")).collect();
        let words =
            format!("Unsupported value: {}: supported values: {}", value.into(), supported.join(", "));
        Self { field: field.into(), reason: FieldReason::NotSupported, words }
    }

    /// A field that may not be set like this.
    pub fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self::without_value(field, FieldReason::Forbidden, detail)
    }

    /// A value that is there twice.
    pub fn duplicate(field: impl Into<String>, value: impl Into<Value>) -> Self {
        let words = format!("Duplicate value: {}", value.into());
        Self { field: field.into(), reason: FieldReason::Duplicate, words }
    }

    /// More bytes than `limit`.
    pub fn too_long(field: impl Into<String>, limit: usize) -> Self {
        Self::without_value(field, FieldReason::TooLong, &format!("may not be more than {limit} bytes"))
    }

    /// Something that is already put into words, such as `Forbidden: may not be set`.
    pub fn in_words(field: impl Into<String>, words: impl Into<String>) -> Self {
        let words = words.into();
        let known = REASONS.iter().find(|(_, start, _)| words.starts_with(start));
        Self {
            field: field.into(),
            reason: known.map_or(FieldReason::Invalid, |(reason, ..)| *reason),
            words,
        }
    }

    /// As a Status carries it.
    pub fn cause(&self) -> Cause {
        let known = REASONS.iter().find(|(reason, ..)| *reason == self.reason);
        Cause {
            reason: known.map_or_else(String::new, |(.., name)| (*name).to_owned()),
            message: self.words.clone(),
            field: self.field.clone(),
        }
    }

    fn without_value(field: impl Into<String>, reason: FieldReason, detail: &str) -> Self {
        let known = REASONS.iter().find(|(known, ..)| *known == reason);
        let start = known.map_or("", |(_, start, _)| start);
        let words = if detail.is_empty() { start.to_owned() } else { format!("{start}: {detail}") };
        Self { field: field.into(), reason, words }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.words)
    }
}
