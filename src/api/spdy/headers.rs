//! Header blocks: names and values, compressed as one zlib stream per direction that lasts as long as the session.
//!
//! What comes in is inflated, to a bound. What goes out is stored in the same format without being compressed: it is next to
//! nothing (a reply has no headers), and a compressor would hold a quarter of a megabyte for each session.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use flate2::{Decompress, FlushDecompress, Status};

use super::dictionary;

/// Most bytes of an inflated block. Those of Kubernetes' clients have about a hundred.
pub(super) const MAX_BLOCK: usize = 8 << 10;

/// The headers of a stream, in the order of the wire. Names are of lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

/// Why a header block cannot be understood. Each ends the session: the blocks that follow depend on it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum HeadersError {
    /// Not zlib, or not as the blocks before it were.
    #[error("inflate a header block: not a zlib stream with SPDY's dictionary")]
    Corrupt,
    /// More than [`MAX_BLOCK`], however short it was on the wire.
    #[error("inflate a header block: more than {MAX_BLOCK} bytes")]
    TooLong,
    /// The lengths in it do not add up.
    #[error("a header block whose lengths do not fit its {0} bytes")]
    Torn(usize),
    /// A name that is empty, or has a byte that is not printable ASCII of lower case.
    #[error("header name {0:?} is not of lower case")]
    Name(String),
    /// A value that is not text.
    #[error("value of header {0:?} is not text")]
    Value(String),
    /// Several values of a name are one value, with NUL between them.
    #[error("header {0:?} comes twice")]
    Twice(String),
}

impl Headers {
    /// The first value of a name, which may be in any case.
    pub fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        value.split('\0').next()
    }

    fn parse(mut block: &[u8]) -> Result<Self, HeadersError> {
        let length = block.len();
        let torn = || HeadersError::Torn(length);
        let count = block.try_get_u32().map_err(|_| torn())?;
        let mut headers = Self::default();
        for _ in 0..count {
            let name = text(&mut block).ok_or_else(torn)?;
            let value = text(&mut block).ok_or_else(torn)?;
            let name = String::from_utf8_lossy(name).into_owned();
            if name.is_empty()
                || !name.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase())
            {
                return Err(HeadersError::Name(name));
            }
            if headers.get(&name).is_some() {
                return Err(HeadersError::Twice(name));
            }
            let Ok(value) = String::from_utf8(value.to_vec()) else { return Err(HeadersError::Value(name)) };
            headers.0.push((name, value));
        }
        if block.is_empty() { Ok(headers) } else { Err(torn()) }
    }

    /// The block that [`Headers::parse`] takes.
    pub(super) fn to_block(&self) -> Bytes {
        let mut block = BytesMut::new();
        block.put_u32(self.0.len() as u32);
        for text in self.0.iter().flat_map(|(name, value)| [name, value]) {
            block.put_u32(text.len() as u32);
            block.put_slice(text.as_bytes());
        }
        block.freeze()
    }
}

impl<N: AsRef<str>, V: Into<String>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(name, value)| (name.as_ref().to_ascii_lowercase(), value.into()))
                .collect(),
        )
    }
}

/// A length and as many bytes.
fn text<'a>(block: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = block.try_get_u32().ok()? as usize;
    let (text, rest) = block.split_at_checked(length)?;
    *block = rest;
    Some(text)
}

/// One direction of a session that is read.
#[derive(Debug)]
pub(super) struct Inflater(Decompress);

impl Default for Inflater {
    fn default() -> Self {
        Self(Decompress::new(true))
    }
}

impl Inflater {
    /// The headers of a compressed block, the next of the session.
    pub(super) fn headers(&mut self, compressed: &[u8]) -> Result<Headers, HeadersError> {
        Headers::parse(&self.inflate(compressed)?)
    }

    fn inflate(&mut self, mut compressed: &[u8]) -> Result<Vec<u8>, HeadersError> {
        let mut block = Vec::with_capacity(1 << 10);
        loop {
            let before = self.0.total_in();
            let done = self.0.decompress_vec(compressed, &mut block, FlushDecompress::Sync);
            compressed = &compressed[(self.0.total_in() - before) as usize..];
            match done {
                Ok(Status::Ok | Status::BufError) => {}
                // A session's stream has no end.
                Ok(Status::StreamEnd) => return Err(HeadersError::Corrupt),
                Err(error) if error.needs_dictionary() == Some(dictionary::ID) => {
                    self.0.set_dictionary(&dictionary::DICTIONARY).map_err(|_| HeadersError::Corrupt)?;
                    continue;
                }
                Err(_) => return Err(HeadersError::Corrupt),
            }
            // Room that is left means that there was no more to come.
            if block.len() < block.capacity() {
                return if compressed.is_empty() { Ok(block) } else { Err(HeadersError::Corrupt) };
            }
            if block.len() > MAX_BLOCK {
                return Err(HeadersError::TooLong);
            }
            block.reserve_exact(block.len().min(MAX_BLOCK + 1 - block.len()));
        }
    }
}

/// One direction of a session that is written.
#[derive(Debug, Default)]
pub(super) struct Storer {
    begun: bool,
}

impl Storer {
    /// Most bytes of a stored block, whose length is of sixteen bits.
    const MAX_STORED: usize = u16::MAX as usize;

    /// The block in the zlib format.
    pub(super) fn store(&mut self, headers: &Headers) -> Bytes {
        let mut out = BytesMut::new();
        if !self.begun {
            // Deflate with a window of 32 KiB, no dictionary (RFC 1950, 2.2).
            out.put_slice(&[0x78, 0x01]);
            self.begun = true;
        }
        // An empty block at the end tells a reader that it has all there is (RFC 1951, 3.2.4).
        for piece in headers.to_block().chunks(Self::MAX_STORED).chain([&[][..]]) {
            let length = piece.len() as u16;
            out.put_u8(0);
            out.put_u16_le(length);
            out.put_u16_le(!length);
            out.put_slice(piece);
        }
        out.freeze()
    }
}

#[cfg(test)]
mod tests;
