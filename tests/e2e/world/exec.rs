//! Programs executed in a running container, as a second agent beside the one that runs would do it.

use mkubelet::runtime::exec::{Captured, capture};
use mkubelet::runtime::shim_client::{Notice, ShimClient};
use mkubelet::shim::protocol::ExecConfig;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::{World, until};

/// A connection to the shim of the world's one pod, for the first container that the pod started.
pub(crate) struct Executor {
    runtime: Runtime,
    shim: ShimClient,
    container: String,
    _notices: mpsc::UnboundedReceiver<Notice>,
}

impl Executor {
    /// Waits for the container.
    pub(super) fn connect(world: &World) -> Self {
        let container = until("the container's id", || {
            let journal = world.journal();
            let records = journal.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let mut ids = records.filter_map(|record| {
                record["event"]["containerStarted"]["container"]["id"].as_str().map(str::to_owned)
            });
            ids.next()
        });
        let socket = world.run_dir().join("pods").join(&world.pod_uids()[0]).join("shim.sock");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (sender, notices) = mpsc::unbounded_channel();
        let (shim, _) = runtime.block_on(ShimClient::connect(&socket, 1, sender, None)).unwrap();
        Self { runtime, shim, container, _notices: notices }
    }

    /// The id of the container.
    pub(crate) fn container(&self) -> &str {
        &self.container
    }

    /// Runs a program to its end and keeps so many bytes of its output, or says why it did not start.
    pub(crate) fn run(&self, words: &[&str], cap: usize) -> Result<Captured, String> {
        let config = ExecConfig {
            id: self.container.clone(),
            args: words.iter().map(|&word| word.to_owned()).collect(),
            timeout_ms: Some(60_000),
            ..ExecConfig::default()
        };
        self.runtime.block_on(capture(&self.shim, config, cap)).map_err(|error| error.to_string())
    }
}
