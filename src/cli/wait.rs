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
use super::say;

/// What a negative timeout stands for, as kubectl has it.
const FOR_EVER: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// What to wait for: `delete`, `create`, `condition=NAME[=STATUS]`, or `jsonpath={.field}=VALUE`.
    #[arg(long = "for", value_name = "WHAT", value_parser = parse)]
    until: Goal,
    /// Time for all of them; 0 looks once, less than 0 is a week.
    #[arg(long, default_value = "30s", allow_hyphen_values = true, value_parser = timeout)]
    timeout: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Goal {
    Delete,
    Create,
    Condition {
        name: String,
        status: String,
    },
    /// The value of a field; with none, that the field is there.
    Field {
        path: Vec<Step>,
        value: Option<String>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    Index(usize),
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
    let rest = rest.trim_matches('\'');
    let (path, value) = match rest.split_once("}=") {
        Some((path, value)) => (path, Some(value.trim_matches(['\'', '"']).to_owned())),
        None => (rest.trim_end_matches('}'), None),
    };
    let path = path.trim_start_matches('{');
    let path = path.strip_prefix('.').unwrap_or(path);
    Ok(Goal::Field { path: steps(path).ok_or_else(|| format!("unsupported JSON path: {rest:?}"))?, value })
}

/// Fields and indices: `status.containerStatuses[0].ready`.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    for part in path.split('.') {
        let (field, mut rest) = part.find('[').map_or((part, ""), |at| part.split_at(at));
        if field.is_empty() {
            return None;
        }
        steps.push(Step::Field(field.to_owned()));
        while !rest.is_empty() {
            let (index, after) = rest.strip_prefix('[')?.split_once(']')?;
            steps.push(Step::Index(index.parse().ok()?));
            rest = after;
        }
    }
    Some(steps)
}

impl Goal {
    fn is_reached(&self, seen: &Seen) -> bool {
        match (self, seen) {
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
            (Self::Field { path, value }, Seen::Object(object)) => {
                let found = path.iter().try_fold(object, |value, step| match step {
                    Step::Field(name) => value.get(name),
                    Step::Index(index) => value.get(index),
                });
                let text = found.filter(|found| !found.is_null()).map(|found| match found {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                });
                match value {
                    Some(wanted) => text.as_ref() == Some(wanted),
                    None => text.is_some(),
                }
            }
            _ => false,
        }
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
    let is_over = |seen: &Seen| goal.is_reached(seen) || (!may_be_missing && *seen == Seen::Gone);
    let named = format!("{}/{}", object.of.qualified(&object.of.plural), object.name);
    let Ok(seen) = timeout_at(deadline, watch(client, object, is_over)).await else {
        anyhow::bail!("timed out waiting for the condition on {named}");
    };
    anyhow::ensure!(goal.is_reached(&seen?), "{named} was deleted meanwhile");
    say(&format!("{} condition met\n", object.of.named(&object.name)))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::cli::client::fake::{not_found, server};

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
            ("jsonpath={.status.containerStatuses[1].ready}=true", false, false),
            ("jsonpath={.status.phase}", true, false),
            ("jsonpath={.status.podIP}", false, false),
        ] {
            let goal = parse(text).unwrap();
            assert_eq!(goal.is_reached(&Seen::Object(pod.clone())), with_pod, "{text}");
            assert_eq!(goal.is_reached(&Seen::Gone), without, "{text}");
        }
        for text in ["", "ready", "jsonpath={..x}", "jsonpath={.a[x]}=1"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
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
            let arguments = Line::try_parse_from(line.split(' ')).unwrap().arguments;
            let ended = run(&client, &arguments).await.unwrap();
            assert_eq!(format!("{ended:?}"), format!("{code:?}"), "{line}");
        }
    }
}
