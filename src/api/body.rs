//! Bodies of requests: bounded in size and time, JSON, YAML or protobuf, and what is there twice is noticed.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use serde_json::Value;

use super::status::Status;

mod json;
mod protobuf;

/// Bytes of a request. The API server's own limit.
pub const MAX_BYTES: usize = 3 << 20;
/// How long a client may take to send them.
const MAX_TIME: Duration = Duration::from_secs(60);
/// What an object may come as.
pub const OBJECT_TYPES: [&str; 3] = ["application/json", "application/yaml", PROTOBUF];

/// As clients of Go send objects that they have types of.
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// What a body says.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The value; of what is there twice the last, as Go has it.
    pub value: Value,
    /// Paths of fields that are there twice.
    pub duplicates: Vec<String>,
}

/// Reads a body to its end.
pub async fn read(body: Body) -> Result<Bytes, Status> {
    match tokio::time::timeout(MAX_TIME, to_bytes(body, MAX_BYTES)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            let too_long = cause.contains("length limit");
            Err(if too_long { Status::too_large(MAX_BYTES) } else { Status::bad_request(error.to_string()) })
        }
        Err(_) => Err(Status::timeout("the request body did not arrive in time")),
    }
}

/// The media type of a body, without parameters and in lower case.
pub fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// An object's body. Nothing said about its type is JSON.
pub fn parse(headers: &HeaderMap, bytes: &[u8]) -> Result<Parsed, Status> {
    match media_type(headers).as_str() {
        "" | "application/json" => parse_json(bytes),
        "application/yaml" => parse_yaml(bytes),
        PROTOBUF => parse_protobuf(bytes),
        _ => Err(Status::unsupported_media_type(&OBJECT_TYPES)),
    }
}

/// A body that is JSON.
pub fn parse_json(bytes: &[u8]) -> Result<Parsed, Status> {
    json::parse(bytes).map_err(|error| Status::bad_request(format!("invalid JSON: {error}")))
}

/// A body that is protobuf in Kubernetes' envelope.
fn parse_protobuf(bytes: &[u8]) -> Result<Parsed, Status> {
    let value = protobuf::parse(bytes).map_err(|error| Status::bad_request(error.to_string()))?;
    Ok(Parsed { value, duplicates: Vec::new() })
}

/// A body that is YAML of one document.
pub fn parse_yaml(bytes: &[u8]) -> Result<Parsed, Status> {
    let text = std::str::from_utf8(bytes).map_err(|error| Status::bad_request(error.to_string()))?;
    let (value, duplicates) = crate::pod::yaml_to_json(text)
        .map_err(|why| Status::bad_request(format!("error converting YAML to JSON: {why}")))?;
    Ok(Parsed { value, duplicates })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::stream;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_is_given_up() {
        let drops = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            Some((Ok::<_, Infallible>(Bytes::from_static(b" ")), ()))
        });
        let began = tokio::time::Instant::now();
        let refused = read(Body::from_stream(drops)).await.unwrap_err();
        assert_eq!((refused.code, refused.reason), (408, "Timeout"));
        assert_eq!(began.elapsed().as_secs(), MAX_TIME.as_secs());
    }
}
