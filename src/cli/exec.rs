//! `mkubelet exec`: runs a command in a container, and ends with its exit code.

use std::process::ExitCode;

use clap::Args;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};

use super::client::failure::told;
use super::client::files::Files;
use super::client::interaction::Interaction;
use super::client::pod;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The pod: `web` or `pod/web`.
    #[arg(value_name = "POD", num_args = 0..)]
    pod: Vec<String>,
    /// The command and its arguments.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    /// The manifest of the pod, instead of its name.
    #[arg(short, long, value_name = "FILE")]
    filename: Vec<String>,
    #[command(flatten)]
    with: Interaction,
}

pub(super) async fn run(client: &Client, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { command, with, .. } = arguments;
    let name = name(arguments).await?;
    anyhow::ensure!(!command.is_empty(), "you must specify at least one command for the container");
    let (pod, container) = with.find(client, &name, "exec into").await?;
    let streams = with.streams();
    let parameters = streams.parameters(container["name"].as_str().unwrap_or_default());
    let pods: Api<Pod> = Api::namespaced(client.clone(), with.namespace.name());
    let process = pods.exec(pod::name(&pod), command, &parameters).await.map_err(told)?;
    streams.run(process).await.map(|()| ExitCode::SUCCESS)
}

/// The pod that is named here, or by a manifest.
async fn name(arguments: &Arguments) -> anyhow::Result<String> {
    match (arguments.pod.as_slice(), arguments.filename.as_slice()) {
        ([], []) => anyhow::bail!("pod, type/name or --filename must be specified"),
        ([name], []) => Ok(name.clone()),
        ([], files) => {
            let files = Files { filename: files.to_owned(), recursive: false };
            files.first_named().await?.ok_or_else(|| anyhow::anyhow!("no objects passed to exec"))
        }
        ([_, ..], _) => anyhow::bail!(
            "exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead"
        ),
    }
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
