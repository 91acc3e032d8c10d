//! A ConfigMap, as `describe` shows it: text in full, bytes by their number.

use serde_json::Value;

use super::secret::size;
use super::writer::{Writer, fields, shown};

pub(super) fn describe(map: &Value, writer: &mut Writer) {
    writer.metadata(map);
    writer.line(0, "\nData\n====");
    for (key, value) in fields(&map["data"]) {
        writer.line(0, &format!("{key}:\n----\n{}\n", shown(value)));
    }
    writer.line(0, "\nBinaryData\n====");
    for (key, value) in fields(&map["binaryData"]) {
        writer.line(0, &format!("{key}: {} bytes", size(value)));
    }
    writer.line(0, "");
}
