//! Connections to ports of a pod, as whoever is in it would make them: for what listens on its loopback interface alone, too.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use tokio::net::TcpStream;

use super::pod_runtime::PodRuntime;
use crate::network::{LoopbackError, loopback};
use crate::probe::address::words;
use crate::shim::protocol::Reply;
use crate::sys::process::open_pidfd;

/// A process whose network is the pod's: pause.
///
/// It is held by its pidfd, not by the namespace: that has to end with the pod, whoever would still like to connect.
#[derive(Debug)]
pub(super) struct Holder(OwnedFd);

impl Holder {
    /// The process of this number, if it is the one that has this network namespace.
    pub(super) fn of(pid: i32, namespace: &OwnedFd) -> io::Result<Option<Self>> {
        let pidfd = open_pidfd(pid)?;
        // Asked for after the pidfd was there: what has the namespace is still the process behind it.
        let found = fs::metadata(format!("/proc/{pid}/ns/net"))?;
        let expected = nix::sys::stat::fstat(namespace.as_fd())?;
        Ok((found.ino() == expected.st_ino && found.dev() == expected.st_dev).then_some(Self(pidfd)))
    }
}

impl PodRuntime {
    /// Keeps hold of pause, which the shim has just told of, for its network. Without, nothing can be connected to.
    pub(super) fn remember_network(&self, sandbox: &Reply, namespace: &OwnedFd) {
        let Reply::Sandbox { pid } = sandbox else { return };
        let network = Holder::of(*pid, namespace).unwrap_or_else(|error| {
            tracing::debug!(pod = %self.pod.key, %error, "pause ended while it was looked at");
            None
        });
        self.memory().network = network;
    }

    /// Connects to a port of the pod: on `localhost` in its network namespace, or on the node's when it is on the node's network. An
    /// error is in containerd's words.
    pub async fn connect(&self, port: u16) -> Result<TcpStream, String> {
        const GONE: &str = "sandbox container is not running";
        let namespace = if self.pod.spec.host_network {
            None
        } else {
            let memory = self.memory();
            let Some(Holder(pidfd)) = &memory.network else { return Err(GONE.to_owned()) };
            Some(pidfd.try_clone().map_err(|error| format!("duplicate pause's pidfd: {error}"))?)
        };
        loopback::connect(namespace, port).await.map_err(|error| match error {
            LoopbackError::Refused { ipv4, ipv6, .. } => format!(
                "failed to connect to localhost:{port} inside namespace {:?}, IPv4: dial tcp4 127.0.0.1:{port}: connect: {} \
                 IPv6: dial tcp6 [::1]:{port}: connect: {}",
                self.pod.uid.to_string(),
                words(&ipv4),
                words(&ipv6)
            ),
            error if error.is_gone() => GONE.to_owned(),
            error => format!("failed to execute portforward in network namespace {:?}: {error}", self.pod.uid.to_string()),
        })
    }
}
