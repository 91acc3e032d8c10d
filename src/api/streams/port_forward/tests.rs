//! Port forwards in all their forms, to a node that only plays.

use std::io;
use std::net::Ipv4Addr;

use axum::Router;
use axum::extract::State;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, SinkExt, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::super::{ContainerRef, Duplex, LogOptions, Refusal};
use super::*;
use crate::api::spdy::client::Client;
use crate::api::spdy::frame::{Frame, Status};
use crate::api::streams::remote_command::RemoteCommandStreams;

/// For what happens, however slow the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node with one pod, whose loopback is this machine's.
struct Node;

impl PodStreams for Node {
    fn running(&self, _: &ContainerRef) -> BoxFuture<'_, Result<String, Refusal>> {
        async { Err(Refusal::Internal("no containers here".to_owned())) }.boxed()
    }

    fn exec(
        &self,
        _: ContainerRef,
        _: String,
        _: Vec<String>,
        _: RemoteCommandStreams,
    ) -> BoxFuture<'_, Result<i32, String>> {
        async { Err("no containers here".to_owned()) }.boxed()
    }

    fn attach(
        &self,
        _: ContainerRef,
        _: String,
        _: RemoteCommandStreams,
    ) -> BoxFuture<'_, Result<(), String>> {
        async { Err("no containers here".to_owned()) }.boxed()
    }

    fn port_forward(&self, pod: PodRef, port: u16) -> BoxFuture<'_, Result<Box<dyn Duplex>, String>> {
        async move {
            assert_eq!(pod, a_pod());
            let connected = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
            connected.map(|stream| Box::new(stream) as _).map_err(|error| error.kind().to_string())
        }
        .boxed()
    }

    fn log(
        &self,
        _: ContainerRef,
        _: LogOptions,
    ) -> BoxFuture<'_, Result<BoxStream<'static, io::Result<Bytes>>, Refusal>> {
        async { Err(Refusal::Internal("no containers here".to_owned())) }.boxed()
    }
}

fn a_pod() -> PodRef {
    PodRef { namespace: "default".to_owned(), name: "web".to_owned(), uid: "u-1".to_owned() }
}

fn forwards() -> Forwards {
    Forwards { pod: a_pod(), streams: Arc::new(Node) }
}

/// The API, as far as these tests need it, on a port.
async fn served() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let handler =
        |State(streams): State<Arc<dyn PodStreams>>, request: Request| serve(request, a_pod(), streams);
    let router = Router::new().fallback(handler).with_state(Arc::new(Node) as Arc<dyn PodStreams>);
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

/// What runs in the pod: says hello, then the rest of what it has heard in capitals when that has ended.
async fn shouting() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.write_all(b"hello ").await;
                let mut heard = String::new();
                let _ = stream.read_to_string(&mut heard).await;
                let _ = stream.write_all(heard.to_uppercase().as_bytes()).await;
            });
        }
    });
    port
}

/// A port that nobody listens to.
async fn closed() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    listener.local_addr().unwrap().port()
}

/// A session, served without HTTP.
fn begun() -> Client<DuplexStream> {
    let (client, server) = duplex(4 << 10);
    tokio::spawn(pairs::serve(Session::serve(server, Limits::default()), forwards()));
    Client::new(client)
}

/// Opens a pair of streams as kubectl does: errors, on which it sends nothing, and then data.
async fn pair<C: AsyncRead + AsyncWrite>(client: &mut Client<C>, port: u16, request: &str) -> (u32, u32) {
    let port = port.to_string();
    let errors = client.open(&[("streamtype", "error"), ("port", &port), ("requestid", request)]).await;
    assert!(matches!(client.frame().await, Some(Frame::SynReply { id, .. }) if id == errors));
    client.send(errors, b"", true).await;
    let data = client.open(&[("streamtype", "data"), ("port", &port), ("requestid", request)]).await;
    (errors, data)
}

/// What comes on these streams until both have ended.
async fn both<C: AsyncRead + AsyncWrite>(client: &mut Client<C>, errors: u32, data: u32) -> (String, String) {
    let (mut texts, mut open) = ([String::new(), String::new()], [errors, data].to_vec());
    while !open.is_empty() {
        match client.frame().await.expect("a frame") {
            Frame::Data { id, fin, data: bytes } => {
                assert!(open.contains(&id), "{id} had ended");
                texts[usize::from(id == data)].push_str(std::str::from_utf8(&bytes).unwrap());
                if fin {
                    open.retain(|one| *one != id);
                }
            }
            Frame::SynReply { id, .. } => assert_eq!(id, data),
            other => panic!("{other:?}"),
        }
    }
    let [errors, data] = texts;
    (errors, data)
}

#[tokio::test]
async fn a_pair_of_streams_is_a_connection_whose_directions_end_by_themselves() {
    let (mut client, port) = (begun(), shouting().await);
    let (errors, data) = pair(&mut client, port, "0").await;
    client.send(data, b"is anybody", false).await;
    client.send(data, b" there", true).await;
    let said = both(&mut client, errors, data).await;
    assert_eq!(said, (String::new(), "hello IS ANYBODY THERE".to_owned()));
    // The session serves the next one.
    let (errors, data) = pair(&mut client, port, "1").await;
    client.send(data, b"again", true).await;
    assert_eq!(both(&mut client, errors, data).await.1, "hello AGAIN");
}

#[tokio::test]
async fn a_port_that_refuses_is_told_on_the_stream_of_errors() {
    let (mut client, port) = (begun(), closed().await);
    let (errors, data) = pair(&mut client, port, "0").await;
    let why = format!("error forwarding port {port} to pod web, uid u-1: connection refused");
    assert_eq!(both(&mut client, errors, data).await, (why, String::new()));
}

#[tokio::test]
async fn a_stream_that_a_client_resets_closes_its_connection() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut client = begun();
    let (_, data) = pair(&mut client, port, "0").await;
    let (mut accepted, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    client.write(&Frame::RstStream { id: data, status: Status(5) }).await;
    let mut rest = Vec::new();
    timeout(PATIENCE, accepted.read_to_end(&mut rest)).await.unwrap().unwrap();
    // Closed, not only ended: what is written to it is answered by a reset.
    let closed = async { while accepted.write_all(b"x").await.is_ok() {} };
    timeout(PATIENCE, closed).await.unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_closes_its_connections() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut client = begun();
    pair(&mut client, listener.local_addr().unwrap().port(), "0").await;
    let (mut accepted, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    drop(client);
    let closed = async { while accepted.write_all(b"x").await.is_ok() {} };
    timeout(PATIENCE, closed).await.unwrap();
}

#[tokio::test]
async fn what_the_client_alone_keeps_open_ends_soon() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut client = begun();
    let (errors, data) = pair(&mut client, listener.local_addr().unwrap().port(), "0").await;
    let (accepted, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    drop(accepted);
    let ended = timeout(PATIENCE, both(&mut client, errors, data)).await.unwrap();
    assert_eq!(ended, (String::new(), String::new()));
}

#[tokio::test]
async fn streams_that_make_no_pair_are_refused() {
    let mut client = begun();
    let cases: [&[(&str, &str)]; 3] = [
        &[("streamtype", "data")],
        &[("streamtype", "stdin"), ("port", "80")],
        &[("streamtype", "data"), ("port", "0")],
    ];
    for headers in cases {
        let id = client.open(headers).await;
        let refusal = Frame::RstStream { id, status: Status::REFUSED_STREAM };
        assert_eq!(client.frame().await, Some(refusal), "{headers:?}");
    }
    // A second stream of errors does not take the place of the first.
    let port = shouting().await.to_string();
    let headers = |kind| [("streamtype", kind), ("port", port.as_str()), ("requestid", "7")];
    let first = client.open(&headers("error")).await;
    assert!(matches!(client.frame().await, Some(Frame::SynReply { .. })));
    let second = client.open(&headers("error")).await;
    assert_eq!(client.frame().await, Some(Frame::RstStream { id: second, status: Status::REFUSED_STREAM }));
    let data = client.open(&headers("data")).await;
    client.send(data, b"x", true).await;
    assert_eq!(both(&mut client, first, data).await, (String::new(), "hello X".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn half_a_pair_is_waited_for_half_a_minute() {
    let mut client = begun();
    let begin = tokio::time::Instant::now();
    let errors = client.open(&[("streamtype", "error"), ("port", "80"), ("requestid", "7")]).await;
    assert!(matches!(client.frame().await, Some(Frame::SynReply { .. })));
    let (told, _) = client.data(errors).await;
    assert_eq!(String::from_utf8(told).unwrap(), "(request=7) timed out waiting for streams");
    assert_eq!(begin.elapsed(), Duration::from_secs(30));
}

#[tokio::test]
async fn kubectl_of_old_switches_to_spdy() {
    let (api, port) = (served().await, shouting().await);
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, api)).await.unwrap();
    let request = "POST /api/v1/namespaces/default/pods/web/portforward HTTP/1.1\r\nHost: api\r\nContent-Length: 0\r\n\
                   Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n";
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 101 switching protocols\r\n"), "{head}");
    assert!(head.contains("\r\nupgrade: spdy/3.1\r\n"), "{head}");
    assert!(head.contains("\r\nx-stream-protocol-version: portforward.k8s.io\r\n"), "{head}");
    let mut client = Client::new(connection);
    let (errors, data) = pair(&mut client, port, "0").await;
    client.send(data, b"old", true).await;
    assert_eq!(both(&mut client, errors, data).await.1, "hello OLD");
}

#[tokio::test]
async fn kubectl_of_today_tunnels_spdy_through_a_web_socket() {
    let (api, port) = (served().await, shouting().await);
    let connection = TcpStream::connect((Ipv4Addr::LOCALHOST, api)).await.unwrap();
    let mut request = format!("ws://127.0.0.1:{api}/portforward").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", TUNNELLED.parse().unwrap());
    let (socket, response) = tokio_tungstenite::client_async(request, connection).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], TUNNELLED);
    let mut client = Client::new(Tunnel::new(socket));
    let (errors, data) = pair(&mut client, port, "0").await;
    let text = "x".repeat(100_000);
    client.send(data, text.as_bytes(), true).await;
    assert_eq!(both(&mut client, errors, data).await.1, format!("hello {}", text.to_uppercase()));
}

#[tokio::test]
async fn a_tunnel_that_carries_text_is_closed() {
    let api = served().await;
    let connection = TcpStream::connect((Ipv4Addr::LOCALHOST, api)).await.unwrap();
    let mut request = format!("ws://127.0.0.1:{api}/portforward").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", TUNNELLED.parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::client_async(request, connection).await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    let ended = async { while let Some(Ok(_)) = socket.next().await {} };
    timeout(PATIENCE, ended).await.unwrap();
}

fn kube_client(api: u16) -> Api<Pod> {
    let config = kube::Config::new(format!("http://127.0.0.1:{api}").parse().unwrap());
    Api::namespaced(kube::Client::try_from(config).unwrap(), "default")
}

#[tokio::test]
async fn kube_rs_forwards_by_channels() {
    let (api, port, nobody) = (served().await, shouting().await, closed().await);
    let mut forwarder = kube_client(api).portforward("web", &[port, nobody]).await.unwrap();
    let why = timeout(PATIENCE, forwarder.take_error(nobody).unwrap()).await.unwrap();
    let expected = format!("error forwarding port {nobody} to pod web, uid u-1: connection refused");
    assert_eq!(why, Some(expected));
    let mut stream = forwarder.take_stream(port).unwrap();
    let mut hello = [0; 6];
    timeout(PATIENCE, stream.read_exact(&mut hello)).await.unwrap().unwrap();
    assert_eq!(&hello, b"hello ");
}

#[tokio::test]
async fn a_web_socket_ends_when_all_of_its_ports_have() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut forwarder = kube_client(served().await).portforward("web", &[port]).await.unwrap();
    let mut stream = forwarder.take_stream(port).unwrap();
    stream.write_all(b"ping").await.unwrap();
    let (mut accepted, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let mut ping = [0; 4];
    accepted.read_exact(&mut ping).await.unwrap();
    accepted.write_all(b"pong").await.unwrap();
    drop(accepted);
    let mut rest = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut rest)).await.unwrap().unwrap();
    assert_eq!((&ping, rest.as_str()), (b"ping", "pong"));
    drop(stream);
    // kube-rs answers a goodbye with one too many, and says so; but it has ended.
    let _ = timeout(PATIENCE, forwarder.join()).await.unwrap();
}

#[tokio::test]
async fn a_request_that_is_not_in_order_is_refused() {
    let web_socket = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let spdy = [
        ("Connection", "Upgrade"),
        ("Upgrade", "SPDY/3.1"),
        ("X-Stream-Protocol-Version", "v4.channel.k8s.io"),
    ];
    let many = (1..=129).map(|port| port.to_string()).collect::<Vec<_>>().join(",");
    for (uri, headers, code, text) in [
        ("/".to_owned(), &[][..], 400, "Upgrade request required"),
        (
            "/".to_owned(),
            &spdy,
            403,
            "unable to upgrade: unable to negotiate protocol: client supports \
                             [v4.channel.k8s.io], server accepts [portforward.k8s.io]",
        ),
        ("/".to_owned(), &web_socket, 400, "query parameter \"ports\" is required"),
        ("/?ports=".to_owned(), &web_socket, 400, "query parameter \"ports\" cannot be empty"),
        (
            "/?ports=80,http".to_owned(),
            &web_socket,
            400,
            "unable to parse \"80,http\" as a port: \
                                            strconv.ParseUint: parsing \"http\": invalid syntax",
        ),
        ("/?ports=0".to_owned(), &web_socket, 400, "port \"0\" must be > 0"),
        (format!("/?ports={many}"), &web_socket, 400, "at most 128 ports can be forwarded at once"),
    ] {
        let request = Request::builder().uri(&uri);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = serve(request.body(axum::body::Body::empty()).unwrap(), a_pod(), Arc::new(Node)).await;
        assert_eq!(response.status(), code, "{uri}");
        let body = axum::body::to_bytes(response.into_body(), 1 << 10).await.unwrap();
        assert_eq!(String::from_utf8(body.to_vec()).unwrap(), format!("{text}\n"), "{uri}");
    }
    assert_eq!(ports(&"/?ports=80%2C443&x=1&ports=8080".parse().unwrap()).unwrap(), [80, 443, 8080]);
}
