//! What protobuf has messages for, and JSON a text or a number.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;

use super::messages::Holds;
use super::wire::{Broken, Content, Fields};
use crate::api::object::rfc3339;

/// A value as JSON writes it; none for a time that is none, and for JSON of no bytes.
///
/// A message is not for this function.
pub(super) fn value(holds: Holds, content: Content<'_>) -> Result<Option<Value>, Broken> {
    Ok(match (holds, content) {
        (Holds::Text, Content::Bytes(bytes)) => Some(text(bytes)?.into()),
        (Holds::Bytes, Content::Bytes(bytes)) => Some(STANDARD.encode(bytes).into()),
        (Holds::Number, Content::Varint(number)) => Some(number.cast_signed().into()),
        (Holds::Truth, Content::Varint(number)) => Some((number != 0).into()),
        (Holds::Texts, Content::Bytes(bytes)) => Some(texts(bytes)?),
        (Holds::Time, Content::Bytes(bytes)) => time(bytes)?.map(|time| rfc3339(time).into()),
        (Holds::MicroTime, Content::Bytes(bytes)) => time(bytes)?.map(|time| format!("{time:.6}").into()),
        (Holds::Quantity, Content::Bytes(bytes)) => {
            let quantity = text(first(bytes)?)?;
            Some(if quantity.is_empty() { "0" } else { quantity }.into())
        }
        (Holds::IntOrString, Content::Bytes(bytes)) => Some(int_or_string(bytes)?),
        (Holds::Json, Content::Bytes(bytes)) => {
            let json = first(bytes)?;
            (!json.is_empty()).then(|| serde_json::from_slice(json).map_err(|_| Broken)).transpose()?
        }
        _ => return Err(Broken),
    })
}

/// Whether it is what a field has of which nothing is said.
pub(super) fn is_zero(value: &Value) -> bool {
    match value {
        Value::Bool(truth) => !truth,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

pub(super) fn text(bytes: &[u8]) -> Result<&str, Broken> {
    std::str::from_utf8(bytes).map_err(|_| Broken)
}

/// The bytes of a message that is nothing but one field.
fn first(bytes: &[u8]) -> Result<&[u8], Broken> {
    let mut found = [].as_slice();
    for field in Fields(bytes) {
        match field? {
            (1, Content::Bytes(bytes)) => found = bytes,
            (1, _) => return Err(Broken),
            _ => {}
        }
    }
    Ok(found)
}

fn texts(bytes: &[u8]) -> Result<Value, Broken> {
    let items = Fields(bytes).filter_map(|field| match field {
        Ok((1, Content::Bytes(item))) => Some(text(item).map(Value::from)),
        Ok((1, _)) | Err(Broken) => Some(Err(Broken)),
        Ok(_) => None,
    });
    items.collect::<Result<Vec<_>, _>>().map(Value::Array)
}

/// Unix time: seconds and nanoseconds. An empty message is no time.
fn time(bytes: &[u8]) -> Result<Option<Timestamp>, Broken> {
    let (mut seconds, mut nanoseconds) = (None, 0);
    for field in Fields(bytes) {
        match field? {
            (1, Content::Varint(number)) => seconds = Some(number.cast_signed()),
            (2, Content::Varint(number)) => {
                nanoseconds = i32::try_from(number.cast_signed()).map_err(|_| Broken)?;
            }
            _ => {}
        }
    }
    seconds.map(|seconds| Timestamp::new(seconds, nanoseconds).map_err(|_| Broken)).transpose()
}

fn int_or_string(bytes: &[u8]) -> Result<Value, Broken> {
    let (mut is_text, mut number, mut word) = (false, 0, "");
    for field in Fields(bytes) {
        match field? {
            (1, Content::Varint(kind)) => is_text = kind != 0,
            (2, Content::Varint(value)) => number = value.cast_signed(),
            (3, Content::Bytes(bytes)) => word = text(bytes)?,
            _ => {}
        }
    }
    Ok(if is_text { word.into() } else { number.into() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_are_written_as_json_has_them() {
        for (holds, bytes, expected) in [
            (Holds::Time, &[0x08, 1][..], json!("1970-01-01T00:00:01Z")),
            (Holds::Time, &[0x08, 1, 0x10, 7], json!("1970-01-01T00:00:01Z")),
            (Holds::MicroTime, &[0x08, 1, 0x10, 0xd0, 0x0f], json!("1970-01-01T00:00:01.000002Z")),
            (Holds::Time, &[], Value::Null),
            (Holds::Quantity, b"\x0a\x041.5", Value::Null),
            (Holds::Quantity, b"\x0a\x03100", json!("100")),
            (Holds::Quantity, &[], json!("0")),
            (Holds::IntOrString, &[0x08, 0, 0x10, 80], json!(80)),
            (Holds::IntOrString, b"\x08\x01\x10\x00\x1a\x04http", json!("http")),
            (Holds::IntOrString, &[], json!(0)),
            (Holds::Json, b"\x0a\x01{", Value::Null),
            (Holds::Json, b"\x0a\x07{\"a\":1}", json!({"a": 1})),
            (Holds::Texts, b"\x0a\x01a\x0a\x00", json!(["a", ""])),
            (Holds::Bytes, b"hi", json!("aGk=")),
            (Holds::Text, b"\xff", Value::Null),
        ] {
            let read = value(holds, Content::Bytes(bytes)).ok().flatten().unwrap_or(Value::Null);
            assert_eq!(read, expected, "{holds:?} {bytes:?}");
        }
        assert_eq!(value(Holds::Number, Content::Varint(u64::MAX)), Ok(Some(json!(-1))));
        assert_eq!(value(Holds::Truth, Content::Varint(2)), Ok(Some(json!(true))));
        assert_eq!(value(Holds::Number, Content::Bytes(b"1")), Err(Broken));
        assert_eq!(value(Holds::Text, Content::Fixed), Err(Broken));
    }

    #[test]
    fn a_time_beyond_the_calendar_is_broken() {
        let year_of_never = [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert_eq!(value(Holds::Time, Content::Bytes(&year_of_never)), Err(Broken));
    }
}
