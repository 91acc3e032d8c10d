//! `grpc`: `grpc.health.v1.Health/Check`, one call over a connection of its own, without TLS.
//!
//! The protocol of this one call is small enough to be written down here: HTTP/2 is the `h2` crate's, the rest is a frame
//! around a message of one field in each direction.
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>, <https://github.com/grpc/grpc-proto/blob/master/grpc/health/v1/health.proto>

mod message;
mod status;

use std::time::Duration;

use bytes::BytesMut;
use h2::RecvStream;
use http::{Request, StatusCode};
use tokio::net::TcpStream;
use tokio::time::timeout;

use self::status::{DEADLINE_EXCEEDED, INTERNAL, Status, UNAVAILABLE, UNIMPLEMENTED};
use super::address::Address;
use super::{Answer, USER_AGENT, go_duration};

/// A longer answer is none of a health service, bytes.
const MAX_ANSWER: usize = 4 << 10;

/// Nor are longer headers or trailers, bytes.
const MAX_HEADERS: u32 = 16 << 10;

/// A call, ready to be made again and again.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) address: Address,
    /// Empty for the whole server's health.
    pub(crate) service: String,
    pub(crate) timeout: Duration,
}

impl Question {
    /// Asks once; takes no longer than the probe's timeout.
    pub(crate) async fn ask(&self) -> Answer {
        let mut connected = false;
        let asked = timeout(self.timeout, async {
            let stream = self.address.connect().await.map_err(|reason| {
                format!("error: failed to connect service at {:?}: {reason}", self.address.to_string())
            })?;
            connected = true;
            self.check(stream).await.map_err(|status| self.explain(&status))
        });
        match asked.await {
            Ok(Ok(1)) => Answer::Healthy,
            Ok(Ok(serving)) => Answer::Unhealthy(format!(
                "service unhealthy (responded with {:?})",
                message::serving_status(serving)
            )),
            Ok(Err(message)) => Answer::Unhealthy(message),
            Err(_) if connected => {
                let late = Status { code: DEADLINE_EXCEEDED, message: String::new() };
                Answer::Unhealthy(self.explain(&late))
            }
            Err(_) => Answer::Unhealthy(format!(
                "timeout: failed to connect service {:?} within {}: context deadline exceeded",
                self.address.to_string(),
                go_duration(self.timeout)
            )),
        }
    }

    fn explain(&self, status: &Status) -> String {
        match status.code {
            UNIMPLEMENTED => format!(
                "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {}",
                status.message
            ),
            DEADLINE_EXCEEDED => {
                format!("timeout: health rpc did not complete within {}", go_duration(self.timeout))
            }
            _ => format!("error: health rpc probe failed: {status}"),
        }
    }

    /// Makes the call; returns the number of its `ServingStatus`.
    async fn check(&self, stream: TcpStream) -> Result<u64, Status> {
        let mut handshake = h2::client::Builder::new();
        handshake.enable_push(false).max_header_list_size(MAX_HEADERS);
        let (client, connection) = handshake.handshake(stream).await.map_err(unavailable)?;
        let call = async {
            let mut client = client.ready().await.map_err(unavailable)?;
            let (response, mut body) = client.send_request(self.request()?, false).map_err(unavailable)?;
            body.send_data(message::request(&self.service), true).map_err(unavailable)?;
            let response = response.await.map_err(unavailable)?;
            if response.status() != StatusCode::OK {
                return Err(Status::of_http(response.status()));
            }
            // An error can come without a message, its status among the headers.
            Status::of(response.headers()).unwrap_or(Ok(()))?;
            read(response.into_body()).await
        };
        tokio::select! {
            answer = call => answer,
            // What the connection does is done here, and ends with it.
            ended = connection => Err(match ended {
                Ok(()) => Status { code: UNAVAILABLE, message: "the connection was closed".to_owned() },
                Err(error) => unavailable(error),
            }),
        }
    }

    fn request(&self) -> Result<Request<()>, Status> {
        Request::post(format!("http://{}/grpc.health.v1.Health/Check", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("user-agent", USER_AGENT)
            .header("grpc-timeout", format!("{}m", self.timeout.as_millis()))
            .body(())
            .map_err(|error| Status { code: INTERNAL, message: error.to_string() })
    }
}

/// Reads a response to its end.
async fn read(mut body: RecvStream) -> Result<u64, Status> {
    let mut answer = BytesMut::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.map_err(unavailable)?;
        // Without this the server may not send more.
        body.flow_control().release_capacity(chunk.len()).map_err(unavailable)?;
        if answer.len() + chunk.len() > MAX_ANSWER {
            return Err(Status {
                code: INTERNAL,
                message: format!("the answer is longer than {MAX_ANSWER} bytes"),
            });
        }
        answer.extend_from_slice(&chunk);
    }
    let trailers = body.trailers().await.map_err(unavailable)?.unwrap_or_default();
    let missing = || {
        Err(Status { code: INTERNAL, message: "server closed the stream without sending trailers".into() })
    };
    Status::of(&trailers).unwrap_or_else(missing)?;
    message::serving(&answer)
        .ok_or_else(|| Status { code: INTERNAL, message: "the answer makes no sense".to_owned() })
}

fn unavailable(error: h2::Error) -> Status {
    Status { code: UNAVAILABLE, message: error.to_string() }
}

#[cfg(test)]
mod tests;
