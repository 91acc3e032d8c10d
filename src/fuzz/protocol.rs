//! The shim's socket: the same frames however the stream is cut, nothing kept but one of them, and each as it was sent.
//!
//! The first byte of the input says in which pieces the rest arrives.

use std::io::Write;
use std::os::unix::net::UnixStream;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::shim::connection::{Connection, ConnectionError};
use crate::shim::frame::{Decoder, encode};
use crate::shim::protocol::{Call, Message, Request};

/// As much as a socket takes at once.
const MAX_INPUT: usize = 64 << 10;

pub(super) fn check(data: &[u8]) {
    let Some((cut, stream)) = data.split_first() else { return };
    let cut = usize::from(*cut) + 1;
    let stream = &stream[..stream.len().min(MAX_INPUT)];

    let (requests, end) = decoded::<Request>(stream, stream.len().max(1));
    let texts = requests.iter().map(again).collect::<Vec<_>>();
    let (in_pieces, same_end) = decoded::<Request>(stream, cut);
    assert_eq!((in_pieces.iter().map(again).collect::<Vec<_>>(), same_end), (texts, end.clone()));
    match received(stream, cut) {
        Received::All(count) => assert!(end.is_none() && count == requests.len()),
        Received::GaveUp(count) => assert!(end.is_some() && count <= requests.len()),
    }

    let (messages, end) = decoded::<Message>(stream, cut);
    let (in_one, same_end) = decoded::<Message>(stream, stream.len().max(1));
    let texts = |messages: &[Message]| messages.iter().map(text_of).collect::<Vec<_>>();
    assert_eq!((texts(&messages), end), (texts(&in_one), same_end));
    for message in &messages {
        assert_eq!(text_of(&sent::<Message>(message)), text_of(message));
    }
}

/// The values in a stream that comes in pieces, and why it cannot be read on.
fn decoded<T: DeserializeOwned>(stream: &[u8], cut: usize) -> (Vec<T>, Option<String>) {
    let (mut decoder, mut values) = (Decoder::default(), Vec::new());
    for piece in stream.chunks(cut) {
        decoder.push(piece);
        loop {
            match decoder.take() {
                Ok(Some(value)) => values.push(value),
                Ok(None) => break,
                Err(error) => return (values, Some(error.to_string())),
            }
        }
    }
    (values, None)
}

/// How many requests a shim gets out of a stream.
enum Received {
    /// It read to the end.
    All(usize),
    /// It hung up. What came in the same piece as the flaw is lost with the connection.
    GaveUp(usize),
}

fn received(stream: &[u8], cut: usize) -> Received {
    let (mut agent, shim) = UnixStream::pair().expect("a pair of sockets");
    let mut connection = Connection::new(shim).expect("a connection");
    let mut buffer = vec![0; cut];
    agent.write_all(stream).expect("room for it");
    drop(agent);
    let mut count = 0;
    loop {
        match connection.read(&mut buffer) {
            Ok(requests) => count += requests.len(),
            Err(ConnectionError::Closed) => return Received::All(count),
            Err(_) => return Received::GaveUp(count),
        }
    }
}

/// A request as text, proven to arrive as it was sent.
fn again(request: &Request) -> String {
    let arrived: Request = sent(request);
    match (&request.call, &arrived.call) {
        // Sets of capabilities have no order, so their texts may differ.
        (Call::StartContainer(before), Call::StartContainer(after)) => {
            assert_eq!(before, after);
            format!("{} {}", request.id, before.id)
        }
        _ => {
            assert_eq!(text_of(&arrived), text_of(request));
            text_of(request)
        }
    }
}

fn sent<T: Serialize + DeserializeOwned>(value: &T) -> T {
    let mut decoder = Decoder::default();
    decoder.push(&encode(value).expect("a frame"));
    let arrived = decoder.take().expect("what was sent").expect("all of it");
    assert!(decoder.take::<T>().expect("nothing").is_none());
    arrived
}

fn text_of<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("a value")
}
