//! Answers of HTTP servers, well and ill, and the words for each.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::*;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// For an answer that comes, however slow the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a server does once it has sent its answer.
#[derive(Clone, Copy)]
enum Then {
    Close,
    Hold,
    Repeat(&'static str),
}

/// A server that says the same to whoever asks, and keeps what it was asked.
struct Server {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Server {
    /// `PORT` in the answer stands for the server's own.
    async fn new(answer: &str, then: Then) -> Self {
        let listener = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = answer.replace("PORT", &port.to_string());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, answer.clone(), then, seen.clone()));
            }
        });
        Self { port, requests, task }
    }

    fn get(&self) -> HttpGet {
        HttpGet { host: None, port: self.port, path: "/".to_owned(), https: false, headers: Vec::new() }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, answer: String, then: Then, seen: Arc<Mutex<Vec<String>>>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    seen.lock().unwrap().push(String::from_utf8(request).unwrap());
    let _ = stream.write_all(answer.as_bytes()).await;
    match then {
        Then::Close => {}
        Then::Hold => sleep(Duration::from_secs(60)).await,
        Then::Repeat(text) => while stream.write_all(text.as_bytes()).await.is_ok() {},
    }
}

async fn ask(get: &HttpGet) -> Answer {
    question(get).ask(PATIENCE).await
}

fn question(get: &HttpGet) -> Question {
    Client::new().unwrap().question(get, LOCALHOST, super::super::USER_AGENT)
}

fn unhealthy(message: impl Into<String>) -> Answer {
    Answer::Unhealthy(message.into())
}

#[tokio::test]
async fn the_status_decides() {
    for (line, expected) in [
        ("200 OK", Answer::Healthy),
        ("204 No Content", Answer::Healthy),
        ("299 Whatever", Answer::Healthy),
        ("304 Not Modified", Answer::HealthyBut("Probe terminated redirects, Response body: ".to_owned())),
        ("400 Bad Request", unhealthy("HTTP probe failed with statuscode: 400")),
        ("404 Not Found", unhealthy("HTTP probe failed with statuscode: 404")),
        ("500 Internal Server Error", unhealthy("HTTP probe failed with statuscode: 500")),
        ("999 Beyond", unhealthy("HTTP probe failed with statuscode: 999")),
    ] {
        let server = Server::new(&format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n"), Then::Close).await;
        assert_eq!(ask(&server.get()).await, expected, "{line}");
    }
}

#[tokio::test]
async fn the_request_is_the_kubelets() {
    let server = Server::new(OK, Then::Close).await;
    assert_eq!(ask(&server.get()).await, Answer::Healthy);
    let headers =
        [("Host", "example.org"), ("User-Agent", "me"), ("accept", "text/plain"), ("X-A", "1"), ("X-A", "2")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let get = HttpGet { path: "/a/b?c=d&e".to_owned(), headers, ..server.get() };
    assert_eq!(ask(&get).await, Answer::Healthy);
    let lines = |request: &str| {
        let mut lines: Vec<_> = request.trim_end().split("\r\n").map(str::to_lowercase).collect();
        lines[1..].sort();
        lines
    };
    let requests = server.requests();
    let host = format!("host: 127.0.0.1:{}", server.port);
    assert_eq!(
        lines(&requests[0]),
        ["get / http/1.1", "accept: */*", "connection: close", &host, "user-agent: kube-probe/1.37"]
    );
    assert_eq!(
        lines(&requests[1]),
        [
            "get /a/b?c=d&e http/1.1",
            "accept: text/plain",
            "connection: close",
            "host: example.org",
            "user-agent: me",
            "x-a: 1",
            "x-a: 2"
        ]
    );
}

#[tokio::test]
async fn nobody_there_is_told_in_gos_words() {
    let listener = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let get = HttpGet { host: None, port, path: "/healthz".to_owned(), https: false, headers: Vec::new() };
    let expected = format!(
        "Get \"http://127.0.0.1:{port}/healthz\": dial tcp 127.0.0.1:{port}: connect: connection refused"
    );
    assert_eq!(ask(&get).await, unhealthy(expected));
    let get = HttpGet { host: Some("::1".to_owned()), https: true, ..get };
    let expected = format!("Get \"https://[::1]:{port}/healthz\": dial tcp [::1]:{port}: connect: ");
    assert!(matches!(ask(&get).await, Answer::Unhealthy(message) if message.starts_with(&expected)));
}

#[tokio::test]
async fn whatever_a_server_does_it_ends_in_time() {
    let headers = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
    let body = "context deadline exceeded (Client.Timeout or context cancellation while reading body)";
    for (name, answer, then, expected) in [
        ("silent", "", Then::Hold, headers),
        ("half a head", "HTTP/1.1 200 OK\r\nX: ", Then::Hold, headers),
        ("half a body", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", Then::Hold, body),
        ("endless interim answers", "", Then::Repeat("HTTP/1.1 102 Processing\r\n\r\n"), headers),
    ] {
        let server = Server::new(answer, then).await;
        let expected = unhealthy(format!("Get \"http://127.0.0.1:{}/\": {expected}", server.port));
        assert_eq!(question(&server.get()).ask(Duration::from_millis(300)).await, expected, "{name}");
    }
}

#[tokio::test]
async fn what_is_too_much_is_not_read() {
    for (name, answer, then, expected) in [
        ("endless body", "HTTP/1.1 200 OK\r\n\r\n", Then::Repeat("0123456789abcdef"), true),
        ("endless bad body", "HTTP/1.1 500 No\r\n\r\n", Then::Repeat("0123456789abcdef"), false),
        ("endless headers", "HTTP/1.1 200 OK\r\n", Then::Repeat("X-Header: value\r\n"), false),
        ("endless header", "HTTP/1.1 200 OK\r\nX: ", Then::Repeat("0123456789abcdef"), false),
        ("endless status line", "HTTP/1.1 200 ", Then::Repeat("0123456789abcdef"), false),
    ] {
        let server = Server::new(answer, then).await;
        let answer = ask(&server.get()).await;
        assert_eq!(answer == Answer::Healthy, expected, "{name}: {answer:?}");
        assert!(!format!("{answer:?}").contains("deadline exceeded"), "{name}: {answer:?}");
    }
}

#[tokio::test]
async fn garbage_is_a_failure() {
    for answer in [
        "",
        "garbage\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "\u{0}\u{1}\u{2}",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok",
    ] {
        let server = Server::new(answer, Then::Close).await;
        let prefix = format!("Get \"http://127.0.0.1:{}/\": ", server.port);
        match ask(&server.get()).await {
            Answer::Unhealthy(message) => assert!(message.starts_with(&prefix), "{answer:?}: {message}"),
            other => panic!("{answer:?}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn redirects_are_followed_on_the_same_host_only() {
    let target = Server::new(OK, Then::Close).await;
    let to =
        |location: String| format!("HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: {location}\r\n\r\n");
    let same = Server::new(&to(format!("http://127.0.0.1:{}/next", target.port)), Then::Close).await;
    assert_eq!(ask(&same.get()).await, Answer::Healthy);
    assert!(target.requests()[0].starts_with("GET /next "));

    let elsewhere = Server::new(&to(format!("http://localhost:{}/", target.port)), Then::Close).await;
    assert!(matches!(ask(&elsewhere.get()).await, Answer::HealthyBut(_)));
    assert_eq!(target.requests().len(), 1, "not asked");

    let circle = Server::new(&to("http://127.0.0.1:PORT/again".to_owned()), Then::Close).await;
    let expected = format!("Get \"http://127.0.0.1:{}/\": stopped after 10 redirects", circle.port);
    assert_eq!(ask(&circle.get()).await, unhealthy(expected));
    assert_eq!(circle.requests().len(), 10);
}

#[tokio::test]
async fn a_question_that_cannot_be_put_says_why() {
    let server = Server::new(OK, Then::Close).await;
    let bad_header = HttpGet { headers: vec![("X\n".to_owned(), "1".to_owned())], ..server.get() };
    let expected = format!("Get \"http://127.0.0.1:{}/\": invalid header \"X\\n\"", server.port);
    assert_eq!(ask(&bad_header).await, unhealthy(expected));
    let bad_host = HttpGet { host: Some("a b".to_owned()), ..server.get() };
    assert!(matches!(ask(&bad_host).await, Answer::Unhealthy(_)));
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_name_is_resolved_without_the_c_library() {
    // /etc/hosts knows this one everywhere.
    let server = Server::new(OK, Then::Close).await;
    let get = HttpGet { host: Some("localhost".to_owned()), ..server.get() };
    let answer = question(&get).ask(Duration::from_secs(5)).await;
    assert_eq!(answer, Answer::Healthy);
}

#[tokio::test]
async fn tls_to_somebody_who_speaks_none_is_a_failure() {
    let listener = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    });
    let get = HttpGet { host: None, port, path: "/".to_owned(), https: true, headers: Vec::new() };
    let Answer::Unhealthy(message) = ask(&get).await else { panic!("healthy") };
    assert!(message.starts_with(&format!("Get \"https://127.0.0.1:{port}/\": ")), "{message}");
    assert!(!message.contains("deadline exceeded"), "{message}");
    server.await.unwrap();
}
