//! OpenAPI 2 as protobuf (`openapi.v2.Document` of gnostic), as far as kubectl before 1.27 reads it: without a schema of a kind it
//! leaves the check of fields to the server, and with the parameter `dryRun` at its patch it sends `--dry-run=server`.

use super::info;
use super::paths::{OF_WRITES, of_object};
use crate::api::resource::Names;

/// The document of these kinds.
pub(super) fn document(names: &[&Names]) -> Vec<u8> {
    let info = info();
    let of_info = |field: &str| info[field].as_str().unwrap_or_default().as_bytes().to_vec();
    let paths = names.iter().map(|names| (2, path(names))).collect();
    message(vec![
        (1, b"2.0".to_vec()),
        (2, message(vec![(1, of_info("title")), (2, of_info("version"))])),
        (8, message(paths)),
    ])
}

/// `NamedPathItem` with the operation `patch`.
fn path(names: &Names) -> Vec<u8> {
    let Names { group, version, kind, .. } = names;
    let kind = format!("group: {group:?}\nversion: {version:?}\nkind: {kind:?}\n");
    let extension = message(vec![
        (1, b"x-kubernetes-group-version-kind".to_vec()),
        (2, message(vec![(2, kind.into_bytes())])),
    ]);
    let mut operation: Vec<Field> = OF_WRITES.iter().map(|name| (8, parameter(name))).collect();
    operation.push((13, extension));
    let item = message(vec![(8, message(operation))]);
    message(vec![(1, of_object(names).into_bytes()), (2, item)])
}

/// `ParametersItem` of a parameter in the query.
fn parameter(name: &str) -> Vec<u8> {
    let query = message(vec![(2, b"query".to_vec()), (4, name.as_bytes().to_vec())]);
    message(vec![(1, message(vec![(2, message(vec![(3, query)]))]))])
}

/// A field that is text or another message, with its number.
type Field = (u8, Vec<u8>);

fn message(fields: Vec<Field>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, content) in fields {
        bytes.push(number << 3 | LENGTH_DELIMITED);
        varint(content.len(), &mut bytes);
        bytes.extend(content);
    }
    bytes
}

/// Its length stands before it.
const LENGTH_DELIMITED: u8 = 2;

fn varint(mut number: usize, bytes: &mut Vec<u8>) {
    while number > 0x7f {
        bytes.push(u8::try_from(number & 0x7f).unwrap_or_default() | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_as_protobuf_writes_them() {
        for (number, expected) in [(0, vec![0]), (127, vec![127]), (128, vec![0x80, 1]), (300, vec![0xac, 2])]
        {
            let mut bytes = Vec::new();
            varint(number, &mut bytes);
            assert_eq!(bytes, expected);
        }
        assert_eq!(message(vec![(1, b"2.0".to_vec())]), b"\x0a\x032.0");
    }
}
