//! JSON that has been parsed already, as a tree. Where it was written is not known any more.

use serde_json::Value as Json;

use super::{Entry, Node, Value};
use crate::pod::problem::Position;

/// Of everything: nothing is before or behind another.
const NOWHERE: Position = Position { line: 1, column: 1 };

impl From<&Json> for Node {
    fn from(json: &Json) -> Self {
        let value = match json {
            Json::Null => Value::Null,
            Json::Bool(truth) => Value::Bool(*truth),
            Json::Number(number) => match number.as_i64() {
                Some(integer) => Value::Int(integer),
                None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Value::String(text.clone()),
            Json::Array(elements) => Value::Sequence(elements.iter().map(Self::from).collect()),
            Json::Object(fields) => Value::Mapping(fields.iter().map(entry).collect()),
        };
        Self { position: NOWHERE, value }
    }
}

fn entry((key, value): (&String, &Json)) -> Entry {
    Entry { key: key.clone(), position: NOWHERE, value: Node::from(value) }
}
