//! Connections: the unix socket, and what each connection may cost.
//!
//! A client that connects and says nothing, or says it one byte at a time, is left after a while, or as soon as somebody needs its
//! place (`places`).

use std::convert::Infallible;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::{Service, ServiceExt};

use super::counted::Counted;
use super::places::{Guest, Places};

/// What clients may take of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// From the start of a connection, or the end of a request, to the end of the next request's headers.
    pub header_time: Duration,
    /// From the order to stop to the end of requests that are being answered.
    pub stop_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 512, header_time: Duration::from_secs(60), stop_time: Duration::from_secs(2) }
    }
}

/// Longest head of a request, bytes.
const MAX_HEADERS: usize = 64 << 10;

/// A socket that listens.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    limits: Limits,
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct Error {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl Server {
    /// Listens on a socket that only its owner may use. One that somebody left behind is replaced; one where somebody answers is an error.
    pub fn bind(path: &Path, limits: Limits) -> Result<Self, Error> {
        let failed = |action| {
            let path = path.to_owned();
            move |source| Error { action, path, source }
        };
        match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => return Err(failed("listen on")(io::ErrorKind::AddrInUse.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path).map_err(failed("remove"))?;
            }
            Err(error) => return Err(failed("listen on")(error)),
        }
        let listener = UnixListener::bind(path).map_err(failed("listen on"))?;
        // Nobody else gets this far before: the directory is 0700.
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).map_err(failed("protect"))?;
        Ok(Self { listener, path: path.to_owned(), limits })
    }

    /// Serves until it is told to stop; then requests have a moment to end.
    pub async fn run(self, router: Router, stop: CancellationToken) {
        let places = Places::new(self.limits.connections);
        let connections = TaskTracker::new();
        loop {
            let accept = async {
                let (stream, _) = self.listener.accept().await?;
                Ok::<_, io::Error>((stream, places.take().await))
            };
            let accepted = tokio::select! {
                accepted = accept => accepted,
                () = stop.cancelled() => break,
            };
            match accepted {
                Ok((stream, (place, guest))) => {
                    let (router, stop) = (router.clone(), stop.clone());
                    let limits = self.limits;
                    connections.spawn(serve(Counted::new(stream, place), router, limits, guest, stop));
                }
                Err(error) => {
                    // Without descriptors the next try would fail at once as well.
                    tracing::warn!("cannot accept on {}: {error}", self.path.display());
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        connections.close();
        connections.wait().await;
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}

/// Serves one connection to its end, or to the end of the request that is being answered when it is time to stop. While none is, it may
/// be asked to leave.
pub(super) async fn serve<S>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: S,
    limits: Limits,
    guest: Arc<Guest>,
    stop: CancellationToken,
) where
    S: Service<hyper::Request<Incoming>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let answering = Arc::clone(&guest);
    let service =
        service_fn(move |request| Arc::clone(&answering).answering(service.clone().oneshot(request)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_buf_size(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = guest.asked_to_leave() => return tracing::debug!("a connection on which nobody asked gave its place to another"),
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(limits.stop_time, connection).await {
                Ok(ended) => ended,
                // A watch, say, that would go on for an hour.
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection ended early: {error}");
    }
}

#[cfg(test)]
mod tests;
