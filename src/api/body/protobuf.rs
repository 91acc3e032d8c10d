//! Objects in Kubernetes' protobuf, as kubectl's `create configmap`, `create secret`, `create namespace` and `auth can-i` send them whatever
//! the server says it takes. Only the kinds of those verbs are read.
//!
//! Source: the `generated.proto` of `k8s.io/api` and of `k8s.io/apimachinery`; `runtime.Unknown` is the envelope.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::api::object::rfc3339;

/// Before the envelope.
const MAGIC: &[u8] = b"k8s\0";

/// Its fields: what the object is, and the object.
const TYPE_META: u64 = 1;
const RAW: u64 = 2;

/// The fields of a message: number, name in JSON, what it holds.
type Table = [(u64, &'static str, Holds)];

/// What a field holds. What is empty, false or 0 is left out, as in Go, unless it is `Given`.
#[derive(Clone, Copy)]
enum Holds {
    Text,
    Texts,
    Number,
    /// A number or truth that may be absent, so that 0 means something.
    Given,
    Truth,
    Time,
    Message(&'static Table),
    /// A map of texts.
    TextMap,
    /// A map of bytes, which JSON writes in base64.
    BytesMap,
}

use Holds::{BytesMap, Given, Message, Number, Text, TextMap, Texts, Time, Truth};

const METADATA: &Table = &[
    (1, "name", Text),
    (2, "generateName", Text),
    (3, "namespace", Text),
    (5, "uid", Text),
    (6, "resourceVersion", Text),
    (7, "generation", Number),
    (8, "creationTimestamp", Time),
    (9, "deletionTimestamp", Time),
    (10, "deletionGracePeriodSeconds", Given),
    (11, "labels", TextMap),
    (12, "annotations", TextMap),
    (14, "finalizers", Texts),
];

/// What a delete says.
const DELETE_OPTIONS: &Table = &[
    (1, "gracePeriodSeconds", Given),
    (2, "preconditions", Message(&[(1, "uid", Text), (2, "resourceVersion", Text)])),
    (4, "propagationPolicy", Text),
    (5, "dryRun", Texts),
];

/// The kinds that are read.
const KINDS: [(&str, &Table); 7] = [
    (
        "ConfigMap",
        &[
            (1, "metadata", Message(METADATA)),
            (2, "data", TextMap),
            (3, "binaryData", BytesMap),
            (4, "immutable", Truth),
        ],
    ),
    ("DeleteOptions", DELETE_OPTIONS),
    ("Eviction", &[(1, "metadata", Message(METADATA)), (2, "deleteOptions", Message(DELETE_OPTIONS))]),
    ("Namespace", &[(1, "metadata", Message(METADATA))]),
    (
        "Secret",
        &[
            (1, "metadata", Message(METADATA)),
            (2, "data", BytesMap),
            (3, "type", Text),
            (4, "stringData", TextMap),
            (5, "immutable", Truth),
        ],
    ),
    (
        "SelfSubjectAccessReview",
        &[(
            2,
            "spec",
            Message(&[
                (
                    1,
                    "resourceAttributes",
                    Message(&[
                        (1, "namespace", Text),
                        (2, "verb", Text),
                        (3, "group", Text),
                        (4, "version", Text),
                        (5, "resource", Text),
                        (6, "subresource", Text),
                        (7, "name", Text),
                    ]),
                ),
                (2, "nonResourceAttributes", Message(&[(1, "path", Text), (2, "verb", Text)])),
            ]),
        )],
    ),
    ("SelfSubjectRulesReview", &[(2, "spec", Message(&[(1, "namespace", Text)]))]),
];

/// Why there is no object in the bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// They are no message, or a field of it holds something else.
    #[error("provided data does not appear to be a protobuf message")]
    Malformed,
    /// It is of a kind that is not read here.
    #[error("no kind {0:?} is read from protobuf; send JSON")]
    Kind(String),
}

/// The object, as JSON would have it.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, Error> {
    let envelope = bytes.strip_prefix(MAGIC).ok_or(Error::Malformed)?;
    let (mut object, mut raw) = (Map::new(), [].as_slice());
    for field in Fields(envelope) {
        match field? {
            (TYPE_META, Content::Bytes(meta)) => {
                object = message(meta, &[(1, "apiVersion", Text), (2, "kind", Text)])?;
            }
            (RAW, Content::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
    let known = KINDS.iter().find(|(name, _)| *name == kind);
    let (_, table) = known.ok_or_else(|| Error::Kind(kind.to_owned()))?;
    object.extend(message(raw, table)?);
    Ok(Value::Object(object))
}

fn message(bytes: &[u8], table: &Table) -> Result<Map<String, Value>, Error> {
    let mut object = Map::new();
    for field in Fields(bytes) {
        let (number, content) = field?;
        if let Some((_, name, holds)) = table.iter().find(|(known, ..)| *known == number) {
            take(&mut object, name, *holds, content)?;
        }
    }
    Ok(object)
}

fn take(
    object: &mut Map<String, Value>,
    name: &str,
    holds: Holds,
    content: Content<'_>,
) -> Result<(), Error> {
    let value = match (holds, content) {
        (Text, Content::Bytes(bytes)) => Some(text(bytes)?).filter(|text| !text.is_empty()).map(Value::from),
        (Number, Content::Varint(number)) => (number != 0).then(|| signed(number)),
        (Given, Content::Varint(number)) => Some(signed(number)),
        (Truth, Content::Varint(number)) => (number != 0).then_some(Value::Bool(true)),
        (Time, Content::Bytes(bytes)) => time(bytes)?,
        (Message(table), Content::Bytes(bytes)) => Some(Value::Object(message(bytes, table)?)),
        (Texts, Content::Bytes(bytes)) => {
            let list = object.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            list.as_array_mut().ok_or(Error::Malformed)?.push(text(bytes)?.into());
            None
        }
        (TextMap | BytesMap, Content::Bytes(bytes)) => {
            let map = object.entry(name).or_insert_with(|| Value::Object(Map::new()));
            let (key, value) = pair(bytes)?;
            let value =
                if matches!(holds, TextMap) { text(value)?.to_owned() } else { STANDARD.encode(value) };
            map.as_object_mut().ok_or(Error::Malformed)?.insert(key.to_owned(), value.into());
            None
        }
        _ => return Err(Error::Malformed),
    };
    if let Some(value) = value {
        object.insert(name.to_owned(), value);
    }
    Ok(())
}

/// An entry of a map: its key and its value, which is nothing when it is not written.
fn pair(bytes: &[u8]) -> Result<(&str, &[u8]), Error> {
    let (mut key, mut value) = ("", [].as_slice());
    for field in Fields(bytes) {
        match field? {
            (1, Content::Bytes(bytes)) => key = text(bytes)?,
            (2, Content::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    Ok((key, value))
}

/// Seconds of Unix time, as JSON writes them; no time is none.
fn time(bytes: &[u8]) -> Result<Option<Value>, Error> {
    let mut seconds = None;
    for field in Fields(bytes) {
        if let (1, Content::Varint(number)) = field? {
            seconds = Some(number.cast_signed());
        }
    }
    let time = seconds.map(Timestamp::from_second).transpose().map_err(|_| Error::Malformed)?;
    Ok(time.map(|time| rfc3339(time).into()))
}

fn text(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(|_| Error::Malformed)
}

fn signed(number: u64) -> Value {
    number.cast_signed().into()
}

/// What a field of a message holds, as it is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// A number of fixed size, which no field here has.
    Fixed,
}

/// The fields of a message, one after another; nothing follows one that is malformed.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Content<'a>), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field().ok_or(Error::Malformed);
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Content<'a>)> {
        let tag = self.varint()?;
        let content = match tag & 7 {
            0 => Content::Varint(self.varint()?),
            1 => self.bytes(8).map(|_| Content::Fixed)?,
            2 => {
                let length = self.varint()?;
                Content::Bytes(self.bytes(usize::try_from(length).ok()?)?)
            }
            5 => self.bytes(4).map(|_| Content::Fixed)?,
            _ => return None,
        };
        Some((tag >> 3, content))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// A field with its length; all of them are short here.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat()
    }

    fn envelope(kind: &str, raw: &[u8]) -> Vec<u8> {
        let meta = [field(1, b"v1"), field(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), field(1, &meta), field(2, raw)].concat()
    }

    #[test]
    fn a_config_map_is_read() {
        let entry = [field(1, b"a"), field(2, b"b")].concat();
        let time = [8, 1];
        let metadata = [field(1, b"name"), field(3, b""), field(8, &time), field(11, &entry)].concat();
        let raw = [field(1, &metadata), field(2, &entry), field(3, &entry), vec![4 << 3, 1]].concat();
        assert_eq!(
            parse(&envelope("ConfigMap", &raw)).unwrap(),
            json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "name", "creationTimestamp": "1970-01-01T00:00:01Z", "labels": {"a": "b"}},
                "data": {"a": "b"}, "binaryData": {"a": "Yg=="}, "immutable": true,
            })
        );
    }

    #[test]
    fn no_grace_is_another_thing_than_none_said() {
        assert_eq!(parse(&envelope("DeleteOptions", &[8, 0])).unwrap()["gracePeriodSeconds"], 0);
        assert_eq!(parse(&envelope("DeleteOptions", &[])).unwrap().get("gracePeriodSeconds"), None);
    }

    #[test]
    fn what_is_no_message_and_what_is_of_another_kind_is_refused() {
        assert_eq!(parse(b"{}"), Err(Error::Malformed));
        assert_eq!(parse(b"k8s\0\xff"), Err(Error::Malformed));
        assert_eq!(parse(&envelope("ConfigMap", &[0x0a, 9, 1])), Err(Error::Malformed), "longer than it is");
        assert_eq!(parse(&envelope("ConfigMap", &[8, 1])), Err(Error::Malformed), "metadata are no number");
        assert_eq!(parse(&envelope("Lease", &[])), Err(Error::Kind("Lease".to_owned())));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes: Vec<u8>) {
            let _ = parse(&[MAGIC, &bytes].concat());
            let _ = parse(&envelope("ConfigMap", &bytes[..bytes.len().min(120)]));
        }
    }
}
