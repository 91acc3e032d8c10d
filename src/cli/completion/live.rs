//! What only the agent knows of a command line that is being typed: the types of objects, their names, namespaces, containers.
//!
//! Without an agent, or with one that does not answer, there is nothing to add: a shell must not be kept waiting, nor told errors.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgMatches, Command, CommandFactory, FromArgMatches};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter};
use kube::Client;
use serde_json::Value;

use crate::cli::client::discovery::Types;
use crate::cli::client::{NAMESPACE, connect, pod, request};
use crate::cli::{Cli, Flags};

/// How long somebody waits who has pressed a key.
const PATIENCE: Duration = Duration::from_secs(2);

/// What an argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// Types, then names of the first one; or `TYPE/NAME`.
    Objects,
    /// A pod; where a verb takes several words, a container of it.
    Pods,
    Nodes,
    Namespaces,
    /// Containers of the pod that was named.
    Containers,
    /// A file, or a pod and a colon.
    PodPaths,
    Files,
}

/// By subcommand (`""` is any) and the name of the argument.
const LIVE: [(&str, &str, What); 11] = [
    ("", "arguments", What::Objects),
    ("", "container", What::Containers),
    ("", "filename", What::Files),
    ("", "namespace", What::Namespaces),
    ("", "pod", What::Pods),
    ("", "target", What::Containers),
    ("cp", "destination", What::PodPaths),
    ("cp", "source", What::PodPaths),
    ("debug", "what", What::Pods),
    ("node", "name", What::Nodes),
    ("pod", "name", What::Pods),
];

/// The names that the first words of a verb have, whatever they are.
const WORDS: [&str; 5] = ["arguments", "pod", "what", "source", "name"];

/// The command line, with arguments that ask the agent.
///
/// Flags are offered to who has begun one, as by kubectl: names stand alone.
pub(super) fn command() -> Command {
    let is_flag = typed().1.is_some_and(|word| word.as_encoded_bytes().starts_with(b"-"));
    let mut command = Cli::command();
    // Which adds --help, too.
    command.build();
    with_completers(command, is_flag)
}

fn with_completers(command: Command, is_flag: bool) -> Command {
    let verb = command.get_name().to_owned();
    let command = command.mut_args(|argument| {
        let is_this =
            |(of, name, _): &&(&str, &str, What)| ["", &verb].contains(of) && argument.get_id() == *name;
        let live = LIVE.iter().find(is_this);
        let hidden = argument.is_hide_set() || !(is_flag || argument.is_positional());
        let argument = argument.hide(hidden);
        match live {
            Some((.., what)) => argument.add(ArgValueCompleter::new(Completer(*what))),
            None => argument,
        }
    });
    command.mut_subcommands(|below| with_completers(below, is_flag))
}

struct Completer(What);

impl ValueCompleter for Completer {
    fn complete(&self, current: &OsStr) -> Vec<CompletionCandidate> {
        let mut candidates = match self.0 {
            What::PodPaths | What::Files => PathCompleter::any().complete(current),
            _ => Vec::new(),
        };
        if let (false, Some(current)) = (self.0 == What::Files, current.to_str()) {
            let found = Line::of(typed().0).and_then(|line| line.found(self.0, current));
            candidates.extend(found.unwrap_or_default().into_iter().map(CompletionCandidate::new));
        }
        candidates
    }
}

/// The words before the one that is being typed, and that one.
fn typed() -> (Vec<OsString>, Option<OsString>) {
    let mut words: Vec<OsString> = env::args_os().skip_while(|word| word != "--").skip(1).collect();
    let at = env::var("_CLAP_COMPLETE_INDEX").ok().and_then(|at| at.parse().ok());
    let mut rest = words.split_off(at.unwrap_or(words.len().saturating_sub(1)).min(words.len())).into_iter();
    (words, rest.next())
}

/// What the words before say.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    verb: String,
    words: Vec<String>,
    namespace: String,
    socket: PathBuf,
}

impl Line {
    fn of(words: Vec<OsString>) -> Option<Self> {
        let matches = Cli::command().ignore_errors(true).try_get_matches_from(words).ok()?;
        let (mut verb, mut of) = ("", &matches);
        while let Some((name, below)) = of.subcommand() {
            (verb, of) = (name, below);
        }
        let text = |name: &str| texts(of, name).into_iter().next();
        Some(Self {
            verb: verb.to_owned(),
            words: WORDS
                .iter()
                .map(|name| texts(of, name))
                .find(|words| !words.is_empty())
                .unwrap_or_default(),
            namespace: text("namespace").unwrap_or_else(|| NAMESPACE.to_owned()),
            socket: Flags::from_arg_matches(of).ok()?.api_socket(),
        })
    }

    /// What can stand where `current` is being typed.
    fn found(&self, what: What, current: &str) -> Option<Vec<String>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        let asked = async { self.ask(&connect(&self.socket).await?, what, current).await };
        let mut found = runtime.block_on(async { tokio::time::timeout(PATIENCE, asked).await }).ok()?.ok()?;
        found.retain(|word| word.starts_with(current));
        found.sort();
        Some(found)
    }

    async fn ask(&self, client: &Client, what: What, current: &str) -> anyhow::Result<Vec<String>> {
        let types = Types::of(client).await?;
        let names = async |kind: &str| {
            let list = request::get(client, &types.find(kind)?.path(Some(&self.namespace))).await?;
            let items = list["items"].as_array().into_iter().flatten();
            anyhow::Ok(items.map(|object| pod::name(object).to_owned()).collect::<Vec<_>>())
        };
        let below = async |kind: &str| {
            anyhow::Ok(
                names(kind).await?.into_iter().map(|name| format!("{kind}/{name}")).collect::<Vec<_>>(),
            )
        };
        Ok(match (what, current.split_once('/'), self.words.as_slice()) {
            (What::Namespaces, ..) => names("namespaces").await?,
            (What::Nodes, ..) => names("nodes").await?,
            (What::Containers, _, [of, ..]) => self.containers(client, &types, of).await?,
            (What::Pods, _, [of]) if self.verb == "logs" => self.containers(client, &types, of).await?,
            (What::Objects | What::Pods, Some((kind, _)), _) => below(kind).await?,
            (What::Pods, None, []) => names("pods").await?,
            (What::PodPaths, None, _) => {
                names("pods").await?.into_iter().map(|name| format!("{name}:")).collect()
            }
            (What::Objects, None, []) => types.names().collect(),
            (What::Objects, None, [kind, named @ ..]) if !kind.contains('/') => {
                let names = names(kind).await?.into_iter();
                names.filter(|name| !named.contains(name)).collect()
            }
            _ => Vec::new(),
        })
    }

    async fn containers(&self, client: &Client, types: &Types, of: &str) -> anyhow::Result<Vec<String>> {
        // `pod/web`, or of `cp` `web:/etc`.
        let name = of.split(':').next().unwrap_or_default();
        let name = name.rsplit('/').next().unwrap_or_default();
        let found: Value =
            request::get(client, &types.find("pods")?.object_path(&self.namespace, name)).await?;
        let containers = pod::containers(&found).filter_map(|(container, _)| container["name"].as_str());
        Ok(containers.map(str::to_owned).collect())
    }
}

/// All values of an argument, if it is there and takes texts.
fn texts(of: &ArgMatches, name: &str) -> Vec<String> {
    of.try_get_many::<String>(name).ok().flatten().into_iter().flatten().cloned().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::client::fake::server;

    fn line(text: &str) -> Line {
        Line::of(text.split(' ').map(OsString::from).collect()).unwrap()
    }

    #[test]
    fn a_line_that_is_not_finished_says_what_it_can() {
        for (text, verb, words, namespace) in [
            ("mkubelet get", "get", &[][..], "default"),
            ("mkubelet get pods", "get", &["pods"], "default"),
            ("mkubelet get pods web -n shop", "get", &["pods", "web"], "shop"),
            ("mkubelet get pods -n", "get", &["pods"], "default"),
            ("mkubelet logs web -c", "logs", &["web"], "default"),
            ("mkubelet logs web --unknown", "logs", &["web"], "default"),
            ("mkubelet exec -n=shop web -it", "exec", &["web"], "shop"),
            ("mkubelet top pod", "pod", &[], "default"),
            ("mkubelet", "", &[], "default"),
        ] {
            let line = line(text);
            let found: (&str, Vec<&str>, &str) =
                (&line.verb, line.words.iter().map(String::as_str).collect(), &line.namespace);
            assert_eq!(found, (verb, words.to_vec(), namespace), "{text}");
        }
        assert_eq!(line("mkubelet --run-dir /r get pods").socket, PathBuf::from("/r/api.sock"));
    }

    #[tokio::test]
    async fn what_the_agent_knows_is_offered() {
        let (client, requests) = server(|asked| {
            let named = |name: &str| json!({"metadata": {"name": name}});
            (
                200,
                match asked.line.as_str() {
                    "GET /api/v1/namespaces/shop/pods" => json!({"items": [named("web"), named("db")]}),
                    "GET /api/v1/nodes" => json!({"items": [named("vm")]}),
                    "GET /api/v1/namespaces/shop/pods/web" => {
                        json!({"spec": {"containers": [{"name": "a"}], "initContainers": [{"name": "i"}]}})
                    }
                    other => panic!("{other}"),
                },
            )
        });
        for (text, what, current, expected) in [
            ("mkubelet get", What::Objects, "", &["pods", "configmaps", "nodes"][..]),
            ("mkubelet get pods", What::Objects, "", &["web", "db"]),
            ("mkubelet get pods web", What::Objects, "", &["db"]),
            ("mkubelet get", What::Objects, "pod/w", &["pod/web", "pod/db"]),
            ("mkubelet get pod/web", What::Objects, "", &[]),
            ("mkubelet logs", What::Pods, "", &["web", "db"]),
            ("mkubelet logs web", What::Pods, "", &["a", "i"]),
            ("mkubelet exec web", What::Pods, "", &[]),
            ("mkubelet logs pod/web -c", What::Containers, "", &["a", "i"]),
            ("mkubelet cp x", What::PodPaths, "", &["web:", "db:"]),
            ("mkubelet cp web:/etc", What::Containers, "", &["a", "i"]),
            ("mkubelet logs -c", What::Containers, "", &[]),
            ("mkubelet top node", What::Nodes, "", &["vm"]),
        ] {
            let line = line(&text.replace("mkubelet ", "mkubelet --run-dir /r "));
            let line = Line { namespace: "shop".to_owned(), ..line };
            assert_eq!(line.ask(&client, what, current).await.unwrap(), expected, "{text} {current:?}");
        }
        assert!(!requests.all().is_empty());
    }

    #[test]
    fn without_an_agent_nothing_is_offered() {
        let line = line("mkubelet --run-dir /nowhere get pods");
        assert_eq!(line.found(What::Objects, ""), None);
    }

    #[test]
    fn every_argument_of_the_table_is_there() {
        fn ids(command: &Command, found: &mut Vec<(String, String)>) {
            let name = command.get_name().to_owned();
            found.extend(
                command.get_arguments().map(|argument| (name.clone(), argument.get_id().to_string())),
            );
            command.get_subcommands().for_each(|below| ids(below, found));
        }
        let mut found = Vec::new();
        ids(&Cli::command(), &mut found);
        for (verb, id, _) in LIVE {
            assert!(found.iter().any(|(of, name)| ["", of].contains(&verb) && name == id), "{verb} {id}");
        }
    }
}
