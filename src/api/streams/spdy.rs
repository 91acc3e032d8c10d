//! A remote command over SPDY: a stream for each of `error`, `stdin`, `stdout`, `stderr` and `resize` that the request asks for.
//!
//! So do exec, attach and cp of every kubectl before 1.31, and of later ones behind proxies that let no WebSocket pass.

use std::future::Future;
use std::time::Duration;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::remote_command::{RemoteCommandStreams, WindowSize};
use super::upgrade;
use crate::api::spdy::{Limits, Session, Stream};

/// What is spoken inside SPDY: the error stream has one Status, as JSON.
const PROTOCOL: &str = "v4.channel.k8s.io";
/// So long a client may take for its streams, as a kubelet gives it.
const CREATION: Duration = Duration::from_secs(30);
/// More than a client has. A session that lasts may be idle for as long as one of a kubelet.
const STREAMS: usize = 8;
/// Sizes of a window that nobody has heard of yet.
const SIZES: usize = 4;
/// More bytes than the text of a window's size has.
const MAX_SIZE: usize = 256;

/// Which streams a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// `stdin=true`
    pub stdin: bool,
    /// `stdout=true`
    pub stdout: bool,
    /// `stderr=true`; there is none with a terminal.
    pub stderr: bool,
    /// `tty=true`
    pub tty: bool,
}

/// Answers a request that wants SPDY, and serves the session that it becomes: `run` has the streams to the end, and what it returns
/// is the Status of the error stream.
pub fn serve<F, R>(mut request: Request, asked: Asked, run: F) -> Response
where
    F: FnOnce(RemoteCommandStreams) -> R + Send + 'static,
    R: Future<Output = Value> + Send,
{
    let upgrading = match upgrade::spdy(&mut request, &[PROTOCOL]) {
        Ok(upgrading) => upgrading,
        Err(refused) => return refused.into_response(),
    };
    let (response, switch) = upgrading.into_parts();
    tokio::spawn(async move {
        match switch.connection().await {
            Ok(connection) => {
                let session = Session::serve(connection, Limits { streams: STREAMS, ..Limits::default() });
                converse(session, asked, run).await;
            }
            Err(error) => tracing::debug!(%error, "no SPDY after all"),
        }
    });
    response
}

async fn converse<F, R>(mut session: Session, asked: Asked, run: F)
where
    F: FnOnce(RemoteCommandStreams) -> R,
    R: Future<Output = Value>,
{
    let opened = timeout(CREATION, Opened::all(&mut session, asked)).await;
    let Ok(Some(Opened { error: Some(mut error), stdin, stdout, stderr, resize })) = opened else {
        tracing::debug!(?asked, "a client of a remote command has not opened its streams");
        return;
    };
    let (sizes, heard) = mpsc::channel(SIZES);
    let listening = resize.map(|stream| tokio::spawn(hear(stream, sizes)));
    let streams = RemoteCommandStreams {
        stdin: stdin.map(|stream| Box::new(stream) as _),
        stdout: stdout.map(|stream| Box::new(stream) as _),
        stderr: stderr.map(|stream| Box::new(stream) as _),
        tty: asked.tty,
        resize: heard,
        gone: session.gone(),
    };
    let status = run(streams).await;
    // A client that is gone need not be told.
    let _ = error.write_all(status.to_string().as_bytes()).await;
    drop(error);
    if let Some(listening) = listening {
        listening.abort();
        let _ = listening.await;
    }
    session.close().await;
}

/// The streams that have been opened.
#[derive(Debug, Default)]
struct Opened {
    error: Option<Stream>,
    stdin: Option<Stream>,
    stdout: Option<Stream>,
    stderr: Option<Stream>,
    resize: Option<Stream>,
}

impl Opened {
    /// All that were asked for; `None` when the client left before that.
    async fn all(session: &mut Session, asked: Asked) -> Option<Self> {
        let mut opened = Self::default();
        while !opened.has(asked) {
            let incoming = session.next().await?;
            let kind = incoming.headers().get("streamType").map(str::to_owned);
            match kind.and_then(|kind| opened.place(&kind, asked)).filter(|place| place.is_none()) {
                Some(place) => *place = Some(incoming.accept().await),
                None => incoming.refuse().await,
            }
        }
        Some(opened)
    }

    fn has(&self, asked: Asked) -> bool {
        let wanted = ["error", "stdin", "stdout", "stderr", "resize"].map(|kind| asked.wants(kind));
        let there = [&self.error, &self.stdin, &self.stdout, &self.stderr, &self.resize].map(Option::is_some);
        wanted == there
    }

    /// Where a stream of this type belongs, if it was asked for.
    fn place(&mut self, kind: &str, asked: Asked) -> Option<&mut Option<Stream>> {
        if !asked.wants(kind) {
            return None;
        }
        Some(match kind {
            "error" => &mut self.error,
            "stdin" => &mut self.stdin,
            "stdout" => &mut self.stdout,
            "stderr" => &mut self.stderr,
            _ => &mut self.resize,
        })
    }
}

impl Asked {
    fn wants(self, kind: &str) -> bool {
        match kind {
            "error" => true,
            "stdin" => self.stdin,
            "stdout" => self.stdout,
            "stderr" => self.stderr && !self.tty,
            "resize" => self.tty,
            _ => false,
        }
    }
}

/// Passes on the sizes of the client's window, JSON after JSON, until one makes no sense.
async fn hear(mut stream: Stream, sizes: mpsc::Sender<WindowSize>) {
    let mut text = Vec::new();
    while text.len() < MAX_SIZE && matches!(stream.read_buf(&mut text).await, Ok(1..)) {
        let mut values = serde_json::Deserializer::from_slice(&text).into_iter::<WindowSize>();
        let mut consumed = 0;
        while let Some(Ok(size)) = values.next() {
            consumed = values.byte_offset();
            if sizes.send(size).await.is_err() {
                return;
            }
        }
        text.drain(..consumed);
    }
}

#[cfg(test)]
mod tests;
