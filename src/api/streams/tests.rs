//! Remote commands from a real client, over a real connection, to an agent that is scripted.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status as ClientStatus;
use kube::api::{Api, AttachParams, TerminalSize};
use kube::{Client, Config};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::fake::FakeAgent;
use super::{PodStreams, attach, exec, log};
use crate::api::object::Object;
use crate::api::request::Parameters;
use crate::api::status::Status;

/// For what happens, however slow the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

fn pod() -> Object {
    let containers = json!([{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]);
    Object::from_value(json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "default", "uid": "u"},
        "spec": {"containers": containers},
    }))
    .unwrap()
}

async fn answer(
    State(agent): State<Arc<FakeAgent>>,
    Path(subresource): Path<String>,
    request: Request,
) -> Response {
    let agent: Arc<dyn PodStreams> = agent;
    let parameters = Parameters::of(request.uri()).unwrap();
    let answer = match subresource.as_str() {
        "exec" => exec::serve(&pod(), &parameters, request, agent).await,
        "attach" => attach::serve(&pod(), &parameters, request, agent).await,
        "log" => log::serve(&pod(), &parameters, agent).await,
        _ => Err(Status::no_such_path()),
    };
    answer.unwrap_or_else(IntoResponse::into_response)
}

/// A client of an API that has one pod.
async fn begin() -> (Api<Pod>, Arc<FakeAgent>, Client) {
    let agent = Arc::new(FakeAgent::new());
    let router = Router::new()
        .route("/api/v1/namespaces/default/pods/web/{subresource}", any(answer))
        .with_state(Arc::clone(&agent));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            let service = hyper_util::service::TowerToHyperService::new(router.clone());
            let connection = hyper_util::rt::TokioIo::new(connection);
            let http = hyper::server::conn::http1::Builder::new();
            tokio::spawn(http.serve_connection(connection, service).with_upgrades());
        }
    });
    let client = Client::try_from(Config::new(format!("http://{address}").parse().unwrap())).unwrap();
    (Api::namespaced(client.clone(), "default"), agent, client)
}

fn interactive() -> AttachParams {
    AttachParams::default().stdin(true).stderr(false).container("a")
}

async fn read_all(mut stream: impl tokio::io::AsyncRead + Unpin) -> String {
    let mut text = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut text)).await.unwrap().unwrap();
    text
}

fn exit_code(status: &ClientStatus) -> Option<&str> {
    let causes = status.details.as_ref()?.causes.as_ref()?;
    causes.iter().find(|cause| cause.reason.as_deref() == Some("ExitCode"))?.message.as_deref()
}

#[tokio::test]
async fn standard_input_ends_where_the_client_says_so_and_output_follows() {
    let (pods, agent, _) = begin().await;
    let mut process = pods.exec("web", ["cat"], &interactive()).await.unwrap();
    let mut stdin = process.stdin().unwrap();
    let status = process.take_status().unwrap();
    let stdout = process.stdout().unwrap();
    let text = "over and over\n".repeat(10_000);
    let (sent, heard) = tokio::join!(
        async {
            stdin.write_all(text.as_bytes()).await.unwrap();
            stdin.shutdown().await.unwrap();
        },
        read_all(stdout),
    );
    let () = sent;
    assert!(heard == text, "{} bytes of {}", heard.len(), text.len());
    assert_eq!(timeout(PATIENCE, status).await.unwrap().unwrap().status.as_deref(), Some("Success"));
    process.join().await.unwrap();
    assert_eq!(*agent.calls.lock().unwrap(), ["exec default/web/a c0ffee cat"]);
    assert_eq!(*agent.left.borrow(), 0);
}

#[tokio::test]
async fn an_exit_code_and_standard_error_reach_the_client() {
    let (pods, _, _) = begin().await;
    let asked = AttachParams::default().container("a");
    let mut process = pods.exec("web", ["complain", "bad luck"], &asked).await.unwrap();
    let status = process.take_status().unwrap();
    let (stdout, stderr) = (process.stdout().unwrap(), process.stderr().unwrap());
    assert_eq!(tokio::join!(read_all(stdout), read_all(stderr)), (String::new(), "bad luck".to_owned()));
    let status = timeout(PATIENCE, status).await.unwrap().unwrap();
    assert_eq!((status.reason.as_deref(), exit_code(&status)), (Some("NonZeroExitCode"), Some("3")));

    let mut process = pods.exec("web", ["nope"], &asked).await.unwrap();
    let status = timeout(PATIENCE, process.take_status().unwrap()).await.unwrap().unwrap();
    let why = "Internal error occurred: error executing command in container: \
               \"nope\": executable file not found in $PATH";
    assert_eq!((status.reason.as_deref(), status.message.as_deref()), (Some("InternalError"), Some(why)));
}

#[tokio::test]
async fn output_waits_for_a_slow_client_and_is_whole() {
    const BYTES: usize = 3 << 20;
    let (pods, _, _) = begin().await;
    let asked = AttachParams::default().container("a").stderr(false);
    let mut process = pods.exec("web", ["print", &BYTES.to_string()], &asked).await.unwrap();
    let mut stdout = process.stdout().unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut heard = 0;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = timeout(PATIENCE, stdout.read(&mut buffer)).await.unwrap().unwrap();
        if count == 0 {
            break;
        }
        heard += count;
    }
    assert_eq!(heard, BYTES);
}

#[tokio::test]
async fn the_sizes_of_a_window_come_in_their_order() {
    let (pods, _, _) = begin().await;
    let mut process = pods.exec("web", ["sizes"], &interactive().tty(true)).await.unwrap();
    let mut sizes = process.terminal_size().unwrap();
    let (mut stdin, stdout) = (process.stdin().unwrap(), process.stdout().unwrap());
    for (width, height) in [(80, 24), (81, 25)] {
        futures::SinkExt::send(&mut sizes, TerminalSize { width, height }).await.unwrap();
    }
    let mut heard = String::new();
    let mut stdout = stdout;
    while heard.matches('\n').count() < 2 {
        let mut buffer = [0; 64];
        let count = timeout(PATIENCE, stdout.read(&mut buffer)).await.unwrap().unwrap();
        heard.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    assert_eq!(heard, "80x24\r\n81x25\r\n");
    let status = process.take_status().unwrap();
    stdin.write_all(b"q").await.unwrap();
    assert_eq!(timeout(PATIENCE, status).await.unwrap().unwrap().status.as_deref(), Some("Success"));
}

#[tokio::test]
async fn a_client_that_goes_away_is_missed() {
    let (pods, agent, _) = begin().await;
    let process = pods.exec("web", ["wait"], &interactive()).await.unwrap();
    let mut left = agent.left.subscribe();
    drop(process);
    timeout(PATIENCE, left.wait_for(|left| *left == 1)).await.unwrap().unwrap();
}

#[tokio::test]
async fn attaching_is_a_conversation_with_the_first_process() {
    let (pods, agent, _) = begin().await;
    let mut process = pods.attach("web", &interactive()).await.unwrap();
    let (mut stdin, stdout) = (process.stdin().unwrap(), process.stdout().unwrap());
    stdin.write_all(b"hello").await.unwrap();
    stdin.shutdown().await.unwrap();
    assert_eq!(read_all(stdout).await, "hello");
    process.join().await.unwrap();
    assert_eq!(*agent.calls.lock().unwrap(), ["attach default/web/a c0ffee"]);
}

#[tokio::test]
async fn what_cannot_be_a_stream_is_answered_with_a_status() {
    let (_, agent, client) = begin().await;
    let path = "/api/v1/namespaces/default/pods/web";
    for (query, upgrades, expected) in [
        (
            "exec?command=x&stdout=1",
            true,
            "a container name must be specified for pod web, choose one of: [a b]",
        ),
        ("attach?container=c&stdout=1", true, "container c is not valid for pod web"),
        ("exec?container=a&command=x&stdout=1", false, "Upgrade request required"),
        ("exec?container=a&command=x", true, "you must specify at least 1 of stdin, stdout, stderr"),
        ("exec?container=a&stdout=true", true, "you must specify at least one command for the container"),
        ("exec?container=b&command=x&stdout=1", true, "container b is not running"),
        ("attach?container=b&stdout=1", true, "container b is not running"),
    ] {
        let mut request = http::Request::get(format!("{path}/{query}"));
        if upgrades {
            request = request
                .header("Connection", "Upgrade")
                .header("Upgrade", "websocket")
                .header("Sec-WebSocket-Version", "13")
                .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
        }
        let error = client.request_text(request.body(Vec::new()).unwrap()).await.unwrap_err();
        let kube::Error::Api(status) = error else { panic!("{query}: {error}") };
        assert_eq!(
            (status.code, status.reason.as_str(), status.message.as_str()),
            (400, "BadRequest", expected)
        );
    }
    assert!(agent.calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_log_is_asked_for_as_its_query_says() {
    let (pods, agent, _) = begin().await;
    let options = kube::api::LogParams {
        container: Some("a".to_owned()),
        follow: true,
        previous: true,
        tail_lines: Some(7),
        limit_bytes: Some(1000),
        timestamps: true,
        since_time: Some("2026-11-25T10:00:00Z".parse().unwrap()),
        ..kube::api::LogParams::default()
    };
    assert_eq!(pods.logs("web", &options).await.unwrap(), "one\ntwo\n");
    let calls = agent.calls.lock().unwrap().clone();
    let expected = "log default/web/a LogOptions { follow: true, previous: true, since: Some(2026-11-25T10:00:00Z), \
                    timestamps: true, tail_lines: Some(7), limit_bytes: Some(1000), stream: All }";
    assert_eq!(calls, [expected]);
}

#[tokio::test]
async fn what_cannot_be_asked_of_a_log_is_said_in_the_api_servers_words() {
    let (_, agent, client) = begin().await;
    for (query, code, expected) in [
        ("", 400, "a container name must be specified for pod web, choose one of: [a b]"),
        (
            "container=a&tailLines=-1",
            422,
            "PodLogOptions \"web\" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            "container=a&limitBytes=0",
            422,
            "PodLogOptions \"web\" is invalid: limitBytes: Invalid value: 0: must be greater than 0",
        ),
        (
            "container=a&sinceSeconds=0",
            422,
            "PodLogOptions \"web\" is invalid: sinceSeconds: Invalid value: 0: must be greater than 0",
        ),
        (
            "container=a&sinceSeconds=1&sinceTime=2026-11-25T10:00:00Z",
            422,
            "PodLogOptions \"web\" is invalid: []: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
        ),
        (
            "container=a&stream=Both",
            422,
            "PodLogOptions \"web\" is invalid: stream: Unsupported value: \"Both\": supported values: \"All\", \"Stderr\", \"Stdout\"",
        ),
        (
            "container=a&stream=Stdout&tailLines=1",
            422,
            "PodLogOptions \"web\" is invalid: []: Forbidden: `tailLines` and specific `stream` are mutually exclusive for now",
        ),
    ] {
        let request = http::Request::get(format!("/api/v1/namespaces/default/pods/web/log?{query}"));
        let error = client.request_text(request.body(Vec::new()).unwrap()).await.unwrap_err();
        let kube::Error::Api(status) = error else { panic!("{query}: {error}") };
        assert_eq!((status.code, status.message.as_str()), (code, expected), "{query}");
    }
    assert!(agent.calls.lock().unwrap().is_empty());
}
