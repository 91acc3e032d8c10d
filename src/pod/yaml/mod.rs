//! A small tree of YAML or JSON in which every node and key knows its line and column.
//!
//! The tree is bounded in depth and size whatever the bytes were: aliases are expanded into it, and counted.

mod document;
mod json;
mod parse;
mod scalar;
mod value;

use super::path::{Path, Step};
use super::problem::Position;

pub(crate) use document::yaml_to_json;
pub(crate) use parse::{Flaw, parse};

/// A value and where it begins. One that came through an alias is where its anchor is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) position: Position,
    pub(crate) value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    /// Integers that do not fit an `i64` come here too.
    Float(f64),
    String(String),
    Sequence(Vec<Node>),
    /// In the order of the file; keys are unique.
    Mapping(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) position: Position,
    pub(crate) value: Node,
}

impl Value {
    /// What JSON calls this kind of value.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) | Self::Float(_) => "number",
            Self::String(_) => "string",
            Self::Sequence(_) => "array",
            Self::Mapping(_) => "object",
        }
    }
}

impl Node {
    /// The entries of a mapping; none for anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// The elements of a sequence; none for anything else.
    pub(crate) fn elements(&self) -> &[Node] {
        match &self.value {
            Value::Sequence(nodes) => nodes,
            _ => &[],
        }
    }

    /// The value of a mapping's key, unless it is null: in Kubernetes that is as good as absent.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        let entry = self.entries().iter().find(|entry| entry.key == key)?;
        (entry.value.value != Value::Null).then_some(&entry.value)
    }

    /// Where `path` is written below this document; where it is not, the place of what should hold it.
    pub(super) fn locate(&self, path: &Path<'_>) -> Position {
        self.follow(path).1
    }

    /// What stands at `path` below this document, if anything but null.
    pub(super) fn find(&self, path: &Path<'_>) -> Option<&Node> {
        self.follow(path).0
    }

    fn follow(&self, path: &Path<'_>) -> (Option<&Node>, Position) {
        let Some(parent) = path.parent() else {
            return (Some(self), self.position);
        };
        let (found, position) = self.follow(parent);
        let Some(parent) = found else { return (None, position) };
        match path.step() {
            Step::Root => (Some(parent), position),
            Step::Field(key) | Step::Key(key) => {
                match parent.entries().iter().find(|entry| entry.key == key) {
                    // A null is often nothing at all, at a place that says little: its key is easier to find.
                    Some(entry) if entry.value.value == Value::Null => (None, entry.position),
                    Some(entry) => (Some(&entry.value), entry.value.position),
                    None => (None, position),
                }
            }
            Step::Index(index) => match parent.elements().get(index) {
                Some(node) => (Some(node), node.position),
                None => (None, position),
            },
        }
    }
}
