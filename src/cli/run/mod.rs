//! `mkubelet run`: pods of manifests in the foreground, without an agent; or handed to one, as manifests or as an image.

mod foreground;
mod image;
mod overrides;
mod pod;
mod steps;

use std::path::Path;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::client::report;
use super::client::selection::Namespace;
use super::{create, verbs};
use crate::config::Config;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Manifests, YAML or JSON: Pods, and the ConfigMaps and Secrets that they use. A directory is all manifests in it; `-`
    /// reads standard input. With --image, the name of a pod.
    #[arg(value_name = "FILE|NAME", required_unless_present = "image")]
    names: Vec<String>,
    /// Print the containers' output, too.
    #[arg(long, conflicts_with_all = ["image", "detach"])]
    logs: bool,
    /// Print how long each step of a pod's start took, when the pod is up.
    #[arg(long, conflicts_with_all = ["image", "detach", "output"])]
    trace: bool,
    /// Hand the manifests to the agent, and return when it has them.
    #[arg(long, conflicts_with = "image")]
    detach: bool,
    /// How to print what happens to the pods in the foreground: `text`, as lines to read, or `json`, as the Kubernetes API's watch events, each
    /// with the whole status of its pod, one JSON object a line. How to print what the agent was handed: `name`, `yaml` or `json`.
    #[arg(short, long, value_name = "FORMAT", conflicts_with = "logs")]
    output: Option<Output>,
    #[command(flatten)]
    namespace: Namespace,
    #[command(flatten)]
    image: pod::Options,
    #[command(flatten)]
    manner: image::Manner,
    /// The arguments of the image's program; with --command the program and its arguments.
    #[arg(last = true, value_name = "ARGS", requires = "image")]
    words: Vec<String>,
}

/// Either kind of `-o`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
    Yaml,
    Name,
}

impl Output {
    /// As something that is handed to the agent is printed.
    fn of_object(self) -> anyhow::Result<report::Format> {
        Ok(match self {
            Self::Json => report::Format::Json,
            Self::Yaml => report::Format::Yaml,
            Self::Name => report::Format::Name,
            Self::Text => {
                anyhow::bail!("--output text is of pods in the foreground, without --image and --detach")
            }
        })
    }

    /// As what happens in the foreground is printed.
    fn of_events(self) -> anyhow::Result<foreground::Format> {
        match self {
            Self::Text => Ok(foreground::Format::Text),
            Self::Json => Ok(foreground::Format::Json),
            Self::Yaml | Self::Name => {
                anyhow::bail!(
                    "--output yaml and name are of what the agent is handed: with --image or --detach"
                )
            }
        }
    }
}

/// Runs it; `config` is asked for where the pods are run here.
pub(super) fn run(
    arguments: Arguments,
    socket: &Path,
    config: impl FnOnce() -> anyhow::Result<Config>,
) -> anyhow::Result<ExitCode> {
    let Arguments { names, logs, trace, detach, output, namespace, image, manner, words } = arguments;
    if image.is_given() {
        let output = output.map(Output::of_object).transpose()?;
        let ask = image::Ask { names, image, words, manner, namespace, output };
        return image::run(&ask, socket);
    }
    if detach {
        let output = output.map(Output::of_object).transpose()?;
        let handed = create::Arguments::of_files(names, namespace, output);
        return verbs::speak(socket, async |client| create::run(&client, &handed).await);
    }
    anyhow::ensure!(
        !namespace.is_given(),
        "--namespace is of what the agent is handed: with --image or --detach"
    );
    let format = output.map_or(Ok(foreground::Format::Text), Output::of_events)?;
    foreground::run(&config()?, &foreground::Arguments { logs, trace, output: format, files: names })
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::cli::client::fake::parsed;

    /// What is refused before anything is done, or that root's part would come now.
    fn refused(line: &str) -> String {
        let arguments = match parsed::<Arguments>(line.split(' ')) {
            Ok(arguments) => arguments,
            Err(error) => return error.to_string(),
        };
        let here = || anyhow::bail!("in the foreground");
        format!("{:#}", run(arguments, Path::new("/nonexistent/api.sock"), here).unwrap_err())
    }

    #[test]
    fn the_ways_to_run_are_not_mixed() {
        for (line, error) in [
            ("run a.yaml", "in the foreground"),
            ("run a.yaml b.yaml -o json --logs", "cannot be used with"),
            ("run a.yaml --logs", "in the foreground"),
            ("run a.yaml --trace --logs", "in the foreground"),
            ("run a.yaml --trace -o json", "cannot be used with"),
            ("run web --image=i --trace", "cannot be used with"),
            ("run", "required arguments were not provided"),
            ("run a.yaml -o yaml", "--output yaml and name are of what the agent is handed"),
            ("run a.yaml -n n", "--namespace is of what the agent is handed"),
            ("run a.yaml --rm", "--image <IMAGE>"),
            ("run a.yaml --env=A=b", "--image <IMAGE>"),
            ("run a.yaml -- ls", "--image <IMAGE>"),
            ("run web --image=i --logs", "cannot be used with"),
            ("run web --image=i --detach", "cannot be used with"),
            ("run web --image=i -o text", "--output text is of pods in the foreground"),
            ("run a.yaml --detach -o text", "--output text is of pods in the foreground"),
        ] {
            let said = refused(line);
            assert!(said.contains(error), "{line}: {said}");
        }
    }
}
