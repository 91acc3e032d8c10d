//! Hooks over the network and without: what counts as done, and in which words it fails.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::pod::spec::{RestartPolicy, TcpSocket};
use crate::runtime::fake::Fake;
use crate::runtime::fixture;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

async fn play(hook: &Hook) -> Result<(), String> {
    let pod = fixture::pod(RestartPolicy::Always, &[], &["a"]);
    let (container, runtime) = (fixture::name("a"), Fake::new(mpsc::unbounded_channel().0));
    let place = Place { pod: &pod, container: &container, id: "a-0", pod_ip: LOCALHOST };
    run(hook, place, &runtime, &Prober::default()).await.map_err(|error| error.0)
}

/// A server that says `answer` to whoever speaks HTTP, and that it does not understand to others. Sends what it heard.
async fn serve(answer: &'static str) -> (u16, mpsc::UnboundedReceiver<Vec<u8>>) {
    let listener = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (heard, said) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            request.truncate(length);
            let answer =
                if request.starts_with(b"GET") { answer } else { "HTTP/1.0 400 Bad Request\r\n\r\n" };
            heard.send(request).unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (port, said)
}

fn get(port: u16, https: bool) -> Hook {
    let headers = vec![("Authorization".to_owned(), "secret".to_owned())];
    Hook::HttpGet(HttpGet { host: None, port, path: "/x".to_owned(), https, headers })
}

#[tokio::test]
async fn what_a_program_ends_with_decides_and_what_it_said_is_told() {
    let exec = |command: &str| Hook::Exec(command.split(' ').map(str::to_owned).collect());
    assert_eq!(play(&exec("true")).await, Ok(()));
    let expected = "Exec lifecycle hook ([false no luck]) for Container \"a\" in Pod \"web_default(uid-1)\" failed - error: \
                    command 'false no luck' exited with 1: , message: \"no luck\"";
    assert_eq!(play(&exec("false no luck")).await, Err(expected.to_owned()));
    let expected = "Exec lifecycle hook ([nope]) for Container \"a\" in Pod \"web_default(uid-1)\" failed - error: the shim \
                    is gone";
    assert_eq!(play(&exec("nope")).await, Err(expected.to_owned()));
}

#[tokio::test]
async fn to_a_get_any_answer_will_do() {
    let (port, mut heard) = serve("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(play(&get(port, false)).await, Ok(()));
    let request = String::from_utf8(heard.recv().await.unwrap()).unwrap().to_lowercase();
    assert!(request.starts_with("get /x http/1.1\r\n"), "{request}");
    assert!(request.contains("user-agent: kube-lifecycle/1.37"), "{request}");
    assert!(request.contains("authorization: secret"), "{request}");
}

#[tokio::test]
async fn who_is_asked_over_tls_may_answer_without_it_and_is_not_told_secrets_then() {
    let (port, mut heard) = serve("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(play(&get(port, true)).await, Ok(()));
    assert!(!heard.recv().await.unwrap().starts_with(b"GET"));
    let request = String::from_utf8(heard.recv().await.unwrap()).unwrap().to_lowercase();
    assert!(request.starts_with("get /x http/1.1\r\n"), "{request}");
    assert!(!request.contains("secret"), "{request}");
}

#[tokio::test]
async fn nobody_there_is_a_failure() {
    let listener = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect = Hook::TcpSocket(TcpSocket { host: None, port });
    assert_eq!(play(&connect).await, Ok(()));
    drop(listener);
    let refused = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
    let place = "for Container \"a\" in Pod \"web_default(uid-1)\" failed - error:";
    assert_eq!(play(&connect).await, Err(format!("TCP lifecycle hook (127.0.0.1:{port}) {place} {refused}")));
    assert_eq!(
        play(&get(port, false)).await,
        Err(format!("HTTP lifecycle hook (/x) {place} Get \"http://127.0.0.1:{port}/x\": {refused}"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_sleep_takes_its_time_and_none_takes_none() {
    let started = tokio::time::Instant::now();
    assert_eq!(play(&Hook::Sleep(Duration::ZERO)).await, Ok(()));
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert_eq!(play(&Hook::Sleep(Duration::from_secs(7))).await, Ok(()));
    assert_eq!(started.elapsed().as_secs(), 7);
}
