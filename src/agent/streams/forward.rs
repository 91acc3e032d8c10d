//! A connection to a port of a pod, from inside its network namespace, where it is reached by its loopback address.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use tokio::net::TcpStream;
use tokio::task::spawn_blocking;

use super::told;
use crate::network::loopback;
use crate::shim::journal;
use crate::shim::protocol::Event;

/// Connects to a port of the pod with that journal.
///
/// # Errors
///
/// Why not, in one line.
pub async fn connect(journal: &Path, port: u16) -> Result<TcpStream, String> {
    let journal = journal.to_owned();
    let namespace =
        spawn_blocking(move || namespace(&journal)).await.map_err(|error| error.to_string())??;
    let connected = loopback::connect(Some(namespace), port).await;
    connected
        .map_err(|error| format!("failed to connect to localhost:{port} inside the pod: {}", told(&error)))
}

/// The network namespace of the process that holds the pod's, as its shim has written it down.
fn namespace(path: &Path) -> Result<OwnedFd, String> {
    let records = journal::read(path).map_err(|error| format!("read the pod's journal: {error}"))?;
    let pause = records.into_iter().fold(None, |pause, record| match record.event {
        Event::SandboxStarted { pid } => Some(pid),
        Event::SandboxExited { .. } | Event::ShimStarted { .. } => None,
        _ => pause,
    });
    let pause = pause.ok_or("the pod has no sandbox")?;
    let opened = File::open(format!("/proc/{pause}/ns/net"));
    opened.map(OwnedFd::from).map_err(|error| format!("open the pod's network namespace: {error}"))
}
