//! Which form of discovery a client wants: the first of its Accept header that is served here.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::api::status::Status;

/// A form of the aggregated document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `apidiscovery.k8s.io/v2`.
    V2,
    /// `apidiscovery.k8s.io/v2beta1`, which says the same; kubectl 1.26 to 1.29 asks for it.
    V2Beta1,
}

impl Form {
    /// As `apiVersion` has it.
    pub(super) fn version(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::V2Beta1 => "v2beta1",
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Aggregated(Form),
    Plain,
    Neither,
}

/// Answers in the form that the client wants.
pub(super) fn answer(
    headers: &HeaderMap,
    aggregated: impl FnOnce(Form) -> Value,
    plain: impl FnOnce() -> Value,
) -> Response {
    let accept: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    match wanted(&accept.join(",")) {
        Wanted::Plain => Json(plain()).into_response(),
        Wanted::Neither => Status::not_acceptable(&["application/json"]).into_response(),
        Wanted::Aggregated(form) => {
            let mut response = Json(aggregated(form)).into_response();
            let kind = match form {
                Form::V2 => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
                Form::V2Beta1 => "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
            };
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            response
        }
    }
}

fn wanted(accept: &str) -> Wanted {
    let ranges = accept.split(',').map(str::trim).filter(|range| !range.is_empty());
    let mut is_any = true;
    for range in ranges {
        is_any = false;
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        if !matches!(kind, "application/json" | "application/*" | "*/*") {
            continue;
        }
        let parameters: Vec<&str> = parts.filter(|part| !part.starts_with("q=")).collect();
        if !parameters.iter().any(|part| part.starts_with("as=")) {
            return Wanted::Plain;
        }
        let has = |part: &str| parameters.contains(&part);
        if !has("as=APIGroupDiscoveryList") || !has("g=apidiscovery.k8s.io") {
            continue;
        }
        if has("v=v2") {
            return Wanted::Aggregated(Form::V2);
        }
        if has("v=v2beta1") {
            return Wanted::Aggregated(Form::V2Beta1);
        }
    }
    if is_any { Wanted::Plain } else { Wanted::Neither }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_form_that_is_served_is_sent() {
        const V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        const BETA: &str = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
        const V3: &str = "application/json;g=apidiscovery.k8s.io;v=v3;as=APIGroupDiscoveryList";
        const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
        for (accept, expected) in [
            (String::new(), Wanted::Plain),
            ("*/*".to_owned(), Wanted::Plain),
            ("application/json".to_owned(), Wanted::Plain),
            (format!("{V2},{BETA},application/json"), Wanted::Aggregated(Form::V2)),
            (format!("{BETA}, application/json"), Wanted::Aggregated(Form::V2Beta1)),
            (format!("{V3},application/json"), Wanted::Plain),
            (format!("{PROTOBUF},application/json;q=0.9"), Wanted::Plain),
            (PROTOBUF.to_owned(), Wanted::Neither),
        ] {
            assert_eq!(wanted(&accept), expected, "{accept:?}");
        }
    }
}
