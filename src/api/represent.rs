//! In which shape objects are sent: as they are, as rows of a table, or only their metadata. The client's Accept header says which.
//!
//! Source: `k8s.io/apiserver/pkg/endpoints/handlers/negotiation`, `handlers/response.go`.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::object::Object;
use super::resource::Resource;
use super::status::Status;
use super::yaml;

/// What can be sent.
const MEDIA_TYPES: [&str; 2] = ["application/json", "application/yaml"];

/// What a client wants to see of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// All of them.
    Whole,
    /// A table's rows.
    Table(InRow),
    /// Their metadata.
    Metadata,
}

/// In which format answers are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `application/json`
    Json,
    /// `application/yaml`
    Yaml,
}

impl Format {
    /// That of the first clause of the headers that can be had; JSON where there is none.
    pub fn negotiate(headers: &HeaderMap) -> Self {
        let clauses = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let wanted = clauses.flat_map(|value| value.split(',')).find(|clause| shape_of(clause).is_some());
        match wanted.map(media_type).as_deref() {
            Some("application/yaml") => Self::Yaml,
            _ => Self::Json,
        }
    }

    /// Refuses a stream of objects in a format that has none.
    pub fn streams(self) -> Result<(), Status> {
        match self {
            Self::Json => Ok(()),
            Self::Yaml => Err(Status::not_acceptable(&["application/json"])),
        }
    }

    /// An answer in JSON, in this format.
    pub async fn of(self, answer: Response) -> Response {
        let is_json =
            answer.headers().get(header::CONTENT_TYPE).is_some_and(|value| value == "application/json");
        if self == Self::Json || !is_json {
            return answer;
        }
        let (mut parts, body) = answer.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.map_err(|error| error.to_string());
        let value = bytes
            .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).map_err(|error| error.to_string()));
        match value {
            Ok(value) => {
                let text = yaml::of(&value);
                parts.headers.remove(header::CONTENT_LENGTH);
                parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/yaml"));
                Response::from_parts(parts, text.into())
            }
            Err(why) => Status::internal(why).into_response(),
        }
    }
}

/// What a row has of its object, beside the cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InRow {
    /// Its metadata.
    Metadata,
    /// All of it.
    Object,
    /// Nothing.
    Nothing,
}

/// What a list says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListMeta {
    /// At which revision it holds.
    pub revision: u64,
    /// Where the next page begins; `""` when there is none.
    pub next: String,
    /// How many are left for the next pages, if that is known.
    pub remaining: Option<usize>,
}

impl Shape {
    /// What the headers ask for, and the parameter `includeObject`.
    pub fn negotiate(headers: &HeaderMap, include_object: &str) -> Result<Self, Status> {
        let accept: Vec<&str> =
            headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
        if accept.iter().all(|value| value.trim().is_empty()) {
            return Ok(Self::Whole);
        }
        let clauses = accept.iter().flat_map(|value| value.split(','));
        let mut wanted = clauses.filter_map(shape_of);
        match wanted.next() {
            Some(Self::Table(_)) => Ok(Self::Table(match include_object {
                "" | "Metadata" => InRow::Metadata,
                "Object" => InRow::Object,
                "None" => InRow::Nothing,
                other => {
                    return Err(Status::bad_request(format!("unrecognized includeObject value: {other:?}")));
                }
            })),
            Some(shape) => Ok(shape),
            None => Err(Status::not_acceptable(&MEDIA_TYPES)),
        }
    }

    /// One object.
    pub fn object(self, kind: &dyn Resource, object: Object, now: Timestamp, columns: bool) -> Value {
        match self {
            Self::Whole => object.into_value(),
            Self::Metadata => metadata_of(&object),
            Self::Table(in_row) => {
                let metadata = json!({"resourceVersion": object.resource_version()});
                table(kind, columns, metadata, vec![row(kind, object, in_row, now)])
            }
        }
    }

    /// Many objects.
    pub fn list(
        self,
        kind: &dyn Resource,
        objects: impl Iterator<Item = Object>,
        meta: &ListMeta,
        now: Timestamp,
    ) -> Value {
        let mut metadata = json!({"resourceVersion": meta.revision.to_string()});
        if !meta.next.is_empty() {
            metadata["continue"] = meta.next.as_str().into();
        }
        if let Some(remaining) = meta.remaining {
            metadata["remainingItemCount"] = remaining.into();
        }
        let names = kind.names();
        match self {
            Self::Whole => json!({
                "kind": format!("{}List", names.kind), "apiVersion": names.api_version(), "metadata": metadata,
                "items": objects.map(Object::into_value).collect::<Vec<_>>(),
            }),
            Self::Metadata => json!({
                "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
                "items": objects.map(|object| metadata_of(&object)).collect::<Vec<_>>(),
            }),
            Self::Table(in_row) => {
                table(kind, true, metadata, objects.map(|object| row(kind, object, in_row, now)).collect())
            }
        }
    }
}

/// An answer in JSON.
pub fn json_response(code: StatusCode, json: impl Into<Body>) -> Response {
    (code, [(header::CONTENT_TYPE, "application/json")], json.into()).into_response()
}

/// What one clause of an Accept header asks for, if it can be had.
fn shape_of(clause: &str) -> Option<Shape> {
    if !matches!(
        media_type(clause).as_str(),
        "application/json" | "application/yaml" | "application/*" | "*/*"
    ) {
        return None;
    }
    let parts = clause.split(';').skip(1).map(str::trim);
    let (mut kind, mut group, mut version) = ("", "", "");
    for (name, value) in parts.filter_map(|parameter| parameter.split_once('=')) {
        match name.trim() {
            "as" => kind = value.trim(),
            "g" => group = value.trim(),
            "v" => version = value.trim(),
            _ => {}
        }
    }
    if kind.is_empty() {
        return Some(Shape::Whole);
    }
    if group != "meta.k8s.io" || !matches!(version, "v1" | "v1beta1") {
        return None;
    }
    match kind {
        "Table" => Some(Shape::Table(InRow::Metadata)),
        "PartialObjectMetadata" | "PartialObjectMetadataList" => Some(Shape::Metadata),
        _ => None,
    }
}

/// That of one clause, without parameters and in lower case.
fn media_type(clause: &str) -> String {
    clause.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn table(kind: &dyn Resource, columns: bool, metadata: Value, rows: Vec<Value>) -> Value {
    let columns = if columns { json!(kind.columns()) } else { Value::Null };
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": columns, "rows": rows,
    })
}

fn row(kind: &dyn Resource, object: Object, in_row: InRow, now: Timestamp) -> Value {
    let cells = kind.row(&object, now);
    match in_row {
        InRow::Metadata => json!({"cells": cells, "object": metadata_of(&object)}),
        InRow::Object => json!({"cells": cells, "object": object.into_value()}),
        InRow::Nothing => json!({"cells": cells}),
    }
}

fn metadata_of(object: &Object) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": object.get("metadata").cloned().unwrap_or_else(|| json!({})),
    })
}

#[cfg(test)]
mod tests {
    use super::super::kinds::config_map::ConfigMaps;
    use super::*;

    fn negotiate(accept: &str) -> Result<Shape, u16> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        Shape::negotiate(&headers, "").map_err(|status| status.code)
    }

    #[test]
    fn the_first_clause_that_can_be_had_is_taken() {
        const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
        for (accept, expected) in [
            ("", Ok(Shape::Whole)),
            ("*/*", Ok(Shape::Whole)),
            ("application/json, */*", Ok(Shape::Whole)),
            (TABLE, Ok(Shape::Table(InRow::Metadata))),
            (
                &format!("application/vnd.kubernetes.protobuf, {TABLE},application/json"),
                Ok(Shape::Table(InRow::Metadata)),
            ),
            ("application/json;as=Chair;v=v1;g=meta.k8s.io,application/json", Ok(Shape::Whole)),
            ("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", Ok(Shape::Metadata)),
            ("application/vnd.kubernetes.protobuf,application/json", Ok(Shape::Whole)),
            ("application/vnd.kubernetes.protobuf", Err(406)),
            ("application/yaml;as=Table;v=v1;g=meta.k8s.io", Ok(Shape::Table(InRow::Metadata))),
            ("text/html", Err(406)),
        ] {
            assert_eq!(negotiate(accept), expected, "{accept}");
        }
    }

    #[test]
    fn a_table_has_columns_rows_and_what_a_client_needs_to_find_the_objects() {
        let object = Object::from_value(json!({
            "kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a", "resourceVersion": "7"}, "data": {"x": "y"},
        }))
        .unwrap();
        let now = Timestamp::UNIX_EPOCH;
        let table = Shape::Table(InRow::Metadata).object(&ConfigMaps, object.clone(), now, true);
        assert_eq!(table["metadata"], json!({"resourceVersion": "7"}));
        assert_eq!(table["columnDefinitions"][0]["format"], "name");
        assert_eq!(table["rows"][0]["cells"][0], "a");
        assert_eq!(
            table["rows"][0]["object"],
            json!({
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                "metadata": {"name": "a", "resourceVersion": "7"},
            })
        );
        let meta = ListMeta { revision: 9, next: "n".into(), remaining: Some(3) };
        let list = Shape::Whole.list(&ConfigMaps, [object].into_iter(), &meta, now);
        assert_eq!(list["kind"], "ConfigMapList");
        assert_eq!(
            list["metadata"],
            json!({"resourceVersion": "9", "continue": "n", "remainingItemCount": 3})
        );
    }
}
