//! Errors in kubectl's words, and an exit status that remembers whether there was one.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use hyper_util::client::legacy;
use kube::core::Status;
use kube::core::response::StatusDetails;

/// What the server said, as kubectl says it: `Error from server (NotFound): pods "x" not found`.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(in crate::cli) struct Told(String);

/// An end with this exit status, after everything was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("exit status {0}")]
pub(in crate::cli) struct Exit(pub(in crate::cli) u8);

/// An error of the client, as one for people to read.
pub(in crate::cli) fn told(error: kube::Error) -> anyhow::Error {
    match error {
        kube::Error::Api(status) => Told(words(&status)).into(),
        other => anyhow::Error::new(other),
    }
}

/// The same, of a request that `what` tells: `error when creating "pod.yaml"`.
pub(in crate::cli) fn told_when(what: &str, error: kube::Error) -> anyhow::Error {
    match error {
        kube::Error::Api(mut status) => {
            status.message = format!("{what}: {}", status.message);
            Told(words(&status)).into()
        }
        other => anyhow::Error::new(other).context(what.to_owned()),
    }
}

/// Whether the server answered with this code.
pub(in crate::cli) fn is_code(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

/// `checkErr` of kubectl's pkg/cmd/util/helpers.go.
fn words(status: &Status) -> String {
    match (status.reason.as_str(), &status.details) {
        ("Invalid", Some(details)) => invalid(details, &status.message),
        ("Unauthorized", _) => format!("error: You must be logged in to the server ({})", status.message),
        ("", _) => format!("Error from server: {}", status.message),
        (reason, _) => format!("Error from server ({reason}): {}", status.message),
    }
}

fn invalid(details: &StatusDetails, message: &str) -> String {
    let what = if details.kind.is_empty() && details.name.is_empty() {
        "The request is invalid".to_owned()
    } else {
        format!("The {} {:?} is invalid", details.kind, details.name)
    };
    let mut causes: Vec<String> = Vec::new();
    for cause in &details.causes {
        let cause = format!("{}: {}", cause.field, cause.message);
        if !causes.contains(&cause) {
            causes.push(cause);
        }
    }
    match causes.as_slice() {
        [] if details.kind.is_empty() && details.name.is_empty() => format!("{what}: {message}"),
        [] => what,
        [one] => format!("{what}: {one}"),
        several => several.iter().fold(format!("{what}: "), |mut text, cause| {
            let _ = write!(text, "\n* {cause}");
            text
        }),
    }
}

/// The line or lines of an error: what a server said as it is, all else after `error: `.
pub(in crate::cli) fn lines(error: &anyhow::Error) -> String {
    match error.downcast_ref::<Told>() {
        Some(told) => told.to_string(),
        None => format!("error: {}", lost(error).map_or_else(|| format!("{error:#}"), str::to_owned)),
    }
}

/// What has become of a connection, if an error is about one. All who have carried it up have put words before it.
fn lost(error: &anyhow::Error) -> Option<&'static str> {
    let is_of_connection =
        error.chain().any(|cause| cause.is::<hyper::Error>() || cause.is::<legacy::Error>());
    let of = |cause: &(dyn std::error::Error + 'static)| match cause.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => Some("unexpected EOF"),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
            Some("the connection to the agent was refused: is `mkubelet agent` running?")
        }
        _ => None,
    };
    if is_of_connection { error.chain().find_map(of) } else { None }
}

/// Says something on stderr.
pub(in crate::cli) fn remark(text: &str) {
    // Nobody reads: nobody to tell.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// What has become of the objects of one command. The rest is done when one fails.
#[derive(Debug, Default)]
pub(in crate::cli) struct Tally {
    failed: bool,
}

impl Tally {
    /// Tells an error, and gives what there is.
    pub(in crate::cli) fn note<T>(&mut self, result: anyhow::Result<T>) -> Option<T> {
        result
            .inspect_err(|error| {
                self.failed = true;
                remark(&lines(error));
            })
            .ok()
    }

    /// Whether nothing has failed.
    pub(in crate::cli) fn is_clean(&self) -> bool {
        !self.failed
    }

    /// 0, or 1 when something failed.
    pub(in crate::cli) fn exit_code(&self) -> ExitCode {
        if self.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(status: serde_json::Value) -> String {
        let status: Status = serde_json::from_value(status).unwrap();
        lines(&told_when("error when creating \"f.yaml\"", kube::Error::Api(Box::new(status))))
    }

    #[test]
    fn what_a_server_refuses_is_told_as_kubectl_tells_it() {
        let cause = |field: &str| json!({"reason": "FieldValueRequired", "message": "Required value", "field": field});
        let invalid = |causes: Vec<serde_json::Value>| json!({"reason": "Invalid", "code": 422, "message": "m", "details": {"kind": "Pod", "name": "x", "causes": causes}});
        for (status, expected) in [
            (
                json!({"reason": "AlreadyExists", "code": 409, "message": "pods \"x\" already exists"}),
                "Error from server (AlreadyExists): error when creating \"f.yaml\": pods \"x\" already exists",
            ),
            (json!({"code": 500, "message": "m"}), "Error from server: error when creating \"f.yaml\": m"),
            (invalid(vec![]), "The Pod \"x\" is invalid"),
            (invalid(vec![cause("a"), cause("a")]), "The Pod \"x\" is invalid: a: Required value"),
            (
                invalid(vec![cause("a"), cause("b")]),
                "The Pod \"x\" is invalid: \n* a: Required value\n* b: Required value",
            ),
        ] {
            assert_eq!(shown(status), expected);
        }
    }

    #[test]
    fn what_fails_on_this_side_is_an_error() {
        assert_eq!(lines(&anyhow::anyhow!("inner").context("outer")), "error: outer: inner");
    }
}
