//! A Secret, as `describe` shows it: never its values, but for the token of a service account.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::writer::{Writer, fields};

pub(super) fn describe(secret: &Value, writer: &mut Writer) {
    writer.metadata(secret);
    let kind = secret["type"].as_str().unwrap_or_default();
    writer.line(0, &format!("\nType:\t{kind}\n\nData\n===="));
    for (key, value) in fields(&secret["data"]) {
        if key == "token" && kind == "kubernetes.io/service-account-token" {
            writer.field(0, key, String::from_utf8_lossy(&bytes(value)));
        } else {
            writer.field(0, key, format_args!("{} bytes", size(value)));
        }
    }
}

/// The number of bytes that a value stands for.
pub(super) fn size(value: &Value) -> usize {
    bytes(value).len()
}

fn bytes(value: &Value) -> Vec<u8> {
    value.as_str().and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default()
}
