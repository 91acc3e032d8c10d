//! `portforward`: connections of a client to ports of a pod.
//!
//! It comes in three forms, which all end in [`Forwards::forward`]: SPDY, with a pair of streams for each connection (`pairs`); the same
//! through a WebSocket (`tunnel`), as every kubectl has it by now; and plain WebSocket, with one connection for each port that the
//! request names (`channels`).

mod channels;
mod pairs;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, Request};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::tunnel::Tunnel;
use super::upgrade::{self, Refused, Upgrading};
use super::{PodRef, PodStreams};
use crate::api::spdy::{Limits, Session};

/// What is spoken inside SPDY.
const PROTOCOL: &str = "portforward.k8s.io";
/// SPDY inside a WebSocket (KEP-4006).
const TUNNELLED: &str = "SPDY/3.1+portforward.k8s.io";
/// A byte for the channel before each message.
const CHANNELS: &str = "v4.channel.k8s.io";

/// When the pod's end has said all, the client has so long to send what it still has, as containerd gives it.
const GRACE: Duration = Duration::from_secs(1);

/// Answers a request for `portforward`, and serves the connection that it becomes until the client leaves.
pub async fn serve(mut request: Request, pod: PodRef, streams: Arc<dyn PodStreams>) -> Response {
    let forwards = Forwards { pod, streams };
    let begun = if upgrade::wants_web_socket(request.headers()) {
        if upgrade::web_socket_protocols(request.headers()).contains(&TUNNELLED) {
            upgrade::web_socket(&mut request, &[TUNNELLED]).map(|upgrading| tunnelled(upgrading, forwards))
        } else {
            ports(request.uri()).and_then(|ports| {
                let upgrading = upgrade::web_socket(&mut request, &[CHANNELS])?;
                Ok(channels(upgrading, ports, forwards))
            })
        }
    } else if upgrade::wants_spdy(request.headers()) {
        upgrade::spdy(&mut request, &[PROTOCOL]).map(|upgrading| spdy(upgrading, forwards))
    } else {
        Err(Refused::bad_request("Upgrade request required"))
    };
    begun.unwrap_or_else(IntoResponse::into_response)
}

/// What a connection is served with.
#[derive(Clone)]
struct Forwards {
    pod: PodRef,
    streams: Arc<dyn PodStreams>,
}

fn spdy(upgrading: Upgrading, forwards: Forwards) -> Response {
    let (response, switch) = upgrading.into_parts();
    tokio::spawn(async move {
        match switch.connection().await {
            Ok(connection) => pairs::serve(Session::serve(connection, Limits::default()), forwards).await,
            Err(error) => tracing::debug!(%error, "no SPDY after all"),
        }
    });
    response
}

fn tunnelled(upgrading: Upgrading, forwards: Forwards) -> Response {
    let (response, switch) = upgrading.into_parts();
    tokio::spawn(async move {
        match switch.web_socket().await {
            Ok(socket) => {
                pairs::serve(Session::serve(Tunnel::new(socket), Limits::default()), forwards).await;
            }
            Err(error) => tracing::debug!(%error, "no WebSocket after all"),
        }
    });
    response
}

fn channels(upgrading: Upgrading, ports: Vec<u16>, forwards: Forwards) -> Response {
    let (response, switch) = upgrading.into_parts();
    tokio::spawn(async move {
        match switch.web_socket().await {
            Ok(socket) => channels::serve(socket, ports, forwards).await,
            Err(error) => tracing::debug!(%error, "no WebSocket after all"),
        }
    });
    response
}

/// The ports of `?ports=80,443&ports=8080`. What is not in order is refused in the kubelet's words.
fn ports(uri: &Uri) -> Result<Vec<u16>, Refused> {
    let query = Query::<Vec<(String, String)>>::try_from_uri(uri);
    let Query(query) = query.map_err(|error| Refused::bad_request(error.to_string()))?;
    let lists: Vec<String> =
        query.into_iter().filter(|(name, _)| name == "ports").map(|(_, list)| list).collect();
    if lists.is_empty() {
        return Err(Refused::bad_request("query parameter \"ports\" is required"));
    }
    let mut ports = Vec::new();
    for list in lists {
        if list.is_empty() {
            return Err(Refused::bad_request("query parameter \"ports\" cannot be empty"));
        }
        for number in list.split(',') {
            ports.push(port(number, &list).map_err(Refused::bad_request)?);
        }
    }
    if ports.len() > channels::MAX_PORTS {
        let most = channels::MAX_PORTS;
        return Err(Refused::bad_request(format!("at most {most} ports can be forwarded at once")));
    }
    Ok(ports)
}

/// A port by its number; `given` is what the client has written.
fn port(number: &str, given: &str) -> Result<u16, String> {
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    match number.parse() {
        Ok(0) => Err(format!("port {given:?} must be > 0")),
        Ok(port) if digits => Ok(port),
        _ => {
            let why = if digits { "value out of range" } else { "invalid syntax" };
            Err(format!("unable to parse {given:?} as a port: strconv.ParseUint: parsing {number:?}: {why}"))
        }
    }
}

impl Forwards {
    /// Connects a client with a port until both have said all, the pod's end is closed, or the client is gone. An error is why
    /// there was no connection, in the kubelet's words; what happens to one later is an end like any other, as it is to whoever
    /// connects without a forward.
    async fn forward(
        &self,
        port: u16,
        reader: impl AsyncRead + Unpin,
        writer: impl AsyncWrite + Unpin,
        gone: CancellationToken,
    ) -> Result<(), String> {
        let PodRef { name, uid, .. } = &self.pod;
        let connecting = gone.run_until_cancelled(self.streams.port_forward(self.pod.clone(), port)).await;
        let Some(connected) = connecting else { return Ok(()) };
        let connected = connected
            .map_err(|why| format!("error forwarding port {port} to pod {name}, uid {uid}: {why}"))?;
        gone.run_until_cancelled(copy(reader, writer, connected)).await;
        Ok(())
    }
}

/// Copies both ways. Each way ends by itself; but what only the client keeps open is not kept for long.
async fn copy(
    mut from_client: impl AsyncRead + Unpin,
    mut to_client: impl AsyncWrite + Unpin,
    pod: impl AsyncRead + AsyncWrite,
) {
    let (mut from_pod, mut to_pod) = tokio::io::split(pod);
    let up = async {
        let copied = tokio::io::copy(&mut from_client, &mut to_pod).await;
        (copied, to_pod.shutdown().await)
    };
    let down = async {
        let copied = tokio::io::copy(&mut from_pod, &mut to_client).await;
        (copied, to_client.shutdown().await)
    };
    let (mut up, mut down) = (pin!(up), pin!(down));
    tokio::select! {
        ended = &mut up => {
            tracing::trace!(?ended, "a forwarded client has said all");
            let _ = down.await;
        }
        ended = &mut down => {
            tracing::trace!(?ended, "a forwarded port has said all");
            let _ = timeout(GRACE, up).await;
        }
    }
}

#[cfg(test)]
mod tests;
