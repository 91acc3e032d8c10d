//! Objects in Kubernetes' protobuf, which typed clients of Go send, and some verbs of kubectl (`create configmap`, `debug --copy-to`), whatever the
//! server says it takes. They become what JSON would have said.
//!
//! Source: the `generated.proto` of `k8s.io/api` and of `k8s.io/apimachinery`; `runtime.Unknown` is the envelope.

mod messages;
mod scalars;
mod wire;

use serde_json::{Map, Value};

use self::messages::{Field, Holds, MESSAGES, Many};
use self::scalars::{is_zero, text, value};
use self::wire::{Broken, Content, Fields, packed};

/// Before the envelope.
const MAGIC: &[u8] = b"k8s\0";

/// Its fields: what the object is, and the object.
const TYPE_META: u64 = 1;
const RAW: u64 = 2;

/// Why there is no object in the bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// There is no envelope.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    Prefix,
    /// The envelope is no message, or has no kind.
    #[error("Object 'Kind' is missing")]
    Envelope,
    /// The bytes of a message are broken, or one of its fields holds something else.
    #[error("proto: cannot parse {0}")]
    Malformed(String),
    /// It is of a kind that is not served.
    #[error("no kind {kind:?} is registered for version {api_version:?}")]
    Kind { api_version: String, kind: String },
}

/// The object, as JSON would have it.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, Error> {
    let (api_version, kind, raw) =
        envelope(bytes.strip_prefix(MAGIC).ok_or(Error::Prefix)?).map_err(|Broken| Error::Envelope)?;
    if kind.is_empty() {
        return Err(Error::Envelope);
    }
    let Some(known) = MESSAGES.of_kind(api_version, kind) else {
        return Err(Error::Kind { api_version: api_version.to_owned(), kind: kind.to_owned() });
    };
    let mut object = Map::new();
    object.insert("apiVersion".to_owned(), api_version.into());
    object.insert("kind".to_owned(), kind.into());
    message(&mut object, known, raw)?;
    Ok(Value::Object(object))
}

/// API version, kind, and the bytes of the object.
fn envelope(bytes: &[u8]) -> Result<(&str, &str, &[u8]), Broken> {
    let (mut api_version, mut kind, mut raw) = ("", "", [].as_slice());
    for field in Fields(bytes) {
        match field? {
            (TYPE_META, Content::Bytes(meta)) => {
                for field in Fields(meta) {
                    match field? {
                        (1, Content::Bytes(bytes)) => api_version = text(bytes)?,
                        (2, Content::Bytes(bytes)) => kind = text(bytes)?,
                        _ => {}
                    }
                }
            }
            (RAW, Content::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    Ok((api_version, kind, raw))
}

/// Puts the fields of a message into an object. One that is not known is passed over, one that is there again added to what there is.
fn message(object: &mut Map<String, Value>, name: &'static str, bytes: &[u8]) -> Result<(), Error> {
    let malformed = |Broken| Error::Malformed(name.to_owned());
    for read in Fields(bytes) {
        let (number, content) = read.map_err(malformed)?;
        let Some(field) = MESSAGES.field(name, number) else { continue };
        match (field.name, field.holds, content) {
            (None, Holds::Message(inner), Content::Bytes(bytes)) => message(object, inner, bytes)?,
            (Some(label), ..) => {
                take(object, field, label, content, &|Broken| Error::Malformed(format!("{name}.{label}")))?
            }
            _ => return Err(malformed(Broken)),
        }
    }
    Ok(())
}

fn take(
    object: &mut Map<String, Value>,
    field: Field,
    name: &'static str,
    content: Content<'_>,
    malformed: &dyn Fn(Broken) -> Error,
) -> Result<(), Error> {
    let holds = field.holds;
    let one = |content: Content<'_>, before: Option<Value>| match (holds, content) {
        (Holds::Message(inner), Content::Bytes(bytes)) => {
            let mut below = match before {
                Some(Value::Object(below)) => below,
                _ => Map::new(),
            };
            message(&mut below, inner, bytes)?;
            Ok(Some(Value::Object(below)))
        }
        _ => value(holds, content).map_err(malformed),
    };
    match field.many {
        Many::One | Many::Optional => {
            let before = object.get_mut(name).map(Value::take);
            match one(content, before)? {
                Some(value)
                    if field.many == Many::Optional || !is_zero(&value) || holds == Holds::IntOrString =>
                {
                    object.insert(name.to_owned(), value);
                }
                _ => drop(object.shift_remove(name)),
            }
        }
        Many::List => {
            let list = object.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            let Value::Array(list) = list else { return Err(malformed(Broken)) };
            match (holds, content) {
                (Holds::Number, Content::Bytes(bytes)) => {
                    list.extend(
                        packed(bytes)
                            .map_err(malformed)?
                            .into_iter()
                            .map(|number| number.cast_signed().into()),
                    );
                }
                _ => list.extend(one(content, None)?),
            }
        }
        Many::Map => {
            let Content::Bytes(bytes) = content else { return Err(malformed(Broken)) };
            let (key, content) = pair(bytes).map_err(malformed)?;
            let value = one(content, None)?;
            let map = object.entry(name).or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(map) = map else { return Err(malformed(Broken)) };
            map.extend(value.map(|value| (key.to_owned(), value)));
        }
    }
    Ok(())
}

/// An entry of a map: its key, and its value, which is empty when it is not written.
fn pair(bytes: &[u8]) -> Result<(&str, Content<'_>), Broken> {
    let (mut key, mut value) = ("", Content::Bytes(&[]));
    for field in Fields(bytes) {
        match field? {
            (1, Content::Bytes(bytes)) => key = text(bytes)?,
            (2, content) => value = content,
            _ => {}
        }
    }
    Ok((key, value))
}

#[cfg(test)]
mod tests;
