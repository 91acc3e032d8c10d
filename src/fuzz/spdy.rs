//! SPDY of a client: the same frames however the stream is cut, each as it was sent, and a session that comes to its end.
//!
//! The first byte of the input says in which pieces the rest arrives.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio_util::codec::Decoder as _;

use crate::api::spdy::frame::{Decoder, Encoder, Frame};
use crate::api::spdy::{Limits, Session};

/// As much as a client says before anybody reads.
const MAX_INPUT: usize = 64 << 10;
/// Few, so that they are reached.
const LIMITS: Limits = Limits { streams: 4, idle: Duration::from_secs(60) };

pub(super) fn check(data: &[u8]) {
    let Some((cut, stream)) = data.split_first() else { return };
    let cut = usize::from(*cut) + 1;
    let stream = &stream[..stream.len().min(MAX_INPUT)];

    let (frames, end) = decoded(stream, stream.len().max(1));
    assert_eq!(decoded(stream, cut), (frames.clone(), end));
    let mut bytes = BytesMut::new();
    let mut encoder = Encoder::default();
    frames.iter().for_each(|frame| encoder.encode(frame, &mut bytes));
    assert_eq!(decoded(&bytes, cut), (frames, None));

    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(serve(stream, cut));
}

/// The frames of a stream that comes in pieces, those of data made whole again, and why it cannot be read on.
fn decoded(stream: &[u8], cut: usize) -> (Vec<Frame>, Option<String>) {
    let (mut decoder, mut source, mut frames) = (Decoder::default(), BytesMut::new(), Vec::new());
    for piece in stream.chunks(cut) {
        source.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut source) {
                Ok(Some(frame)) => join(&mut frames, frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error.to_string())),
            }
        }
    }
    (frames, None)
}

/// Puts data to the data before it, when it may be of the same frame.
fn join(frames: &mut Vec<Frame>, frame: Frame) {
    match (frames.last_mut(), &frame) {
        (Some(Frame::Data { id, fin: fin @ false, data }), Frame::Data { id: of, fin: last, data: more })
            if id == of =>
        {
            *data = Bytes::from([&data[..], more].concat());
            *fin = *last;
        }
        _ => frames.push(frame),
    }
}

/// Serves a client that sends this and leaves: every stream ends, and so does the session.
async fn serve(stream: &[u8], cut: usize) {
    let (mut client, server) = duplex(MAX_INPUT);
    let mut session = Session::serve(server, LIMITS);
    let client = async {
        for piece in stream.chunks(cut) {
            if client.write_all(piece).await.is_err() {
                break;
            }
        }
        // Whoever closes a socket has not read all of it.
        drop(client);
    };
    let streams = async {
        let mut open = tokio::task::JoinSet::new();
        while let Some(incoming) = session.next().await {
            open.spawn(async move {
                let mut stream = incoming.accept().await;
                let mut bytes = Vec::new();
                stream.read_to_end(&mut bytes).await.expect("an end");
                bytes.len()
            });
        }
        let lengths = open.join_all().await;
        assert!(lengths.iter().sum::<usize>() <= MAX_INPUT);
    };
    tokio::join!(client, streams);
    session.close().await;
}
