//! GET of many objects.

use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::super::represent::{ListMeta, json_response};
use super::super::selector::Filter;
use super::super::status::Status;
use super::super::store::{Listing, Store};
use super::{Call, object};

/// Objects of a namespace or of all, those that the selectors let through, in pages if the client wants.
pub(in crate::api) fn list(call: &Call) -> Result<Response, Status> {
    let shape = call.shape()?;
    let filter = Filter::of(&call.parameters, &*call.kind)?;
    let limit = match call.parameters.number("limit")? {
        Some(limit) if limit < 0 => return Err(Status::bad_request("limit must not be negative")),
        limit => limit.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0),
    };
    let token = match call.parameters.text("continue") {
        "" => None,
        text => Some(Continue::decode(text)?),
    };
    let resource = call.kind.stored_as().resource();
    let namespace = Some(call.target.namespace.as_str()).filter(|namespace| !namespace.is_empty());
    let Listing { mut revision, entries } = call.api.store().list(&resource, namespace);
    match &token {
        // What changed since the first page, a watch from there tells.
        Some(token) => revision = token.revision,
        None => check_version(call, revision)?,
    }
    let after = token.map(|token| (token.namespace, token.name)).unwrap_or_default();
    let mut objects = entries
        .iter()
        .filter(|entry| (&entry.key.namespace, &entry.key.name) > (&after.0, &after.1))
        .map(|entry| object(&*call.kind, entry))
        .filter(|object| filter.matches(&*call.kind, object));
    let page: Vec<_> = objects.by_ref().take(limit.unwrap_or(usize::MAX)).collect();
    let rest = if limit.is_some() { objects.count() } else { 0 };
    let next = match page.last() {
        Some(last) if rest > 0 => {
            Continue { revision, namespace: last.namespace().to_owned(), name: last.name().to_owned() }
                .encode()
        }
        _ => String::new(),
    };
    let meta = ListMeta { revision, next, remaining: (rest > 0 && filter.is_empty()).then_some(rest) };
    let value = shape.list(&*call.kind, page.into_iter(), &meta, call.context.now);
    Ok(json_response(StatusCode::OK, value.to_string()))
}

/// Whether what there is now is as new as the client wants it.
fn check_version(call: &Call, revision: u64) -> Result<(), Status> {
    let asked = call.parameters.text("resourceVersion");
    let matching = call.parameters.text("resourceVersionMatch");
    if asked.is_empty() {
        return match matching {
            "" => Ok(()),
            _ => Err(Status::bad_request(
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            )),
        };
    }
    let asked = parse_version(asked)?;
    match matching {
        "" | "NotOlderThan" => not_newer(asked, revision),
        "Exact" if asked == 0 => {
            Err(Status::bad_request("resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\""))
        }
        "Exact" => {
            not_newer(asked, revision)?;
            unchanged_since(call.api.store(), &call.kind.stored_as().resource(), asked)
        }
        other => Err(Status::bad_request(format!(
            "resourceVersionMatch: Unsupported value: {other:?}: supported values: \"Exact\", \"NotOlderThan\""
        ))),
    }
}

/// A resourceVersion as a number; 0 is any.
pub(super) fn parse_version(text: &str) -> Result<u64, Status> {
    text.parse().map_err(|_| {
        Status::bad_request(format!(
            "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
        ))
    })
}

/// 504 for a revision that nobody was ever told, at least not by this store.
pub(super) fn not_newer(asked: u64, latest: u64) -> Result<(), Status> {
    if asked <= latest {
        return Ok(());
    }
    let message = format!("Too large resource version: {asked}, current: {latest}");
    let mut status = Status::plain(504, "Timeout", message);
    status.details.retry_after_seconds = 1;
    status.details.causes = vec![super::super::status::Cause {
        reason: "ResourceVersionTooLarge".to_owned(),
        message: "Too large resource version".to_owned(),
        field: String::new(),
    }];
    Err(status)
}

/// An older state is the present one as long as nothing has changed.
fn unchanged_since(store: &Store, resource: &str, asked: u64) -> Result<(), Status> {
    match store.changes(resource, asked) {
        Ok((events, _)) if events.is_empty() => Ok(()),
        _ => Err(Status::expired("The resourceVersion for the provided list is too old.")),
    }
}

/// Where the next page begins, as a client carries it without looking into it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Continue {
    /// Of the first page.
    #[serde(rename = "rv")]
    revision: u64,
    /// The last object that was sent.
    #[serde(rename = "ns")]
    namespace: String,
    #[serde(rename = "n")]
    name: String,
}

impl Continue {
    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn decode(text: &str) -> Result<Self, Status> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        let token = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        token.ok_or_else(|| Status::bad_request("continue key is not valid: cannot be decoded"))
    }
}
