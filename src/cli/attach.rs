//! `mkubelet attach`: what the first process of a container reads and writes.

use std::process::ExitCode;

use clap::Args;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};

use super::client::failure::{remark, told};
use super::client::pod;
use super::client::selection::Namespace;
use super::client::session::Streams;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The pod: `web` or `pod/web`.
    pod: String,
    #[command(flatten)]
    namespace: Namespace,
    /// The container; without it the default one of the pod, or its first.
    #[arg(short, long)]
    container: Option<String>,
    /// Pass standard input on, if the container has one.
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Standard input is a terminal, and so is the container's.
    #[arg(short, long)]
    tty: bool,
    /// Print only what the process prints.
    #[arg(short, long)]
    quiet: bool,
}

pub(super) async fn run(client: &Client, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let namespace = arguments.namespace.name();
    let pod = pod::find(client, namespace, &arguments.pod).await?;
    if let Some(phase @ ("Succeeded" | "Failed")) = pod["status"]["phase"].as_str() {
        anyhow::bail!("cannot attach a container in a completed pod; current phase is {phase}");
    }
    let container = pod::container(&pod, arguments.container.as_deref(), arguments.quiet)?;
    let name = container["name"].as_str().unwrap_or_default();
    let has_terminal = container["tty"] == true;
    if arguments.tty && !has_terminal && !arguments.quiet {
        remark(&format!("error: Unable to use a TTY - container {name} did not allocate one"));
    }
    // A container with a terminal has no other stream to attach to, whatever was asked for.
    let streams = Streams { stdin: arguments.stdin, tty: has_terminal };
    if streams.stdin && !arguments.quiet {
        remark("If you don't see a command prompt, try pressing enter.");
    }
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let process = pods.attach(pod::name(&pod), &streams.parameters(name)).await.map_err(told)?;
    streams.run(process).await.map(|()| ExitCode::SUCCESS)
}
