//! The port: HTTP/1.1 over TLS, for clients that are not on this machine's socket.
//!
//! Every connection is bounded: in the time of its handshake, in the time and size of each request's head, and all of them in number.

mod addresses;
mod certificate;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;

use super::auth::gate::PeerCertificate;
use super::counted::Counted;
use super::pki::{self, Authority};
use super::places::{Guest, Places};
use super::server::{self, Limits};
use certificate::Serving;

/// Connections at a time: a watch takes one, and so does an exec.
const MAX_CONNECTIONS: usize = 256;
/// For a handshake, and again for the head of a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait when nothing can be accepted, for want of descriptors mostly.
const RETRY: Duration = Duration::from_millis(100);

/// Why there is no port.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be had.
    #[error("bind {address}")]
    Bind {
        /// As it was asked for.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// There is no certificate.
    #[error(transparent)]
    Pki(#[from] pki::Error),
    /// TLS cannot be set up.
    #[error("set up TLS")]
    Tls(#[from] rustls::Error),
    /// Nor can the check of clients' certificates.
    #[error("set up the check of client certificates")]
    Clients(#[from] rustls::server::VerifierBuilderError),
}

/// A port that listens and is not served yet.
pub struct Port {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Port {
    /// Listens, with a certificate of `authority` for this address and for the node's name.
    ///
    /// Clients may show a certificate of the same authority; who they are is in the extensions of each request.
    pub async fn open(address: SocketAddr, node_name: &str, authority: Authority) -> Result<Self, Error> {
        let mut clients = RootCertStore::empty();
        clients.add(authority.certificate())?;
        let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(clients), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()?;
        let serving = Serving::new(authority, node_name, addresses::of(address.ip()))?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(serving));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let listener = TcpListener::bind(address).await.map_err(|source| Error::Bind { address, source })?;
        Ok(Self { listener, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Where it listens: with port 0 the kernel has chosen one.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves whoever comes, for ever. Who may do what is the router's business (`auth::gate::guard`).
    pub async fn serve(self, router: Router) {
        let places = Places::new(MAX_CONNECTIONS);
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::debug!("accept a connection: {error}");
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            };
            let (place, guest) = places.take().await;
            let (acceptor, router) = (self.acceptor.clone(), router.clone());
            let stream = Counted::new(stream, place);
            tokio::spawn(async move { serve_connection(stream, &acceptor, router, guest).await });
        }
    }
}

async fn serve_connection(
    stream: Counted<TcpStream>,
    acceptor: &TlsAcceptor,
    router: Router,
    guest: Arc<Guest>,
) {
    let handshake = async {
        tokio::select! {
            stream = acceptor.accept(stream) => stream,
            () = guest.asked_to_leave() => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    };
    let stream = match timeout(PATIENCE, handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!("TLS handshake: {error}"),
        Err(_) => return tracing::debug!("TLS handshake: took longer than {} s", PATIENCE.as_secs()),
    };
    let peer = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let peer = peer.map(|certificate| PeerCertificate(certificate.clone().into_owned()));
    let service = ServiceBuilder::new()
        .map_request(move |mut request: hyper::Request<hyper::body::Incoming>| {
            if let Some(peer) = &peer {
                request.extensions_mut().insert(peer.clone());
            }
            request
        })
        .service(router);
    // It ends with the process.
    let stop = CancellationToken::new();
    server::serve(stream, service, Limits { header_time: PATIENCE, ..Limits::default() }, guest, stop).await;
}

#[cfg(test)]
mod tests;
