//! What connections may cost.

use std::os::unix::fs::MetadataExt;

use axum::routing::get;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

struct World {
    dir: TempDir,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

const MINUTE: Duration = Duration::from_secs(60);

impl World {
    fn new(limits: Limits) -> Self {
        Self::serving(limits, Router::new().route("/", get(async || "hello")))
    }

    fn serving(limits: Limits, router: Router) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::bind(&dir.path().join("api.sock"), limits).unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(server.run(router, stop.clone()));
        Self { dir, stop, task }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("api.sock")
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.path()).await.unwrap()
    }

    async fn ask(&self) -> String {
        let mut stream = self.connect().await;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        rest_of(&mut stream).await
    }
}

async fn rest_of(stream: &mut UnixStream) -> String {
    let mut text = String::new();
    timeout(MINUTE, stream.read_to_string(&mut text)).await.unwrap().unwrap();
    text
}

fn limits() -> Limits {
    Limits { connections: 2, header_time: Duration::from_millis(300), stop_time: Duration::from_millis(300) }
}

#[tokio::test]
async fn the_socket_is_its_owners_alone_and_goes_at_the_end() {
    let world = World::new(limits());
    assert_eq!(std::fs::metadata(world.path()).unwrap().mode() & 0o7777, 0o600);
    assert!(world.ask().await.ends_with("hello"));
    world.stop.cancel();
    timeout(MINUTE, world.task).await.unwrap().unwrap();
    assert!(!world.dir.path().join("api.sock").exists());
}

#[tokio::test]
async fn a_connection_that_becomes_something_else_keeps_its_place() {
    let switch = async |mut request: axum::extract::Request| {
        let upgraded = hyper::upgrade::on(&mut request);
        // Holds it until the client leaves.
        tokio::spawn(async move {
            let mut connection = TokioIo::new(upgraded.await.unwrap());
            let _ = connection.read_to_end(&mut Vec::new()).await;
        });
        (axum::http::StatusCode::SWITCHING_PROTOCOLS, [("connection", "upgrade"), ("upgrade", "quiet")])
    };
    let router = Router::new().route("/switch", get(switch)).route("/", get(async || "hello"));
    let world = World::serving(Limits { connections: 1, ..limits() }, router);
    let mut switched = world.connect().await;
    switched
        .write_all(b"GET /switch HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: quiet\r\n\r\n")
        .await
        .unwrap();
    let mut answer = [0; 12];
    timeout(MINUTE, switched.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    let mut waiting = std::pin::pin!(world.ask());
    timeout(Duration::from_millis(300), &mut waiting).await.unwrap_err();
    drop(switched);
    assert!(waiting.await.ends_with("hello"));
}

#[tokio::test]
async fn a_socket_that_was_left_behind_is_replaced_and_one_in_use_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("api.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let first = Server::bind(&path, limits()).unwrap();
    let error = Server::bind(&path, limits()).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on {}", path.display()));
    drop(first);
    Server::bind(&path, limits()).unwrap();
}

#[tokio::test]
async fn who_says_nothing_or_half_a_request_is_left() {
    let world = World::new(limits());
    for start in ["", "GET / HTTP/1.1\r\nhost: x", "GET / HTTP/1.1\r\nhost: x\r\n\r\n"] {
        let mut stream = world.connect().await;
        stream.write_all(start.as_bytes()).await.unwrap();
        rest_of(&mut stream).await;
    }
}

#[tokio::test]
async fn who_has_said_nothing_for_longest_leaves_when_there_are_too_many() {
    let world = World::new(Limits { header_time: MINUTE, ..limits() });
    let mut first = world.connect().await;
    first.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let mut second = world.connect().await;
    assert!(world.ask().await.ends_with("hello"));
    assert_eq!(rest_of(&mut first).await, "");
    // The other one has still its place.
    second.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(rest_of(&mut second).await.ends_with("hello"));
}

#[tokio::test]
async fn a_thousand_who_say_nothing_keep_nobody_from_an_answer() {
    let world = World::new(Limits { header_time: MINUTE, ..limits() });
    let mut silent = Vec::new();
    for round in 0..1000 {
        silent.push(world.connect().await);
        if round % 100 == 0 {
            assert!(world.ask().await.ends_with("hello"));
        }
    }
    assert!(world.ask().await.ends_with("hello"));
}

#[tokio::test]
async fn who_is_being_answered_stays_and_waits_again_afterwards() {
    let (more, chunks) = tokio::sync::mpsc::unbounded_channel::<Result<&str, Infallible>>();
    let chunks = std::sync::Mutex::new(Some(chunks));
    let watch = async move || {
        let mut chunks = chunks.lock().unwrap().take().unwrap();
        axum::body::Body::from_stream(futures::stream::poll_fn(move |context| chunks.poll_recv(context)))
    };
    let watch = Arc::new(watch);
    let router = Router::new().route("/", get(async || "hello"));
    let router = router.route("/watch", get(async move || watch().await));
    let world = World::serving(Limits { connections: 1, header_time: MINUTE, ..limits() }, router);
    let mut watcher = world.connect().await;
    watcher.write_all(b"GET /watch HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    more.send(Ok("one")).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"one\r\n") {
        timeout(MINUTE, watcher.read_buf(&mut answer)).await.unwrap().unwrap();
    }
    let mut waiting = std::pin::pin!(world.ask());
    timeout(Duration::from_millis(300), &mut waiting).await.unwrap_err();
    more.send(Ok("two")).unwrap();
    drop(more);
    // Its connection could serve another request, and gives way to one that is there: not before the end of the answer.
    assert!(rest_of(&mut watcher).await.ends_with("two\r\n0\r\n\r\n"));
    assert!(waiting.await.ends_with("hello"));
}

#[tokio::test]
async fn headers_without_end_are_refused() {
    let world = World::new(limits());
    let mut stream = world.connect().await;
    let request = format!("GET / HTTP/1.1\r\nhost: x\r\nlong: {}", "x".repeat(MAX_HEADERS));
    // It may well hang up before it has read everything.
    stream.write_all(request.as_bytes()).await.ok();
    let mut answer = Vec::new();
    timeout(MINUTE, stream.read_to_end(&mut answer)).await.unwrap().ok();
    assert!(answer.starts_with(b"HTTP/1.1 431 "), "{:?}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn a_connection_that_will_not_end_does_not_keep_the_server() {
    let world = World::new(Limits { header_time: MINUTE, ..limits() });
    let _idle = world.connect().await;
    world.ask().await;
    world.stop.cancel();
    timeout(Duration::from_secs(10), world.task).await.unwrap().unwrap();
}
