//! The health protocol against a server that answers as the table says.

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use http::{HeaderMap, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What a server says to a health check.
#[derive(Clone, Copy)]
enum Says {
    /// The message, and this status after it.
    Message(&'static [u8], &'static str),
    /// A status, and no message.
    Status(&'static str),
    Http(u16),
    Nothing,
}

/// Serves health checks; keeps what it was asked.
async fn serve(says: Says) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(answer(stream, says));
        }
    });
    (port, serving)
}

async fn answer(stream: TcpStream, says: Says) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
        assert_eq!(request.headers()["content-type"], "application/grpc");
        assert_eq!(request.headers()["user-agent"], "kube-probe/1.37");
        let response = Response::builder().header("content-type", "application/grpc");
        match says {
            Says::Message(message, status) => {
                let response = response.body(()).unwrap();
                let mut body = respond.send_response(response, false).unwrap();
                body.send_data(Bytes::from_static(message), false).unwrap();
                let trailers = [("grpc-status".parse().unwrap(), status.parse().unwrap())];
                body.send_trailers(HeaderMap::from_iter(trailers)).unwrap();
            }
            Says::Status(status) => {
                let response = response.header("grpc-status", status).header("grpc-message", "a%20b");
                respond.send_response(response.body(()).unwrap(), true).unwrap();
            }
            Says::Http(status) => {
                respond.send_response(response.status(status).body(()).unwrap(), true).unwrap();
            }
            Says::Nothing => std::mem::forget(respond),
        }
    }
}

/// Waits for an answer, however slow the machine is.
async fn ask(port: u16) -> Answer {
    ask_for(port, Duration::from_secs(60)).await
}

async fn ask_for(port: u16, timeout: Duration) -> Answer {
    let address = Address::new(None, LOCALHOST, port);
    Question { address, service: "web".to_owned(), timeout }.ask().await
}

#[tokio::test]
async fn only_who_serves_is_healthy() {
    let unhealthy = |message: &str| Answer::Unhealthy(message.to_owned());
    let rpc = |text: &str| unhealthy(&format!("error: health rpc probe failed: rpc error: code = {text}"));
    let unimplemented =
        "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): ";
    for (says, expected) in [
        (Says::Message(b"\0\0\0\0\x02\x08\x01", "0"), Answer::Healthy),
        (
            Says::Message(b"\0\0\0\0\x02\x08\x02", "0"),
            unhealthy("service unhealthy (responded with \"NOT_SERVING\")"),
        ),
        (Says::Message(b"\0\0\0\0\0", "0"), unhealthy("service unhealthy (responded with \"UNKNOWN\")")),
        (Says::Message(b"\0\0\0\0\x02\x08\x01", "13"), rpc("Internal desc = ")),
        (Says::Message(b"\0\0", "0"), rpc("Internal desc = the answer makes no sense")),
        (
            Says::Message(&[0; MAX_ANSWER + 1], "0"),
            rpc("Internal desc = the answer is longer than 4096 bytes"),
        ),
        (Says::Status("5"), rpc("NotFound desc = a b")),
        (Says::Status("12"), unhealthy(&format!("{unimplemented}a b"))),
        (Says::Status("0"), rpc("Internal desc = server closed the stream without sending trailers")),
        (
            Says::Http(404),
            unhealthy(&format!(
                "{unimplemented}unexpected HTTP status code received from server: 404 Not Found"
            )),
        ),
    ] {
        let (port, serving) = serve(says).await;
        assert_eq!(ask(port).await, expected);
        serving.abort();
    }
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for() {
    let (port, serving) = serve(Says::Nothing).await;
    let expected = "timeout: health rpc did not complete within 300ms".to_owned();
    assert_eq!(ask_for(port, Duration::from_millis(300)).await, Answer::Unhealthy(expected));
    serving.abort();
}

#[tokio::test]
async fn nobody_there_and_nobody_who_speaks_it_are_told_apart() {
    let listener = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let other = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    });
    let Answer::Unhealthy(message) = ask(port).await else { panic!("healthy") };
    assert!(
        message.starts_with("error: health rpc probe failed: rpc error: code = Unavailable desc = "),
        "{message}"
    );
    other.await.unwrap();
    let expected = format!(
        "error: failed to connect service at \"127.0.0.1:{port}\": dial tcp 127.0.0.1:{port}: connect: connection refused"
    );
    assert_eq!(ask(port).await, Answer::Unhealthy(expected));
}
