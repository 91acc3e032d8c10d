//! A session, as the server has it: one task reads the connection, one writes it, and one per stream turns what is written into
//! the stream into frames.
//!
//! ```text
//! connection ──> reader ──> inbox of a stream (64 KiB) ──> Stream::read
//! connection <── writer <── frames (8) <── pump <── Stream::write
//! ```
//!
//! When an inbox is full the reader waits, and with it the session: so nothing piles up here, and the client is held back by
//! TCP, the only flow control that it knows. The reader owns all that is known of streams, so there is no lock.

use std::collections::HashMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex,
};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_util::codec::FramedRead;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::frame::{Decoder, Encoder, Frame, FrameError, Status};
use super::headers::Headers;
use super::stream::Stream;

/// Most bytes of a stream that are kept for a reader who is slow: SPDY's initial window.
const INBOX: usize = 64 << 10;
/// Most bytes of a data frame that is sent, and of one read of the connection.
const CHUNK: usize = 16 << 10;
/// Frames on their way to the writer.
const OUTGOING: usize = 8;
/// When nothing else was sent for so long, a ping is: writing is what finds out that a client is gone while nothing reads.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long a client may take to close its connection after the goodbye.
const LINGER: Duration = Duration::from_secs(1);

/// GOAWAY (2.6.7) of a session that ends as it should, and of one that cannot be read on.
const GOAWAY_OK: u32 = 0;
const GOAWAY_PROTOCOL_ERROR: u32 = 1;

/// What a client may take of the server.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Streams at a time; further ones are refused.
    pub streams: usize,
    /// How long a client may say nothing at all, pings included.
    pub idle: Duration,
}

impl Default for Limits {
    /// 256 streams, which are 128 forwarded connections, and the four hours of a kubelet's `streamingConnectionIdleTimeout`.
    fn default() -> Self {
        Self { streams: 256, idle: Duration::from_secs(4 * 60 * 60) }
    }
}

/// A session with a client. Dropped, it closes the connection at once.
#[derive(Debug)]
pub struct Session {
    incoming: mpsc::Receiver<Incoming>,
    /// The last stream that was handed out.
    last: u32,
    outgoing: mpsc::Sender<Frame>,
    pumps: TaskTracker,
    gone: CancellationToken,
    reader: AbortOnDropHandle<()>,
    writer: AbortOnDropHandle<()>,
    _end: DropGuard,
}

/// A stream that waits for an answer.
#[derive(Debug)]
pub struct Incoming {
    stream: Stream,
    outgoing: mpsc::Sender<Frame>,
}

// === impl Session ===

impl Session {
    /// Begins a session on a connection.
    pub fn serve<C>(connection: C, limits: Limits) -> Self
    where
        C: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (reading, writing) = tokio::io::split(connection);
        let (outgoing, frames) = mpsc::channel(OUTGOING);
        let (opened, incoming) = mpsc::channel(limits.streams.max(1));
        let (pumps, gone) = (TaskTracker::new(), CancellationToken::new());
        let reader = Reader {
            frames: FramedRead::with_capacity(reading, Decoder::default(), CHUNK),
            limits,
            last: 0,
            streams: HashMap::new(),
            opened,
            outgoing: outgoing.clone(),
            pumps: pumps.clone(),
            gone: gone.clone(),
        };
        let writer = Writer { connection: writing, frames, gone: gone.clone() };
        Self {
            incoming,
            last: 0,
            outgoing,
            pumps,
            reader: AbortOnDropHandle::new(tokio::spawn(reader.run())),
            writer: AbortOnDropHandle::new(tokio::spawn(writer.run())),
            _end: gone.clone().drop_guard(),
            gone,
        }
    }

    /// The next stream that the client opens; `None` when it opens no more, because it is gone.
    pub async fn next(&mut self) -> Option<Incoming> {
        let incoming = self.incoming.recv().await?;
        self.last = incoming.stream.id;
        Some(incoming)
    }

    /// Cancelled when the client is gone, whether it has said so or not.
    pub fn gone(&self) -> CancellationToken {
        self.gone.clone()
    }

    /// Ends the session when all that was written has been sent. All of its streams must have been shut down or dropped.
    pub async fn close(mut self) {
        self.incoming.close();
        while self.incoming.try_recv().is_ok() {}
        self.pumps.close();
        self.pumps.wait().await;
        // Neither fails but for a client that is gone.
        let _ = self.outgoing.send(Frame::GoAway { last: self.last, status: GOAWAY_OK }).await;
        let _ = (&mut self.writer).await;
        // A connection that is closed with something left to read is reset, and what was sent last is lost with it.
        let _ = timeout(LINGER, &mut self.reader).await;
    }
}

// === impl Incoming ===

impl Incoming {
    /// Its number in the session.
    pub fn id(&self) -> u32 {
        self.stream.id
    }

    /// What the client wants of it.
    pub fn headers(&self) -> &Headers {
        &self.stream.headers
    }

    /// Tells the client that it has the stream.
    pub async fn accept(self) -> Stream {
        let reply = Frame::SynReply { id: self.stream.id, fin: false, headers: Headers::default() };
        // When the client is gone, reading and writing say so.
        let _ = self.outgoing.send(reply).await;
        self.stream
    }

    /// Tells the client that it does not.
    pub async fn refuse(self) {
        self.stream.over.cancel();
        let _ = self.outgoing.send(refusal(self.stream.id)).await;
    }
}

fn refusal(id: u32) -> Frame {
    Frame::RstStream { id, status: Status::REFUSED_STREAM }
}

/// The task that reads, and knows the streams.
struct Reader<C> {
    frames: FramedRead<ReadHalf<C>, Decoder>,
    limits: Limits,
    /// The last stream that the client has opened.
    last: u32,
    streams: HashMap<u32, Open>,
    opened: mpsc::Sender<Incoming>,
    outgoing: mpsc::Sender<Frame>,
    pumps: TaskTracker,
    gone: CancellationToken,
}

/// A stream that is not over.
struct Open {
    /// Until the client has said all, or nobody listens.
    inbox: Inbox,
    /// Ends the stream both ways.
    over: CancellationToken,
    pump: AbortHandle,
}

/// Where the bytes of a stream go.
enum Inbox {
    To(DuplexStream),
    /// Nobody reads them, but more may come.
    Nobody,
    /// No more come.
    Closed,
}

/// Why nothing more is read.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the connection was closed")]
    Closed,
    #[error("the client said goodbye")]
    GoAway,
    #[error("the client said nothing for {0:?}")]
    Idle(Duration),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Violation(String),
}

// === impl Reader ===

impl<C: AsyncRead + AsyncWrite + Send + 'static> Reader<C> {
    async fn run(mut self) {
        let end = self.read().await;
        tracing::debug!(%end, "a SPDY session has ended");
        if let Some(status) = end.goodbye() {
            let goodbye = async {
                let _ = self.outgoing.send(Frame::GoAway { last: self.last, status }).await;
                self.outgoing.closed().await;
            };
            // A client that does not read does without.
            let _ = timeout(LINGER, goodbye).await;
        }
        self.gone.cancel();
    }

    async fn read(&mut self) -> End {
        loop {
            let frame = match timeout(self.limits.idle, self.frames.next()).await {
                Err(_) => return End::Idle(self.limits.idle),
                Ok(None) => return End::Closed,
                Ok(Some(Err(error))) => return error.into(),
                Ok(Some(Ok(frame))) => frame,
            };
            if let Err(end) = self.take(frame).await {
                return end;
            }
        }
    }

    async fn take(&mut self, frame: Frame) -> Result<(), End> {
        match frame {
            Frame::SynStream { id, fin, unidirectional, headers } => {
                self.open(id, fin, unidirectional, headers).await
            }
            Frame::Data { id, fin, data } => {
                self.check_opened(id)?;
                self.deliver(id, data).await;
                if fin {
                    self.close(id);
                }
                Ok(())
            }
            Frame::Headers { id, fin, .. } => {
                self.check_opened(id)?;
                if fin {
                    self.close(id);
                }
                Ok(())
            }
            Frame::RstStream { id, .. } => {
                self.check_opened(id)?;
                if let Some(stream) = self.streams.remove(&id) {
                    stream.over.cancel();
                }
                Ok(())
            }
            // An even one is an answer to ours. One that finds no room is not answered: a client that does not read does
            // not miss it.
            Frame::Ping(id) => {
                if !id.is_multiple_of(2) {
                    let _ = self.outgoing.try_send(Frame::Ping(id));
                }
                Ok(())
            }
            Frame::GoAway { .. } => Err(End::GoAway),
            Frame::SynReply { id, .. } => {
                Err(End::Violation(format!("SYN_REPLY to stream {id}, which is its own")))
            }
            // spdystream sends none of them, and heeds none.
            Frame::Settings(_) | Frame::WindowUpdate { .. } | Frame::Unknown(_) => Ok(()),
        }
    }

    async fn open(&mut self, id: u32, fin: bool, unidirectional: bool, headers: Headers) -> Result<(), End> {
        if id.is_multiple_of(2) || id <= self.last {
            return Err(End::Violation(format!("SYN_STREAM {id} after {}", self.last)));
        }
        self.last = id;
        self.streams.retain(|_, stream| !stream.is_over());
        if unidirectional || self.streams.len() >= self.limits.streams {
            let _ = self.outgoing.send(refusal(id)).await;
            return Ok(());
        }
        let (inbox, reader) = duplex(INBOX);
        let (writer, written) = duplex(CHUNK);
        let over = self.gone.child_token();
        let pump = self.pumps.spawn(pump(id, written, over.clone(), self.outgoing.clone()));
        let inbox = if fin { Inbox::Closed } else { Inbox::To(inbox) };
        let open = Open { inbox, over: over.clone(), pump: pump.abort_handle() };
        let stream = Stream { id, headers, reader, writer, over };
        match self.opened.try_send(Incoming { stream, outgoing: self.outgoing.clone() }) {
            Ok(()) => {
                self.streams.insert(id, open);
            }
            Err(_) => {
                open.over.cancel();
                let _ = self.outgoing.send(refusal(id)).await;
            }
        }
        Ok(())
    }

    /// Frames of a stream that has ended may still come; those of one that never was are a mistake.
    fn check_opened(&self, id: u32) -> Result<(), End> {
        if !id.is_multiple_of(2) && id <= self.last {
            Ok(())
        } else {
            Err(End::Violation(format!("frame for stream {id}, which was never opened")))
        }
    }

    async fn deliver(&mut self, id: u32, data: Bytes) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let Inbox::To(inbox) = &mut stream.inbox else { return };
        let delivered = stream.over.run_until_cancelled(inbox.write_all(&data)).await;
        if !matches!(delivered, Some(Ok(()))) {
            stream.inbox = Inbox::Nobody;
        }
    }

    fn close(&mut self, id: u32) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.inbox = Inbox::Closed;
        }
    }
}

impl End {
    /// What the client is told of it, if it can be told.
    fn goodbye(&self) -> Option<u32> {
        match self {
            Self::Closed | Self::GoAway | Self::Frame(FrameError::Io(_)) => None,
            Self::Idle(_) => Some(GOAWAY_OK),
            Self::Frame(_) | Self::Violation(_) => Some(GOAWAY_PROTOCOL_ERROR),
        }
    }
}

impl Open {
    fn is_over(&self) -> bool {
        self.over.is_cancelled() || (matches!(self.inbox, Inbox::Closed) && self.pump.is_finished())
    }
}

/// Sends what is written into a stream, and then that this was all.
async fn pump(id: u32, mut written: DuplexStream, over: CancellationToken, outgoing: mpsc::Sender<Frame>) {
    let sending = async {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(CHUNK);
            let fin = !matches!(written.read_buf(&mut buffer).await, Ok(1..));
            let data = buffer.split().freeze();
            if outgoing.send(Frame::Data { id, fin, data }).await.is_err() || fin {
                break;
            }
        }
    };
    // A stream that is over has no end to tell.
    tokio::select! {
        biased;
        () = over.cancelled() => {}
        () = sending => {}
    }
}

/// The task that writes.
struct Writer<C> {
    connection: WriteHalf<C>,
    frames: mpsc::Receiver<Frame>,
    gone: CancellationToken,
}

// === impl Writer ===

impl<C: AsyncRead + AsyncWrite + Send + 'static> Writer<C> {
    async fn run(mut self) {
        let gone = self.gone.clone();
        match gone.run_until_cancelled(self.write()).await {
            Some(Ok(())) => {
                let _ = timeout(LINGER, self.connection.shutdown()).await;
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "a SPDY session cannot be written to");
                gone.cancel();
            }
            None => {}
        }
    }

    /// Writes until the goodbye.
    async fn write(&mut self) -> std::io::Result<()> {
        let mut encoder = Encoder::default();
        let mut bytes = BytesMut::with_capacity(CHUNK);
        // Pings of a server are even.
        let mut ping = 0;
        loop {
            let mut frame = match timeout(KEEPALIVE, self.frames.recv()).await {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(()),
                Err(_) => {
                    ping = (ping + 2) & 0x7fff_ffff;
                    Frame::Ping(ping)
                }
            };
            let last = loop {
                encoder.encode(&frame, &mut bytes);
                if matches!(frame, Frame::GoAway { .. }) {
                    break true;
                }
                match self.frames.try_recv() {
                    Ok(next) if bytes.len() < CHUNK => frame = next,
                    Ok(next) => {
                        self.connection.write_all(&bytes).await?;
                        bytes.clear();
                        frame = next;
                    }
                    Err(_) => break false,
                }
            };
            self.connection.write_all(&bytes).await?;
            self.connection.flush().await?;
            bytes.clear();
            if last {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests;
