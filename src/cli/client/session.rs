//! A session with a program in a container: standard streams to and fro, the window's size, and the exit code.

use std::io::IsTerminal;
use std::pin::pin;
use std::time::Duration;

use futures::SinkExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::AttachedProcess;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use super::failure::{Exit, remark};
use super::terminal::{self, Raw};

/// Which streams a program is to have.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Streams {
    pub(in crate::cli) stdin: bool,
    pub(in crate::cli) tty: bool,
}

/// Bytes that are carried at a time.
const PIECE: usize = 32 << 10;

/// Time in which streams end after their connection was closed.
const MOMENT: Duration = Duration::from_secs(1);

impl Streams {
    /// These streams, as far as this process has them: without a terminal there is no terminal to pass on.
    pub(in crate::cli) fn of(stdin: bool, tty: bool) -> Self {
        let is_terminal = stdin && std::io::stdin().is_terminal();
        if tty && !is_terminal {
            remark("Unable to use a TTY - input is not a terminal or the right kind of file");
        }
        Self { stdin, tty: tty && is_terminal }
    }

    /// The parameters of the request.
    pub(in crate::cli) fn parameters(self, container: &str) -> kube::api::AttachParams {
        let parameters = kube::api::AttachParams::default();
        let parameters =
            parameters.container(container).stdin(self.stdin).stdout(true).stderr(!self.tty).tty(self.tty);
        parameters.max_stdin_buf_size(PIECE).max_stdout_buf_size(PIECE).max_stderr_buf_size(PIECE)
    }

    /// Carries the streams until the program has ended; an end with another code than 0 is an error with that code.
    pub(in crate::cli) async fn run(self, mut process: AttachedProcess) -> anyhow::Result<()> {
        let is_interactive = self.stdin && self.tty && std::io::stdin().is_terminal();
        let raw = if is_interactive { Some(Raw::enter()?) } else { None };
        let status = process.take_status();
        let (stdin, stdout, stderr) = (process.stdin(), process.stdout(), process.stderr());
        let input = async {
            if let Some(stdin) = stdin {
                carry(tokio::io::stdin(), stdin).await;
            }
        };
        let output = async {
            let stdout = async {
                if let Some(from) = stdout {
                    carry(from, tokio::io::stdout()).await
                }
            };
            let stderr = async {
                if let Some(from) = stderr {
                    carry(from, tokio::io::stderr()).await
                }
            };
            tokio::join!(stdout, stderr);
        };
        let sizes = sizes(process.terminal_size());
        let ended = tokio::select! {
            // What goes in ends when it likes; the output decides.
            ended = ended(status, output) => Ok(ended),
            () = async { tokio::join!(input, sizes); std::future::pending().await } => Ok((None, None)),
            code = interrupted() => Err(Exit(code)),
        };
        drop(raw);
        let (status, output) = ended?;
        anyhow::ensure!(output.is_some(), "the connection was lost before the command had ended");
        end(status.as_ref())
    }
}

/// How a session has ended: its status, and what became of its streams. Neither is there when its connection was lost, for then `kube` ends no
/// stream, but lets go of the status.
pub(in crate::cli) async fn ended<T>(
    status: Option<impl Future<Output = Option<Status>>>,
    streams: impl Future<Output = T>,
) -> (Option<Status>, Option<T>) {
    let mut status = pin!(async {
        match status {
            Some(status) => status.await,
            None => None,
        }
    });
    let mut streams = pin!(streams);
    let told = tokio::select! {
        biased;
        done = &mut streams => return (status.await, Some(done)),
        told = &mut status => told,
    };
    match told {
        Some(status) => (Some(status), Some(streams.await)),
        // A connection that is closed as it should be ends its streams at once.
        None => (None, timeout(MOMENT, streams).await.ok()),
    }
}

async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let mut piece = vec![0; PIECE];
    // A side that is gone ends it, in either direction.
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        if to.write_all(&piece[..length]).await.is_err() || to.flush().await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

/// Tells the size of the window, now and whenever it changes.
async fn sizes(sender: Option<futures::channel::mpsc::Sender<kube::api::TerminalSize>>) {
    let (Some(mut sender), Ok(mut changes)) = (sender, signal(SignalKind::window_change())) else { return };
    loop {
        if let Some(size) = terminal::size()
            && sender.send(size).await.is_err()
        {
            return;
        }
        if changes.recv().await.is_none() {
            return;
        }
    }
}

/// The exit code of a session that a signal ends.
async fn interrupted() -> u8 {
    let wait = async |kind: SignalKind| match signal(kind) {
        Ok(mut signal) => drop(signal.recv().await),
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => 130,
        () = wait(SignalKind::terminate()) => 143,
        () = wait(SignalKind::hangup()) => 129,
    }
}

/// What the last Status says: the exit code of a command, or what went wrong.
pub(in crate::cli) fn end(status: Option<&Status>) -> anyhow::Result<()> {
    let Some(status) = status else { return Ok(()) };
    if status.reason.as_deref() == Some("NonZeroExitCode") {
        let mut causes = status.details.iter().flat_map(|details| details.causes.iter().flatten());
        let code = causes.find(|cause| cause.reason.as_deref() == Some("ExitCode"));
        if let Some(code) = code.and_then(|cause| cause.message.as_deref()?.parse::<i32>().ok()) {
            remark(&format!("command terminated with exit code {code}"));
            return Err(Exit(u8::try_from(code & 0xff).unwrap_or(1)).into());
        }
    }
    if status.status.as_deref() == Some("Failure") {
        anyhow::bail!("{}", status.message.as_deref().unwrap_or_default());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_exit_code_is_that_of_the_command() {
        let end = |status: Value| end(Some(&serde_json::from_value(status).unwrap()));
        assert!(end(json!({"status": "Success"})).is_ok());
        for code in [1, 3, 137, 255] {
            let status = json!({"status": "Failure", "reason": "NonZeroExitCode", "message": "m",
                "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]}});
            let error = end(status).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&Exit(u8::try_from(code).unwrap())));
        }
        let error = end(json!({"status": "Failure", "reason": "InternalError", "message": "no such file"}))
            .unwrap_err();
        assert_eq!(error.to_string(), "no such file");
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_whose_connection_is_lost_is_not_waited_for() {
        let status = || async { Some(Status::default()) };
        let nothing = || async { None };
        let never = std::future::pending::<u8>;
        assert_eq!(ended(Some(nothing()), never()).await, (None, None));
        assert_eq!(ended(Some(nothing()), async { 7 }).await, (None, Some(7)));
        assert_eq!(ended(Some(status()), async { 7 }).await, (Some(Status::default()), Some(7)));
        let late = async {
            tokio::time::sleep(2 * MOMENT).await;
            7
        };
        assert_eq!(
            ended(Some(status()), late).await,
            (Some(Status::default()), Some(7)),
            "its output is read to the end"
        );
    }

    #[tokio::test]
    async fn bytes_are_carried_to_the_end() {
        let (mut reader, writer) = tokio::io::duplex(64);
        let text = vec![7; 100_000];
        let (carried, read) = tokio::join!(carry(text.as_slice(), writer), async {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).await.unwrap();
            bytes
        });
        let () = carried;
        assert_eq!(read, text);
    }
}
