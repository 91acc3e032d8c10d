//! `mkubelet patch`: changes fields of objects by a patch.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use http::Method;
use kube::Client;
use serde_json::Value;

use super::client::discovery::Types;
use super::client::failure::{Tally, told};
use super::client::query::Query;
use super::client::report::{DryRun, Format, Report};
use super::client::request::{JSON_PATCH, MERGE, STRATEGIC_MERGE, ask};
use super::client::selection::{Chosen, Selection};
use super::say;
use crate::api::patch::Patch;
use crate::pod::yaml_to_json;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// The patch, as JSON or YAML.
    #[arg(short, long)]
    patch: Option<String>,
    /// A file with the patch.
    #[arg(long, value_name = "FILE", conflicts_with = "patch")]
    patch_file: Option<std::path::PathBuf>,
    /// How the patch is meant.
    #[arg(long = "type", value_enum, default_value_t)]
    kind: Kind,
    /// The part of the object that is patched, such as `status` or `resize`.
    #[arg(long)]
    subresource: Option<String>,
    /// How to print what was done.
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,
    /// Only say what would be done; `server` alone can tell.
    #[arg(long, value_enum, default_value_t, num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    dry_run: DryRun,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Kind {
    /// Lists are merged by the keys of their items.
    #[default]
    Strategic,
    /// RFC 7396.
    Merge,
    /// RFC 6902.
    Json,
}

impl Kind {
    /// What the server would make of an object, as far as anybody else can tell.
    fn apply(self, patch: &Value, object: Value) -> anyhow::Result<Value> {
        let patch = match self {
            Self::Strategic => Patch::Strategic(patch.clone()),
            Self::Merge => Patch::Merge(patch.clone()),
            Self::Json => Patch::Json(serde_json::from_value(patch.clone())?),
        };
        patch.apply(object).map_err(|status| anyhow::anyhow!("{}", status.message))
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Strategic => STRATEGIC_MERGE,
            Self::Merge => MERGE,
            Self::Json => JSON_PATCH,
        }
    }
}

pub(super) async fn run(client: &Client, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let patch = read(arguments)?;
    let mut tally = Tally::default();
    let types = Types::of(client).await.map_err(told)?;
    let chosen = arguments.selection.objects(client, &types, false, &mut tally).await?;
    let mut report = Report::default();
    for object in &chosen {
        tally.note(one(client, object, arguments, &patch, &mut report).await);
    }
    Ok(tally.exit_code())
}

fn read(arguments: &Arguments) -> anyhow::Result<Value> {
    let text = match (&arguments.patch, &arguments.patch_file) {
        (Some(text), _) => text.clone(),
        (None, Some(path)) => std::fs::read_to_string(path).map_err(|error| {
            anyhow::anyhow!("unable to read patch file: open {}: {error}", path.display())
        })?,
        (None, None) => {
            anyhow::bail!("must specify --patch or --patch-file containing the contents of the patch")
        }
    };
    match yaml_to_json(&text) {
        Ok((patch @ (Value::Object(_) | Value::Array(_)), _)) => Ok(patch),
        Ok(_) => anyhow::bail!("unable to parse {text:?}: not an object"),
        Err(why) => anyhow::bail!("unable to parse {text:?}: yaml: {why}"),
    }
}

async fn one(
    client: &Client,
    object: &Chosen,
    arguments: &Arguments,
    patch: &Value,
    report: &mut Report,
) -> anyhow::Result<()> {
    let before = object.read(client).await.map_err(told)?;
    let after = if arguments.dry_run == DryRun::Client {
        arguments.kind.apply(patch, before.clone())?
    } else {
        let mut query = Query::default();
        query.add_some("dryRun", arguments.dry_run.parameter());
        query.add("fieldManager", "kubectl-patch");
        let path = query.below(&object.part(arguments.subresource.as_deref()));
        ask(client, Method::PATCH, &path, arguments.kind.content_type(), Some(patch)).await.map_err(told)?
    };
    let is_same = before == after && arguments.dry_run == DryRun::None;
    let done = if is_same { "patched (no change)" } else { "patched" };
    say(&report.text(arguments.output, &object.of, &after, done, arguments.dry_run)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::client::fake::{parsed, server};

    fn parse(line: &[&str]) -> Arguments {
        parsed(std::iter::once("patch").chain(line.iter().copied())).unwrap()
    }

    #[test]
    fn a_dry_run_of_the_client_shows_what_becomes_of_the_object() {
        let pod = json!({"spec": {"containers": [{"name": "a", "image": "one"}]}});
        let change = json!({"spec": {"containers": [{"name": "a", "image": "two"}]}});
        let operations = json!([{"op": "replace", "path": "/spec/containers/0/image", "value": "two"}]);
        for (kind, patch) in [(Kind::Strategic, &change), (Kind::Merge, &change), (Kind::Json, &operations)] {
            let after = kind.apply(patch, pod.clone()).unwrap();
            assert_eq!(after["spec"]["containers"][0]["image"], "two", "{kind:?}");
        }
        assert!(Kind::Json.apply(&json!([{"op": "remove", "path": "/none"}]), pod).is_err());
    }

    #[tokio::test]
    async fn a_patch_is_sent_as_what_it_is() {
        for (line, path, content_type, body) in [
            (vec!["pod", "web", "-p", "{\"a\": 1}"], "", STRATEGIC_MERGE, json!({"a": 1})),
            (
                vec!["pod", "web", "-p", "a: {b: text}", "--type=merge"],
                "",
                MERGE,
                json!({"a": {"b": "text"}}),
            ),
            (
                vec!["pod/web", "--type", "json", "-p", "[]", "--subresource=resize"],
                "/resize",
                JSON_PATCH,
                json!([]),
            ),
        ] {
            let (client, requests) = server(|_| (200, json!({"metadata": {"name": "web"}})));
            run(&client, &parse(&line)).await.unwrap();
            let sent = requests.all()[1].clone();
            let path = format!("PATCH /api/v1/namespaces/default/pods/web{path}?fieldManager=kubectl-patch");
            assert_eq!((sent.line, sent.content_type.as_str(), sent.body), (path, content_type, body));
        }
    }

    #[tokio::test]
    async fn what_is_no_patch_is_not_sent() {
        for line in [vec!["pod", "web"], vec!["pod", "web", "-p", "{"], vec!["pod", "web", "-p", "text"]] {
            let (client, requests) = server(|_| (200, json!({})));
            assert!(run(&client, &parse(&line)).await.is_err(), "{line:?}");
            assert_eq!(requests.lines(), [""; 0]);
        }
    }
}
