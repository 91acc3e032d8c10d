//! Frames of the shim's socket: a little-endian u32 length, then one JSON value. Used on both ends.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::protocol::MAX_FRAME;

const HEADER: usize = size_of::<u32>();

/// Why a stream cannot be read on: the connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The peer announced more than [`MAX_FRAME`] bytes.
    #[error("a frame of {0} bytes is longer than allowed")]
    TooLong(usize),
    /// The body is not the value that was expected.
    #[error("a frame cannot be understood")]
    Malformed(#[source] serde_json::Error),
}

/// The frame of a value.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; HEADER];
    serde_json::to_writer(&mut frame, value).map_err(FrameError::Malformed)?;
    let length = frame.len() - HEADER;
    if length > MAX_FRAME {
        return Err(FrameError::TooLong(length));
    }
    frame[..HEADER].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(frame)
}

/// Cuts a stream of bytes into frames. Holds at most one frame and what was pushed behind it.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
}

impl Decoder {
    /// Takes bytes as they come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// True when nothing waits for more bytes.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The next value, or `None` until more bytes came. Call it until it says so before pushing on.
    pub fn take<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let Some(header) = self.buffer.first_chunk::<HEADER>() else { return Ok(None) };
        let length = u32::from_le_bytes(*header) as usize;
        if length > MAX_FRAME {
            return Err(FrameError::TooLong(length));
        }
        let Some(body) = self.buffer.get(HEADER..HEADER + length) else { return Ok(None) };
        let value = serde_json::from_slice(body).map_err(FrameError::Malformed)?;
        self.buffer.drain(..HEADER + length);
        if self.buffer.is_empty() {
            // A start configuration is some ten KiB, and comes seldom: the memory is given back.
            self.buffer = Vec::new();
        }
        Ok(Some(value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_announced_length_is_bounded_before_it_is_awaited() {
        let mut decoder = Decoder::default();
        decoder.push(&u32::MAX.to_le_bytes());
        assert!(matches!(decoder.take::<String>(), Err(FrameError::TooLong(_))));
    }

    #[test]
    fn what_is_no_json_is_an_error() {
        let mut decoder = Decoder::default();
        decoder.push(&3u32.to_le_bytes());
        decoder.push(b"\xff{]");
        assert!(matches!(decoder.take::<String>(), Err(FrameError::Malformed(_))));
    }

    proptest! {
        #[test]
        fn frames_survive_any_cut(texts in proptest::collection::vec(".{0,40}", 0..6), cut in 1usize..16) {
            let stream: Vec<u8> = texts.iter().flat_map(|text| encode(text).unwrap()).collect();
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for piece in stream.chunks(cut) {
                decoder.push(piece);
                while let Some(text) = decoder.take::<String>().unwrap() {
                    seen.push(text);
                }
            }
            prop_assert_eq!(seen, texts);
        }
    }
}
