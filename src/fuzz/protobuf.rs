//! Objects in protobuf: what nobody knows changes nothing, and what is made of them is in proportion to their size.
//!
//! An input that is no body is the bytes of an object; its first byte says of which kind.

use axum::http::{HeaderMap, HeaderValue, header};
use serde_json::Value;

use crate::api::body;

/// Before the envelope of a body.
const MAGIC: &[u8] = b"k8s\0";
const KINDS: [(&str, &str); 5] =
    [("v1", "Pod"), ("v1", "Node"), ("v1", "Secret"), ("events.k8s.io/v1", "Event"), ("v1", "DeleteOptions")];
/// Field 1000, which no message has, as a number.
const UNKNOWN: &[u8] = &[0xc0, 0x3e, 0x07];

pub(super) fn check(data: &[u8]) {
    if data.starts_with(MAGIC) {
        let _ = parsed(data);
        return;
    }
    let Some((kind, raw)) = data.split_first() else { return };
    let (version, kind) = KINDS[usize::from(*kind) % KINDS.len()];
    let of = |raw: &[u8]| parsed(&sealed(version, kind, raw));
    let Ok(object) = of(raw) else { return };
    assert_eq!((object["apiVersion"].as_str(), object["kind"].as_str()), (Some(version), Some(kind)));
    let text = object.to_string();
    assert!(text.len() <= 64 * raw.len() + 256, "{} bytes became {text}", raw.len());
    assert_eq!(of(&[raw, UNKNOWN].concat()), Ok(object));
}

fn parsed(bytes: &[u8]) -> Result<Value, String> {
    let media_type = HeaderValue::from_static("application/vnd.kubernetes.protobuf");
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, media_type)]);
    body::parse(&headers, bytes).map(|parsed| parsed.value).map_err(|status| status.message)
}

fn sealed(version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let meta = [field(1, version.as_bytes()), field(2, kind.as_bytes())].concat();
    [MAGIC, &field(1, &meta), &field(2, raw)].concat()
}

/// A field of bytes with its length.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let (mut encoded, mut length) = (vec![number << 3 | 2], bytes.len());
    while length > 0x7f {
        encoded.push(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
        length >>= 7;
    }
    encoded.push(u8::try_from(length).unwrap_or_default());
    [&encoded, bytes].concat()
}
