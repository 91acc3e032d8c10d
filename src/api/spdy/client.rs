//! The other end of a session, for tests: it says what it is told to, allowed or not.

use bytes::BytesMut;
use futures::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio_util::codec::FramedRead;

use super::frame::{Decoder, Encoder, Frame};

/// A client of a session.
pub(crate) struct Client<C> {
    frames: FramedRead<ReadHalf<C>, Decoder>,
    connection: WriteHalf<C>,
    encoder: Encoder,
    next: u32,
}

impl<C: AsyncRead + AsyncWrite> Client<C> {
    pub(crate) fn new(connection: C) -> Self {
        let (reading, connection) = tokio::io::split(connection);
        let frames = FramedRead::new(reading, Decoder::default());
        Self { frames, connection, encoder: Encoder::default(), next: 1 }
    }

    /// Opens a stream.
    pub(crate) async fn open(&mut self, headers: &[(&str, &str)]) -> u32 {
        let id = self.next;
        self.next += 2;
        let headers = headers.iter().copied().collect();
        self.write(&Frame::SynStream { id, fin: false, unidirectional: false, headers }).await;
        id
    }

    pub(crate) async fn send(&mut self, id: u32, data: &[u8], fin: bool) {
        self.write(&Frame::Data { id, fin, data: data.to_vec().into() }).await;
    }

    /// A server that is gone is not told.
    pub(crate) async fn write(&mut self, frame: &Frame) {
        if let Frame::SynStream { id, .. } = frame {
            self.next = id + 2;
        }
        let mut bytes = BytesMut::new();
        self.encoder.encode(frame, &mut bytes);
        self.raw(&bytes).await;
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        let _ = self.connection.write_all(bytes).await;
        let _ = self.connection.flush().await;
    }

    /// The next frame, or the end.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        self.frames.next().await?.ok()
    }

    /// The next frame that is no ping, which must be data of this stream.
    pub(crate) async fn data(&mut self, id: u32) -> (Vec<u8>, bool) {
        loop {
            match self.frame().await {
                Some(Frame::Ping(_)) => {}
                Some(Frame::Data { id: of, fin, data }) if of == id => return (data.to_vec(), fin),
                other => panic!("not data of stream {id}: {other:?}"),
            }
        }
    }
}
