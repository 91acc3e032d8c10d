//! What clients may send that is no request, or none that can be answered, over the real socket.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mkubelet::api::Api;
use mkubelet::api::server::{Limits, Server};
use mkubelet::api::store::Store;
use mkubelet::pod::sysctl::Allowed;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// A server on a socket.
struct Served {
    socket: PathBuf,
    _directory: TempDir,
    _runtime: Runtime,
}

impl Served {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("api.sock");
        let (store, _) = Store::open(&directory.path().join("store")).unwrap();
        let api = Arc::new(Api::new(Arc::new(store), "node", &Allowed::default()).unwrap());
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server = runtime.block_on(async { Server::bind(&socket, Limits::default()).unwrap() });
        runtime.spawn(server.run(api.into_router(), CancellationToken::new()));
        Self { socket, _directory: directory, _runtime: runtime }
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    /// The answer to these bytes: code, and the body if that is JSON.
    fn answer(&self, request: &[u8]) -> (u16, Value) {
        let mut stream = self.connect();
        // Whoever refuses a request need not read it to its end.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (code, serde_json::from_str(body).unwrap_or_default())
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, Value) {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        self.answer(&[head.as_bytes(), body].concat())
    }
}

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn what_cannot_be_answered_is_refused_in_the_api_servers_words() {
    const PATHLESS: &str = "the server could not find the requested resource";
    const METHODLESS: &str = "the server does not allow this method on the requested resource";
    let api = Served::start();
    let good = json!({"metadata": {"name": "a"}, "data": {"k": "v"}}).to_string();
    assert_eq!(api.ask("POST", CONFIG_MAPS, &[JSON], good.as_bytes()).0, 201);
    let a = &format!("{CONFIG_MAPS}/a");
    let stale = json!({"metadata": {"name": "a", "resourceVersion": "1"}}).to_string();
    let nameless = json!({"data": {}}).to_string();
    let long = vec![b' '; (3 << 20) + 1];
    for (method, path, headers, body, code, reason, message) in [
        ("GET", "/apis/batch/v1/jobs", vec![], &b""[..], 404, "NotFound", PATHLESS),
        ("GET", "/api/v9/pods", vec![], b"", 404, "NotFound", PATHLESS),
        ("GET", "/api/v1/namespaces/default/pods/p/chair", vec![], b"", 404, "NotFound", PATHLESS),
        ("GET", "/%00/%ff", vec![], b"", 404, "NotFound", PATHLESS),
        ("BREW", CONFIG_MAPS, vec![], b"", 405, "MethodNotAllowed", METHODLESS),
        ("PATCH", CONFIG_MAPS, vec![JSON], b"{}", 405, "MethodNotAllowed", METHODLESS),
        ("GET", "/api/v1/namespaces/default/bindings", vec![], b"", 405, "MethodNotAllowed", METHODLESS),
        (
            "GET",
            a,
            vec![("accept", "text/html")],
            b"",
            406,
            "NotAcceptable",
            "only the following media types are accepted: application/json, application/yaml",
        ),
        (
            "POST",
            CONFIG_MAPS,
            vec![JSON],
            good.as_bytes(),
            409,
            "AlreadyExists",
            "configmaps \"a\" already exists",
        ),
        (
            "PUT",
            a,
            vec![JSON],
            stale.as_bytes(),
            409,
            "Conflict",
            "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the \
             latest version and try again",
        ),
        (
            "GET",
            "/api/v1/configmaps?resourceVersion=1&resourceVersionMatch=Exact",
            vec![],
            b"",
            410,
            "Expired",
            "The resourceVersion for the provided list is too old.",
        ),
        (
            "POST",
            CONFIG_MAPS,
            vec![JSON],
            &long,
            413,
            "RequestEntityTooLarge",
            "Request entity too large: limit is 3145728",
        ),
        (
            "POST",
            CONFIG_MAPS,
            vec![("content-type", "text/plain")],
            good.as_bytes(),
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: application/json, \
             application/yaml, application/vnd.kubernetes.protobuf",
        ),
        (
            "POST",
            CONFIG_MAPS,
            vec![JSON],
            nameless.as_bytes(),
            422,
            "Invalid",
            "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required",
        ),
    ] {
        let (found, status) = api.ask(method, path, &headers, body);
        let told = (status["reason"].as_str(), status["message"].as_str());
        assert_eq!((found, told), (code, (Some(reason), Some(message))), "{method} {path}");
        assert_eq!((&status["kind"], &status["code"]), (&json!("Status"), &json!(code)));
    }
}

#[test]
fn bodies_of_any_bytes_are_bad_requests() {
    let api = Served::start();
    let deep = "[".repeat(100_000);
    for (media_type, body) in [
        ("application/json", &b"{"[..]),
        ("application/json", b"\xff\xfe\0"),
        ("application/json", b"[]"),
        ("application/json", b"7"),
        ("application/json", deep.as_bytes()),
        ("application/yaml", b"a: &a [*a, *a]"),
        ("application/yaml", b"\xc3\x28"),
        ("application/vnd.kubernetes.protobuf", b"k8s\0\xff\xff\xff\xff"),
    ] {
        let (code, status) = api.ask("POST", CONFIG_MAPS, &[("content-type", media_type)], body);
        assert_eq!(
            (code, &status["reason"]),
            (400, &json!("BadRequest")),
            "{media_type} {:?}",
            &body[..body.len().min(9)]
        );
    }
}

#[test]
fn what_is_no_http_and_what_breaks_off_harms_nobody() {
    let api = Served::start();
    for bytes in
        [&b"\x16\x03\x01\x02\0\x01\0"[..], b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\0\0\0\0\r\n\r\n"]
    {
        let (code, _) = api.answer(bytes);
        assert!(code == 0 || (400..600).contains(&code), "{bytes:?} is answered with {code}");
    }
    // A head or a body that breaks off, and a client that only listens from then on.
    let post = format!(
        "POST {CONFIG_MAPS} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{{"
    );
    for request in ["GET /api HTTP/1.1\r\nhos", post.as_str()] {
        let mut stream = api.connect();
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    // Many that have begun and do not go on.
    let begun: Vec<UnixStream> = (0..200)
        .map(|_| {
            let mut stream = api.connect();
            stream.write_all(post.as_bytes()).unwrap();
            stream
        })
        .collect();
    assert_eq!(api.ask("GET", CONFIG_MAPS, &[], b"").0, 200);
    drop(begun);
    let (_, list) = api.ask("GET", CONFIG_MAPS, &[], b"");
    assert_eq!(list["items"], json!([]), "half a body makes nothing");
}
