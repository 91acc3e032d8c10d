//! Ports over SPDY: for each connection a client opens a stream for errors and one for data, which name the port and have the same
//! `requestID`.

use std::collections::HashMap;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Forwards;
use crate::api::spdy::{Headers, Incoming, Session, Stream};

/// So long a client may take for the second stream, as a kubelet gives it.
const CREATION: Duration = Duration::from_secs(30);

/// The two streams of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Data,
    Error,
}

/// What a stream is for.
#[derive(Debug, PartialEq, Eq)]
struct Purpose {
    kind: Kind,
    port: u16,
    request: String,
}

/// A stream that waits for its other half.
struct Half {
    kind: Kind,
    other: oneshot::Sender<Stream>,
}

/// Serves a session until its client leaves. What is connected then ends with it.
pub(super) async fn serve(mut session: Session, forwards: Forwards) {
    let mut halves: HashMap<String, Half> = HashMap::new();
    let mut connections = JoinSet::new();
    loop {
        let incoming = tokio::select! {
            incoming = session.next() => incoming,
            Some(_) = connections.join_next() => continue,
        };
        let Some(incoming) = incoming else { break };
        halves.retain(|_, half| !half.other.is_closed());
        let purpose = match Purpose::of(incoming.headers(), incoming.id()) {
            Ok(purpose) => purpose,
            Err(why) => {
                refuse(incoming, &why).await;
                continue;
            }
        };
        match halves.remove(&purpose.request) {
            Some(half) if half.kind == purpose.kind => {
                refuse(incoming, &format!("stream of request {} already assigned", purpose.request)).await;
                halves.insert(purpose.request, half);
            }
            Some(half) => {
                // When its time was over just now, the client has been told.
                let _ = half.other.send(incoming.accept().await);
            }
            None => {
                let (other, arrival) = oneshot::channel();
                halves.insert(purpose.request.clone(), Half { kind: purpose.kind, other });
                connections.spawn(connect(incoming.accept().await, purpose, arrival, forwards.clone()));
            }
        }
    }
}

async fn refuse(incoming: Incoming, why: &str) {
    tracing::debug!(why, "a stream of a port forward is refused");
    incoming.refuse().await;
}

/// Waits for the other stream, and forwards.
async fn connect(stream: Stream, purpose: Purpose, arrival: oneshot::Receiver<Stream>, forwards: Forwards) {
    let Purpose { kind, port, request } = purpose;
    let (data, mut errors) = match (kind, timeout(CREATION, arrival).await) {
        (Kind::Data, Ok(Ok(errors))) => (stream, errors),
        (Kind::Error, Ok(Ok(data))) => (data, stream),
        (Kind::Data, _) => return,
        (Kind::Error, _) => {
            let mut errors = stream;
            tell(&mut errors, &format!("(request={request}) timed out waiting for streams")).await;
            return;
        }
    };
    let over = data.over();
    let (reader, writer) = data.into_split();
    if let Err(why) = forwards.forward(port, reader, writer, over).await {
        tracing::debug!(why, "a port is not forwarded");
        tell(&mut errors, &why).await;
    }
}

/// A client that is gone need not be told.
async fn tell(errors: &mut Stream, why: &str) {
    let _ = errors.write_all(why.as_bytes()).await;
}

impl Purpose {
    fn of(headers: &Headers, id: u32) -> Result<Self, String> {
        let port = headers.get("port").ok_or("\"port\" header is required")?;
        let port = super::port(port, port)?;
        let kind = match headers.get("streamType") {
            None | Some("") => return Err("\"streamType\" header is required".to_owned()),
            Some("data") => Kind::Data,
            Some("error") => Kind::Error,
            Some(other) => return Err(format!("invalid stream type {other:?}")),
        };
        // Clients before Kubernetes 1.2 open the error stream, then its data stream, and number neither.
        let request = match headers.get("requestID") {
            Some(request) if !request.is_empty() => request.to_owned(),
            _ if kind == Kind::Error => id.to_string(),
            _ => id.saturating_sub(2).to_string(),
        };
        Ok(Self { kind, port, request })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_says_what_it_is_for() {
        let purpose = |kind, port, request: &str| Ok(Purpose { kind, port, request: request.to_owned() });
        for (headers, expected) in [
            (&[("streamType", "data"), ("port", "80"), ("requestID", "7")][..], purpose(Kind::Data, 80, "7")),
            (
                &[("streamType", "error"), ("port", "65535"), ("requestID", "7")],
                purpose(Kind::Error, 65535, "7"),
            ),
            (&[("streamType", "error"), ("port", "80")], purpose(Kind::Error, 80, "5")),
            (&[("streamType", "data"), ("port", "80"), ("requestID", "")], purpose(Kind::Data, 80, "3")),
            (&[("streamType", "data")], Err("\"port\" header is required")),
            (&[("streamType", "data"), ("port", "0")], Err("port \"0\" must be > 0")),
            (
                &[("streamType", "data"), ("port", "65536")],
                Err(
                    "unable to parse \"65536\" as a port: strconv.ParseUint: parsing \"65536\": value out of range",
                ),
            ),
            (
                &[("streamType", "data"), ("port", "+80")],
                Err("unable to parse \"+80\" as a port: strconv.ParseUint: parsing \"+80\": invalid syntax"),
            ),
            (&[("port", "80")], Err("\"streamType\" header is required")),
            (&[("port", "80"), ("streamType", "stdin")], Err("invalid stream type \"stdin\"")),
        ] {
            let headers: Headers = headers.iter().copied().collect();
            assert_eq!(Purpose::of(&headers, 5), expected.map_err(str::to_owned), "{headers:?}");
        }
    }
}
