//! `mkubelet debug`: a further container in a pod that runs, a copy of a pod, or a pod with the node's namespaces.

mod copy;
mod custom;
mod node;
mod profile;

use std::cell::RefCell;
use std::process::ExitCode;

use clap::Args;
use http::Method;
use kube::Client;
use serde_json::{Value, json};

use super::client::company::{Company, status};
use super::client::discovery::{Type, Types};
use super::client::failure::{remark, told};
use super::client::files::Files;
use super::client::pod;
use super::client::request::{STRATEGIC_MERGE, ask, get};
use super::client::selection::{Chosen, Namespace};
use super::client::watch::Seen;
use super::say;
use profile::Profile;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The pod: `web` or `pod/web`; or the node: `node/NAME`.
    #[arg(value_name = "POD|node/NAME")]
    what: Option<String>,
    /// The command of the container, instead of its image's.
    #[arg(last = true, value_name = "COMMAND")]
    words: Vec<String>,
    /// The manifest of the pod or node, instead of its name.
    #[arg(short, long, value_name = "FILE", conflicts_with = "what")]
    filename: Vec<String>,
    #[command(flatten)]
    namespace: Namespace,
    /// The image of the container.
    #[arg(long)]
    image: Option<String>,
    /// When the agent looks for another version of the image.
    #[arg(long, value_name = "POLICY")]
    image_pull_policy: Option<String>,
    /// The name of the container; else `debugger`, and in a pod with something at random behind it.
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    /// See the processes of this container of the pod.
    #[arg(long, value_name = "CONTAINER")]
    target: Option<String>,
    /// What the container may do.
    #[arg(long, default_value = "legacy")]
    profile: Profile,
    /// A variable of the container's environment, NAME=VALUE.
    #[arg(long, value_name = "NAME=VALUE,...", value_delimiter = ',')]
    env: Vec<String>,
    /// What follows -- are arguments of the image's own command.
    #[arg(long)]
    arguments_only: bool,
    /// Keep the container's standard input open, and attach to it.
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Give the container a terminal.
    #[arg(short, long)]
    tty: bool,
    /// Wait until the container runs, and attach to it, as -i does.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    attach: Option<bool>,
    /// Print nothing but what the container prints.
    #[arg(short, long)]
    quiet: bool,
    /// A file with a part of a container, JSON or YAML, that is merged into the container after all else.
    #[arg(long, value_name = "FILE", value_parser = custom::read)]
    custom: Option<Value>,
    #[command(flatten)]
    copy: copy::Flags,
}

/// What kubectl says about its default.
const LEGACY: &str = "--profile=legacy is deprecated and will be removed in the future. It is recommended to explicitly \
                      specify a profile, for example \"--profile=general\".";

/// What kubectl says about capabilities of a container that is not root's.
const NO_ROOT: &str = "Warning: Non-root user is configured for the entire target Pod, and some capabilities granted by \
                       debug profile may not work. Please consider using \"--custom\" with a custom profile that \
                       specifies \"securityContext.runAsUser: 0\".";

/// Letters and digits of names at random, as Kubernetes has them.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

pub(super) async fn run(client: &Client, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    arguments.check()?;
    let files = Files { filename: arguments.filename.clone(), recursive: false };
    let what = match &arguments.what {
        Some(what) => Some(what.clone()),
        None => files.first_named().await?,
    };
    let what = what.ok_or_else(|| anyhow::anyhow!("NAME or TYPE/NAME is required for debug"))?;
    let what = what.as_str();
    if arguments.profile == Profile::Legacy && !arguments.quiet {
        remark(LEGACY);
    }
    if let Some(target) = arguments.target.as_ref().filter(|_| !arguments.quiet) {
        say(&format!(
            "Targeting container {target:?}. If you don't see processes from this container it may be because the \
             container runtime doesn't support this feature.\n"
        ))?;
    }
    let types = Types::of(client).await.map_err(told)?;
    let (pods, name) = (types.find("pods")?, what.split_once('/').map_or(what, |(_, name)| name));
    let namespace = arguments.namespace.name().to_owned();
    let of_node = match what.split_once('/') {
        Some((kind, _)) => types.find(kind)?.kind == "Node",
        None => false,
    };
    let (pod, container) = if of_node {
        let found = get(client, &types.find("nodes")?.object_path("", name)).await.map_err(told)?;
        let made = node::create(client, &pods.path(Some(&namespace)), arguments, pod::name(&found)).await?;
        (made, arguments.container.clone().unwrap_or_else(|| node::CONTAINER.to_owned()))
    } else {
        let found = pod::find(client, &namespace, what).await?;
        match &arguments.copy.copy_to {
            Some(name) => match copy::create(client, pods, arguments, &found).await? {
                Some(container) => (name.clone(), container),
                // Nothing but images was to be changed: there is no one container to look at.
                None => return Ok(ExitCode::SUCCESS),
            },
            None => (pod::name(&found).to_owned(), arguments.add_to(client, pods, &namespace, &found).await?),
        }
    };
    if arguments.attach.unwrap_or(arguments.stdin) {
        let pod = Chosen { of: pods.clone(), namespace, name: pod, object: None, source: None };
        arguments.keep_company(client, &pod, &container).await?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Arguments {
    /// What cannot be, in kubectl's words.
    fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.attach != Some(true) || self.image.is_some() || self.container.is_some(),
            "you must specify --container or create a new container using --image in order to attach."
        );
        self.copy.check(self)?;
        anyhow::ensure!(!self.tty || self.stdin, "-i/--stdin is required for containers with -t/--tty=true");
        Ok(())
    }

    /// Adds the container to a pod that runs; returns its name.
    async fn add_to(
        &self,
        client: &Client,
        pods: &Type,
        namespace: &str,
        pod: &Value,
    ) -> anyhow::Result<String> {
        let name = self.name()?;
        let patch = json!({"spec": {"ephemeralContainers": [self.ephemeral(&name)?]}});
        let mut added = pod.clone();
        added["spec"]["ephemeralContainers"] = patch["spec"]["ephemeralContainers"].clone();
        self.warn(&added, Some(&name));
        let path = format!("{}/ephemeralcontainers", pods.object_path(namespace, pod::name(pod)));
        ask(client, Method::PATCH, &path, STRATEGIC_MERGE, Some(&patch)).await.map_err(told)?;
        Ok(name)
    }

    /// The name that was asked for, or one at random, which is said.
    fn name(&self) -> anyhow::Result<String> {
        if let Some(name) = &self.container {
            return Ok(name.clone());
        }
        let name = format!("debugger-{}", suffix()?);
        if !self.quiet {
            say(&format!("Defaulting debug container name to {name}.\n"))?;
        }
        Ok(name)
    }

    fn ephemeral(&self, name: &str) -> anyhow::Result<Value> {
        let mut container = self.container(name)?;
        self.profile.secure(&mut container, false);
        if let Some(target) = &self.target {
            container["targetContainerName"] = json!(target);
        }
        self.customize(&mut container)?;
        Ok(container)
    }

    /// The container, without what the profile makes of it.
    fn container(&self, name: &str) -> anyhow::Result<Value> {
        let mut container = json!({"name": name, "resources": {}, "terminationMessagePolicy": "File"});
        self.change(&mut container)?;
        Ok(container)
    }

    /// Gives a container what was asked for; its name stays.
    fn change(&self, container: &mut Value) -> anyhow::Result<()> {
        if !self.words.is_empty() {
            container[if self.arguments_only { "args" } else { "command" }] = json!(self.words);
            if !self.arguments_only {
                remove(container, "args");
            }
        }
        if !self.env.is_empty() {
            let variable = |pair: &String| match pair.split_once('=') {
                Some((name, value)) if !name.is_empty() => Ok(json!({"name": name, "value": value})),
                _ => Err(anyhow::anyhow!("invalid env: {pair}")),
            };
            container["env"] = self.env.iter().map(variable).collect::<anyhow::Result<_>>()?;
        }
        for (field, value) in [("image", &self.image), ("imagePullPolicy", &self.image_pull_policy)] {
            if let Some(value) = value {
                container[field] = json!(value);
            }
        }
        for (field, is_set) in [("stdin", self.stdin), ("tty", self.tty)] {
            if is_set {
                container[field] = true.into();
            } else {
                remove(container, field);
            }
        }
        Ok(())
    }

    /// Merges in what `--custom` says.
    fn customize(&self, container: &mut Value) -> anyhow::Result<()> {
        self.custom.as_ref().map_or(Ok(()), |custom| custom::merge(custom, container))
    }

    /// Says what a container of this pod will not be able to do.
    fn warn(&self, pod: &Value, container: Option<&str>) {
        let found =
            pod::containers(pod).find(|(found, _)| container.is_some_and(|name| found["name"] == name));
        let Some((container, _)) = found else { return };
        let context = &container["securityContext"];
        let is_granted = context["privileged"] == true
            || context["capabilities"]["add"].as_array().is_some_and(|added| !added.is_empty());
        let pods_user = pod["spec"]["securityContext"]["runAsUser"].as_i64().unwrap_or(0);
        if is_granted && pods_user != 0 && context["runAsUser"] != 0 {
            remark(NO_ROOT);
        }
    }

    async fn keep_company(&self, client: &Client, pod: &Chosen, container: &str) -> anyhow::Result<()> {
        let company = Company { client, pod, container, stdin: self.stdin, quiet: self.quiet };
        let said = RefCell::new(String::new());
        let has_begun = |pod: &Value| {
            let Some(state) = status(pod, container).map(|status| &status["state"]) else { return false };
            let why = state["waiting"]["message"].as_str().unwrap_or_default();
            if !why.is_empty() && said.replace(why.to_owned()) != why {
                remark(&format!("Warning: container {container}: {why}"));
            }
            state.get("running").is_some() || state.get("terminated").is_some()
        };
        match company.watch(has_begun).await? {
            Seen::Object(_) => company.keep().await,
            Seen::Gone => anyhow::bail!("pods {:?} not found", pod.name),
        }
    }
}

fn remove(container: &mut Value, field: &str) {
    if let Some(fields) = container.as_object_mut() {
        fields.shift_remove(field);
    }
}

/// Five letters and digits.
fn suffix() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 5];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("get random bytes: {error}"))?;
    Ok(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect())
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::cli::client::fake::{parsed, server};

    fn parse(line: &str) -> Arguments {
        parsed(line.split(' ')).unwrap()
    }

    #[tokio::test]
    async fn a_container_is_added_to_the_pod_as_kubectl_adds_it() {
        let line = "debug web --image=busybox --profile=restricted --target=a -c d -i --env=A=b -n n --attach=false -- sleep 100";
        let arguments = parse(&line.replace(" -i", "").replace(" --attach=false", ""));
        let (client, requests) = server(|_| (200, json!({"metadata": {"name": "web", "namespace": "n"}})));
        run(&client, &arguments).await.unwrap();
        let patched = requests.all().pop().unwrap();
        assert_eq!(patched.line, "PATCH /api/v1/namespaces/n/pods/web/ephemeralcontainers");
        assert_eq!(patched.content_type, STRATEGIC_MERGE);
        // kubectl 1.32 sends the same, but for the order of those that are there, which says nothing.
        let expected = json!({"spec": {"ephemeralContainers": [{
            "command": ["sleep", "100"], "env": [{"name": "A", "value": "b"}], "image": "busybox", "name": "d",
            "resources": {}, "targetContainerName": "a", "terminationMessagePolicy": "File",
            "securityContext": {
                "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": true,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        }]}});
        assert_eq!(patched.body, expected);
    }

    #[tokio::test]
    async fn a_node_is_debugged_by_a_pod_of_its_own() {
        let (client, requests) = server(|asked| {
            (
                200,
                if asked.line.starts_with("POST") {
                    asked.body.clone()
                } else {
                    json!({"metadata": {"name": "vm"}})
                },
            )
        });
        run(&client, &parse("debug node/vm --image=i --profile=general")).await.unwrap();
        let made = requests.all().pop().unwrap();
        assert_eq!(made.line, "POST /api/v1/namespaces/default/pods?fieldManager=kubectl-debug");
        assert!(pod::name(&made.body).starts_with("node-debugger-vm-"), "{}", made.body);
        assert_eq!(made.body["spec"]["nodeName"], "vm");
    }

    #[tokio::test]
    async fn what_cannot_be_done_is_told_before_anything_is_sent() {
        for (line, error) in [
            ("debug web", "you must specify --image when not using --copy-to."),
            ("debug --image=i", "NAME or TYPE/NAME is required for debug"),
            ("debug web --image=i -t", "-i/--stdin is required for containers with -t/--tty=true"),
            ("debug web --copy-to=x", "you must specify --image, --set-image or command arguments."),
            ("debug web --image=i --profile=general --env=A", "invalid env: A"),
        ] {
            let (client, requests) = server(|_| (200, json!({"metadata": {"name": "web"}})));
            let refused = run(&client, &parse(line)).await.unwrap_err().to_string();
            assert!(refused.starts_with(error), "{line}: {refused}");
            assert!(requests.lines().iter().all(|line| line.starts_with("GET")), "{line}");
        }
    }
}
