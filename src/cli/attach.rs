//! `mkubelet attach`: what the first process of a container reads and writes.

use std::process::ExitCode;

use clap::Args;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};

use super::client::failure::{remark, told};
use super::client::interaction::Interaction;
use super::client::pod;
use super::client::session::Streams;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The pod: `web` or `pod/web`.
    pod: String,
    #[command(flatten)]
    with: Interaction,
}

pub(super) async fn run(client: &Client, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let with = &arguments.with;
    let (pod, container) = with.find(client, &arguments.pod, "attach").await?;
    let name = container["name"].as_str().unwrap_or_default();
    let has_terminal = container["tty"] == true;
    if with.tty && !has_terminal && !with.quiet {
        remark(&format!("error: Unable to use a TTY - container {name} did not allocate one"));
    }
    // A container with a terminal has no other stream to attach to, whatever was asked for.
    let streams = Streams { stdin: with.stdin, tty: has_terminal };
    if streams.stdin && !with.quiet {
        remark("If you don't see a command prompt, try pressing enter.");
    }
    let pods: Api<Pod> = Api::namespaced(client.clone(), with.namespace.name());
    let process = pods.attach(pod::name(&pod), &streams.parameters(name)).await.map_err(told)?;
    streams.run(process).await.map(|()| ExitCode::SUCCESS)
}
