//! Health, in the words of kube-apiserver: `ok`, or what of the parts is not.
//!
//! Source: `k8s.io/apiserver/pkg/server/healthz/healthz.go`.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// A part that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Such as `syncloop`.
    pub name: &'static str,
    /// Why it does not work, if it does not.
    pub problem: Option<String>,
}

impl Check {
    /// That the server answers at all.
    pub const PING: Self = Self { name: "ping", problem: None };
}

/// The answer at `/NAME` (`healthz`, `livez`, `readyz`), about these parts; in full when it is asked for, or when one does not work.
pub fn answer(name: &str, checks: &[Check], is_verbose: bool) -> Response {
    let fails = checks.iter().any(|check| check.problem.is_some());
    if !fails && !is_verbose {
        return "ok".into_response();
    }
    let mut text = String::new();
    for check in checks {
        match &check.problem {
            None => text.push_str(&format!("[+]{} ok\n", check.name)),
            Some(problem) => text.push_str(&format!("[-]{} failed: {problem}\n", check.name)),
        }
    }
    let (code, end) = match fails {
        true => (StatusCode::INTERNAL_SERVER_ERROR, "failed"),
        false => (StatusCode::OK, "passed"),
    };
    text.push_str(&format!("{name} check {end}\n"));
    (code, text).into_response()
}
