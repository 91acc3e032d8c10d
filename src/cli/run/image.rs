//! `mkubelet run NAME --image=IMAGE`: has the agent run a pod, and stays with it if that is wanted.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http::Method;
use kube::Client;
use serde_json::Value;

use super::overrides::Overrides;
use super::pod::Options;
use crate::cli::client::company::Company;
use crate::cli::client::discovery::{Type, Types};
use crate::cli::client::failure::{Exit, remark, told};
use crate::cli::client::files::Document;
use crate::cli::client::report::{DryRun, Format, Report};
use crate::cli::client::request::{JSON, ask};
use crate::cli::client::selection::{Chosen, Namespace};
use crate::cli::client::watch::Seen;
use crate::cli::client::{duration, output, query::Query, three_way};
use crate::cli::{say, verbs};

/// What is done with the pod.
#[derive(Debug, Args)]
pub(super) struct Manner {
    /// Wait until the pod runs, and attach to it, as -i does.
    #[arg(long, requires = "image")]
    attach: bool,
    /// Delete the pod when it has ended.
    #[arg(long, requires = "image")]
    rm: bool,
    /// Print nothing but what the container prints.
    #[arg(short, long, requires = "image")]
    quiet: bool,
    /// Only say what would be done.
    #[arg(long, requires = "image", num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    dry_run: Option<DryRun>,
    /// How long to wait for the pod to run.
    #[arg(long, requires = "image", value_name = "DURATION", value_parser = duration::parse, default_value = "1m")]
    pod_running_timeout: Duration,
    /// Keep the manifest in the pod, as `apply` does.
    #[arg(long, requires = "image")]
    save_config: bool,
    #[command(flatten)]
    overrides: Overrides,
}

/// All that was asked for.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) names: Vec<String>,
    pub(super) image: Options,
    pub(super) words: Vec<String>,
    pub(super) manner: Manner,
    pub(super) namespace: Namespace,
    pub(super) output: Option<Format>,
}

pub(super) fn run(ask: &Ask, socket: &Path) -> anyhow::Result<ExitCode> {
    // What is wrong is told as kubectl does, and a dry run of the client needs no server.
    let made = match ask.pod() {
        Ok(pod) if ask.dry_run() == DryRun::Client && !ask.image.expose => ask.show(&pod).map(|()| None),
        made => made.map(Some),
    };
    match made {
        Ok(None) => Ok(ExitCode::SUCCESS),
        Ok(Some(pod)) => verbs::speak(socket, async |client| ask.carry_out(&client, &pod).await),
        Err(error) => Ok(verbs::failed(&error)),
    }
}

impl Ask {
    fn dry_run(&self) -> DryRun {
        self.manner.dry_run.unwrap_or_default()
    }

    fn is_attached(&self) -> bool {
        self.manner.attach || self.image.stdin
    }

    fn pod(&self) -> anyhow::Result<Value> {
        const HELP: &str = "\nSee 'mkubelet run -h' for help and examples";
        let (name, more) = match self.names.as_slice() {
            [] => anyhow::bail!("NAME is required for run{HELP}"),
            [name, more @ ..] => (name, more),
        };
        let Manner { rm, .. } = self.manner;
        anyhow::ensure!(
            !self.image.tty || self.image.stdin,
            "-i/--stdin is required for containers with -t/--tty=true{HELP}"
        );
        anyhow::ensure!(!rm || self.is_attached(), "--rm should only be used for attached containers{HELP}");
        anyhow::ensure!(
            self.dry_run() == DryRun::None || !self.is_attached(),
            "--dry-run=[server|client] can't be used with attached containers options (--attach, --stdin, or --tty){HELP}"
        );
        let words: Vec<String> = more.iter().chain(&self.words).cloned().collect();
        let pod = self.image.pod(name, &words)?;
        let mut pod = self.manner.overrides.apply(pod)?;
        if self.manner.save_config && self.dry_run() != DryRun::Client {
            three_way::keep_configuration(&mut pod);
        }
        Ok(pod)
    }

    fn show(&self, pod: &Value) -> anyhow::Result<()> {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        say(&match self.output {
            None => format!("pod/{name} created{}\n", self.dry_run().suffix()),
            Some(Format::Name) => format!("pod/{name}\n"),
            Some(Format::Json) => output::json(pod)?,
            Some(Format::Yaml) => output::yaml(pod),
        })
    }

    async fn carry_out(&self, client: &Client, pod: &Value) -> anyhow::Result<ExitCode> {
        let types = Types::of(client).await.map_err(told)?;
        let (of, namespace) = (types.find("pods")?, self.namespace.name());
        let created = self.create(client, of, pod).await?;
        // As kubectl has it, the pod is there whatever becomes of its Service.
        let exposed = match self.image.expose {
            true => Some(self.expose(client, &types, pod).await),
            false => None,
        };
        if !self.is_attached() {
            let mut report = Report::default();
            say(&report.text(self.output, of, &created, "created", self.dry_run())?)?;
            if let Some(exposed) = exposed {
                let (of, service) = exposed?;
                say(&report.text(self.output, &of, &service, "created", self.dry_run())?)?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let name = created["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let pod =
            Chosen { of: of.clone(), namespace: namespace.to_owned(), name, object: None, source: None };
        let ended = self.keep_company(client, &pod).await;
        if self.manner.rm {
            // However it went.
            ask(client, Method::DELETE, &pod.path(), JSON, None).await.map_err(told)?;
            if !self.manner.quiet {
                say(&format!("pod {:?} deleted\n", pod.name))?;
            }
        }
        ended
    }

    async fn create(&self, client: &Client, of: &Type, object: &Value) -> anyhow::Result<Value> {
        if self.dry_run() == DryRun::Client {
            return Ok(object.clone());
        }
        let mut query = Query::default();
        query.add_some("dryRun", self.dry_run().parameter());
        query.add("fieldManager", "kubectl-run");
        let path = query.below(&of.path(Some(self.namespace.name())));
        ask(client, Method::POST, &path, JSON, Some(object)).await.map_err(told)
    }

    /// Makes the Service of `--expose`, where the API has any.
    async fn expose(&self, client: &Client, types: &Types, pod: &Value) -> anyhow::Result<(Type, Value)> {
        let document = Document { source: String::new(), object: self.image.service(pod) };
        let unknown = |_| anyhow::anyhow!("no matches for kind \"Service\" in version \"v1\"");
        let of = types.of_object(&document).map_err(unknown)?;
        Ok((of.clone(), self.create(client, of, &document.object).await?))
    }

    async fn keep_company(&self, client: &Client, pod: &Chosen) -> anyhow::Result<ExitCode> {
        let company =
            Company { client, pod, container: &pod.name, stdin: self.image.stdin, quiet: self.manner.quiet };
        company.wait(self.manner.pod_running_timeout, |pod| is_ready(pod) || is_over(pod)).await?;
        company.keep().await?;
        if !self.image.ends() {
            return Ok(ExitCode::SUCCESS);
        }
        match company.watch(is_over).await? {
            Seen::Object(over) => end(&over),
            Seen::Gone => Ok(ExitCode::SUCCESS),
        }
    }
}

fn is_ready(pod: &Value) -> bool {
    let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    pod["status"]["phase"] == "Running"
        && conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn is_over(pod: &Value) -> bool {
    ["Succeeded", "Failed"].iter().any(|phase| pod["status"]["phase"] == *phase)
}

/// The exit code of the pod's one container.
fn end(pod: &Value) -> anyhow::Result<ExitCode> {
    if pod["status"]["phase"] == "Succeeded" {
        return Ok(ExitCode::SUCCESS);
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = format!("{}/{}", text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]));
    let terminated = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    let code =
        terminated["exitCode"].as_i64().and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0);
    let code = code.ok_or_else(|| anyhow::anyhow!("pod {name} failed with unknown exit code"))?;
    let message = text(&terminated["message"]);
    remark(format!("pod {name} terminated ({})\n{message}", text(&terminated["reason"])).trim_end());
    Err(Exit(code).into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_exit_code_is_that_of_the_container() {
        let pod = |phase: &str, code: i64| {
            let state = json!({"terminated": {"exitCode": code, "reason": "Error"}});
            json!({"metadata": {"namespace": "n", "name": "x"}, "status": {"phase": phase, "containerStatuses": [{"state": state}]}})
        };
        assert!(end(&pod("Succeeded", 0)).is_ok());
        assert_eq!(end(&pod("Failed", 3)).unwrap_err().downcast_ref(), Some(&Exit(3)));
        let unknown = end(&pod("Failed", 0)).unwrap_err().to_string();
        assert_eq!(unknown, "pod n/x failed with unknown exit code");
    }

    #[test]
    fn a_pod_is_ready_when_its_condition_says_so() {
        let pod = |phase: &str, ready: &str| json!({"status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}});
        for (phase, ready, expected) in
            [("Running", "True", true), ("Running", "False", false), ("Pending", "True", false)]
        {
            assert_eq!(is_ready(&pod(phase, ready)), expected, "{phase} {ready}");
        }
        assert!(is_over(&pod("Failed", "False")) && !is_over(&pod("Running", "True")));
    }
}
