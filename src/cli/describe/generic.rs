//! Any object, as `describe` shows it: its fields in order, with names for people.

use serde_json::Value;

use super::writer::{Writer, fields, shown};
use crate::cli::json_path::plain;

/// Metadata that has been told, or that nobody wants to read.
const SKIPPED: [&str; 5] = ["managedFields", "name", "namespace", "labels", "annotations"];

/// Words that are written in capitals.
const ACRONYMS: [&str; 4] = ["API", "URL", "UID", "GUID"];

pub(super) fn describe(object: &Value, writer: &mut Writer) {
    writer.metadata(object);
    for (field, value) in fields(object) {
        match value {
            Value::Object(metadata) if field == "metadata" => {
                let mut rest = metadata.clone();
                rest.retain(|field, _| !SKIPPED.contains(&field.as_str()));
                describe_field(field, &Value::Object(rest), 0, writer);
            }
            value => describe_field(field, value, 0, writer),
        }
    }
}

fn describe_field(field: &str, value: &Value, depth: usize, writer: &mut Writer) {
    let label = label(field);
    match value {
        Value::Object(_) => {
            writer.line(depth, &format!("{label}:"));
            for (field, value) in fields(value) {
                describe_field(field, value, depth + 1, writer);
            }
        }
        Value::Array(items) => {
            writer.line(depth, &format!("{label}:"));
            for item in items {
                if item.is_object() {
                    fields(item)
                        .into_iter()
                        .for_each(|(field, value)| describe_field(field, value, depth + 1, writer));
                } else {
                    writer.line(depth + 1, &shown(item));
                }
            }
        }
        value => writer.field(depth, &label, plain(value)),
    }
}

/// `lastTimestamp` as `Last Timestamp`, `apiVersion` as `API Version`; what is no word stays.
fn label(field: &str) -> String {
    if field.chars().any(|c| !c.is_alphabetic() && c != '-') {
        return field.to_owned();
    }
    let word = |word: String| {
        let capitals = word.to_uppercase();
        if ACRONYMS.contains(&capitals.as_str()) {
            return capitals;
        }
        let mut characters = word.chars();
        match characters.next() {
            Some(first) => first.to_uppercase().chain(characters).collect(),
            None => word,
        }
    };
    words(field).into_iter().map(word).collect::<Vec<_>>().join(" ")
}

/// The words of a name in camel case: `podIPs` are `pod` and `IPs`.
fn words(name: &str) -> Vec<String> {
    let characters: Vec<char> = name.chars().collect();
    let mut words: Vec<String> = Vec::new();
    for (index, c) in characters.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| characters[before]);
        let after = characters.get(index + 1);
        let ends_acronym = before.is_some_and(char::is_uppercase) && after.is_some_and(|c| c.is_lowercase());
        let begins = c.is_uppercase() && (before.is_some_and(char::is_lowercase) || ends_acronym);
        match words.last_mut() {
            Some(word) if !begins => word.push(*c),
            _ => words.push(c.to_string()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_named_in_words() {
        for (field, expected) in [
            ("kind", "Kind"),
            ("apiVersion", "API Version"),
            ("lastTimestamp", "Last Timestamp"),
            ("uid", "UID"),
            ("hostIP", "Host IP"),
            ("reportingComponent", "Reporting Component"),
            ("with.dot", "with.dot"),
        ] {
            assert_eq!(label(field), expected);
        }
    }
}
