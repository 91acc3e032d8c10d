//! The agent's API as the command line uses it: a connection to its socket, and what its answers come to.
//!
//! Where kubectl has the verb, the words and the output are kubectl's.

pub(super) mod arguments;
pub(super) mod company;
pub(super) mod discovery;
pub(super) mod duration;
pub(super) mod failure;
#[cfg(test)]
pub(super) mod fake;
pub(super) mod files;
pub(super) mod interaction;
pub(super) mod output;
pub(super) mod pod;
pub(super) mod query;
pub(super) mod report;
pub(super) mod request;
pub(super) mod selection;
pub(super) mod session;
pub(super) mod tab_stops;
pub(super) mod table;
pub(super) mod terminal;
pub(super) mod three_way;
pub(super) mod watch;

use std::path::Path;

use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube::Client;
use tokio::net::UnixStream;
use tower::service_fn;

pub(super) use failure::told;

/// The namespace of what names none.
pub(super) const NAMESPACE: &str = "default";

/// A client of the agent that listens on `socket`. Fails when nobody does.
pub(super) async fn connect(socket: &Path) -> anyhow::Result<Client> {
    // Asked once at the start: later failures would be wrapped in what the HTTP client thinks of them.
    UnixStream::connect(socket).await.map_err(|error| {
        anyhow::anyhow!("connect to {}: {error}: is `mkubelet agent` running?", socket.display())
    })?;
    let path = socket.to_owned();
    let connector = service_fn(move |_: http::Uri| {
        let path = path.clone();
        Box::pin(async move { UnixStream::connect(path).await.map(TokioIo::new) })
    });
    let http = legacy::Client::builder(TokioExecutor::new()).build::<_, kube::client::Body>(connector);
    Ok(Client::new(with_host(http), NAMESPACE))
}

/// Requests on a socket name no host, and HTTP wants one.
fn with_host<S>(
    inner: S,
) -> impl tower::Service<
    http::Request<kube::client::Body>,
    Response = S::Response,
    Error = S::Error,
    Future = S::Future,
> + Clone
where
    S: tower::Service<http::Request<kube::client::Body>> + Clone,
{
    tower::ServiceBuilder::new()
        .map_request(|mut request: http::Request<kube::client::Body>| {
            let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
            if let Ok(uri) = format!("http://localhost{path}").parse() {
                *request.uri_mut() = uri;
            }
            request
        })
        .service(inner)
}
