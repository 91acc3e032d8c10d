//! Connections to the loopback interface of another network namespace: to what listens there for its neighbours alone.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream as StdTcpStream};
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use tokio::net::{TcpSocket, TcpStream};

use super::{Error, visit};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum LoopbackError {
    /// The namespace cannot be entered.
    #[error(transparent)]
    Namespace(#[from] Error),
    /// Nobody takes it, by either version of IP.
    #[error("connect to port {port} of the loopback interface: {ipv4}; {ipv6}")]
    Refused {
        /// The port.
        port: u16,
        /// To 127.0.0.1.
        ipv4: io::Error,
        /// To ::1.
        ipv6: io::Error,
    },
}

/// Connects to 127.0.0.1, or else to ::1, in the network namespace of a process, given as pidfd, or behind a namespace's own
/// descriptor; `None` is the namespace that this process is in.
///
/// A socket stays in the namespace that it was made in, so only its making needs a thread in there, and no waiting does.
///
/// # Errors
/// The namespace is gone with its process (ESRCH); both addresses refuse.
pub async fn connect(namespace: Option<OwnedFd>, port: u16) -> Result<TcpStream, LoopbackError> {
    let sockets = move || [AddressFamily::Inet, AddressFamily::Inet6].map(make);
    let [ipv4, ipv6] = match namespace {
        None => sockets(),
        Some(namespace) => {
            let made =
                tokio::task::spawn_blocking(move || visit::within(namespace.as_fd(), || Ok(sockets())));
            made.await.map_err(|panic| Error::Thread { source: panic.into() })??
        }
    };
    let ipv4 = match dial(ipv4, IpAddr::V4(Ipv4Addr::LOCALHOST), port).await {
        Ok(connected) => return Ok(connected),
        Err(error) => error,
    };
    let ipv6 = dial(ipv6, IpAddr::V6(Ipv6Addr::LOCALHOST), port).await;
    ipv6.map_err(|ipv6| LoopbackError::Refused { port, ipv4, ipv6 })
}

fn make(family: AddressFamily) -> Result<OwnedFd, Errno> {
    socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)
}

async fn dial(socket: Result<OwnedFd, Errno>, ip: IpAddr, port: u16) -> io::Result<TcpStream> {
    let socket = TcpSocket::from_std_stream(StdTcpStream::from(socket?));
    socket.connect(SocketAddr::new(ip, port)).await
}

impl LoopbackError {
    /// The process of the namespace is no more.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Namespace(error) if error.errno() == Some(Errno::ESRCH))
    }
}
