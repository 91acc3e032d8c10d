//! A remote command over WebSocket: the first byte of each message says which stream the rest belongs to.
//!
//! ```text
//! 0 stdin    1 stdout    2 stderr    3 error: one Status, at the end    4 resize: {"Width": 80, "Height": 24}
//! ```
//!
//! In `v5.channel.k8s.io` a client ends a stream by 255 and the stream's number (KEP-4006); in `v4.channel.k8s.io` it ends by the
//! connection's end alone. One task reads the connection and one writes it. When standard input is not read, the reader waits, and with
//! it the client: nothing piles up here.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_util::sync::{CancellationToken, PollSender};
use tokio_util::task::AbortOnDropHandle;

use super::remote_command::{Asked, RemoteCommandStreams, WindowSize};
use super::upgrade;

const V5: &str = "v5.channel.k8s.io";
const V4: &str = "v4.channel.k8s.io";

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

/// Most bytes of standard input that wait for the program.
const INBOX: usize = 64 << 10;
/// Most bytes of output in one message.
const CHUNK: usize = 16 << 10;
/// Messages on their way to the client.
const OUTGOING: usize = 4;
/// Sizes of a window that nobody has heard of yet.
const SIZES: usize = 16;
/// So often the client is pinged: writing is what finds out that it is gone while nothing is read.
const PING: Duration = Duration::from_secs(30);
/// A connection on which nothing is said for so long ends, as the kubelet's `streamingConnectionIdleTimeout` has it.
const IDLE: Duration = Duration::from_secs(4 * 60 * 60);
/// How long a client may take to hang up after the goodbye.
const LINGER: Duration = Duration::from_secs(1);

/// Answers a request that wants a WebSocket, and serves what it becomes: `run` has the streams to the end, and what it returns is the
/// Status of the error stream.
pub fn serve<F, R>(mut request: Request, asked: Asked, run: F) -> Response
where
    F: FnOnce(RemoteCommandStreams) -> R + Send + 'static,
    R: Future<Output = Value> + Send,
{
    let upgrading = match upgrade::web_socket(&mut request, &[V5, V4]) {
        Ok(upgrading) => upgrading,
        Err(refused) => return refused.into_response(),
    };
    let ends_streams = upgrading.protocol == V5;
    let (response, switch) = upgrading.into_parts();
    tokio::spawn(async move {
        match switch.web_socket().await {
            Ok(socket) => converse(socket, ends_streams, asked, run).await,
            Err(error) => tracing::debug!(%error, "no WebSocket after all"),
        }
    });
    response
}

async fn converse<C, F, R>(socket: WebSocketStream<C>, ends_streams: bool, asked: Asked, run: F)
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    F: FnOnce(RemoteCommandStreams) -> R,
    R: Future<Output = Value>,
{
    let (sink, messages) = socket.split();
    let (outgoing, queue) = mpsc::channel(OUTGOING);
    let gone = CancellationToken::new();
    let activity = Activity::begin();
    let writer = Writer { sink, queue, gone: gone.clone(), activity: activity.clone() };
    let mut writer = AbortOnDropHandle::new(tokio::spawn(writer.run()));

    let (stdin, typed) = duplex(INBOX);
    let (sizes, heard) = mpsc::channel(SIZES);
    let stdin = asked.stdin.then_some(stdin);
    let reader = Reader { messages, ends_streams, stdin, sizes, gone: gone.clone(), activity };
    let mut reader = AbortOnDropHandle::new(tokio::spawn(reader.run()));

    let output = |channel| Box::new(Output { channel, queue: PollSender::new(outgoing.clone()) }) as _;
    let has_stderr = asked.stderr && !asked.tty;
    let streams = RemoteCommandStreams {
        stdin: asked.stdin.then(|| Box::new(typed) as _),
        stdout: asked.stdout.then(|| output(STDOUT)),
        stderr: has_stderr.then(|| output(STDERR)),
        tty: asked.tty,
        resize: heard,
        gone,
    };
    // Some clients wait for a first message to know that the streams are there.
    let first = if asked.stdout { STDOUT } else { ERROR };
    // Whether a client that is gone can be told so is not of interest, here and below.
    let _ = outgoing.send(message(first, b"")).await;
    let status = run(streams).await;
    let _ = outgoing.send(message(ERROR, status.to_string().as_bytes())).await;
    let goodbye = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    let _ = outgoing.send(Message::Close(Some(goodbye))).await;
    drop(outgoing);
    let _ = (&mut writer).await;
    let _ = timeout(LINGER, &mut reader).await;
}

fn message(channel: u8, bytes: &[u8]) -> Message {
    let mut payload = Vec::with_capacity(1 + bytes.len());
    payload.push(channel);
    payload.extend_from_slice(bytes);
    Message::Binary(Bytes::from(payload))
}

/// When something was said last, by either side.
#[derive(Clone)]
struct Activity {
    begun: Instant,
    /// Milliseconds since then.
    last: Arc<AtomicU64>,
}

impl Activity {
    fn begin() -> Self {
        Self { begun: Instant::now(), last: Arc::default() }
    }

    fn note(&self) {
        self.last.store(self.begun.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// How long nothing more may be said.
    fn left(&self) -> Duration {
        let idle =
            self.begun.elapsed().saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed)));
        IDLE.saturating_sub(idle)
    }
}

/// The task that reads.
struct Reader<C> {
    messages: SplitStream<WebSocketStream<C>>,
    ends_streams: bool,
    stdin: Option<DuplexStream>,
    sizes: mpsc::Sender<WindowSize>,
    gone: CancellationToken,
    activity: Activity,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Reader<C> {
    async fn run(mut self) {
        // However this ends, the client is gone then.
        let _gone = self.gone.clone().drop_guard();
        loop {
            let left = self.activity.left();
            if left.is_zero() {
                return;
            }
            let Ok(next) = timeout(left, self.messages.next()).await else { continue };
            let bytes = match next {
                Some(Ok(Message::Binary(bytes))) => bytes,
                // Some clients send what is text as text.
                Some(Ok(Message::Text(text))) => text.into(),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            };
            self.activity.note();
            self.take(&bytes).await;
        }
    }

    async fn take(&mut self, message: &[u8]) {
        match message {
            [STDIN, bytes @ ..] => {
                if let Some(stdin) = &mut self.stdin
                    && stdin.write_all(bytes).await.is_err()
                {
                    // Nobody reads it any more.
                    self.stdin = None;
                }
            }
            [RESIZE, bytes @ ..] => {
                if let Ok(size) = serde_json::from_slice(bytes) {
                    // More than fit are none that anybody waits for.
                    let _ = self.sizes.try_send(size);
                }
            }
            [CLOSE, STDIN] if self.ends_streams => self.stdin = None,
            _ => {}
        }
    }
}

/// The task that writes.
struct Writer<C> {
    sink: SplitSink<WebSocketStream<C>, Message>,
    queue: mpsc::Receiver<Message>,
    gone: CancellationToken,
    activity: Activity,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Writer<C> {
    async fn run(mut self) {
        let mut pings = interval_at(Instant::now() + PING, PING);
        loop {
            let message = tokio::select! {
                message = self.queue.recv() => message,
                _ = pings.tick() => Some(Message::Ping(Bytes::new())),
                () = self.gone.cancelled() => None,
            };
            let Some(message) = message else { return };
            if !message.is_ping() {
                self.activity.note();
            }
            let sent = tokio::select! {
                sent = self.sink.send(message) => sent.is_ok(),
                () = self.gone.cancelled() => false,
            };
            if !sent {
                self.gone.cancel();
                return;
            }
        }
    }
}

/// A stream to the client.
struct Output {
    channel: u8,
    queue: PollSender<Message>,
}

impl AsyncWrite for Output {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        ready!(self.queue.poll_reserve(context)).map_err(gone)?;
        let bytes = &bytes[..bytes.len().min(CHUNK)];
        let message = message(self.channel, bytes);
        self.queue.send_item(message).map_err(gone)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
