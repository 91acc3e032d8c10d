//! How a call failed: from headers or trailers, to Go's words.

use std::fmt;

use http::{HeaderMap, StatusCode};

/// What a call failed with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) code: u32,
    pub(super) message: String,
}

/// The codes of <https://github.com/grpc/grpc/blob/master/doc/statuscodes.md>, by number, as Go prints them.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

const UNKNOWN: u32 = 2;
pub(super) const DEADLINE_EXCEEDED: u32 = 4;
const PERMISSION_DENIED: u32 = 7;
pub(super) const UNIMPLEMENTED: u32 = 12;
pub(super) const INTERNAL: u32 = 13;
pub(super) const UNAVAILABLE: u32 = 14;
const UNAUTHENTICATED: u32 = 16;

impl Status {
    /// What headers or trailers say; `None` when they say nothing.
    pub(super) fn of(headers: &HeaderMap) -> Option<Result<(), Self>> {
        let text = |name| Some(String::from_utf8_lossy(headers.get(name)?.as_bytes()).into_owned());
        let code = text("grpc-status")?.parse().unwrap_or(UNKNOWN);
        let message = text("grpc-message").map(|message| percent_decoded(&message)).unwrap_or_default();
        Some(if code == 0 { Ok(()) } else { Err(Self { code, message }) })
    }

    /// What HTTP says where gRPC should: <https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>
    pub(super) fn of_http(status: StatusCode) -> Self {
        let code = match status.as_u16() {
            400 => INTERNAL,
            401 => UNAUTHENTICATED,
            403 => PERMISSION_DENIED,
            404 => UNIMPLEMENTED,
            429 | 502 | 503 | 504 => UNAVAILABLE,
            _ => UNKNOWN,
        };
        Self { code, message: format!("unexpected HTTP status code received from server: {status}") }
    }
}

/// As Go prints it.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = usize::try_from(self.code).ok().and_then(|code| CODES.get(code));
        match name {
            Some(name) => write!(f, "rpc error: code = {name} desc = {}", self.message),
            None => write!(f, "rpc error: code = Code({}) desc = {}", self.code, self.message),
        }
    }
}

/// A status message travels percent-encoded. What is not is left as it is.
fn percent_decoded(text: &str) -> String {
    let (mut decoded, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(escaped) if byte == b'%' => {
                decoded.push(escaped);
                rest = &after[2..];
            }
            _ => {
                decoded.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_from_headers_and_printed_as_go_does() {
        for (headers, expected) in [
            (&[][..], "nothing"),
            (&[("grpc-status", "0")], "fine"),
            (
                &[("grpc-status", "5"), ("grpc-message", "no%20such%20%C3%A4")],
                "rpc error: code = NotFound desc = no such ä",
            ),
            (
                &[("grpc-status", "14"), ("grpc-message", "100% %zz %")],
                "rpc error: code = Unavailable desc = 100% %zz %",
            ),
            (&[("grpc-status", "99")], "rpc error: code = Code(99) desc = "),
            (&[("grpc-status", "x")], "rpc error: code = Unknown desc = "),
        ] {
            let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            let said = match Status::of(&headers.collect::<HeaderMap>()) {
                None => "nothing".to_owned(),
                Some(Ok(())) => "fine".to_owned(),
                Some(Err(status)) => status.to_string(),
            };
            assert_eq!(said, expected);
        }
    }

    #[test]
    fn a_server_of_another_kind_has_a_status_too() {
        for (http, expected) in [
            (
                404,
                "rpc error: code = Unimplemented desc = unexpected HTTP status code received from server: 404 Not Found",
            ),
            (
                503,
                "rpc error: code = Unavailable desc = unexpected HTTP status code received from server: 503 Service Unavailable",
            ),
            (
                302,
                "rpc error: code = Unknown desc = unexpected HTTP status code received from server: 302 Found",
            ),
        ] {
            assert_eq!(Status::of_http(StatusCode::from_u16(http).unwrap()).to_string(), expected);
        }
    }
}
