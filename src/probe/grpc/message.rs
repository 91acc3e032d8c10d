//! The two messages of a health check, each of one field, as protobuf writes them.
//! <https://protobuf.dev/programming-guides/encoding/>

use bytes::{BufMut, Bytes, BytesMut};

/// Before each message: whether it is compressed, and its length.
const FRAME_HEADER: usize = 5;

/// Wire types.
const VARINT: u8 = 0;
const FIXED_64: u8 = 1;
const LENGTH_DELIMITED: u8 = 2;
const FIXED_32: u8 = 5;

/// `HealthCheckRequest { string service = 1; }` in its frame.
pub(super) fn request(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8((1 << 3) | LENGTH_DELIMITED);
        put_varint(&mut message, service.len());
        message.put_slice(service.as_bytes());
    }
    let mut frame = BytesMut::with_capacity(FRAME_HEADER + message.len());
    frame.put_u8(0);
    // The name comes from a manifest, which is much shorter than 4 GiB.
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put(message);
    frame.freeze()
}

/// `HealthCheckResponse { ServingStatus status = 1; }` out of its frame. Other fields are those of later versions.
pub(super) fn serving(frame: &[u8]) -> Option<u64> {
    let (header, mut message) = frame.split_at_checked(FRAME_HEADER)?;
    let [0, length @ ..] = header else { return None };
    if u32::from_be_bytes(length.try_into().ok()?) as usize != message.len() {
        return None;
    }
    let mut status = 0;
    while !message.is_empty() {
        let tag = take_varint(&mut message)?;
        let skipped = match (tag >> 3, (tag & 7) as u8) {
            (1, VARINT) => {
                status = take_varint(&mut message)?;
                0
            }
            (_, VARINT) => {
                take_varint(&mut message)?;
                0
            }
            (_, FIXED_64) => 8,
            (_, FIXED_32) => 4,
            (_, LENGTH_DELIMITED) => usize::try_from(take_varint(&mut message)?).ok()?,
            _ => return None,
        };
        message = message.get(skipped..)?;
    }
    Some(status)
}

/// The name of a status.
pub(super) fn serving_status(number: u64) -> String {
    let names = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
    let name = usize::try_from(number).ok().and_then(|number| names.get(number));
    name.map_or_else(|| number.to_string(), ToString::to_string)
}

fn put_varint(bytes: &mut BytesMut, mut number: usize) {
    while number >= 0x80 {
        bytes.put_u8((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.put_u8(number as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_the_name_in_a_frame() {
        assert_eq!(request("")[..], *b"\0\0\0\0\0");
        assert_eq!(request("web")[..], *b"\0\0\0\0\x05\x0a\x03web");
        assert_eq!(request(&"x".repeat(300))[..8], *b"\0\0\0\x01\x2f\x0a\xac\x02");
    }

    #[test]
    fn an_answer_is_read_whatever_else_is_in_it_and_never_half() {
        let framed = |message: &[u8]| {
            let mut frame = vec![0];
            frame.put_u32(message.len() as u32);
            frame.extend_from_slice(message);
            frame
        };
        for (message, expected) in [
            (&b""[..], Some(0)),
            (b"\x08\x01", Some(1)),
            (b"\x08\x02", Some(2)),
            (b"\x12\x03abc\x08\x01\x19 8 bytes\x25four\x30\x80\x01", Some(1)),
            (b"\x08", None),
            (b"\x08\x80", None),
            (b"\x12\x09abc", None),
            (b"\x0b\x01", None),
            (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
        ] {
            assert_eq!(serving(&framed(message)), expected, "{message:?}");
        }
        for frame in [&b""[..], b"\0\0\0\0", b"\x01\0\0\0\0", b"\0\0\0\0\x02\x08", b"\0\0\0\0\0\x08\x01"] {
            assert_eq!(serving(frame), None, "{frame:?}");
        }
    }

    #[test]
    fn a_status_has_its_name() {
        let names = [0, 1, 2, 3, 4, u64::MAX].map(serving_status);
        let expected = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN", "4", "18446744073709551615"];
        assert_eq!(names, expected);
    }
}
