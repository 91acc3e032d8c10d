//! Ports over plain WebSocket: the request names them, and each has a channel for data and one for errors. The first byte of a message
//! is its channel. It is how clients forwarded before they tunnelled SPDY, and how kube-rs does.

use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::{SinkExt, Stream, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;

use super::Forwards;

/// A channel is a byte, and a port has two of them.
pub(super) const MAX_PORTS: usize = 128;

/// Most bytes for a port that are kept for a pod that is slow.
const INBOX: usize = 64 << 10;
/// Most bytes of a message that is sent.
const CHUNK: usize = 16 << 10;
/// Messages on their way to the client.
const OUTGOING: usize = 8;
/// How long a client may take to answer a goodbye.
const LINGER: Duration = Duration::from_secs(1);

/// Serves a WebSocket until all ports have said all, or the client leaves.
pub(super) async fn serve<C>(socket: WebSocketStream<C>, ports: Vec<u16>, forwards: Forwards)
where
    C: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sink, source) = socket.split();
    let (outgoing, mut messages) = mpsc::channel(OUTGOING);
    let gone = CancellationToken::new();
    let mut inboxes = Vec::new();
    let mut connections = JoinSet::new();
    for (port, data) in ports.into_iter().zip((0..=u8::MAX).step_by(2)) {
        let (inbox, reader) = duplex(INBOX);
        inboxes.push(inbox);
        connections.spawn(connect(port, data, reader, outgoing.clone(), gone.clone(), forwards.clone()));
    }
    drop(outgoing);

    let mut reading = pin!(read(source, inboxes));
    // Ends when every connection has.
    let writing = async {
        while let Some(message) = messages.recv().await {
            sink.send(message).await?;
        }
        sink.close().await
    };
    tokio::select! {
        ended = &mut reading => tracing::debug!(?ended, "the client of a port forward has left"),
        ended = writing => {
            tracing::debug!(?ended, "all forwarded ports have ended");
            // A connection that is closed with something left to read is reset, and what was sent last is lost with it.
            let _ = timeout(LINGER, reading).await;
        }
    }
    gone.cancel();
}

/// Hands the client's bytes to the ports, until it says goodbye.
async fn read(
    mut source: impl Stream<Item = Result<Message, Error>> + Unpin,
    mut inboxes: Vec<DuplexStream>,
) -> Result<(), Error> {
    while let Some(message) = source.next().await {
        let mut bytes = match message? {
            Message::Binary(bytes) => bytes,
            Message::Close(_) => break,
            _ => continue,
        };
        if !bytes.has_remaining() {
            continue;
        }
        let channel = bytes.get_u8();
        let Some(inbox) = inboxes.get_mut(usize::from(channel / 2)) else { continue };
        // Nothing is said on the channel of errors; a port that has ended is not told more.
        if channel.is_multiple_of(2) {
            let _ = inbox.write_all(&bytes).await;
        }
    }
    Ok(())
}

/// Forwards one port, on two channels that begin with its number.
async fn connect(
    port: u16,
    data: u8,
    reader: DuplexStream,
    outgoing: mpsc::Sender<Message>,
    gone: CancellationToken,
    forwards: Forwards,
) {
    let errors = data + 1;
    for channel in [data, errors] {
        let _ = outgoing.send(message(channel, &port.to_le_bytes())).await;
    }
    let (writer, mut written) = duplex(CHUNK);
    let sending = async {
        let mut buffer = vec![0; CHUNK];
        while let Ok(length @ 1..) = written.read(&mut buffer).await {
            if outgoing.send(message(data, &buffer[..length])).await.is_err() {
                break;
            }
        }
        io::Result::Ok(())
    };
    let (forwarded, _) = tokio::join!(forwards.forward(port, reader, writer, gone), sending);
    if let Err(why) = forwarded {
        tracing::debug!(why, "a port is not forwarded");
        let _ = outgoing.send(message(errors, why.as_bytes())).await;
    }
}

fn message(channel: u8, bytes: &[u8]) -> Message {
    let mut message = BytesMut::with_capacity(1 + bytes.len());
    message.put_u8(channel);
    message.put_slice(bytes);
    Message::Binary(Bytes::from(message))
}
