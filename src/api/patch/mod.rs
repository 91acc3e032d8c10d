//! Patches: what an object becomes when somebody says only what is to change. Pure; one file per type of patch.

use axum::http::HeaderMap;
use serde_json::Value;

use super::body;
use super::status::Status;

mod json;
mod merge_keys;
mod strategic;

/// The media types of patches.
const TYPES: [&str; 3] =
    ["application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json"];

/// A patch that has been read.
#[derive(Debug, Clone, PartialEq)]
pub enum Patch {
    /// A list of operations (RFC 6902).
    Json(json_patch::Patch),
    /// The members that change (RFC 7386).
    Merge(Value),
    /// Likewise, with lists that are merged by the keys of their elements.
    Strategic(Value),
}

impl Patch {
    /// Reads a body as the patch that its media type says it is.
    pub fn read(headers: &HeaderMap, bytes: &[u8]) -> Result<Self, Status> {
        let object = || {
            let value = body::parse_json(bytes)?.value;
            if value.is_object() {
                Ok(value)
            } else {
                Err(Status::bad_request("error decoding patch: json: cannot unmarshal into an object"))
            }
        };
        match body::media_type(headers).as_str() {
            "application/json-patch+json" => json::read(bytes).map(Self::Json),
            "application/merge-patch+json" => object().map(Self::Merge),
            "application/strategic-merge-patch+json" => object().map(Self::Strategic),
            _ => Err(Status::unsupported_media_type(&TYPES)),
        }
    }

    /// What the patch makes of an object.
    pub fn apply(&self, mut object: Value) -> Result<Value, Status> {
        match self {
            Self::Json(patch) => json::apply(patch, object),
            Self::Merge(patch) => {
                json_patch::merge(&mut object, patch);
                Ok(object)
            }
            Self::Strategic(patch) => strategic::apply(patch, object).map_err(Status::bad_request),
        }
    }
}

#[cfg(test)]
mod tests;
