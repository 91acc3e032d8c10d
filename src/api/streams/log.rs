//! `log`: what a container has printed.
//!
//! Source: `ValidatePodLogOptions` in Kubernetes' `pkg/apis/core/validation/validation.go`.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};

use super::{LogOptions, LogStream, PodStreams, container};
use crate::api::object::Object;
use crate::api::request::Parameters;
use crate::api::status::{FieldError, Status};

/// A field that is none, in messages about several.
const WHOLE: &str = "[]";

/// Answers a request with the log, for as long as the client follows it.
pub async fn serve(
    pod: &Object,
    parameters: &Parameters,
    streams: Arc<dyn PodStreams>,
) -> Result<Response, Status> {
    let options = options(pod, parameters, Timestamp::now())?;
    let container = container::choose(pod, parameters.text("container"))?;
    let lines = streams.log(container, options).await?;
    let mut response = Body::from_stream(lines).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

/// What a query asks for, or everything that is wrong with it.
fn options(pod: &Object, parameters: &Parameters, now: Timestamp) -> Result<LogOptions, Status> {
    let mut errors = Vec::new();
    let tail_lines = parameters.number("tailLines")?;
    if let Some(lines) = tail_lines.filter(|lines| *lines < 0) {
        errors.push(FieldError::invalid("tailLines", lines, "must be greater than or equal to 0"));
    }
    let limit_bytes = positive(parameters, "limitBytes", &mut errors)?;
    let since_time = match parameters.text("sinceTime") {
        "" => None,
        text => Some(text.parse::<Timestamp>().map_err(|_| {
            Status::bad_request(format!(
                "parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse it"
            ))
        })?),
    };
    let since_seconds = match (parameters.number("sinceSeconds")?, since_time) {
        (Some(_), Some(_)) => {
            let why = "at most one of `sinceTime` or `sinceSeconds` may be specified";
            errors.push(FieldError::forbidden(WHOLE, why));
            None
        }
        _ => positive(parameters, "sinceSeconds", &mut errors)?,
    };
    let stream = stream(parameters.text("stream"), tail_lines.is_some(), &mut errors);
    if !errors.is_empty() {
        return Err(invalid(pod.name(), &errors));
    }
    let ago = |seconds: u64| {
        let ago = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
        now.checked_sub(ago).unwrap_or(Timestamp::MIN)
    };
    Ok(LogOptions {
        follow: parameters.flag("follow"),
        previous: parameters.flag("previous"),
        since: since_time.or(since_seconds.map(ago)),
        timestamps: parameters.flag("timestamps"),
        tail_lines: tail_lines.and_then(|lines| u64::try_from(lines).ok()),
        limit_bytes,
        stream,
    })
}

fn positive(
    parameters: &Parameters,
    name: &str,
    errors: &mut Vec<FieldError>,
) -> Result<Option<u64>, Status> {
    let number = parameters.number(name)?;
    if let Some(number) = number.filter(|number| *number < 1) {
        errors.push(FieldError::invalid(name, number, "must be greater than 0"));
    }
    Ok(number.and_then(|number| u64::try_from(number).ok()))
}

fn stream(name: &str, has_tail: bool, errors: &mut Vec<FieldError>) -> LogStream {
    let stream = match name {
        "" | "All" => return LogStream::All,
        "Stdout" => LogStream::Stdout,
        "Stderr" => LogStream::Stderr,
        other => {
            errors.push(FieldError::not_supported("stream", other, &["All", "Stderr", "Stdout"]));
            LogStream::All
        }
    };
    if has_tail {
        let why = "`tailLines` and specific `stream` are mutually exclusive for now";
        errors.push(FieldError::forbidden(WHOLE, why));
    }
    stream
}

/// 422, about options that have no kind of their own here.
fn invalid(pod: &str, errors: &[FieldError]) -> Status {
    let words: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let list = if let [one] = words.as_slice() { one.clone() } else { format!("[{}]", words.join(", ")) };
    let mut status = Status::plain(422, "Invalid", format!("PodLogOptions {pod:?} is invalid: {list}"));
    status.details.name = pod.to_owned();
    status.details.kind = "PodLogOptions".to_owned();
    status.details.causes = errors.iter().map(FieldError::cause).collect();
    status
}
