//! `Status`: how a request failed, in the API server's words.

use std::fmt;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::resource::Names;

mod field_error;

pub use field_error::{FieldError, FieldReason};

/// A request's failure, as it is sent. What kubectl prints is `Error from server (REASON): MESSAGE`.
///
/// Source: `k8s.io/apimachinery/pkg/api/errors` and `meta/v1` Status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    /// HTTP's.
    pub code: u16,
    /// In Kubernetes' words, such as `NotFound`; `""` when there is none.
    pub reason: &'static str,
    /// For a person.
    pub message: String,
    /// For a program.
    pub details: Box<Details>,
}

/// What a failure was about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Details {
    /// Of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Of its kind.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The resource, such as `pods`; of a 422 the kind, such as `Pod`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Each thing that is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// When to try again; 0 is no advice.
    #[serde(skip_serializing_if = "is_zero")]
    pub retry_after_seconds: u32,
}

/// One thing that is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cause {
    /// Such as `FieldValueInvalid`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// For a person.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Such as `spec.containers[0].name`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

impl Status {
    /// 404: there is no such object.
    pub fn not_found(names: &Names, name: &str) -> Self {
        Self::of(404, "NotFound", names, name, format!("{} {name:?} not found", names.resource()))
    }

    /// 404: there is no such path.
    pub fn no_such_path() -> Self {
        Self::plain(404, "NotFound", "the server could not find the requested resource")
    }

    /// 409: there is one of this name.
    pub fn already_exists(names: &Names, name: &str) -> Self {
        Self::of(409, "AlreadyExists", names, name, format!("{} {name:?} already exists", names.resource()))
    }

    /// 409: it is not what the writer took it for.
    pub fn conflict(names: &Names, name: &str, why: impl fmt::Display) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", names.resource());
        Self::of(409, "Conflict", names, name, message)
    }

    /// 409: somebody else has written it meanwhile.
    pub fn stale(names: &Names, name: &str) -> Self {
        const WHY: &str =
            "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(names, name, WHY)
    }

    /// 403.
    pub fn forbidden(names: &Names, name: &str, why: impl fmt::Display) -> Self {
        let message = match name {
            "" => format!("{} is forbidden: {why}", names.resource()),
            name => format!("{} {name:?} is forbidden: {why}", names.resource()),
        };
        Self::of(403, "Forbidden", names, name, message)
    }

    /// 422: everything that is wrong with an object.
    pub fn invalid(names: &Names, name: &str, errors: &[FieldError]) -> Self {
        let words: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let list = if let [one] = words.as_slice() { one.clone() } else { format!("[{}]", words.join(", ")) };
        let qualified = match names.group {
            "" => names.kind.to_owned(),
            group => format!("{}.{group}", names.kind),
        };
        let causes = errors.iter().map(FieldError::cause).collect();
        let details = Details {
            name: name.to_owned(),
            group: names.group.to_owned(),
            kind: names.kind.to_owned(),
            causes,
            ..Details::default()
        };
        let message = format!("{qualified} {name:?} is invalid: {list}");
        Self { details: Box::new(details), ..Self::plain(422, "Invalid", message) }
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::plain(400, "BadRequest", message)
    }

    /// 405: the resource is there, and cannot do this.
    pub fn method_not_allowed(names: Option<&Names>) -> Self {
        let mut status = Self::plain(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        );
        if let Some(names) = names {
            status.details.group = names.group.to_owned();
            status.details.kind = names.plural.to_owned();
        }
        status
    }

    /// 406: nothing that the client accepts can be sent.
    pub fn not_acceptable(accepted: &[&str]) -> Self {
        let message = format!("only the following media types are accepted: {}", accepted.join(", "));
        Self::plain(406, "NotAcceptable", message)
    }

    /// 415: the body is in no format that is understood here.
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::plain(415, "UnsupportedMediaType", message)
    }

    /// 410: history does not go that far back.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::plain(410, "Expired", message)
    }

    /// 413: the body is longer than `limit` bytes.
    pub fn too_large(limit: usize) -> Self {
        Self::plain(413, "RequestEntityTooLarge", format!("Request entity too large: limit is {limit}"))
    }

    /// 408: the client took its time.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::plain(408, "Timeout", message)
    }

    /// 429.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        let mut status = Self::plain(429, "TooManyRequests", message);
        status.details.retry_after_seconds = retry_after_seconds;
        status
    }

    /// 503: what would answer is not there.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::plain(503, "ServiceUnavailable", message)
    }

    /// 507: the disk is full.
    pub fn no_room(message: impl Into<String>) -> Self {
        Self::plain(507, "InsufficientStorage", message)
    }

    /// 500: our own fault.
    pub fn internal(error: impl fmt::Display) -> Self {
        let mut status = Self::plain(500, "InternalError", format!("Internal error occurred: {error}"));
        status.details.causes = vec![Cause { message: error.to_string(), ..Cause::default() }];
        status
    }

    /// Any failure that is not about one object.
    pub fn plain(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: Box::default() }
    }

    /// As JSON, in the order of the API server's fields.
    pub fn to_json(&self) -> serde_json::Value {
        let mut json = serde_json::json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message,
        });
        if !self.reason.is_empty() {
            json["reason"] = self.reason.into();
        }
        let details = serde_json::to_value(&self.details).unwrap_or_default();
        if details.as_object().is_some_and(|details| !details.is_empty()) {
            json["details"] = details;
        }
        json["code"] = self.code.into();
        json
    }

    fn of(code: u16, reason: &'static str, names: &Names, name: &str, message: String) -> Self {
        let details = Details {
            name: name.to_owned(),
            group: names.group.to_owned(),
            kind: names.plural.to_owned(),
            ..Details::default()
        };
        Self { code, reason, message, details: Box::new(details) }
    }
}

impl IntoResponse for Status {
    fn into_response(self) -> Response {
        let code = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response =
            (code, [(header::CONTENT_TYPE, "application/json")], self.to_json().to_string()).into_response();
        if self.details.retry_after_seconds > 0 {
            response.headers_mut().insert(header::RETRY_AFTER, self.details.retry_after_seconds.into());
        }
        response
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests;
