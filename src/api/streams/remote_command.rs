//! A remote command: what a client and a program in a container say to each other, and how that ends.
//!
//! Whatever protocol carries it makes a [`RemoteCommandStreams`], hands it to [`super::PodStreams`], and sends what came of it as the
//! one Status of the error stream ([`exec_status`], [`attach_status`]), in the kubelet's words.

use std::fmt;
use std::future::Future;

use axum::extract::Request;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use super::spdy::Asked;
use super::{spdy, upgrade, websocket};
use crate::api::request::Parameters;
use crate::api::status::Status;

/// The reason of a Status that says: the program ended, but not with 0.
const NON_ZERO_EXIT_CODE: &str = "NonZeroExitCode";

/// Both ends of the conversation, as the program's side has them. A stream that was not asked for is `None`.
pub struct RemoteCommandStreams {
    /// What the client sends. It ends when the client says so, or goes away.
    pub stdin: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// What the client gets of standard output; with a terminal, all of its output. Writing waits for the client.
    pub stdout: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// What the client gets of standard error; never with a terminal.
    pub stderr: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// The program has a terminal, or is to have one.
    pub tty: bool,
    /// The sizes of the client's window, as they change.
    pub resize: mpsc::Receiver<WindowSize>,
    /// Cancelled when the client is gone, whether it has said so or not.
    pub gone: CancellationToken,
}

/// The size of a terminal's window, in characters, as the resize stream has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct WindowSize {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

impl Asked {
    /// The streams that a query asks for.
    pub fn of(parameters: &Parameters) -> Result<Self, Status> {
        let tty = parameters.flag("tty");
        let asked = Self {
            stdin: parameters.flag("stdin"),
            stdout: parameters.flag("stdout"),
            // A terminal has one output.
            stderr: parameters.flag("stderr") && !tty,
            tty,
        };
        if asked.stdin || asked.stdout || asked.stderr {
            Ok(asked)
        } else {
            Err(Status::bad_request("you must specify at least 1 of stdin, stdout, stderr"))
        }
    }
}

/// Refuses a request that would be no stream.
pub fn check_upgrade(request: &Request) -> Result<(), Status> {
    let headers = request.headers();
    if upgrade::wants_web_socket(headers) || upgrade::wants_spdy(headers) {
        Ok(())
    } else {
        Err(Status::bad_request("Upgrade request required"))
    }
}

/// Answers a request by whichever protocol it wants, and serves what it becomes: `run` has the streams to the end, and what it returns
/// is the Status of the error stream.
pub fn serve<F, R>(request: Request, asked: Asked, run: F) -> Response
where
    F: FnOnce(RemoteCommandStreams) -> R + Send + 'static,
    R: Future<Output = Value> + Send,
{
    if upgrade::wants_web_socket(request.headers()) {
        websocket::serve(request, asked, run)
    } else {
        spdy::serve(request, asked, run)
    }
}

/// What the error stream says of an exec: the program's exit code, or why there is none.
pub fn exec_status(command: &[String], result: &Result<i32, String>) -> Value {
    match result {
        Ok(0) => success(),
        Ok(code) => {
            let command = command.join(" ");
            json!({
                "metadata": {},
                "status": "Failure",
                "message": format!(
                    "command terminated with non-zero exit code: error executing command [{command}], exit code {code}"
                ),
                "reason": NON_ZERO_EXIT_CODE,
                "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
            })
        }
        Err(why) => internal_error(&format!("error executing command in container: {why}")),
    }
}

/// What the error stream says of an attach.
pub fn attach_status(result: &Result<(), String>) -> Value {
    match result {
        Ok(()) => success(),
        Err(why) => internal_error(&format!("error attaching to container: {why}")),
    }
}

fn success() -> Value {
    json!({"metadata": {}, "status": "Success"})
}

fn internal_error(why: &str) -> Value {
    json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("Internal error occurred: {why}"),
        "reason": "InternalError",
        "details": {"causes": [{"message": why}]},
        "code": 500,
    })
}

impl fmt::Debug for RemoteCommandStreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stdin, stdout, stderr, tty, .. } = self;
        f.debug_struct("RemoteCommandStreams")
            .field("stdin", &stdin.is_some())
            .field("stdout", &stdout.is_some())
            .field("stderr", &stderr.is_some())
            .field("tty", tty)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_stream_tells_the_end_of_a_command_in_the_kubelets_words() {
        let command = ["sh", "-c", "exit 3"].map(str::to_owned);
        let internal =
            "error executing command in container: execve: \"sh\": executable file not found in $PATH";
        for (result, status) in [
            (Ok(0), json!({"metadata": {}, "status": "Success"})),
            (
                Ok(3),
                json!({
                    "metadata": {},
                    "status": "Failure",
                    "message": "command terminated with non-zero exit code: \
                                error executing command [sh -c exit 3], exit code 3",
                    "reason": "NonZeroExitCode",
                    "details": {"causes": [{"reason": "ExitCode", "message": "3"}]},
                }),
            ),
            (
                Err("execve: \"sh\": executable file not found in $PATH".to_owned()),
                json!({
                    "metadata": {},
                    "status": "Failure",
                    "message": format!("Internal error occurred: {internal}"),
                    "reason": "InternalError",
                    "details": {"causes": [{"message": internal}]},
                    "code": 500,
                }),
            ),
        ] {
            assert_eq!(exec_status(&command, &result), status, "{result:?}");
        }
    }

    #[test]
    fn a_window_has_the_names_that_clients_give_it() {
        let size: WindowSize = serde_json::from_str(r#"{"Width":132,"Height":40}"#).unwrap();
        assert_eq!(size, WindowSize { width: 132, height: 40 });
    }
}
