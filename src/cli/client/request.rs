//! One request to the API with a JSON answer. Warnings that come with it go to stderr, as kubectl's do.

use http::{HeaderMap, Method, Request, header};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use kube::core::Status;
use serde_json::Value;

use super::failure::{remark, told};

/// A body of this type.
pub(in crate::cli) const JSON: &str = "application/json";

/// A patch whose lists are merged by key.
pub(in crate::cli) const STRATEGIC_MERGE: &str = "application/strategic-merge-patch+json";

/// A patch as RFC 7396 has it.
pub(in crate::cli) const MERGE: &str = "application/merge-patch+json";

/// A patch as RFC 6902 has it.
pub(in crate::cli) const JSON_PATCH: &str = "application/json-patch+json";

/// Reads an object, or a list.
pub(in crate::cli) async fn get(client: &Client, path: &str) -> Result<Value, kube::Error> {
    ask(client, Method::GET, path, JSON, None).await
}

/// Sends a request and takes the answer. A failure of the server is [`kube::Error::Api`].
pub(in crate::cli) async fn ask(
    client: &Client,
    method: Method,
    path: &str,
    content_type: &str,
    body: Option<&Value>,
) -> Result<Value, kube::Error> {
    let body = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::ACCEPT, JSON)
        .header(header::CONTENT_TYPE, content_type)
        .body(Body::from(body))
        .map_err(kube::Error::HttpError)?;
    let (head, body) = client.send(request).await?.into_parts();
    warnings(&head.headers).for_each(|text| remark(&format!("Warning: {text}")));
    let bytes = body.collect().await?.to_bytes();
    if head.status.is_success() {
        return serde_json::from_slice(&bytes).map_err(kube::Error::SerdeError);
    }
    let status = serde_json::from_slice(&bytes).unwrap_or_else(|_| Status {
        code: head.status.as_u16(),
        message: String::from_utf8_lossy(&bytes).trim_end().to_owned(),
        ..Status::default()
    });
    Err(kube::Error::Api(Box::new(Status { code: head.status.as_u16(), ..status })))
}

/// Sends a request to a path as it was given (`--raw`), with this body if there is one; gives the answer as it is.
pub(in crate::cli) async fn raw(
    client: &Client,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> anyhow::Result<String> {
    let request = Request::builder().method(method).uri(path);
    let request = if body.is_empty() { request } else { request.header(header::CONTENT_TYPE, JSON) };
    client.request_text(request.body(body)?).await.map_err(told)
}

/// The texts of `299 - "text"` (RFC 7234).
fn warnings(headers: &HeaderMap) -> impl Iterator<Item = String> {
    headers.get_all(header::WARNING).into_iter().filter_map(|value| {
        let quoted = value.to_str().ok()?.strip_prefix("299 ")?.split_once(' ')?.1;
        let text = quoted.trim().strip_prefix('"')?.strip_suffix('"')?;
        Some(text.replace("\\\"", "\"").replace("\\\\", "\\"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_read_as_they_are_written() {
        let mut headers = HeaderMap::new();
        for value in [r#"299 - "unknown field \"spec.x\"""#, "199 - \"old\"", "nonsense"] {
            headers.append(header::WARNING, value.parse().unwrap());
        }
        assert_eq!(warnings(&headers).collect::<Vec<_>>(), ["unknown field \"spec.x\""]);
    }
}
