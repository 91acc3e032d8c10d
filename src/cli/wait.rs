//! `mkubelet wait`: returns when objects have a condition, a value, or are gone.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use kube::Client;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::client::discovery::Types;
use super::client::failure::{Tally, told};
use super::client::selection::{Chosen, Selection};
use super::client::watch::{Seen, watch};
use super::client::{duration, request};
use super::json_path::{self, Missing, Template};
use super::say;

/// What a negative timeout stands for, as kubectl has it.
const FOR_EVER: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// What to wait for: `delete`, `create`, `condition=NAME[=STATUS]`, or `jsonpath={.field}[=VALUE]`.
    #[arg(long = "for", value_name = "WHAT", value_parser = parse)]
    until: Goal,
    /// Time for all of them; 0 looks once, less than 0 is a week.
    #[arg(long, default_value = "30s", allow_hyphen_values = true, value_parser = timeout)]
    timeout: Duration,
}

#[derive(Debug, Clone, PartialEq)]
enum Goal {
    Delete,
    Create,
    Condition {
        name: String,
        status: String,
    },
    /// What a JSON path leads to; with no value, that it leads anywhere.
    Path {
        path: Template,
        value: Option<String>,
    },
}

fn timeout(text: &str) -> Result<Duration, String> {
    if text.starts_with('-') { Ok(FOR_EVER) } else { duration::parse(text) }
}

fn parse(text: &str) -> Result<Goal, String> {
    let lower = text.to_lowercase();
    if lower == "delete" {
        return Ok(Goal::Delete);
    }
    if lower == "create" {
        return Ok(Goal::Create);
    }
    if let Some(rest) = lower.starts_with("condition=").then(|| &text["condition=".len()..]) {
        let (name, status) = rest.split_once('=').unwrap_or((rest, "true"));
        return Ok(Goal::Condition { name: name.to_owned(), status: status.to_owned() });
    }
    let Some(rest) = text.strip_prefix("jsonpath=") else {
        return Err(format!("unrecognized condition: {text:?}"));
    };
    let format = || {
        "jsonpath wait format must be --for=jsonpath='{.status.readyReplicas}'=3 or \
         --for=jsonpath='{.status.readyReplicas}'"
            .to_owned()
    };
    let (path, value) = match split(rest).as_slice() {
        [path] => (path.clone(), None),
        [path, value] => (path.clone(), Some(value.trim_matches(['\'', '"']).to_owned())),
        _ => return Err(format()),
    };
    if value.as_ref().is_some_and(String::is_empty) {
        return Err("jsonpath wait has to have a value after equal sign, like \
                    --for=jsonpath='{.status.readyReplicas}'=3"
            .to_owned());
    }
    let path = Template::parse(&json_path::relaxed(path.trim_matches('\''))?)?;
    Ok(Goal::Path { path, value })
}

/// The parts between equals signs. Two of them in a row are a comparison in the path.
fn split(text: &str) -> Vec<String> {
    const COMPARISON: &str = "\0";
    text.replace("==", COMPARISON).split('=').map(|part| part.replace(COMPARISON, "==")).collect()
}

impl Goal {
    fn is_reached(&self, seen: &Seen) -> Result<bool, String> {
        Ok(match (self, seen) {
            (Self::Delete, Seen::Gone) | (Self::Create, Seen::Object(_)) => true,
            (Self::Condition { name, status }, Seen::Object(object)) => {
                let generation = object["metadata"]["generation"].as_i64();
                let mut conditions = object["status"]["conditions"].as_array().into_iter().flatten();
                conditions.any(|condition| {
                    // One that was told of an older spec says nothing of this one.
                    let is_old = condition["observedGeneration"]
                        .as_i64()
                        .zip(generation)
                        .is_some_and(|(told, now)| told < now);
                    let has = |field: &str, wanted: &str| {
                        condition[field].as_str().is_some_and(|value| value.eq_ignore_ascii_case(wanted))
                    };
                    has("type", name) && has("status", status) && !is_old
                })
            }
            (Self::Path { path, value }, Seen::Object(object)) => {
                return leads_to(path, object, value.as_deref());
            }
            _ => false,
        })
    }
}

/// Whether a path leads to a value, or to anything at all. It may lead to one at most.
fn leads_to(path: &Template, object: &Value, wanted: Option<&str>) -> Result<bool, String> {
    let results = path.results(object, Missing::Nothing)?;
    match results.as_slice() {
        [] => Ok(false),
        [_, _, ..] => Err("given jsonpath expression matches more than one list".to_owned()),
        [values] => match (values.as_slice(), wanted) {
            ([], _) => Ok(false),
            ([_, _, ..], _) => Err("given jsonpath expression matches more than one value".to_owned()),
            (_, None) => Ok(true),
            ([Value::Object(_) | Value::Array(_)], _) => {
                Err("jsonpath leads to a nested object or list which is not supported".to_owned())
            }
            ([value], Some(wanted)) => Ok(json_path::plain(value).trim() == wanted.trim()),
        },
    }
}

pub(super) async fn run(client: &Client, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut tally = Tally::default();
    let types = Types::of(client).await.map_err(told)?;
    let chosen = arguments.selection.objects(client, &types, false, &mut tally).await?;
    anyhow::ensure!(
        !chosen.is_empty() || arguments.until == Goal::Delete || !tally.is_clean(),
        "no matching resources found"
    );
    let deadline = Instant::now() + arguments.timeout;
    for object in &chosen {
        tally.note(one(client, object, &arguments.until, deadline).await);
    }
    Ok(tally.exit_code())
}

async fn one(client: &Client, object: &Chosen, goal: &Goal, deadline: Instant) -> anyhow::Result<()> {
    let may_be_missing = matches!(goal, Goal::Delete | Goal::Create);
    if !may_be_missing {
        request::get(client, &object.path()).await.map_err(told)?;
    }
    let is_over = |seen: &Seen| {
        let is_reached = goal.is_reached(seen);
        // A path that cannot be followed will not be, either.
        is_reached.unwrap_or(true) || (!may_be_missing && *seen == Seen::Gone)
    };
    let named = format!("{}/{}", object.of.qualified(&object.of.plural), object.name);
    let Ok(seen) = timeout_at(deadline, watch(client, object, is_over)).await else {
        anyhow::bail!("timed out waiting for the condition on {named}");
    };
    let is_reached = goal.is_reached(&seen?).map_err(anyhow::Error::msg)?;
    anyhow::ensure!(is_reached, "{named} was deleted meanwhile");
    say(&format!("{} condition met\n", object.of.named(&object.name)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::client::fake::{not_found, parsed, server};

    #[test]
    fn a_goal_is_reached_by_what_it_names() {
        let pod = json!({
            "metadata": {"generation": 2},
            "status": {"phase": "Running", "containerStatuses": [{"ready": true}], "conditions": [
                {"type": "Ready", "status": "True"}, {"type": "Old", "status": "True", "observedGeneration": 1},
                {"type": "Other", "status": "False"}
            ]}
        });
        for (text, with_pod, without) in [
            ("delete", false, true),
            ("create", true, false),
            ("condition=Ready", true, false),
            ("condition=ready=TRUE", true, false),
            ("condition=Old", false, false),
            ("condition=Other=false", true, false),
            ("condition=None", false, false),
            ("jsonpath={.status.phase}=Running", true, false),
            ("jsonpath='{.status.phase}'=Pending", false, false),
            ("jsonpath={.status.containerStatuses[0].ready}=true", true, false),
            ("jsonpath={.status.conditions[?(@.type==\"Ready\")].status}=True", true, false),
            ("jsonpath=.status.phase=Running", true, false),
            ("jsonpath={.status.phase}", true, false),
            ("jsonpath={.status.podIP}", false, false),
        ] {
            let goal = parse(text).unwrap();
            assert_eq!(goal.is_reached(&Seen::Object(pod.clone())), Ok(with_pod), "{text}");
            assert_eq!(goal.is_reached(&Seen::Gone), Ok(without), "{text}");
        }
        for text in ["", "ready", "jsonpath=", "jsonpath={.a[x]}=1", "jsonpath={.a}=", "jsonpath={.a}=b=c"] {
            assert!(parse(text).is_err(), "{text}");
        }
        for (text, error) in [
            ("jsonpath={.status.conditions[*].type}=Ready", "matches more than one value"),
            ("jsonpath={.metadata}=x", "leads to a nested object"),
            ("jsonpath={.status.containerStatuses[1].ready}", "array index out of bounds: index 1, length 1"),
        ] {
            let told = parse(text).unwrap().is_reached(&Seen::Object(pod.clone())).unwrap_err();
            assert!(told.contains(error), "{text}: {told}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_with_the_condition_the_time_or_the_object() {
        let pod = |phase: &str| json!({"metadata": {"name": "web"}, "status": {"phase": phase}});
        for (line, answer, code) in [
            ("wait pod/web --for=jsonpath={.status.phase}=Running", (200, pod("Running")), ExitCode::SUCCESS),
            (
                "wait pod/web --for=jsonpath={.status.phase}=Running --timeout=2s",
                (200, pod("Pending")),
                ExitCode::FAILURE,
            ),
            ("wait pod/web --for=condition=Ready", not_found("web"), ExitCode::FAILURE),
            ("wait pod/web --for=delete", not_found("web"), ExitCode::SUCCESS),
        ] {
            let (client, _) = server(move |asked| match asked.line.contains("watch=true") {
                true => (200, "".into()),
                false => answer.clone(),
            });
            let arguments = parsed(line.split(' ')).unwrap();
            let ended = run(&client, &arguments).await.unwrap();
            assert_eq!(format!("{ended:?}"), format!("{code:?}"), "{line}");
        }
    }
}
