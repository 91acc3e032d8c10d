//! What `exec` and `attach` have in common: the container that is meant, and which streams go there.

use std::time::Duration;

use clap::Args;
use kube::Client;
use serde_json::Value;

use super::duration;
use super::pod;
use super::selection::Namespace;
use super::session::Streams;

#[derive(Debug, Default, Args)]
pub(in crate::cli) struct Interaction {
    #[command(flatten)]
    pub(in crate::cli) namespace: Namespace,
    /// The container; without it the default one of the pod, or its first.
    #[arg(short, long)]
    container: Option<String>,
    /// Pass standard input on.
    #[arg(short = 'i', long)]
    pub(in crate::cli) stdin: bool,
    /// Standard input is a terminal, and so is that of the program.
    #[arg(short, long)]
    pub(in crate::cli) tty: bool,
    /// Print only what the program prints.
    #[arg(short, long)]
    pub(in crate::cli) quiet: bool,
    #[command(flatten)]
    _timeout: RunningTimeout,
}

/// `--pod-running-timeout`, which is about workloads: a pod that is named is there, or it is not.
#[derive(Debug, Default, Args)]
pub(in crate::cli) struct RunningTimeout {
    /// Time in which a pod is found; one that is named is found at once.
    #[arg(long, value_name = "DURATION", value_parser = timeout, default_value = "1m", hide = true)]
    pod_running_timeout: Duration,
}

fn timeout(text: &str) -> Result<Duration, String> {
    let timeout = duration::parse(text)?;
    if timeout.is_zero() {
        Err("--pod-running-timeout must be higher than zero".to_owned())
    } else {
        Ok(timeout)
    }
}

impl Interaction {
    /// The pod, unless its containers are over, which nobody can `act` on any more; and the container of it that is meant.
    pub(in crate::cli) async fn find(
        &self,
        client: &Client,
        argument: &str,
        act: &str,
    ) -> anyhow::Result<(Value, Value)> {
        let pod = pod::find_alive(client, self.namespace.name(), argument, act).await?;
        let container = pod::container(&pod, self.container.as_deref(), self.quiet)?;
        Ok((pod, container))
    }

    /// The streams that were asked for, as far as this process has them.
    pub(in crate::cli) fn streams(&self) -> Streams {
        Streams::of(self.stdin, self.tty)
    }
}
