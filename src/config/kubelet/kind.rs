//! What may be written in a field: read from a file into the words of a flag, and back into JSON.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::{Map as Object, Value as Json};

use crate::pod::problem::Position;
use crate::pod::yaml::{Node, Value};

/// What may be written in a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string; an empty one is none.
    Text,
    /// `true` or `false`.
    Bool,
    /// A whole number; 0 is none.
    Number,
    /// A whole number, 0 being one.
    Count,
    /// A time such as `1m30s`; `0s` is none.
    Duration,
    /// A list of strings.
    Texts,
    /// Strings by name; what a flag has between the two. All of them are one value of the flag, with commas.
    Map(&'static str),
    /// A list of objects of two whole numbers, by these names; a flag has them as `ONE=OTHER`, with commas.
    Pairs([&'static str; 2]),
    /// Lists of strings by name, as headers of HTTP.
    Headers,
    /// What nobody reads.
    Any,
}

/// What is written in a field, in the words of a flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Words {
    /// One after the other.
    List(Vec<String>),
    /// By name.
    Map(BTreeMap<String, String>),
}

/// Why a value is none of this kind, and where.
pub type Misfit = (Position, String);

impl Kind {
    /// What is written at a node; `None` when that is as good as nothing.
    pub(super) fn read(self, node: &Node) -> Result<Option<Words>, Misfit> {
        let one = |text: String| Words::List(vec![text]);
        match self {
            Self::Any => Ok((!is_empty(&node.value)).then(|| Words::List(Vec::new()))),
            Self::Text => Ok(Some(text(node)?).filter(|text| !text.is_empty()).map(one)),
            Self::Bool => match node.value {
                Value::Bool(value) => Ok(Some(one(value.to_string()))),
                _ => Err(misfit(node, "bool")),
            },
            Self::Number | Self::Count => match node.value {
                Value::Int(0) if self == Self::Number => Ok(None),
                Value::Int(value) => Ok(Some(one(value.to_string()))),
                _ => Err(misfit(node, "number")),
            },
            Self::Duration => {
                let text = text(node)?;
                let span: SignedDuration = if text == "0" {
                    SignedDuration::ZERO
                } else {
                    let wrong =
                        |_| (node.position, format!("Invalid value: {text:?}: must be a time such as 1m30s"));
                    text.parse().map_err(wrong)?
                };
                Ok((!span.is_zero()).then(|| one(text)))
            }
            Self::Texts => {
                let texts = texts(node)?;
                Ok((!texts.is_empty()).then_some(Words::List(texts)))
            }
            Self::Map(_) => {
                let entries = mapping(node)?.iter();
                let read = entries.map(|entry| Ok((entry.key.clone(), text(&entry.value)?)));
                let map = read.collect::<Result<BTreeMap<_, _>, Misfit>>()?;
                Ok((!map.is_empty()).then_some(Words::Map(map)))
            }
            Self::Pairs(names) => {
                let Value::Sequence(nodes) = &node.value else { return Err(misfit(node, "array")) };
                let pairs = nodes.iter().map(|node| pair(node, names)).collect::<Result<Vec<_>, _>>()?;
                Ok((!pairs.is_empty()).then(|| one(pairs.join(","))))
            }
            Self::Headers => {
                let mut headers = Vec::new();
                for entry in mapping(node)? {
                    headers.extend(
                        texts(&entry.value)?.into_iter().map(|value| format!("{}:{value}", entry.key)),
                    );
                }
                Ok((!headers.is_empty()).then_some(Words::List(headers)))
            }
        }
    }

    /// The values of a flag, in the order in which they were given, as the file would say it.
    pub fn json(self, values: &[String]) -> Json {
        let first = || values.first().map_or(Json::Null, |text| text.as_str().into());
        match self {
            Self::Text | Self::Duration | Self::Any => first(),
            Self::Bool | Self::Number | Self::Count => {
                values.first().and_then(|text| text.parse().ok()).unwrap_or_else(first)
            }
            Self::Texts => values.iter().map(String::as_str).collect(),
            Self::Map(separator) => {
                let pairs = values.iter().flat_map(|value| value.split(','));
                let pair = |pair: &str| {
                    pair.split_once(separator).map(|(key, value)| (key.to_owned(), value.into()))
                };
                pairs.filter_map(pair).collect::<Object<_, _>>().into()
            }
            Self::Pairs(names) => {
                let number = |text: &str| text.parse::<i64>().map_or(Json::Null, Json::from);
                let pair = |pair: &str| {
                    let (one, other) = pair.split_once('=')?;
                    let pairs = names.into_iter().zip([one, other]);
                    Some(pairs.map(|(name, text)| (name.to_owned(), number(text))).collect::<Object<_, _>>())
                };
                values.iter().flat_map(|value| value.split(',')).filter_map(pair).collect()
            }
            Self::Headers => {
                let mut headers: Object<String, Json> = Object::new();
                for (name, value) in values.iter().filter_map(|pair| pair.split_once(':')) {
                    let values = headers.entry(name).or_insert_with(|| Json::Array(Vec::new()));
                    values.as_array_mut().into_iter().for_each(|values| values.push(value.trim().into()));
                }
                headers.into()
            }
        }
    }

    /// Whether two texts say the same.
    pub(super) fn is_same(self, one: &str, other: &str) -> bool {
        let time = |text: &str| text.parse::<SignedDuration>().ok();
        one == other || (self == Self::Duration && time(one).is_some() && time(one) == time(other))
    }
}

impl Words {
    /// Takes over what a later file says: names one by one, anything else as a whole.
    pub(super) fn override_with(&mut self, later: Self) {
        match (self, later) {
            (Self::Map(map), Self::Map(later)) => map.extend(later),
            (words, later) => *words = later,
        }
    }

    /// As values of a flag.
    pub(super) fn values(&self, kind: Kind) -> Vec<String> {
        match (self, kind) {
            (Self::List(values), _) => values.clone(),
            (Self::Map(map), Kind::Map(separator)) => {
                let pair = |(key, value): (&String, &String)| format!("{key}{separator}{value}");
                vec![map.iter().map(pair).collect::<Vec<_>>().join(",")]
            }
            (Self::Map(map), _) => map.values().cloned().collect(),
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) | Value::Int(0) => true,
        Value::String(text) => ["", "0", "0s"].contains(&text.as_str()),
        Value::Sequence(nodes) => nodes.is_empty(),
        Value::Mapping(entries) => entries.iter().all(|entry| is_empty(&entry.value.value)),
        _ => false,
    }
}

fn text(node: &Node) -> Result<String, Misfit> {
    match &node.value {
        Value::String(text) => Ok(text.clone()),
        _ => Err(misfit(node, "string")),
    }
}

fn texts(node: &Node) -> Result<Vec<String>, Misfit> {
    match &node.value {
        Value::Sequence(nodes) => nodes.iter().map(text).collect(),
        _ => Err(misfit(node, "array")),
    }
}

fn mapping(node: &Node) -> Result<&[crate::pod::yaml::Entry], Misfit> {
    match &node.value {
        Value::Mapping(entries) => Ok(entries),
        _ => Err(misfit(node, "object")),
    }
}

/// An object of two numbers, as a flag has it.
fn pair(node: &Node, names: [&str; 2]) -> Result<String, Misfit> {
    let entries = mapping(node)?;
    if let Some(unknown) = entries.iter().find(|entry| !names.contains(&entry.key.as_str())) {
        return Err((unknown.position, format!("unknown field {:?}", unknown.key)));
    }
    let number = |name| match entries.iter().find(|entry| entry.key == name).map(|entry| &entry.value) {
        Some(Node { value: Value::Int(number), .. }) => Ok(number.to_string()),
        // As in Go, a number that is not there is 0.
        None | Some(Node { value: Value::Null, .. }) => Ok("0".to_owned()),
        Some(node) => Err(misfit(node, "number")),
    };
    let [one, other] = names;
    Ok(format!("{}={}", number(one)?, number(other)?))
}

fn misfit(node: &Node, wanted: &str) -> Misfit {
    (node.position, format!("expected {wanted}, got {}", node.value.kind()))
}
