//! Where to connect: the pod, or the host that the manifest names. Errors are in Go's words, which people know.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use hickory_resolver::TokioResolver;
use nix::errno::Errno;
use tokio::net::TcpStream;

/// A host and a port.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    host: String,
    port: u16,
}

impl Address {
    pub(crate) fn new(host: Option<&str>, pod_ip: IpAddr, port: u16) -> Self {
        Self { host: host.map_or_else(|| pod_ip.to_string(), str::to_owned), port }
    }

    /// Connects, without a limit of time.
    pub(crate) async fn connect(&self) -> Result<TcpStream, String> {
        let mut reason = "no such host".to_owned();
        for ip in self.resolve().await? {
            let peer = SocketAddr::new(ip, self.port);
            match TcpStream::connect(peer).await {
                Ok(stream) => return Ok(stream),
                Err(error) => reason = format!("dial tcp {peer}: connect: {}", words(&error)),
            }
        }
        Err(reason)
    }

    /// The C library, whose way of looking names up needs files of the host at run time, is not asked.
    async fn resolve(&self) -> Result<Vec<IpAddr>, String> {
        if let Ok(ip) = self.host.parse() {
            return Ok(vec![ip]);
        }
        let failed = |error: &dyn fmt::Display| format!("dial tcp: lookup {}: {error}", self.host);
        let resolver = TokioResolver::builder_tokio().and_then(|builder| builder.build());
        let found = resolver.map_err(|error| failed(&error))?.lookup_ip(self.host.as_str()).await;
        found.map(|found| found.iter().collect()).map_err(|error| failed(&error))
    }
}

/// `host:port`, with an IPv6 address in brackets.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// `connection refused` rather than `Connection refused (os error 111)`.
pub(crate) fn words(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(errno) => Errno::from_raw(errno).desc().to_ascii_lowercase(),
        None => error.to_string(),
    }
}
