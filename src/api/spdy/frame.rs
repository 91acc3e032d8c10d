//! SPDY/3.1 frames, to bytes and back (SPDY/3 specification, 2.2 to 2.6; 3.1 adds nothing to their form).
//!
//! A control frame is read whole and is short. A data frame may be 16 MiB long and is handed on in the pieces in which it
//! arrives, so that nothing has to hold one.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio_util::codec;

use super::headers::{Headers, HeadersError, Inflater, Storer};

/// The version that SPDY/3.1 has in its frames.
const VERSION: u16 = 3;
/// Most bytes of a control frame, without its eight bytes of type and length. Those of Kubernetes' clients are below two hundred.
pub(super) const MAX_CONTROL: usize = 16 << 10;
/// Most bytes of a data frame.
const MAX_DATA: usize = (1 << 24) - 1;

const FLAG_FIN: u8 = 0x01;
const FLAG_UNIDIRECTIONAL: u8 = 0x02;

/// What one end says to the other. Of each frame that is kept which matters to a stream; its priority, say, does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    /// Opens a stream.
    SynStream { id: u32, fin: bool, unidirectional: bool, headers: Headers },
    /// Accepts one.
    SynReply { id: u32, fin: bool, headers: Headers },
    /// Ends one, both ways at once.
    RstStream { id: u32, status: Status },
    /// What the other end would like of this one, as pairs of flags with a name, and a value.
    Settings(Vec<(u32, u32)>),
    /// Wants the same frame back, unless it is one that comes back.
    Ping(u32),
    /// The other end opens, and takes, no more streams.
    GoAway { last: u32, status: u32 },
    /// Further headers of a stream.
    Headers { id: u32, fin: bool, headers: Headers },
    /// So many bytes more may be sent.
    WindowUpdate { id: u32, delta: u32 },
    /// Bytes of a stream. `fin` comes with the last of them.
    Data { id: u32, fin: bool, data: Bytes },
    /// A control frame of a type that is not known, which is to be ignored (2.2.1).
    Unknown(u16),
}

/// Why a stream was ended (2.6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) u32);

impl Status {
    pub(crate) const REFUSED_STREAM: Self = Self(3);
}

/// Why a session cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    /// Neither is more to come, nor was it all.
    #[error("read a frame: {0}")]
    Io(#[from] io::Error),
    /// Another version of the protocol, or another protocol.
    #[error("frame of SPDY version {0}; 3 is spoken here")]
    Version(u16),
    /// A frame that nobody needs so long.
    #[error("control frame of type {kind} is {length} bytes long; at most {MAX_CONTROL} are read")]
    TooLong {
        /// As on the wire.
        kind: u16,
        /// As on the wire.
        length: usize,
    },
    /// A frame that is not as long as its type has it.
    #[error("control frame of type {kind} is {length} bytes long")]
    Length {
        /// As on the wire.
        kind: u16,
        /// As on the wire.
        length: usize,
    },
    /// Stream 0 is the session itself.
    #[error("frame of type {0} for stream 0")]
    NoStream(u16),
    /// The headers in it.
    #[error(transparent)]
    Headers(#[from] HeadersError),
}

/// Reads frames.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    inflater: Inflater,
    /// The data frame that is on its way.
    data: Option<Remaining>,
}

/// What is to come of a data frame.
#[derive(Debug)]
struct Remaining {
    id: u32,
    fin: bool,
    length: usize,
}

/// Writes frames.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    storer: Storer,
}

/// The types of control frames (2.6).
mod kind {
    pub(super) const SYN_STREAM: u16 = 1;
    pub(super) const SYN_REPLY: u16 = 2;
    pub(super) const RST_STREAM: u16 = 3;
    pub(super) const SETTINGS: u16 = 4;
    pub(super) const PING: u16 = 6;
    pub(super) const GOAWAY: u16 = 7;
    pub(super) const HEADERS: u16 = 8;
    pub(super) const WINDOW_UPDATE: u16 = 9;
}

// === impl Decoder ===

impl codec::Decoder for Decoder {
    type Item = Frame;
    type Error = FrameError;

    fn decode(&mut self, source: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        if let Some(remaining) = &mut self.data {
            if source.is_empty() {
                return Ok(None);
            }
            let data = source.split_to(remaining.length.min(source.len())).freeze();
            remaining.length -= data.len();
            let (id, last) = (remaining.id, remaining.length == 0);
            let fin = last && remaining.fin;
            if last {
                self.data = None;
            }
            return Ok(Some(Frame::Data { id, fin, data }));
        }
        let Some((mut head, _)) = source.split_first_chunk::<8>().map(|(head, rest)| (&head[..], rest))
        else {
            return Ok(None);
        };
        let (first, second) = (head.get_u32(), head.get_u32());
        let (flags, length) = ((second >> 24) as u8, (second & 0xff_ffff) as usize);
        if first >> 31 == 0 {
            source.advance(8);
            return self.begin_data(first, flags, length, source);
        }
        let (version, kind) = ((first >> 16) as u16 & 0x7fff, first as u16);
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        if length > MAX_CONTROL {
            return Err(FrameError::TooLong { kind, length });
        }
        if source.len() < 8 + length {
            source.reserve(8 + length - source.len());
            return Ok(None);
        }
        source.advance(8);
        let body = source.split_to(length);
        self.control(kind, flags, &body).map(Some)
    }
}

impl Decoder {
    fn begin_data(
        &mut self,
        id: u32,
        flags: u8,
        length: usize,
        source: &mut BytesMut,
    ) -> Result<Option<Frame>, FrameError> {
        let fin = flags & FLAG_FIN != 0;
        if id == 0 {
            return Err(FrameError::NoStream(0));
        }
        if length == 0 {
            return Ok(Some(Frame::Data { id, fin, data: Bytes::new() }));
        }
        self.data = Some(Remaining { id, fin, length });
        codec::Decoder::decode(self, source)
    }

    fn control(&mut self, kind: u16, flags: u8, body: &[u8]) -> Result<Frame, FrameError> {
        let length = body.len();
        let wrong = FrameError::Length { kind, length };
        let fits = match kind {
            kind::SYN_STREAM => length >= 10,
            kind::SYN_REPLY | kind::HEADERS => length >= 4,
            kind::RST_STREAM | kind::GOAWAY | kind::WINDOW_UPDATE => length == 8,
            kind::SETTINGS => length >= 4 && length % 8 == 4,
            kind::PING => length == 4,
            _ => return Ok(Frame::Unknown(kind)),
        };
        if !fits {
            return Err(wrong);
        }
        let fin = flags & FLAG_FIN != 0;
        let mut body = body;
        let first = body.get_u32();
        let id = first & 0x7fff_ffff;
        let of_stream = !matches!(kind, kind::SETTINGS | kind::PING | kind::GOAWAY | kind::WINDOW_UPDATE);
        if of_stream && id == 0 {
            return Err(FrameError::NoStream(kind));
        }
        Ok(match kind {
            kind::SYN_STREAM => {
                // The stream it belongs to, its priority and the slot of a certificate.
                body.advance(6);
                let unidirectional = flags & FLAG_UNIDIRECTIONAL != 0;
                Frame::SynStream { id, fin, unidirectional, headers: self.inflater.headers(body)? }
            }
            kind::SYN_REPLY => Frame::SynReply { id, fin, headers: self.inflater.headers(body)? },
            kind::HEADERS => Frame::Headers { id, fin, headers: self.inflater.headers(body)? },
            kind::RST_STREAM => Frame::RstStream { id, status: Status(body.get_u32()) },
            kind::GOAWAY => Frame::GoAway { last: id, status: body.get_u32() },
            kind::WINDOW_UPDATE => Frame::WindowUpdate { id, delta: body.get_u32() & 0x7fff_ffff },
            kind::PING => Frame::Ping(first),
            _ => {
                if first as usize != body.len() / 8 {
                    return Err(wrong);
                }
                Frame::Settings(
                    body.chunks_exact(8).map(|mut pair| (pair.get_u32(), pair.get_u32())).collect(),
                )
            }
        })
    }
}

// === impl Encoder ===

impl Encoder {
    /// Appends the frame's bytes.
    pub(crate) fn encode(&mut self, frame: &Frame, out: &mut BytesMut) {
        match frame {
            Frame::SynStream { id, fin, unidirectional, headers } => {
                let block = self.storer.store(headers);
                let unidirectional = if *unidirectional { FLAG_UNIDIRECTIONAL } else { 0 };
                control(out, kind::SYN_STREAM, fin_flag(*fin) | unidirectional, 10 + block.len());
                out.put_u32(*id);
                out.put_bytes(0, 6);
                out.put(block);
            }
            Frame::SynReply { id, fin, headers } => {
                self.with_headers(out, kind::SYN_REPLY, *id, *fin, headers);
            }
            Frame::Headers { id, fin, headers } => self.with_headers(out, kind::HEADERS, *id, *fin, headers),
            Frame::RstStream { id, status: Status(status) } => pair(out, kind::RST_STREAM, *id, *status),
            Frame::GoAway { last, status } => pair(out, kind::GOAWAY, *last, *status),
            Frame::WindowUpdate { id, delta } => pair(out, kind::WINDOW_UPDATE, *id, *delta),
            Frame::Ping(id) => {
                control(out, kind::PING, 0, 4);
                out.put_u32(*id);
            }
            Frame::Settings(pairs) => {
                control(out, kind::SETTINGS, 0, 4 + 8 * pairs.len());
                out.put_u32(pairs.len() as u32);
                for (name, value) in pairs {
                    out.put_u32(*name);
                    out.put_u32(*value);
                }
            }
            Frame::Data { id, fin, data } => {
                debug_assert!(data.len() <= MAX_DATA);
                out.put_u32(*id);
                out.put_u32(u32::from(fin_flag(*fin)) << 24 | data.len() as u32);
                out.put_slice(data);
            }
            Frame::Unknown(kind) => control(out, *kind, 0, 0),
        }
    }

    fn with_headers(&mut self, out: &mut BytesMut, kind: u16, id: u32, fin: bool, headers: &Headers) {
        let block = self.storer.store(headers);
        control(out, kind, fin_flag(fin), 4 + block.len());
        out.put_u32(id);
        out.put(block);
    }
}

fn control(out: &mut BytesMut, kind: u16, flags: u8, length: usize) {
    out.put_u16(0x8000 | VERSION);
    out.put_u16(kind);
    out.put_u32(u32::from(flags) << 24 | length as u32);
}

fn pair(out: &mut BytesMut, kind: u16, first: u32, second: u32) {
    control(out, kind, 0, 8);
    out.put_u32(first);
    out.put_u32(second);
}

fn fin_flag(fin: bool) -> u8 {
    if fin { FLAG_FIN } else { 0 }
}

#[cfg(test)]
mod tests;
