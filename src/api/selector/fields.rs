//! Selectors over fields: `status.phase=Running,metadata.name!=a`.
//!
//! Source: `k8s.io/apimachinery/pkg/fields/selector.go`.

use std::str::FromStr;

use super::super::object::Object;
use super::super::resource::Resource;

/// All of these must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSelector(Vec<Term>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    field: String,
    value: String,
    /// The field has the value, or has not.
    equal: bool,
}

/// What is no selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    /// Neither `=` nor `!=`.
    #[error("invalid selector: '{0}'; can't understand '{1}'")]
    Term(String, String),
    /// A backslash that escapes nothing.
    #[error("invalid field selector: invalid escape sequence in {0:?}")]
    Escape(String),
}

/// The fields of all kinds.
const COMMON: [&str; 2] = ["metadata.name", "metadata.namespace"];

impl FieldSelector {
    /// Everything passes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Only the object of this name.
    pub(super) fn require_name(&mut self, name: &str) {
        self.0.push(Term { field: COMMON[0].to_owned(), value: name.to_owned(), equal: true });
    }

    /// Refuses fields that a kind does not have.
    pub(super) fn check(&self, kind: &dyn Resource) -> Result<(), String> {
        let known = kind.fields(&Object::default());
        let is_known =
            |term: &&Term| COMMON.contains(&term.field.as_str()) || known.contains_key(term.field.as_str());
        match self.0.iter().find(|term| !is_known(term)) {
            None => Ok(()),
            Some(term) if known.is_empty() => Err(format!(
                "{:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
                term.field
            )),
            Some(term) => Err(format!("field label not supported: {}", term.field)),
        }
    }

    /// Whether an object passes.
    pub fn matches(&self, kind: &dyn Resource, object: &Object) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let fields = kind.fields(object);
        self.0.iter().all(|term| {
            let value = match term.field.as_str() {
                "metadata.name" => object.name(),
                "metadata.namespace" => object.namespace(),
                field => fields.get(field).map(String::as_str).unwrap_or_default(),
            };
            (value == term.value) == term.equal
        })
    }
}

impl FromStr for FieldSelector {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let mut terms = Vec::new();
        for part in split(text).into_iter().filter(|part| !part.is_empty()) {
            let (field, value, equal) =
                term(part).ok_or_else(|| SyntaxError::Term(text.to_owned(), part.to_owned()))?;
            terms.push(Term { field: field.to_owned(), value: unescape(value)?, equal });
        }
        Ok(Self(terms))
    }
}

/// At commas that no backslash escapes.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn term(text: &str) -> Option<(&str, &str, bool)> {
    let at = text.find('=')?;
    let (field, value) = (&text[..at], &text[at + 1..]);
    match field.strip_suffix('!') {
        Some(field) => Some((field, value, false)),
        None => Some((field, value.strip_prefix('=').unwrap_or(value), true)),
    }
}

fn unescape(text: &str) -> Result<String, SyntaxError> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                _ => return Err(SyntaxError::Escape(text.to_owned())),
            },
            c => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::kinds::config_map::ConfigMaps;
    use super::*;

    #[test]
    fn terms_are_joined_by_and() {
        let object = Object::from_value(json!({"metadata": {"name": "a", "namespace": "b"}})).unwrap();
        for (text, expected) in [
            ("", true),
            ("metadata.name=a", true),
            ("metadata.name==a", true),
            ("metadata.name!=a", false),
            ("metadata.name=a,metadata.namespace=b", true),
            ("metadata.name=a,metadata.namespace!=b", false),
            ("metadata.name=,", false),
            ("metadata.name=a\\,b", false),
        ] {
            let selector: FieldSelector = text.parse().unwrap();
            assert_eq!(selector.matches(&ConfigMaps, &object), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        assert_eq!(
            "a=b,c".parse::<FieldSelector>().unwrap_err().to_string(),
            "invalid selector: 'a=b,c'; can't understand 'c'"
        );
        assert!("a=\\x".parse::<FieldSelector>().is_err());
        assert_eq!(
            "data.x=1".parse::<FieldSelector>().unwrap().check(&ConfigMaps).unwrap_err(),
            "\"data.x\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        );
    }
}
