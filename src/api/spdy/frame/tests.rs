//! Frames byte by byte, there and back, and what no frame may be.

use codec::Decoder as _;
use proptest::prelude::*;

use super::*;

/// All frames of a stream of bytes that comes in pieces, then what is wrong with the rest.
fn decoded(bytes: &[u8], cut: usize) -> (Vec<Frame>, Option<String>) {
    let (mut decoder, mut source, mut frames) = (Decoder::default(), BytesMut::new(), Vec::new());
    for piece in bytes.chunks(cut) {
        source.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut source) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error.to_string())),
            }
        }
    }
    (frames, None)
}

fn encoded(frames: &[Frame]) -> BytesMut {
    let (mut encoder, mut out) = (Encoder::default(), BytesMut::new());
    frames.iter().for_each(|frame| encoder.encode(frame, &mut out));
    out
}

fn data(id: u32, fin: bool, data: &'static [u8]) -> Frame {
    Frame::Data { id, fin, data: Bytes::from_static(data) }
}

/// As in the pictures of the specification.
#[test]
fn frames_are_these_bytes() {
    for (frame, bytes) in [
        (Frame::Ping(1), &b"\x80\x03\0\x06\0\0\0\x04\0\0\0\x01"[..]),
        (
            Frame::RstStream { id: 5, status: Status::REFUSED_STREAM },
            b"\x80\x03\0\x03\0\0\0\x08\0\0\0\x05\0\0\0\x03",
        ),
        (Frame::GoAway { last: 7, status: 1 }, b"\x80\x03\0\x07\0\0\0\x08\0\0\0\x07\0\0\0\x01"),
        (Frame::WindowUpdate { id: 1, delta: 65536 }, b"\x80\x03\0\x09\0\0\0\x08\0\0\0\x01\0\x01\0\0"),
        (
            Frame::Settings(vec![(0x0100_0004, 100)]),
            b"\x80\x03\0\x04\0\0\0\x0c\0\0\0\x01\x01\0\0\x04\0\0\0\x64",
        ),
        (data(3, false, b"hi"), b"\0\0\0\x03\0\0\0\x02hi"),
        (data(3, true, b""), b"\0\0\0\x03\x01\0\0\0"),
        (Frame::Unknown(11), b"\x80\x03\0\x0b\0\0\0\0"),
        // A header block of no headers, stored, and the empty block behind it.
        (
            Frame::SynReply { id: 1, fin: false, headers: Headers::default() },
            b"\x80\x03\0\x02\0\0\0\x14\0\0\0\x01\x78\x01\0\x04\0\xfb\xff\0\0\0\0\0\0\0\xff\xff",
        ),
    ] {
        assert_eq!(encoded(std::slice::from_ref(&frame)), bytes, "{frame:?}");
        assert_eq!(decoded(bytes, bytes.len()), (vec![frame], None));
    }
}

#[test]
fn what_is_not_needed_of_a_frame_is_passed_over() {
    for (bytes, frame) in [
        // The first bit of an identifier is reserved.
        (
            &b"\x80\x03\0\x03\0\0\0\x08\x80\0\0\x05\0\0\0\x05"[..],
            Frame::RstStream { id: 5, status: Status(5) },
        ),
        // Flags that a frame does not have.
        (b"\x80\x03\0\x06\xff\0\0\x04\0\0\0\x01", Frame::Ping(1)),
        (b"\0\0\0\x03\xfe\0\0\x01x", data(3, false, b"x")),
        (b"\x80\x03\0\x0b\x01\0\0\x02xy", Frame::Unknown(11)),
    ] {
        assert_eq!(decoded(bytes, bytes.len()), (vec![frame], None));
    }
}

#[test]
fn a_data_frame_comes_in_the_pieces_in_which_it_arrives() {
    let bytes = b"\0\0\0\x03\x01\0\0\x05hello\0\0\0\x05\0\0\0\0";
    let (frames, error) = decoded(bytes, 11);
    assert_eq!(frames, [data(3, false, b"hel"), data(3, true, b"lo"), data(5, false, b"")]);
    assert_eq!(error, None);
    // One of the greatest length is begun without room for all of it.
    let (mut decoder, mut source) = (Decoder::default(), BytesMut::from(&b"\0\0\0\x03\x01\xff\xff\xffx"[..]));
    assert_eq!(decoder.decode(&mut source).unwrap(), Some(data(3, false, b"x")));
    assert_eq!(decoder.decode(&mut source).unwrap(), None);
    assert!(source.capacity() < 1024);
}

#[test]
fn frames_that_cannot_be_are_refused() {
    for (bytes, error) in [
        (&b"\x80\x02\0\x06\0\0\0\x04\0\0\0\x01"[..], "frame of SPDY version 2; 3 is spoken here"),
        (
            b"\x80\x03\0\x06\0\0\x40\x01",
            "control frame of type 6 is 16385 bytes long; at most 16384 are read",
        ),
        (b"\x80\x03\0\x06\0\0\0\x05\0\0\0\x01\0", "control frame of type 6 is 5 bytes long"),
        (b"\x80\x03\0\x03\0\0\0\x04\0\0\0\x01", "control frame of type 3 is 4 bytes long"),
        (b"\x80\x03\0\x07\0\0\0\x04\0\0\0\x01", "control frame of type 7 is 4 bytes long"),
        (b"\x80\x03\0\x01\0\0\0\x09\0\0\0\x01\0\0\0\0\0", "control frame of type 1 is 9 bytes long"),
        (b"\x80\x03\0\x02\0\0\0\x02\0\0", "control frame of type 2 is 2 bytes long"),
        (
            b"\x80\x03\0\x04\0\0\0\x0c\0\0\0\x02\x01\0\0\x04\0\0\0\x64",
            "control frame of type 4 is 12 bytes long",
        ),
        (b"\x80\x03\0\x03\0\0\0\x08\0\0\0\0\0\0\0\x03", "frame of type 3 for stream 0"),
        (b"\0\0\0\0\0\0\0\x01x", "frame of type 0 for stream 0"),
        (b"\x80\x03\0\x08\0\0\0\x05\0\0\0\x01x", "a header block whose lengths do not fit its 0 bytes"),
    ] {
        assert_eq!(decoded(bytes, bytes.len()), (vec![], Some(error.to_owned())));
    }
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let id = 1_u32..=0x7fff_ffff;
    let headers = || {
        proptest::collection::btree_map("[a-z]{1,8}", "[ -~]{0,20}", 0..4)
            .prop_map(|pairs| pairs.into_iter().collect::<Headers>())
    };
    prop_oneof![
        (id.clone(), any::<(bool, bool)>(), headers()).prop_map(|(id, (fin, unidirectional), headers)| {
            Frame::SynStream { id, fin, unidirectional, headers }
        }),
        (id.clone(), any::<bool>(), headers()).prop_map(|(id, fin, headers)| Frame::SynReply {
            id,
            fin,
            headers
        }),
        (id.clone(), any::<bool>(), headers()).prop_map(|(id, fin, headers)| Frame::Headers {
            id,
            fin,
            headers
        }),
        (id.clone(), any::<u32>()).prop_map(|(id, status)| Frame::RstStream { id, status: Status(status) }),
        proptest::collection::vec(any::<(u32, u32)>(), 0..4).prop_map(Frame::Settings),
        any::<u32>().prop_map(Frame::Ping),
        (0..=0x7fff_ffff_u32, any::<u32>()).prop_map(|(last, status)| Frame::GoAway { last, status }),
        (0..=0x7fff_ffff_u32, 0..=0x7fff_ffff_u32).prop_map(|(id, delta)| Frame::WindowUpdate { id, delta }),
        (id, any::<bool>(), proptest::collection::vec(any::<u8>(), 0..100))
            .prop_map(|(id, fin, data)| Frame::Data { id, fin, data: data.into() }),
    ]
}

/// Data frames that were cut made whole again.
fn joined(frames: Vec<Frame>, whole: &[Frame]) -> Vec<Frame> {
    let (mut frames, mut out) = (frames.into_iter(), Vec::new());
    for expected in whole {
        let Frame::Data { data: all, .. } = expected else {
            out.extend(frames.next());
            continue;
        };
        let (mut bytes, mut last) = (Vec::new(), None);
        while let Some(Frame::Data { id, fin, data }) = frames.next() {
            bytes.extend_from_slice(&data);
            last = Some((id, fin));
            if bytes.len() >= all.len() {
                break;
            }
        }
        out.extend(last.map(|(id, fin)| Frame::Data { id, fin, data: bytes.into() }));
    }
    out.extend(frames);
    out
}

proptest! {
    #[test]
    fn frames_arrive_as_they_were_sent_however_they_are_cut(
        frames in proptest::collection::vec(any_frame(), 0..12),
        cut in 1_usize..64,
    ) {
        let (arrived, error) = decoded(&encoded(&frames), cut);
        prop_assert_eq!(joined(arrived, &frames), frames);
        prop_assert_eq!(error, None);
    }
}
