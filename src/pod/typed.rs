//! From a tree to Kubernetes' types, strictly: unknown fields and values of a wrong type are all reported, each in its place.
//!
//! Serde stops at the first error. So what failed is reported and from then on read as the zero value of whatever is
//! asked for, and the whole is read again, until it succeeds: indices stay as they are, and every error is found.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};

use super::path::Path;
use super::problem::Position;
use super::report::Document;
use super::yaml::{Entry, Node, Value};

/// Values of a wrong type that are reported per object: each costs another reading of it.
const MAX_FAILURES: usize = 30;
/// Unknown fields that are reported per object: finding what was meant takes its time.
const MAX_UNKNOWN: usize = 100;

/// Reads what stands at `node`, whose path is `path`, or the default when there is nothing. What could not be read is
/// reported, and the zero value in the result.
pub(super) fn read<T: DeserializeOwned + Default>(
    node: Option<&Node>,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> T {
    let Some(node) = node else { return T::default() };
    let findings = RefCell::new(Findings::default());
    let mut read = None;
    for _ in 0..MAX_FAILURES {
        findings.borrow_mut().unknown.clear();
        match T::deserialize(Reader { node, path: *path, findings: &findings }) {
            Ok(value) => {
                read = Some(value);
                break;
            }
            Err(failure) => findings.borrow_mut().fail(failure, node, path),
        }
    }
    let Findings { failed, unknown, .. } = findings.into_inner();
    for Finding { position, path, reason, meant } in failed.into_iter().chain(unknown) {
        document.unreadable(position, path, reason);
        // Else it would be reported as missing too.
        meant.into_iter().for_each(|meant| document.spoil(meant));
    }
    read.unwrap_or_else(|| {
        document.give_up(path.to_string());
        T::default()
    })
}

/// What was found on the way.
#[derive(Default)]
struct Findings {
    failed: Vec<Finding>,
    /// The failed nodes, by address: the tree does not move meanwhile.
    zero: HashSet<*const Node>,
    unknown: Vec<Finding>,
}

struct Finding {
    position: Position,
    path: String,
    reason: String,
    /// The field that was probably meant.
    meant: Option<String>,
}

impl Findings {
    fn fail(&mut self, failure: Failure, root: &Node, root_path: &Path<'_>) {
        let place = failure.place.unwrap_or_else(|| Place::of(root, root_path));
        if self.zero.insert(place.node) {
            let Place { position, path, .. } = place;
            self.failed.push(Finding { position, path, reason: failure.reason, meant: None });
        }
    }
}

/// Why a value cannot be read, and which one.
#[derive(Debug)]
struct Failure {
    reason: String,
    place: Option<Place>,
}

#[derive(Debug)]
struct Place {
    node: *const Node,
    position: Position,
    path: String,
}

impl Place {
    fn of(node: &Node, path: &Path<'_>) -> Self {
        Self { node, position: node.position, path: path.to_string() }
    }
}

impl Error for Failure {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Self { reason: reason.to_string(), place: None }
    }

    fn invalid_type(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Bool(_) => "bool",
            Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "number",
            Unexpected::Str(_) => "string",
            Unexpected::Seq => "array",
            Unexpected::Map => "object",
            _ => "null",
        };
        Self::custom(format!("cannot unmarshal {found} into {wanted}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Failure {}

/// Reads one node.
#[derive(Clone, Copy)]
struct Reader<'a> {
    node: &'a Node,
    path: Path<'a>,
    findings: &'a RefCell<Findings>,
}

impl<'a> Reader<'a> {
    fn is_zero(&self) -> bool {
        self.findings.borrow().zero.contains(&std::ptr::from_ref(self.node))
    }

    fn place<T>(&self, result: Result<T, Failure>) -> Result<T, Failure> {
        result.map_err(|Failure { reason, place }| Failure {
            reason,
            place: place.or_else(|| Some(Place::of(self.node, &self.path))),
        })
    }

    fn mismatch<T>(&self, wanted: &str) -> Result<T, Failure> {
        let found = self.node.value.kind();
        let hint = match (found, wanted) {
            ("number" | "bool", "string") => ": write it in quotes",
            _ => "",
        };
        self.place(Err(Failure::custom(format!("cannot unmarshal {found} into {wanted}{hint}"))))
    }

    fn integer<T: TryFrom<i64> + Default>(&self, name: &str) -> Result<T, Failure> {
        if self.is_zero() {
            return Ok(T::default());
        }
        let out_of_range = |number: &dyn fmt::Display| {
            self.place(Err(Failure::custom(format!("cannot unmarshal number {number} into {name}"))))
        };
        match self.node.value {
            Value::Int(number) => T::try_from(number).or_else(|_| out_of_range(&number)),
            // Written with a point, as in 80.0, it is an integer to Kubernetes too.
            #[allow(clippy::cast_possible_truncation)]
            Value::Float(number) if number.fract() == 0.0 && number.abs() < 9e15 => {
                T::try_from(number as i64).or_else(|_| out_of_range(&number))
            }
            Value::Float(number) => out_of_range(&number),
            _ => self.mismatch(name),
        }
    }

    fn text(&self) -> Result<&'a str, Failure> {
        match &self.node.value {
            _ if self.is_zero() => Ok(""),
            Value::String(text) => Ok(text),
            _ => self.mismatch("string"),
        }
    }

    fn elements(&self) -> Result<&'a [Node], Failure> {
        match &self.node.value {
            _ if self.is_zero() => Ok(&[]),
            Value::Sequence(nodes) => Ok(nodes),
            _ => self.mismatch("array"),
        }
    }

    fn entries(&self) -> Result<&'a [Entry], Failure> {
        match &self.node.value {
            _ if self.is_zero() => Ok(&[]),
            Value::Mapping(entries) => Ok(entries),
            _ => self.mismatch("object"),
        }
    }
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.value {
            _ if self.is_zero() => visitor.visit_i64(0),
            Value::Null => self.place(visitor.visit_unit()),
            Value::Bool(truth) => self.place(visitor.visit_bool(*truth)),
            Value::Int(number) => self.place(visitor.visit_i64(*number)),
            Value::Float(number) => self.place(visitor.visit_f64(*number)),
            Value::String(text) => self.place(visitor.visit_str(text)),
            Value::Sequence(_) => self.deserialize_seq(visitor),
            Value::Mapping(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.node.value {
            _ if self.is_zero() => visitor.visit_bool(false),
            Value::Bool(truth) => self.place(visitor.visit_bool(truth)),
            _ => self.mismatch("bool"),
        }
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.place(visitor.visit_i32(self.integer("int32")?))
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.place(visitor.visit_i64(self.integer("int64")?))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.place(visitor.visit_str(self.text()?))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        if self.is_zero() || self.node.value == Value::Null {
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.place(visitor.visit_newtype_struct(self))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let elements = self.elements()?.iter().enumerate();
        self.place(visitor.visit_seq(Elements { reader: self, elements }))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let entries = self.entries()?.iter();
        self.place(visitor.visit_map(Entries { reader: self, entries, current: None, fields: None }))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let entries = self.entries()?.iter();
        self.place(visitor.visit_map(Entries { reader: self, entries, current: None, fields: Some(fields) }))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct enum identifier
    }
}

struct Elements<'a> {
    reader: Reader<'a>,
    elements: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Failure> {
        let Some((index, node)) = self.elements.next() else { return Ok(None) };
        let path = self.reader.path.index(index);
        seed.deserialize(Reader { node, path, findings: self.reader.findings }).map(Some)
    }
}

struct Entries<'a> {
    reader: Reader<'a>,
    entries: std::slice::Iter<'a, Entry>,
    current: Option<&'a Entry>,
    /// Those of a struct; a map takes any key.
    fields: Option<&'static [&'static str]>,
}

impl Entries<'_> {
    fn unknown(&self, entry: &Entry, fields: &[&str]) {
        if self.reader.findings.borrow().unknown.len() == MAX_UNKNOWN {
            return;
        }
        let parent = &self.reader.path;
        // Only what is absent can have been meant.
        let absent = fields.iter().copied().filter(|field| self.reader.node.get(field).is_none());
        let meant = similar(&entry.key, absent);
        let hint = meant.map_or_else(String::new, |meant| format!(", did you mean {meant:?}?"));
        self.reader.findings.borrow_mut().unknown.push(Finding {
            position: entry.position,
            path: parent.field(&entry.key).to_string(),
            reason: format!("unknown field {:?}{hint}", entry.key),
            meant: meant.map(|meant| parent.field(meant).to_string()),
        });
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Failure> {
        while let Some(entry) = self.entries.next() {
            match self.fields {
                Some(fields) if !fields.contains(&entry.key.as_str()) => self.unknown(entry, fields),
                _ => {
                    self.current = Some(entry);
                    let key: StrDeserializer<'_, Failure> = entry.key.as_str().into_deserializer();
                    return seed.deserialize(key).map(Some);
                }
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        let Some(entry) = self.current.take() else { return Err(Failure::custom("a value without a key")) };
        let path = match self.fields {
            Some(_) => self.reader.path.field(&entry.key),
            None => self.reader.path.key(&entry.key),
        };
        seed.deserialize(Reader { node: &entry.value, path, findings: self.reader.findings })
    }
}

/// The field that `name` most probably was meant to be.
pub(crate) fn similar<'f>(name: &str, fields: impl Iterator<Item = &'f str>) -> Option<&'f str> {
    let lower = name.to_lowercase();
    let distance = |field: &&str| strsim::osa_distance(&lower, &field.to_lowercase());
    let nearest = fields.min_by_key(distance)?;
    (distance(&nearest) <= (name.len() / 3).clamp(1, 3)).then_some(nearest)
}
