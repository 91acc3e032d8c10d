//! One look at all counters of the node and of its pods.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::runtime::Error;
use crate::runtime::host::Host;
use crate::usage::PodUsage;
use crate::usage::node::NodeSample;
use crate::usage::read::read;

/// All counters at one moment.
#[derive(Debug, Clone)]
pub(super) struct Look {
    /// Of the machine.
    pub(super) node: NodeSample,
    /// Of each pod that runs.
    pub(super) pods: Vec<PodUsage>,
}

impl Look {
    /// Reads them now.
    ///
    /// # Errors
    /// One line that says what cannot be read.
    pub(super) async fn now(host: &Arc<Host>) -> Result<Self, String> {
        let host = Arc::clone(host);
        let look = move || {
            let pods = read(&host.layout, &host.cgroups).map_err(|error| Error::chain(&error).0)?;
            let node = NodeSample::read().map_err(|error| error.to_string())?;
            Ok(Self { node, pods })
        };
        spawn_blocking(look).await.map_err(|panic| panic.to_string())?
    }
}
