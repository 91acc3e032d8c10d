//! From a request to the connection behind it: what a client offers to speak on it, what is chosen, and the switch.
//!
//! Nothing here is the API server's `Status`: what a client of SPDY or WebSocket is told before the switch is plain text, as by
//! `k8s.io/apimachinery/pkg/util/httpstream`.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// What `Upgrade` has for SPDY.
const SPDY: &str = "SPDY/3.1";
/// What a client of SPDY would like to speak inside, and what is chosen.
const PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
/// What it could have chosen from.
const ACCEPTED: HeaderName = HeaderName::from_static("x-accepted-stream-protocol-versions");

/// Most bytes of a WebSocket message that is read.
const MAX_MESSAGE: usize = 1 << 20;
/// Bytes of a WebSocket's buffers.
const BUFFER: usize = 16 << 10;

/// A connection that is about to be something else.
#[derive(Debug)]
pub struct Upgrading {
    /// `101 Switching Protocols`, which the client must have first.
    pub response: Response,
    /// What is spoken inside; `""` when the client has offered nothing.
    pub protocol: &'static str,
    connection: OnUpgrade,
}

/// Why a connection stays what it is: an answer in plain text, as Go's `http.Error` writes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refused {
    code: StatusCode,
    text: String,
    /// What a client of SPDY could have chosen from.
    accepted: &'static [&'static str],
}

/// True for a request that asks for a WebSocket.
pub fn wants_web_socket(headers: &HeaderMap) -> bool {
    wants(headers, "websocket")
}

/// True for a request that asks for SPDY.
pub fn wants_spdy(headers: &HeaderMap) -> bool {
    wants(headers, SPDY)
}

/// What a client of a WebSocket offers to speak on it, in its order.
pub fn web_socket_protocols(headers: &HeaderMap) -> Vec<&str> {
    values(headers, &header::SEC_WEBSOCKET_PROTOCOL).collect()
}

/// Switches to SPDY, with the first of the client's protocols that is one of these.
///
/// # Errors
/// The answer to a request that names none (400), or none of these (403).
pub fn spdy(request: &mut Request, supported: &'static [&'static str]) -> Result<Upgrading, Refused> {
    let offered: Vec<&str> = values(request.headers(), &PROTOCOL).collect();
    if offered.is_empty() {
        let count = request.headers().len();
        let text = format!(
            "unable to upgrade: header X-Stream-Protocol-Version does not exist in request with {count} headers"
        );
        return Err(Refused::bad_request(text));
    }
    let Some(protocol) = chosen(&offered, supported) else {
        let text = format!(
            "unable to upgrade: unable to negotiate protocol: client supports [{}], server accepts [{}]",
            offered.join(" "),
            supported.join(" ")
        );
        return Err(Refused { code: StatusCode::FORBIDDEN, text, accepted: supported });
    };
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(SPDY));
    headers.insert(PROTOCOL, HeaderValue::from_static(protocol));
    Ok(Upgrading { response, protocol, connection: hyper::upgrade::on(request) })
}

/// Switches to WebSocket (RFC 6455), with the first of the client's protocols that is one of these, or with none when it
/// offers none.
///
/// # Errors
/// The answer to a request that is not in order (400), or offers other protocols (403).
pub fn web_socket(request: &mut Request, supported: &'static [&'static str]) -> Result<Upgrading, Refused> {
    let offered = web_socket_protocols(request.headers());
    let protocol = match chosen(&offered, supported) {
        Some(protocol) => protocol,
        None if offered.is_empty() => "",
        None => {
            let text = format!(
                "unable to upgrade websocket connection: client supports [{}], server accepts [{}]",
                offered.join(" "),
                supported.join(" ")
            );
            return Err(Refused { code: StatusCode::FORBIDDEN, text, accepted: &[] });
        }
    };
    let mut response = create_response_with_body(request, Body::empty)
        .map_err(|error| Refused::bad_request(format!("unable to upgrade websocket connection: {error}")))?;
    if !protocol.is_empty() {
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    }
    Ok(Upgrading { response, protocol, connection: hyper::upgrade::on(request) })
}

impl Refused {
    /// 400.
    pub fn bad_request(text: impl Into<String>) -> Self {
        Self { code: StatusCode::BAD_REQUEST, text: text.into(), accepted: &[] }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = (self.code, format!("{}\n", self.text)).into_response();
        for accepted in self.accepted {
            response.headers_mut().append(ACCEPTED, HeaderValue::from_static(accepted));
        }
        response
    }
}

impl Upgrading {
    /// The answer to send, and the connection to wait for meanwhile.
    pub fn into_parts(self) -> (Response, Switch) {
        (self.response, Switch(self.connection))
    }
}

/// A connection that will be there when the client has its answer.
#[derive(Debug)]
pub struct Switch(OnUpgrade);

impl Switch {
    /// The connection.
    ///
    /// # Errors
    /// The client is gone already, or the server cannot do this.
    pub async fn connection(self) -> hyper::Result<TokioIo<Upgraded>> {
        self.0.await.map(TokioIo::new)
    }

    /// The connection as a WebSocket, with bounds.
    ///
    /// # Errors
    /// As for [`Switch::connection`].
    pub async fn web_socket(self) -> hyper::Result<WebSocketStream<TokioIo<Upgraded>>> {
        let connection = self.connection().await?;
        Ok(WebSocketStream::from_raw_socket(connection, Role::Server, Some(config())).await)
    }
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
}

fn wants(headers: &HeaderMap, protocol: &str) -> bool {
    let has =
        |name: HeaderName, word: &str| values(headers, &name).any(|value| value.eq_ignore_ascii_case(word));
    has(header::CONNECTION, "upgrade") && has(header::UPGRADE, protocol)
}

fn chosen(offered: &[&str], supported: &[&'static str]) -> Option<&'static str> {
    offered.iter().find_map(|offer| supported.iter().find(|known| *known == offer).copied())
}

/// The values of a header that is a list, in one or several lines.
fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: &[&str] = &["v4.channel.k8s.io"];

    fn request(headers: &[(&str, &str)]) -> Request {
        let request = Request::builder().uri("/");
        headers
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value))
            .body(Body::empty())
            .unwrap()
    }

    async fn text(response: Response) -> String {
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 10).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn what_a_client_wants_is_told_by_two_headers() {
        for (headers, spdy, web_socket) in [
            (&[("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")][..], true, false),
            (&[("Connection", "keep-alive, upgrade"), ("Upgrade", "WebSocket")], false, true),
            (&[("Connection", "close"), ("Upgrade", "websocket")], false, false),
            (&[("Upgrade", "SPDY/3.1")], false, false),
            (&[("Connection", "Upgrade"), ("Upgrade", "h2c")], false, false),
        ] {
            let request = request(headers);
            let found = (wants_spdy(request.headers()), wants_web_socket(request.headers()));
            assert_eq!(found, (spdy, web_socket), "{headers:?}");
        }
    }

    #[tokio::test]
    async fn the_clients_first_protocol_that_is_spoken_here_is_chosen() {
        let mut offer = request(&[
            ("X-Stream-Protocol-Version", "v5.channel.k8s.io"),
            ("X-Stream-Protocol-Version", "v3.channel.k8s.io, v4.channel.k8s.io"),
        ]);
        let upgrading = spdy(&mut offer, V4).unwrap();
        assert_eq!(upgrading.protocol, "v4.channel.k8s.io");
        let (response, switch) = upgrading.into_parts();
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(response.headers()[PROTOCOL], "v4.channel.k8s.io");
        assert_eq!(response.headers()[header::UPGRADE], "SPDY/3.1");
        // There is no connection behind a request that was made here.
        assert!(switch.connection().await.is_err());

        let mut old = request(&[("X-Stream-Protocol-Version", "v2.channel.k8s.io,old")]);
        let refused = spdy(&mut old, V4).unwrap_err().into_response();
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
        assert_eq!(refused.headers()[ACCEPTED], "v4.channel.k8s.io");
        assert_eq!(
            text(refused).await,
            "unable to upgrade: unable to negotiate protocol: client supports [v2.channel.k8s.io old], \
             server accepts [v4.channel.k8s.io]\n"
        );
        let refused = spdy(&mut request(&[("a", "b")]), V4).unwrap_err().into_response();
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        assert_eq!(
            text(refused).await,
            "unable to upgrade: header X-Stream-Protocol-Version does not exist in request with 1 headers\n"
        );
    }

    #[tokio::test]
    async fn a_web_socket_is_agreed_upon_as_in_the_rfc() {
        // The key and its answer are the example of RFC 6455, 1.3.
        let complete = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let with = |protocols: &'static str| {
            request(&[&complete[..], &[("Sec-WebSocket-Protocol", protocols)]].concat())
        };
        let upgrading = web_socket(&mut with("v5.channel.k8s.io,v4.channel.k8s.io"), V4).unwrap();
        assert_eq!(
            upgrading.response.headers()[header::SEC_WEBSOCKET_ACCEPT],
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
        assert_eq!(upgrading.response.headers()[header::SEC_WEBSOCKET_PROTOCOL], "v4.channel.k8s.io");

        let upgrading = web_socket(&mut request(&complete), V4).unwrap();
        assert_eq!(upgrading.protocol, "");
        assert!(!upgrading.response.headers().contains_key(header::SEC_WEBSOCKET_PROTOCOL));

        assert_eq!(web_socket(&mut with("graphql-ws"), V4).unwrap_err().code, StatusCode::FORBIDDEN);
        let refused = web_socket(&mut request(&complete[..3]), V4).unwrap_err();
        assert_eq!(refused.code, StatusCode::BAD_REQUEST);
    }
}
