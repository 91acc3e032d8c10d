//! `mkubelet exec`: runs a command in a container, and ends with its exit code.

use std::process::ExitCode;

use clap::Args;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};

use super::client::failure::told;
use super::client::pod;
use super::client::selection::Namespace;
use super::client::session::Streams;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The pod: `web` or `pod/web`.
    #[arg(value_name = "POD", num_args = 0..)]
    pod: Vec<String>,
    /// The command and its arguments.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    #[command(flatten)]
    namespace: Namespace,
    /// The container; without it the default one of the pod, or its first.
    #[arg(short, long)]
    container: Option<String>,
    /// Pass standard input on.
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Give the command a terminal.
    #[arg(short, long)]
    tty: bool,
    /// Print only what the command prints.
    #[arg(short, long)]
    quiet: bool,
}

pub(super) async fn run(client: &Client, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let name = match arguments.pod.as_slice() {
        [] => anyhow::bail!("pod, type/name or --filename must be specified"),
        [name] => name,
        _ => anyhow::bail!(
            "exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead"
        ),
    };
    anyhow::ensure!(!arguments.command.is_empty(), "you must specify at least one command for the container");
    let namespace = arguments.namespace.name();
    let pod = pod::find(client, namespace, name).await?;
    if let Some(phase @ ("Succeeded" | "Failed")) = pod["status"]["phase"].as_str() {
        anyhow::bail!("cannot exec into a container in a completed pod; current phase is {phase}");
    }
    let container = pod::container(&pod, arguments.container.as_deref(), arguments.quiet)?;
    let streams = Streams::of(arguments.stdin, arguments.tty);
    let parameters = streams.parameters(container["name"].as_str().unwrap_or_default());
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let process = pods.exec(pod::name(&pod), &arguments.command, &parameters).await.map_err(told)?;
    streams.run(process).await.map(|()| ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::client::fake::{parsed, server};

    #[tokio::test]
    async fn what_cannot_be_run_is_told_in_kubectls_words() {
        for (line, error) in [
            ("exec", "pod, type/name or --filename must be specified"),
            ("exec web", "you must specify at least one command for the container"),
            (
                "exec web ls",
                "exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead",
            ),
            (
                "exec done -- ls",
                "cannot exec into a container in a completed pod; current phase is Succeeded",
            ),
            ("exec web -c none -- ls -l", "container none not found in pod web"),
            ("exec node/n -- ls", "cannot attach to *v1.Node: selector for *v1.Node not implemented"),
        ] {
            let (client, _) = server(|asked| {
                let (name, phase) =
                    if asked.line.ends_with("done") { ("done", "Succeeded") } else { ("web", "Running") };
                (
                    200,
                    json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "a"}]}, "status": {"phase": phase}}),
                )
            });
            let arguments = parsed(line.split(' ')).unwrap();
            assert_eq!(run(&client, &arguments).await.unwrap_err().to_string(), error, "{line}");
        }
    }
}
