//! `mkubelet delete`: ends objects, and waits until they are gone.

use std::io::BufRead;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use http::Method;
use kube::Client;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::client::discovery::Types;
use super::client::duration;
use super::client::failure::{Tally, is_code, remark, told, told_when};
use super::client::report::DryRun;
use super::client::request::{JSON, ask, raw};
use super::client::selection::{Chosen, Selection};
use super::client::watch::{Seen, watch};
use super::say;

/// As kubectl has it: a week is for ever.
const FOR_EVER: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// Seconds that a pod has to end; less than 0 is its own period.
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    grace_period: i64,
    /// The same as `--grace-period=1`.
    #[arg(long)]
    now: bool,
    /// At once: a pod's processes are killed, and its name is free before they have ended.
    #[arg(long)]
    force: bool,
    /// What becomes of objects that these own: they go afterwards, or first, or they stay.
    #[arg(long, value_enum, default_value_t, num_args = 0..=1, require_equals = true, default_missing_value = "background")]
    cascade: Cascade,
    /// Ask before anything is deleted.
    #[arg(short, long)]
    interactive: bool,
    /// Return when the objects are gone.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    wait: bool,
    /// Time to wait for each; 0 is as long as it takes.
    #[arg(long, default_value = "0s", value_parser = duration::parse)]
    timeout: Duration,
    /// No error for names that there are none of.
    #[arg(long)]
    ignore_not_found: bool,
    /// Print names only.
    #[arg(short, long, value_parser = ["name"])]
    output: Option<String>,
    /// Send a DELETE to this path, and print what the server answers.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["arguments", "selector", "field_selector", "all", "cascade", "grace_period", "now", "force"])]
    raw: Option<String>,
    /// Only say what would be deleted.
    #[arg(long, value_enum, default_value_t, num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    dry_run: DryRun,
}

/// `--cascade`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Cascade {
    #[default]
    Background,
    Foreground,
    Orphan,
}

impl Cascade {
    /// `propagationPolicy` of the request.
    fn policy(self) -> &'static str {
        match self {
            Self::Background => "Background",
            Self::Foreground => "Foreground",
            Self::Orphan => "Orphan",
        }
    }
}

pub(super) async fn run(client: &Client, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if let Some(path) = &arguments.raw {
        let body = arguments.selection.files.bytes()?.unwrap_or_default();
        say(&raw(client, Method::DELETE, path, body).await?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let grace = grace(arguments)?;
    let mut tally = Tally::default();
    let types = Types::of(client).await.map_err(told)?;
    let chosen = arguments.selection.objects(client, &types, false, &mut tally).await?;
    if chosen.is_empty() && tally.is_clean() {
        say("No resources found\n")?;
    }
    if arguments.interactive && !chosen.is_empty() && !is_wanted(&chosen, std::io::stdin().lock())? {
        say("deletion is cancelled\n")?;
        return Ok(tally.exit_code());
    }
    let mut leaving = Vec::new();
    for object in &chosen {
        if let Some(uid) = tally.note(delete(client, object, arguments, grace).await).flatten() {
            leaving.push((object, uid));
        }
    }
    if arguments.wait && arguments.dry_run == DryRun::None {
        let patience = if arguments.timeout.is_zero() { FOR_EVER } else { arguments.timeout };
        for (object, uid) in leaving {
            tally.note(gone(client, object, &uid, patience).await);
        }
    }
    Ok(tally.exit_code())
}

/// The period that is asked for, after kubectl's words about it.
fn grace(arguments: &Arguments) -> anyhow::Result<Option<i64>> {
    let Arguments { grace_period, now, force, .. } = arguments;
    anyhow::ensure!(!now || *grace_period == -1, "--now and --grace-period cannot be specified together");
    anyhow::ensure!(
        !force || *grace_period <= 0,
        "--force and --grace-period greater than 0 cannot be specified together"
    );
    if *force {
        remark(
            "Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. \
             The resource may continue to run on the cluster indefinitely.",
        );
        return Ok(Some(0));
    }
    Ok(match grace_period {
        _ if *now => Some(1),
        // Without --force the pod is waited for, so that it must be there until it has ended.
        0 => Some(1),
        period if *period < 0 => None,
        period => Some(*period),
    })
}

/// Asks the person.
fn is_wanted(chosen: &[Chosen], mut answers: impl BufRead) -> anyhow::Result<bool> {
    let name = |object: &Chosen| format!("{}\n", object.of.named(&object.name));
    let names: String = chosen.iter().map(name).collect();
    let count = chosen.len();
    say(&format!(
        "You are about to delete the following {count} resource(s):\n{names}Do you want to continue? (y/n): "
    ))?;
    let mut answer = String::new();
    answers.read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

/// Sends the request; gives the UID of what now goes.
async fn delete(
    client: &Client,
    object: &Chosen,
    arguments: &Arguments,
    grace: Option<i64>,
) -> anyhow::Result<Option<String>> {
    let mut answer = Value::Null;
    if arguments.dry_run == DryRun::Client {
        match object.read(client).await {
            Err(error) if arguments.ignore_not_found && is_code(&error, 404) => return Ok(None),
            read => read.map(drop).map_err(told)?,
        }
    } else {
        let mut options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": arguments.cascade.policy()});
        if let Some(seconds) = grace {
            options["gracePeriodSeconds"] = seconds.into();
        }
        if let Some(all) = arguments.dry_run.parameter() {
            options["dryRun"] = json!([all]);
        }
        match ask(client, Method::DELETE, &object.path(), JSON, Some(&options)).await {
            Err(error) if arguments.ignore_not_found && is_code(&error, 404) => return Ok(None),
            Err(error) => {
                return Err(match &object.source {
                    Some(source) => told_when(&format!("error when deleting {source:?}"), error),
                    None => told(error),
                });
            }
            Ok(value) => answer = value,
        }
    }
    let done = if grace == Some(0) { "force deleted" } else { "deleted" };
    let kind = object.of.qualified(&object.of.singular);
    match arguments.output {
        Some(_) => say(&format!("{}\n", object.of.named(&object.name)))?,
        None => say(&format!("{kind} {:?} {done}{}\n", object.name, arguments.dry_run.suffix()))?,
    }
    // A Status names the object in its details, an object has its own metadata.
    let uid = answer["details"]["uid"].as_str().or_else(|| answer["metadata"]["uid"].as_str());
    Ok(uid.map(str::to_owned))
}

/// Waits until no object of that UID is there.
async fn gone(client: &Client, object: &Chosen, uid: &str, patience: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + patience;
    let is_gone = |seen: &Seen| match seen {
        Seen::Gone => true,
        Seen::Object(value) => value["metadata"]["uid"].as_str() != Some(uid),
    };
    match timeout_at(deadline, watch(client, object, is_gone)).await {
        Ok(seen) => seen.map(drop),
        Err(_) => {
            anyhow::bail!(
                "timed out waiting for the condition on {}/{}",
                object.of.qualified(&object.of.plural),
                object.name
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::fake::{Asked, not_found, parsed, server};

    fn parse(line: &str) -> Arguments {
        parsed(std::iter::once("delete").chain(line.split(' '))).unwrap()
    }

    /// A server on which every DELETE succeeds and everything is gone then.
    fn obliging(asked: &Asked) -> (u16, Value) {
        match asked.line.split_once(' ').unwrap() {
            ("DELETE", _) => (200, json!({"kind": "Pod", "metadata": {"name": "web", "uid": "1"}})),
            (_, path) if path.ends_with("pods?labelSelector=a%3Db") => (
                200,
                json!({"kind": "PodList", "items": [{"metadata": {"name": "x", "namespace": "default"}}]}),
            ),
            _ => not_found("web"),
        }
    }

    #[tokio::test]
    async fn the_grace_that_is_asked_for_is_sent() {
        for (line, grace) in [
            ("pod web", Value::Null),
            ("pod web --now", json!(1)),
            ("pod web --grace-period 7", json!(7)),
            ("pod web --grace-period=0", json!(1)),
            ("pod web --grace-period=0 --force", json!(0)),
            ("pod web --force", json!(0)),
        ] {
            let (client, requests) = server(obliging);
            run(&client, &parse(line)).await.unwrap();
            let all = requests.all();
            assert_eq!(all[0].line, "DELETE /api/v1/namespaces/default/pods/web", "{line}");
            assert_eq!(all[0].body["gracePeriodSeconds"], grace, "{line}");
            assert_eq!(all[1].line, "GET /api/v1/namespaces/default/pods/web", "{line}: waited for");
        }
        for line in ["pod web --now --grace-period=3", "pod web --force --grace-period=3"] {
            let (client, requests) = server(obliging);
            run(&client, &parse(line)).await.unwrap_err();
            assert_eq!(requests.lines(), [""; 0]);
        }
    }

    #[tokio::test]
    async fn what_is_deleted_is_what_was_named() {
        for (line, expected) in [
            (
                "pod/a cm/b --wait=false",
                vec![
                    "DELETE /api/v1/namespaces/default/pods/a",
                    "DELETE /api/v1/namespaces/default/configmaps/b",
                ],
            ),
            ("node n --wait=false", vec!["DELETE /api/v1/nodes/n"]),
            (
                "pods -l a=b --wait=false",
                vec![
                    "GET /api/v1/namespaces/default/pods?labelSelector=a%3Db",
                    "DELETE /api/v1/namespaces/default/pods/x",
                ],
            ),
            ("pods web --dry-run=client", vec!["GET /api/v1/namespaces/default/pods/web"]),
        ] {
            let (client, requests) = server(obliging);
            run(&client, &parse(line)).await.unwrap();
            assert_eq!(requests.lines(), expected, "{line}");
        }
    }

    #[tokio::test]
    async fn a_raw_path_is_asked_as_it_is() {
        let (client, requests) = server(|_| (200, json!({"kind": "Status"})));
        run(&client, &parse("--raw /api/v1/namespaces/x/pods/web?dryRun=All")).await.unwrap();
        assert_eq!(requests.lines(), ["DELETE /api/v1/namespaces/x/pods/web?dryRun=All"]);
        assert!(parsed::<Arguments>("delete pod web --raw /api".split(' ')).is_err(), "one or the other");
    }

    #[tokio::test]
    async fn nothing_is_deleted_by_a_type_alone() {
        let (client, requests) = server(obliging);
        let error = run(&client, &parse("pods")).await.unwrap_err().to_string();
        assert_eq!(error, "resource(s) were provided, but no name was specified");
        assert_eq!(requests.lines(), [""; 0]);
    }

    #[tokio::test]
    async fn a_missing_object_is_an_error_unless_ignored() {
        for (line, code) in
            [("pod web", ExitCode::FAILURE), ("pod web --ignore-not-found", ExitCode::SUCCESS)]
        {
            let (client, _) = server(|_| not_found("web"));
            let ended = run(&client, &parse(line)).await.unwrap();
            assert_eq!(format!("{ended:?}"), format!("{code:?}"), "{line}");
        }
    }

    #[tokio::test]
    async fn what_is_owned_goes_as_it_is_asked() {
        for (line, policy) in [
            ("pod web --wait=false", "Background"),
            ("pod web --wait=false --cascade", "Background"),
            ("pod web --wait=false --cascade=orphan", "Orphan"),
            ("pod web --wait=false --cascade=foreground", "Foreground"),
        ] {
            let (client, requests) = server(obliging);
            run(&client, &parse(line)).await.unwrap();
            assert_eq!(requests.all()[0].body["propagationPolicy"], policy, "{line}");
        }
    }

    #[tokio::test]
    async fn a_person_who_is_asked_has_to_say_yes() {
        let (client, _) = server(obliging);
        let types = Types::of(&client).await.unwrap();
        let selection = parse("pod web").selection;
        let chosen = selection.objects(&client, &types, false, &mut Tally::default()).await.unwrap();
        for (answer, expected) in
            [("y\n", true), ("YES\n", true), ("n\n", false), ("\n", false), ("", false), ("yo\n", false)]
        {
            assert_eq!(is_wanted(&chosen, answer.as_bytes()).unwrap(), expected, "{answer:?}");
        }
    }
}
