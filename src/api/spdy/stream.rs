//! One stream of a session: bytes both ways, each of which ends by itself.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio_util::sync::CancellationToken;

use super::headers::Headers;

/// A stream that the client has opened.
///
/// Reading ends when the client has said all it wants to, or is gone, or has ended the stream. Shutting it down, or dropping
/// it, tells the client that there is no more. Writing fails once the client has ended the stream or is gone.
#[derive(Debug)]
pub struct Stream {
    pub(super) id: u32,
    pub(super) headers: Headers,
    pub(super) reader: DuplexStream,
    pub(super) writer: DuplexStream,
    pub(super) over: CancellationToken,
}

impl Stream {
    /// Its number in the session, which is odd and rises.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// What the client has opened it with.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Cancelled when the client has ended the stream both ways at once, or is gone.
    pub fn over(&self) -> CancellationToken {
        self.over.clone()
    }

    /// Both directions apart, each to be dropped when it is done with.
    pub fn into_split(self) -> (impl AsyncRead + Send + Unpin, impl AsyncWrite + Send + Unpin) {
        (self.reader, self.writer)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(context)
    }
}
