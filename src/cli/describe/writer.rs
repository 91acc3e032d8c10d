//! Lines of a description: indented, with tab stops, and with what all kinds of objects have.

use std::fmt::Write;

use jiff::{Timestamp, Zoned};
use serde_json::Value;

use crate::api::table::age;
use crate::cli::client::tab_stops::DESCRIPTION;
use crate::cli::client::three_way::LAST_APPLIED;
use crate::cli::json_path::plain;

/// Annotations longer than this, with their names, are on lines of their own, and cut.
const MAX_ANNOTATION: usize = 140;

/// A description that is being written.
#[derive(Debug)]
pub(super) struct Writer {
    text: String,
    done: String,
    now: Zoned,
}

impl Writer {
    /// An empty one, to be read at this time and in its time zone.
    pub(super) fn new(now: Zoned) -> Self {
        Self { text: String::new(), done: String::new(), now }
    }

    /// A line at this depth. Tabs in it are tab stops.
    pub(super) fn line(&mut self, depth: usize, line: &str) {
        for _ in 0..depth {
            self.text.push_str("  ");
        }
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A line with a name and a value.
    pub(super) fn field(&mut self, depth: usize, name: &str, value: impl std::fmt::Display) {
        self.line(depth, &format!("{name}:\t{value}"));
    }

    /// A line with a name, and a value as Go prints it; nothing for none.
    pub(super) fn field_of(&mut self, depth: usize, name: &str, value: &Value) {
        self.field(depth, name, shown(value));
    }

    /// A line for each value, of which the first begins with the name.
    pub(super) fn several(&mut self, name: &str, values: &[String]) {
        match values {
            [] => self.field(0, name, "<none>"),
            [first, others @ ..] => {
                self.field(0, name, first);
                others.iter().for_each(|value| self.line(0, &format!("\t{value}")));
            }
        }
    }

    /// Name and namespace, labels and annotations.
    pub(super) fn metadata(&mut self, object: &Value) {
        self.field_of(0, "Name", &object["metadata"]["name"]);
        self.field_of(0, "Namespace", &object["metadata"]["namespace"]);
        self.labels_and_annotations(object);
    }

    /// Labels and annotations.
    pub(super) fn labels_and_annotations(&mut self, object: &Value) {
        self.several("Labels", &pairs(&object["metadata"]["labels"], "="));
        let mut lines = Vec::new();
        for (key, value) in fields(&object["metadata"]["annotations"]) {
            if key != LAST_APPLIED {
                lines.extend(annotation(key, value.as_str().unwrap_or_default()));
            }
        }
        self.several("Annotations", &lines);
    }

    /// What is written from here on has tab stops of its own.
    pub(super) fn flush(&mut self) {
        let _ = write!(self.done, "{}", DESCRIPTION.align(&std::mem::take(&mut self.text)));
    }

    /// How long ago a time of the object was.
    pub(super) fn since(&self, time: &Value) -> String {
        age(time.as_str().and_then(|time| time.parse().ok()), self.now.timestamp())
    }

    /// A time as RFC 1123 has it, with a number for the zone.
    pub(super) fn date(&self, value: &Value) -> String {
        let time: Option<Timestamp> = value.as_str().and_then(|time| time.parse().ok());
        let zone = self.now.time_zone();
        let date =
            time.map(|time| time.to_zoned(zone.clone()).strftime("%a, %d %b %Y %H:%M:%S %z").to_string());
        // What Go has for no time at all.
        date.unwrap_or_else(|| "Mon, 01 Jan 0001 00:00:00 +0000".to_owned())
    }

    /// The whole text, without what would move the cursor of a terminal.
    pub(super) fn finish(mut self) -> String {
        self.flush();
        self.done.replace('\u{1b}', "^[").replace('\r', "\\r")
    }
}

fn annotation(key: &str, value: &str) -> Vec<String> {
    let value = value.strip_suffix('\n').unwrap_or(value);
    if value.len() + key.len() + 2 <= MAX_ANNOTATION && !value.contains('\n') {
        return vec![format!("{key}: {value}")];
    }
    let mut lines = vec![format!("{key}:")];
    lines.extend(value.split('\n').map(|line| format!("  {}", cut(line, MAX_ANNOTATION - 2))));
    lines
}

fn cut(text: &str, length: usize) -> String {
    if text.len() <= length {
        return text.to_owned();
    }
    let end = (0..=length).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    format!("{}...", &text[..end])
}

/// The fields of an object in the order of their names.
pub(super) fn fields(value: &Value) -> Vec<(&String, &Value)> {
    let mut fields: Vec<_> = value.as_object().into_iter().flatten().collect();
    fields.sort_by_key(|(name, _)| *name);
    fields
}

/// The items of a list.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The fields of an object as text.
pub(super) fn pairs(value: &Value, between: &str) -> Vec<String> {
    fields(value).into_iter().map(|(key, value)| format!("{key}{between}{}", shown(value))).collect()
}

/// A value as Go prints it; nothing for none.
pub(super) fn shown(value: &Value) -> String {
    if value.is_null() { String::new() } else { plain(value) }
}

/// A boolean that is false when it is not there.
pub(super) fn flag(value: &Value) -> bool {
    value.as_bool().unwrap_or(false)
}
