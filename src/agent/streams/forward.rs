//! A connection to a port of a pod, from inside its network namespace, where it is reached by its loopback address.

use tokio::net::TcpStream;
use tokio::task::spawn_blocking;

use super::told;
use crate::config::Layout;
use crate::network::{LoopbackError, loopback};
use crate::pod::PodUid;
use crate::probe::address::words;
use crate::runtime::pause;

/// In containerd's words.
const GONE: &str = "sandbox container is not running";

/// Connects to `localhost` of a pod, which is the node's for one on the node's network.
///
/// # Errors
///
/// Why not, in one line, in containerd's words.
pub async fn connect(layout: &Layout, uid: &PodUid, port: u16) -> Result<TcpStream, String> {
    let (of, its) = (layout.clone(), uid.clone());
    let pause = spawn_blocking(move || pause::open(&of, &its)).await.map_err(|error| error.to_string())?;
    let pause = pause.map_err(|error| format!("find the pod's sandbox: {error}"))?.ok_or(GONE)?;
    loopback::connect(Some(pause), port).await.map_err(|error| match error {
        LoopbackError::Refused { ipv4, ipv6, .. } => format!(
            "failed to connect to localhost:{port} inside namespace {:?}, IPv4: dial tcp4 127.0.0.1:{port}: connect: {} \
             IPv6: dial tcp6 [::1]:{port}: connect: {}",
            uid.to_string(),
            words(&ipv4),
            words(&ipv6)
        ),
        error if error.is_gone() => GONE.to_owned(),
        error => {
            format!("failed to execute portforward in network namespace {:?}: {}", uid.to_string(), told(&error))
        }
    })
}
