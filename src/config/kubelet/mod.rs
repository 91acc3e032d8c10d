//! A KubeletConfiguration (`kubelet.config.k8s.io/v1beta1`): read strictly, field by field, into the flags that it stands for. Pure.
//!
//! ```text
//!   bytes ──> yaml ──> fields (what becomes of each) ──> Settings ──> flags, where the person gave none
//! ```
//!
//! So a value of the file is checked by whatever checks that of the flag, and there is one way in which it takes effect.

pub mod fields;
pub mod kind;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value as Json};

use self::fields::{FIELDS, Field, Meaning};
use self::kind::Words;
use crate::pod::problem::{Position, Problem, Problems};
use crate::pod::report::Report;
use crate::pod::similar;
use crate::pod::yaml::{self, Node, Value};

/// Group and version of the file.
pub const API_VERSION: &str = "kubelet.config.k8s.io/v1beta1";

/// What the file is.
pub const KIND: &str = "KubeletConfiguration";

/// What a file asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// In the order of the fields' table.
    settings: Vec<Setting>,
    /// Fields that have no meaning here, each with the reason.
    pub warnings: Vec<Problem>,
}

/// What a file asks for in one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Which.
    pub field: &'static Field,
    /// The flag that it stands for, without its dashes.
    pub flag: &'static str,
    /// The file as the person named it.
    pub file: String,
    /// Where in it.
    pub position: Position,
    words: Words,
}

impl Setting {
    /// The values of the flag.
    pub fn values(&self) -> Vec<String> {
        self.words.values(self.field.kind)
    }

    /// A problem with the value, in its place.
    pub fn problem(&self, reason: String) -> Problem {
        let (file, field) = (self.file.clone(), self.field.path.to_owned());
        Problem { file, position: Some(self.position), field, reason }
    }
}

impl Settings {
    /// Reads a file, YAML or JSON, or says everything that is wrong with it. `file` is the name that the problems give.
    pub fn read(bytes: &[u8], file: &str) -> Result<Self, Problems> {
        let text =
            std::str::from_utf8(bytes).map_err(|_| Problems::of_file(file, "the file is not UTF-8"))?;
        let (documents, flaws) = yaml::parse(text);
        let mut reading = Reading { report: Report::new(file), file, settings: Self::default() };
        flaws.into_iter().for_each(|flaw| reading.report.add_flaw(flaw));
        match documents.as_slice() {
            [document] => reading.document(document),
            // Then the flaws say what there is instead.
            [] => {}
            [_, second, ..] => {
                let reason = "there may be one document in the file".to_owned();
                reading.report.add(second.position, String::new(), reason);
            }
        }
        reading.report.finish()?;
        if documents.is_empty() {
            return Err(Problems::of_file(file, format!("no {KIND} in the file")));
        }
        Ok(reading.settings)
    }

    /// Takes over what a later file says.
    pub fn override_with(&mut self, later: Self) {
        self.warnings.extend(later.warnings);
        for setting in later.settings {
            match self.settings.iter_mut().find(|known| known.field == setting.field) {
                Some(known) => {
                    known.words.override_with(setting.words);
                    (known.file, known.position) = (setting.file, setting.position);
                }
                None => self.settings.push(setting),
            }
        }
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &Setting> {
        self.settings.iter()
    }
}

/// The KubeletConfiguration in force: `values` says what a flag has.
pub fn in_force(values: impl Fn(&Field, &str) -> Vec<String>) -> Json {
    let mut whole = Map::new();
    whole.insert("kind".to_owned(), KIND.into());
    whole.insert("apiVersion".to_owned(), API_VERSION.into());
    for field in FIELDS {
        let values = match field.meaning {
            Meaning::Flag(flag) => values(field, flag),
            Meaning::Always(same) => same.iter().take(1).map(|value| (*value).to_owned()).collect(),
            Meaning::Nothing(_) | Meaning::Refused => Vec::new(),
        };
        if !values.is_empty() {
            insert(&mut whole, field.path, field.kind.json(&values));
        }
    }
    Json::Object(whole)
}

fn insert(object: &mut Map<String, Json>, path: &str, value: Json) {
    match path.split_once('.') {
        None => drop(object.insert(path.to_owned(), value)),
        Some((first, rest)) => {
            let inner = object.entry(first).or_insert_with(|| Json::Object(Map::new()));
            if let Some(inner) = inner.as_object_mut() {
                insert(inner, rest, value);
            }
        }
    }
}

/// The reading of one file.
struct Reading<'f> {
    report: Report<'f>,
    file: &'f str,
    settings: Settings,
}

impl Reading<'_> {
    fn document(&mut self, document: &Node) {
        let Value::Mapping(entries) = &document.value else {
            let reason = format!("expected object, got {}", document.value.kind());
            return self.report.add(document.position, String::new(), reason);
        };
        for (key, wanted) in [("apiVersion", API_VERSION), ("kind", KIND)] {
            let entry = entries.iter().find(|entry| entry.key == key);
            match entry.map(|entry| (&entry.value.value, entry.value.position)) {
                Some((Value::String(text), _)) if text == wanted => {}
                Some((_, position)) => {
                    let reason = format!("Unsupported value: supported values: {wanted:?}");
                    self.report.add(position, key.to_owned(), reason);
                }
                None => self.report.add(document.position, key.to_owned(), "Required value".to_owned()),
            }
        }
        self.object(document, "");
        self.settings.settings.sort_by_key(|setting| FIELDS.iter().position(|field| field == setting.field));
    }

    fn object(&mut self, object: &Node, prefix: &str) {
        for entry in object.entries() {
            let path = format!("{prefix}{}", entry.key);
            let inner = format!("{path}.");
            if prefix.is_empty() && ["apiVersion", "kind"].contains(&entry.key.as_str()) {
                continue;
            }
            if let Some(field) = FIELDS.iter().find(|field| field.path == path) {
                if entry.value.value != Value::Null {
                    self.field(field, entry.position, &entry.value);
                }
            } else if FIELDS.iter().any(|field| field.path.starts_with(&inner)) {
                match &entry.value.value {
                    Value::Mapping(_) => self.object(&entry.value, &inner),
                    Value::Null => {}
                    other => {
                        let reason = format!("expected object, got {}", other.kind());
                        self.report.add(entry.value.position, path, reason);
                    }
                }
            } else {
                let siblings = FIELDS.iter().filter_map(|field| field.path.strip_prefix(prefix));
                let siblings = siblings.filter_map(|rest| rest.split('.').next());
                let absent = siblings.filter(|name| !object.entries().iter().any(|entry| entry.key == *name));
                let hint = similar(&entry.key, absent).map(|meant| format!(", did you mean {meant:?}?"));
                let reason = format!("unknown field {:?}{}", entry.key, hint.unwrap_or_default());
                self.report.add(entry.position, path, reason);
            }
        }
    }

    fn field(&mut self, field: &'static Field, position: Position, node: &Node) {
        let words = match field.kind.read(node) {
            Ok(Some(words)) => words,
            Ok(None) => return,
            Err((position, reason)) => return self.report.add(position, field.path.to_owned(), reason),
        };
        match field.meaning {
            Meaning::Flag(flag) => {
                let file = self.file.to_owned();
                self.settings.settings.push(Setting { field, flag, file, position: node.position, words });
            }
            Meaning::Nothing(why) => self.settings.warnings.push(Problem {
                file: self.file.to_owned(),
                position: Some(position),
                field: field.path.to_owned(),
                reason: format!("has no meaning here: {why}"),
            }),
            Meaning::Always(same) => {
                let values = words.values(field.kind);
                let is_same = |value: &&str| values.iter().all(|given| field.kind.is_same(given, value));
                if !same.iter().any(is_same) {
                    let supported: Vec<String> = same.iter().map(|value| format!("{value:?}")).collect();
                    let reason = format!(
                        "Unsupported value: {:?}: supported values: {}",
                        values.join(","),
                        supported.join(", ")
                    );
                    self.report.add(node.position, field.path.to_owned(), reason);
                }
            }
            Meaning::Refused => {
                // What a kubelet does without being told to is no request.
                let reason = "not supported by this version of mkubelet".to_owned();
                self.report.add(position, field.path.to_owned(), reason);
            }
        }
    }
}
