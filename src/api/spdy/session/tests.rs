//! A session with a client of its own kind: streams that come, end and are refused, and the bounds.

use std::io;
use std::pin::pin;

use tokio::io::DuplexStream;

use super::*;
use crate::api::spdy::client::Client;

/// For what happens, however slow the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

fn begun() -> (Session, Client<DuplexStream>) {
    limited(Limits::default())
}

fn limited(limits: Limits) -> (Session, Client<DuplexStream>) {
    let (client, server) = duplex(4 << 10);
    (Session::serve(server, limits), Client::new(client))
}

async fn accepted(session: &mut Session, client: &mut Client<DuplexStream>) -> Stream {
    client.open(&[("streamtype", "data")]).await;
    let stream = session.next().await.unwrap().accept().await;
    let reply = Frame::SynReply { id: stream.id(), fin: false, headers: Headers::default() };
    assert_eq!(client.frame().await, Some(reply));
    stream
}

async fn all(stream: &mut Stream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn streams_are_told_apart_and_have_their_headers() {
    let (mut session, mut client) = begun();
    let first = client.open(&[("streamType", "stdin")]).await;
    let second = client.open(&[("streamType", "stdout")]).await;
    client.send(first, b"one", false).await;
    client.send(second, b"two", true).await;
    client.send(first, b"", true).await;
    for (id, kind, text) in [(first, "stdin", "one"), (second, "stdout", "two")] {
        let incoming = session.next().await.unwrap();
        assert_eq!(incoming.headers().get("streamtype"), Some(kind));
        let mut stream = incoming.accept().await;
        assert_eq!((stream.id(), all(&mut stream).await.as_str()), (id, text));
    }
}

#[tokio::test]
async fn each_direction_ends_by_itself() {
    let (mut session, mut client) = begun();
    let mut stream = accepted(&mut session, &mut client).await;
    let id = stream.id();
    client.send(id, b"question", true).await;
    assert_eq!(all(&mut stream).await, "question");
    stream.write_all(b"answer").await.unwrap();
    assert_eq!(client.data(id).await, (b"answer".to_vec(), false));
    stream.shutdown().await.unwrap();
    assert_eq!(client.data(id).await, (vec![], true));

    let mut stream = accepted(&mut session, &mut client).await;
    let id = stream.id();
    stream.shutdown().await.unwrap();
    assert_eq!(client.data(id).await, (vec![], true));
    client.send(id, b"still here", true).await;
    assert_eq!(all(&mut stream).await, "still here");
}

#[tokio::test]
async fn a_stream_that_the_client_ends_is_over_both_ways() {
    let (mut session, mut client) = begun();
    let mut stream = accepted(&mut session, &mut client).await;
    client.send(stream.id(), b"last words", false).await;
    client.write(&Frame::RstStream { id: stream.id(), status: Status(5) }).await;
    assert_eq!(all(&mut stream).await, "last words");
    let error = loop {
        if let Err(error) = stream.write_all(b"in vain").await {
            break error;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    // Also when it had said before that it would send no more.
    let mut stream = accepted(&mut session, &mut client).await;
    client.send(stream.id(), b"", true).await;
    client.write(&Frame::RstStream { id: stream.id(), status: Status(5) }).await;
    while stream.write_all(b"in vain").await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn streams_are_bounded_and_make_room_when_they_are_over() {
    let (mut session, mut client) = limited(Limits { streams: 2, ..Limits::default() });
    let first = accepted(&mut session, &mut client).await;
    let second = accepted(&mut session, &mut client).await;
    let refused = client.open(&[]).await;
    assert_eq!(client.frame().await, Some(refusal(refused)));

    // Over when both ends have said so, in either order, or the client ends it.
    let id = first.id();
    client.send(id, b"", true).await;
    drop(first);
    assert_eq!(client.data(id).await, (vec![], true));
    let third = accepted(&mut session, &mut client).await;
    client.write(&Frame::RstStream { id: second.id(), status: Status(5) }).await;
    let fourth = accepted(&mut session, &mut client).await;
    // Or when it is refused.
    client.write(&Frame::RstStream { id: third.id(), status: Status(5) }).await;
    let unwanted = client.open(&[]).await;
    session.next().await.unwrap().refuse().await;
    assert_eq!(client.frame().await, Some(refusal(unwanted)));
    let fifth = accepted(&mut session, &mut client).await;
    assert_eq!((fourth.id(), fifth.id()), (9, 13));
}

#[tokio::test]
async fn a_stream_of_one_direction_is_refused() {
    let (_session, mut client) = begun();
    let headers = Headers::default();
    client.write(&Frame::SynStream { id: 1, fin: false, unidirectional: true, headers }).await;
    assert_eq!(client.frame().await, Some(refusal(1)));
}

#[tokio::test]
async fn what_nobody_reads_holds_the_client_back_and_is_not_lost() {
    let (mut session, mut client) = begun();
    let mut stream = accepted(&mut session, &mut client).await;
    let id = stream.id();
    let block = vec![7; 8 << 10];
    let mut sent = 0;
    while timeout(Duration::from_millis(300), client.send(id, &block, false)).await.is_ok() {
        sent += block.len();
        assert!(sent <= INBOX + 2 * CHUNK + (4 << 10) + block.len(), "{sent}");
    }
    assert!(sent >= INBOX);
    // The frame that was begun above is cut off: it ends here, with the connection.
    drop(client);
    let mut read = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut read)).await.unwrap().unwrap();
    assert!(read.len() >= sent && read.iter().all(|byte| *byte == 7), "{} of {sent}", read.len());
}

#[tokio::test]
async fn what_is_sent_to_a_stream_that_was_dropped_holds_nobody_up() {
    let (mut session, mut client) = begun();
    let stream = accepted(&mut session, &mut client).await;
    let dropped = stream.id();
    drop(stream);
    assert_eq!(client.data(dropped).await, (vec![], true));
    for _ in 0..32 {
        client.send(dropped, &[0; 8 << 10], false).await;
    }
    let mut stream = accepted(&mut session, &mut client).await;
    client.send(stream.id(), b"through", true).await;
    assert_eq!(all(&mut stream).await, "through");
}

#[tokio::test]
async fn a_ping_of_the_client_comes_back_and_other_frames_are_passed_over() {
    let (_session, mut client) = begun();
    client.write(&Frame::Ping(2)).await;
    client.write(&Frame::Settings(vec![(4, 100)])).await;
    client.write(&Frame::WindowUpdate { id: 1, delta: 1 << 20 }).await;
    client.write(&Frame::Unknown(11)).await;
    client.write(&Frame::Ping(7)).await;
    assert_eq!(client.frame().await, Some(Frame::Ping(7)));
}

#[tokio::test]
async fn a_client_that_breaks_the_protocol_is_told_so_and_cut_off() {
    let headers = Headers::default;
    let open = |id| Frame::SynStream { id, fin: false, unidirectional: false, headers: headers() };
    let data = |id| Frame::Data { id, fin: false, data: Bytes::from_static(b"x") };
    for (frames, last) in [
        (vec![open(2)], 0),
        (vec![open(1), open(1)], 1),
        (vec![open(5), open(3)], 5),
        (vec![data(1)], 0),
        (vec![open(1), data(3)], 1),
        (vec![Frame::RstStream { id: 1, status: Status(5) }], 0),
        (vec![Frame::Headers { id: 1, fin: false, headers: headers() }], 0),
        (vec![open(1), Frame::SynReply { id: 1, fin: false, headers: headers() }], 1),
    ] {
        let (mut session, mut client) = begun();
        for frame in &frames {
            client.write(frame).await;
        }
        let goodbye = Frame::GoAway { last, status: GOAWAY_PROTOCOL_ERROR };
        assert_eq!(client.frame().await, Some(goodbye), "{frames:?}");
        assert_eq!(client.frame().await, None);
        while session.next().await.is_some() {}
        timeout(PATIENCE, session.gone().cancelled()).await.unwrap();
    }
    let (_session, mut client) = begun();
    client.raw(b"GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(client.frame().await, Some(Frame::GoAway { last: 0, status: GOAWAY_PROTOCOL_ERROR }));
}

#[tokio::test]
async fn all_that_was_written_arrives_before_the_goodbye() {
    let (mut session, mut client) = begun();
    let mut stream = accepted(&mut session, &mut client).await;
    let id = stream.id();
    let server = tokio::spawn(async move {
        stream.write_all(&vec![1; 100_000]).await.unwrap();
        drop(stream);
        session.close().await;
    });
    let mut received = 0;
    loop {
        let (data, fin) = client.data(id).await;
        received += data.len();
        if fin {
            break;
        }
    }
    assert_eq!(received, 100_000);
    assert_eq!(client.frame().await, Some(Frame::GoAway { last: 1, status: GOAWAY_OK }));
    assert_eq!(client.frame().await, None);
    drop(client);
    timeout(PATIENCE, server).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_ends_all_it_had() {
    for goodbye in [true, false] {
        let (mut session, mut client) = begun();
        let mut stream = accepted(&mut session, &mut client).await;
        let mut writing = accepted(&mut session, &mut client).await;
        let blocked = tokio::spawn(async move { writing.write_all(&vec![0; 1 << 20]).await });
        if goodbye {
            client.write(&Frame::GoAway { last: 0, status: 0 }).await;
        } else {
            drop(client);
        }
        assert_eq!(all(&mut stream).await, "");
        assert!(session.next().await.is_none());
        timeout(PATIENCE, session.gone().cancelled()).await.unwrap();
        let blocked = timeout(PATIENCE, blocked).await.unwrap().unwrap();
        assert_eq!(blocked.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        timeout(PATIENCE, session.close()).await.unwrap();
    }
}

#[tokio::test]
async fn a_session_that_is_dropped_closes_the_connection() {
    let (mut session, mut client) = begun();
    let mut stream = accepted(&mut session, &mut client).await;
    drop(session);
    while client.frame().await.is_some() {}
    assert_eq!(all(&mut stream).await, "");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_pinged_and_in_the_end_left() {
    let (session, mut client) = limited(Limits { idle: Duration::from_secs(100), ..Limits::default() });
    let begin = tokio::time::Instant::now();
    for ping in [2, 4] {
        assert_eq!(client.frame().await, Some(Frame::Ping(ping)));
        client.write(&Frame::Ping(ping)).await;
    }
    assert_eq!(begin.elapsed().as_secs(), 60);
    for ping in [6, 8, 10] {
        assert_eq!(client.frame().await, Some(Frame::Ping(ping)));
    }
    assert_eq!(client.frame().await, Some(Frame::GoAway { last: 0, status: GOAWAY_OK }));
    let gone = session.gone();
    let mut left = pin!(gone.cancelled());
    timeout(PATIENCE, &mut left).await.unwrap();
    assert_eq!(begin.elapsed().as_secs(), 160);
}
