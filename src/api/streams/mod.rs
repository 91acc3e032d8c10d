//! The subresources of a pod that are streams: exec, attach, portforward and log.
//!
//! What is said over them is one thing ([`RemoteCommandStreams`]), how it travels another: over WebSocket, or over SPDY. Who
//! carries it out is a third, [`PodStreams`], which is the agent's.

pub mod attach;
pub mod container;
pub mod exec;
pub mod log;
pub mod port_forward;
pub mod remote_command;
pub mod routes;
pub mod spdy;
mod tunnel;
pub mod upgrade;
pub mod websocket;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};

use super::status::Status;

pub use remote_command::{RemoteCommandStreams, WindowSize};

/// A container of a pod that the API has, by the names in its manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerRef {
    /// The pod.
    pub pod: PodRef,
    /// The container, which the pod's spec names.
    pub container: String,
}

/// A pod that the API has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID, which tells it from an earlier pod of that name.
    pub uid: String,
}

/// Why a stream cannot be had, told before it is opened: an ordinary answer of the API, with a Status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 400: what is asked for cannot be, such as a container that does not run.
    #[error("{0}")]
    BadRequest(String),
    /// 404: the node does not have it.
    #[error("{0}")]
    NotFound(String),
    /// 500: it failed.
    #[error("{0}")]
    Internal(String),
}

/// Which part of a container's log is asked for, as in `PodLogOptions`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Go on with what is written from now on, until the container ends or the client leaves.
    pub follow: bool,
    /// The log of the attempt before the current one.
    pub previous: bool,
    /// What was written at this time or later.
    pub since: Option<Timestamp>,
    /// Each line begins with its time.
    pub timestamps: bool,
    /// So many lines before the end to begin with.
    pub tail_lines: Option<u64>,
    /// So many bytes, and then the end.
    pub limit_bytes: Option<u64>,
    /// One stream only.
    pub stream: LogStream,
}

/// What a log is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogStream {
    /// Both, as they came.
    #[default]
    All,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A connection to a port, in both directions.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// What the agent does for these subresources.
///
/// The API has made sure before that the pod is there and that its spec names the container.
pub trait PodStreams: Send + Sync + 'static {
    /// The id of a container that runs. Asked before a connection becomes a stream, so that a refusal is an ordinary answer.
    fn running(&self, container: &ContainerRef) -> BoxFuture<'_, Result<String, Refusal>>;

    /// Runs a program in a running container to its end, and tells its exit code. When the client goes away
    /// ([`RemoteCommandStreams::gone`]) the program is killed, with all that it has started. An error is why it did not start or could
    /// not be watched.
    fn exec(
        &self,
        container: ContainerRef,
        id: String,
        command: Vec<String>,
        streams: RemoteCommandStreams,
    ) -> BoxFuture<'_, Result<i32, String>>;

    /// Connects the client with what a running container's first process reads and writes from now on, until either ends.
    fn attach(
        &self,
        container: ContainerRef,
        id: String,
        streams: RemoteCommandStreams,
    ) -> BoxFuture<'_, Result<(), String>>;

    /// Connects to a port of a running pod, on its loopback interface.
    fn port_forward(&self, pod: PodRef, port: u16) -> BoxFuture<'_, Result<Box<dyn Duplex>, String>>;

    /// What a container has printed, and with `follow` what it prints.
    fn log(
        &self,
        container: ContainerRef,
        options: LogOptions,
    ) -> BoxFuture<'_, Result<BoxStream<'static, io::Result<Bytes>>, Refusal>>;
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::BadRequest(why) => Self::bad_request(why),
            Refusal::NotFound(why) => Self::plain(404, "NotFound", why),
            Refusal::Internal(why) => Self::internal(why),
        }
    }
}

impl fmt::Display for ContainerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.pod.namespace, self.pod.name, self.container)
    }
}
