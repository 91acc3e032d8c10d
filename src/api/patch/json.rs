//! JSON Patch, RFC 6902.

use serde_json::Value;

use super::super::status::Status;

/// The API server's own limit.
const MAX_OPERATIONS: usize = 10_000;

pub(super) fn read(bytes: &[u8]) -> Result<json_patch::Patch, Status> {
    let patch: json_patch::Patch = serde_json::from_slice(bytes)
        .map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))?;
    if patch.0.len() > MAX_OPERATIONS {
        let message = format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
            patch.0.len()
        );
        return Err(Status::plain(413, "RequestEntityTooLarge", message));
    }
    Ok(patch)
}

pub(super) fn apply(patch: &json_patch::Patch, mut object: Value) -> Result<Value, Status> {
    json_patch::patch(&mut object, patch).map_err(|error| {
        let mut status =
            Status::plain(422, "Invalid", "the server rejected our request due to an error in our request");
        let cause = super::super::status::Cause { message: error.to_string(), ..Default::default() };
        status.details.causes = vec![cause];
        status
    })?;
    Ok(object)
}
