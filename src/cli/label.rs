//! `mkubelet label` and `mkubelet annotate`: `KEY=VALUE` adds, `KEY-` takes away.

use std::process::ExitCode;

use clap::Args;
use http::Method;
use kube::Client;
use serde_json::{Map, Value, json};

use super::client::discovery::Types;
use super::client::failure::{Tally, remark, told};
use super::client::query::Query;
use super::client::report::{DryRun, Format, Report};
use super::client::request::{MERGE, ask};
use super::client::selection::{Chosen, Selection};
use super::say;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    // Its arguments end with the changes.
    #[command(flatten)]
    selection: Selection,
    /// Change what has another value.
    #[arg(long)]
    overwrite: bool,
    /// Print them as they are then; without changes, as they are.
    #[arg(long)]
    list: bool,
    /// Change only an object of this version.
    #[arg(long, value_name = "VERSION")]
    resource_version: Option<String>,
    /// How to print what was done.
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,
    /// Only say what would be done.
    #[arg(long, value_enum, default_value_t, num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    dry_run: DryRun,
}

/// Labels or annotations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Labels,
    Annotations,
}

impl Field {
    fn key(self) -> &'static str {
        match self {
            Self::Labels => "labels",
            Self::Annotations => "annotations",
        }
    }

    fn singular(self) -> &'static str {
        match self {
            Self::Labels => "label",
            Self::Annotations => "annotation",
        }
    }
}

/// The values that keys are to have; `None` is none.
type Changes = Vec<(String, Option<String>)>;

/// Takes the changes from behind the objects.
fn changes(field: Field, arguments: &mut Vec<String>, may_be_none: bool) -> anyhow::Result<Changes> {
    let is_change = |text: &String| {
        text.find('=').is_some_and(|at| at > 0)
            || (text.len() > 1 && text.ends_with('-') && !text.contains('='))
    };
    let first = arguments.iter().position(is_change).unwrap_or(arguments.len());
    let texts = arguments.split_off(first);
    if let Some(stray) = texts.iter().find(|text| !is_change(text)) {
        anyhow::bail!("all resources must be specified before {} changes: {stray}", field.singular());
    }
    anyhow::ensure!(may_be_none || !texts.is_empty(), "at least one {} update is required", field.singular());
    let changes: Changes = texts
        .iter()
        .map(|text| match text.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (text.strip_suffix('-').unwrap_or(text).to_owned(), None),
        })
        .collect();
    let is_both = |key: &String| {
        let of = |added: bool| changes.iter().any(|(other, value)| other == key && value.is_some() == added);
        of(true) && of(false)
    };
    if changes.iter().any(|(key, _)| is_both(key)) {
        anyhow::bail!(
            "can not both modify and remove {} {} in the same command",
            article(field),
            field.singular()
        );
    }
    Ok(changes)
}

fn article(field: Field) -> &'static str {
    if field == Field::Labels { "a" } else { "an" }
}

pub(super) async fn run(client: &Client, field: Field, mut arguments: Arguments) -> anyhow::Result<ExitCode> {
    let changes = changes(field, &mut arguments.selection.arguments, arguments.list)?;
    let mut tally = Tally::default();
    let types = Types::of(client).await.map_err(told)?;
    let chosen = arguments.selection.objects(client, &types, false, &mut tally).await?;
    let is_single = matches!(chosen.as_slice(), [one] if one.object.is_none());
    anyhow::ensure!(
        is_single || arguments.resource_version.is_none(),
        "--resource-version may only be used with a single resource"
    );
    let mut report = Report::default();
    for object in &chosen {
        if arguments.list && !is_single {
            let of = &object.of;
            say(&format!("Listing {} for {}.{}/{}:\n", field.key(), of.kind, of.group(), object.name))?;
        }
        tally.note(one(client, field, object, &changes, &arguments, &mut report).await);
    }
    Ok(tally.exit_code())
}

async fn one(
    client: &Client,
    field: Field,
    object: &Chosen,
    changes: &Changes,
    arguments: &Arguments,
    report: &mut Report,
) -> anyhow::Result<()> {
    let before = object.read(client).await.map_err(told)?;
    let has = before["metadata"][field.key()].as_object().cloned().unwrap_or_default();
    if !arguments.overwrite {
        refuse_overwriting(field, &has, changes)?;
    }
    let mut patch = Map::new();
    for (key, value) in changes {
        if value.is_none() && !has.contains_key(key) {
            remark(&format!("{} {key:?} not found.", field.singular()));
        } else if has.get(key).and_then(Value::as_str) != value.as_deref() {
            patch.insert(key.clone(), value.clone().into());
        }
    }
    let done = done(field, &patch);
    let after = if patch.is_empty() {
        before
    } else if arguments.dry_run == DryRun::Client {
        let mut after = before;
        json_patch::merge(&mut after, &json!({"metadata": {field.key(): patch}}));
        after
    } else {
        let mut query = Query::default();
        query.add_some("dryRun", arguments.dry_run.parameter());
        query.add(
            "fieldManager",
            &format!("kubectl-{}", if field == Field::Labels { "label" } else { "annotate" }),
        );
        let mut body = json!({"metadata": {field.key(): patch}});
        if let Some(version) = &arguments.resource_version {
            body["metadata"]["resourceVersion"] = version.as_str().into();
        }
        ask(client, Method::PATCH, &query.below(&object.path()), MERGE, Some(&body)).await.map_err(told)?
    };
    if arguments.list {
        return say(&list(field, &after, object.object.is_some()));
    }
    say(&report.text(arguments.output, &object.of, &after, done, arguments.dry_run)?)
}

/// A line for each, in order; behind a space where several objects are listed.
fn list(field: Field, object: &Value, is_one_of_several: bool) -> String {
    let indent = if is_one_of_several { " " } else { "" };
    let all = object["metadata"][field.key()].as_object().into_iter().flatten();
    let line =
        |(key, value): (&String, &Value)| format!("{indent}{key}={}\n", value.as_str().unwrap_or_default());
    let mut lines: Vec<String> = all.map(line).collect();
    lines.sort();
    lines.concat()
}

fn refuse_overwriting(field: Field, has: &Map<String, Value>, changes: &Changes) -> anyhow::Result<()> {
    let differs = |(key, value): &(String, Option<String>)| {
        let (now, wanted) = (has.get(key)?.as_str()?, value.as_deref()?);
        (now != wanted).then(|| format!("'{key}' already has a value ({now})"))
    };
    match (changes.iter().find_map(differs), field) {
        (None, _) => Ok(()),
        (Some(why), Field::Labels) => anyhow::bail!("{why}, and --overwrite is false"),
        (Some(why), Field::Annotations) => {
            anyhow::bail!("--overwrite is false but found the following declared annotation(s): {why}")
        }
    }
}

/// As kubectl has it: annotations are always annotated.
fn done(field: Field, patch: &Map<String, Value>) -> &'static str {
    match field {
        Field::Annotations => "annotated",
        Field::Labels if patch.is_empty() => "not labeled",
        Field::Labels if patch.values().all(Value::is_null) => "unlabeled",
        Field::Labels => "labeled",
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::cli::client::fake::{parsed, server};

    async fn patched(field: Field, line: &str) -> anyhow::Result<Option<Value>> {
        let has = json!({"metadata": {"name": "web", "labels": {"a": "1"}, "annotations": {"a": "1"}}});
        let (client, requests) = server(move |_| (200, has.clone()));
        let arguments = parsed(line.split(' ')).unwrap();
        let code = run(&client, field, arguments).await?;
        anyhow::ensure!(format!("{code:?}") == format!("{:?}", ExitCode::SUCCESS), "failed");
        Ok(requests.all().into_iter().find(|asked| asked.line.starts_with("PATCH")).map(|asked| asked.body))
    }

    #[tokio::test]
    async fn what_changes_is_sent_and_nothing_is_overwritten_unasked() {
        for (line, expected) in [
            ("label pod web b=2", Some(json!({"b": "2"}))),
            ("label pod/web b=2 c=x=y", Some(json!({"b": "2", "c": "x=y"}))),
            ("label pod web a-", Some(json!({"a": null}))),
            ("label pod web a=1", None),
            ("label pod web none-", None),
            ("label pod web a=2 --overwrite", Some(json!({"a": "2"}))),
            ("label pod web a=2 --overwrite --dry-run=client", None),
        ] {
            for field in [Field::Labels, Field::Annotations] {
                let expected = expected.clone().map(|fields| json!({"metadata": {field.key(): fields}}));
                assert_eq!(patched(field, line).await.unwrap(), expected, "{line}");
            }
        }
        for (line, error) in [
            ("label pod web a=2", "failed"),
            ("label pod web", "at least one label update is required"),
            ("label pod web b=2 db", "all resources must be specified before label changes: db"),
            ("label pod web b=2 b-", "can not both modify and remove a label in the same command"),
        ] {
            assert_eq!(patched(Field::Labels, line).await.unwrap_err().to_string(), error, "{line}");
        }
    }

    #[test]
    fn what_was_done_is_said_as_kubectl_says_it() {
        let patch = |value: Value| json!({"k": value}).as_object().cloned().unwrap();
        for (patch, word) in
            [(patch(json!("v")), "labeled"), (patch(Value::Null), "unlabeled"), (Map::new(), "not labeled")]
        {
            assert_eq!(done(Field::Labels, &patch), word);
            assert_eq!(done(Field::Annotations, &patch), "annotated");
        }
    }

    #[test]
    fn a_list_is_in_order_and_indented_where_there_are_several() {
        let object = json!({"metadata": {"labels": {"b": "2", "a": "1"}}});
        assert_eq!(list(Field::Labels, &object, false), "a=1\nb=2\n");
        assert_eq!(list(Field::Labels, &object, true), " a=1\n b=2\n");
        assert_eq!(list(Field::Annotations, &object, false), "");
    }
}
