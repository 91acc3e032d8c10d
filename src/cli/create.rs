//! `mkubelet create -f`: makes the objects of manifests.

use std::process::ExitCode;

use clap::Args;
use http::Method;
use kube::Client;
use serde_json::Value;

use super::client::discovery::{Type, Types};
use super::client::failure::{Tally, told, told_when};
use super::client::files::{Document, Files};
use super::client::query::Query;
use super::client::report::{DryRun, Format, Report, Validation};
use super::client::request::{JSON, ask, raw};
use super::client::selection::Namespace;
use super::client::three_way;
use super::say;

/// What `create` and `apply` have in common.
#[derive(Debug, Args)]
pub(super) struct Common {
    #[command(flatten)]
    pub(super) files: Files,
    #[command(flatten)]
    pub(super) namespace: Namespace,
    /// How to print what was done.
    #[arg(short, long, value_name = "FORMAT")]
    pub(super) output: Option<Format>,
    /// Only say what would be done.
    #[arg(long, value_enum, default_value_t, num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    pub(super) dry_run: DryRun,
    /// What becomes of fields that a type does not have: an error, a warning, or nothing.
    #[arg(long, default_value = "strict", num_args = 0..=1, require_equals = true, default_missing_value = "strict")]
    validate: Validation,
}

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Keep the manifest in the object, as `apply` does.
    #[arg(long)]
    save_config: bool,
    /// Send the file as it is to this path, and print what the server answers.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["save_config", "output", "dry_run", "recursive"])]
    raw: Option<String>,
}

impl Arguments {
    /// To create what is in these files.
    pub(super) fn of_files(filename: Vec<String>, namespace: Namespace, output: Option<Format>) -> Self {
        let files = Files { filename, recursive: false };
        let common = Common { files, namespace, output, dry_run: DryRun::None, validate: Validation::Strict };
        Self { common, save_config: false, raw: None }
    }
}

pub(super) async fn run(client: &Client, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let common = &arguments.common;
    if let Some(path) = &arguments.raw {
        let body = common.files.bytes()?;
        let body = body.ok_or_else(|| anyhow::anyhow!("--raw needs one file, with -f"))?;
        say(&raw(client, Method::POST, path, body).await?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let create = async |item: Item<'_>| {
        let mut object = item.object.clone();
        if arguments.save_config {
            three_way::keep_configuration(&mut object);
        }
        Ok((common.create(client, &item, object).await?, "created"))
    };
    common.each(client, "create", create).await
}

/// An object of a manifest, on its way to the server.
#[derive(Debug)]
pub(super) struct Item<'a> {
    pub(super) of: &'a Type,
    pub(super) namespace: &'a str,
    /// It names its namespace, if it has one.
    pub(super) object: Value,
    /// Where it was read.
    pub(super) source: &'a str,
}

impl Common {
    /// Does something with each object of the files, and tells what: the object as it is then, and the word for it. What fails for one is told,
    /// and the others have their turn.
    pub(super) async fn each(
        &self,
        client: &Client,
        verb: &str,
        mut act: impl AsyncFnMut(Item<'_>) -> anyhow::Result<(Value, &'static str)>,
    ) -> anyhow::Result<ExitCode> {
        anyhow::ensure!(!self.files.is_empty(), "must specify one of -f and -k");
        let documents = self.files.read().await?;
        anyhow::ensure!(!documents.is_empty(), "no objects passed to {verb}");
        let types = Types::of(client).await.map_err(told)?;
        let (mut tally, mut report) = (Tally::default(), Report::default());
        for document in &documents {
            let one = async {
                let item = self.item(&types, document)?;
                let of = item.of;
                let (object, done) = act(item).await?;
                say(&report.text(self.output, of, &object, done, self.dry_run)?)
            };
            tally.note(one.await);
        }
        Ok(tally.exit_code())
    }

    fn item<'a>(&'a self, types: &'a Types, document: &'a Document) -> anyhow::Result<Item<'a>> {
        let of = types.of_object(document)?;
        let namespace = self.namespace.of(&document.object)?;
        let mut object = document.object.clone();
        if of.namespaced {
            object["metadata"]["namespace"] = namespace.into();
        }
        Ok(Item { of, namespace, object, source: &document.source })
    }

    /// The parameters of a write.
    pub(super) fn parameters(&self, manager: &str) -> Query {
        let mut query = Query::default();
        query.add_some("dryRun", self.dry_run.parameter());
        query.add("fieldManager", manager);
        query.add("fieldValidation", self.validate.parameter());
        query
    }

    /// Creates the object of an item, as `object` has it.
    pub(super) async fn create(
        &self,
        client: &Client,
        item: &Item<'_>,
        object: Value,
    ) -> anyhow::Result<Value> {
        if self.dry_run == DryRun::Client {
            return Ok(object);
        }
        let path = self.parameters("kubectl-create").below(&item.of.path(Some(item.namespace)));
        let created = ask(client, Method::POST, &path, JSON, Some(&object)).await;
        created.map_err(|error| told_when(&format!("error when creating {:?}", item.source), error))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::client::fake::{parsed, server};

    fn parse(line: &[&str]) -> Arguments {
        parsed(std::iter::once("create").chain(line.iter().copied())).unwrap()
    }

    fn file(text: &str) -> (tempfile::TempDir, String) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f.yaml");
        std::fs::write(&path, text).unwrap();
        (directory, path.display().to_string())
    }

    #[tokio::test]
    async fn every_object_is_created_in_its_namespace_and_the_rest_goes_on_after_a_failure() {
        let (_kept, path) = file(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Stranger\nmetadata: {name: b}\n\
             ---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: m}\n---\napiVersion: v1\nkind: Node\nmetadata: {name: d}\n",
        );
        let (client, requests) = server(|asked| (201, asked.body.clone()));
        let ended = run(&client, &parse(&["-f", &path])).await.unwrap();
        assert_eq!(format!("{ended:?}"), format!("{:?}", ExitCode::FAILURE));
        let all = requests.all();
        let expected = ["namespaces/default/pods", "namespaces/m/configmaps", "nodes"]
            .map(|path| format!("POST /api/v1/{path}?fieldManager=kubectl-create&fieldValidation=Strict"));
        assert_eq!(requests.lines(), expected);
        assert_eq!(all[0].body["metadata"], json!({"name": "a", "namespace": "default"}));
        assert_eq!(all[2].body["metadata"], json!({"name": "d"}));
    }

    #[tokio::test]
    async fn a_dry_run_of_the_client_sends_nothing_and_one_of_the_server_says_so() {
        let (_kept, path) = file("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n");
        let (client, requests) = server(|asked| (201, asked.body.clone()));
        run(&client, &parse(&["-f", &path, "--dry-run=client"])).await.unwrap();
        assert_eq!(requests.lines(), [""; 0]);
        run(&client, &parse(&["-f", &path, "--dry-run=server", "--validate=false"])).await.unwrap();
        let line = "POST /api/v1/namespaces/default/pods?dryRun=All&fieldManager=kubectl-create&fieldValidation=Ignore";
        assert_eq!(requests.lines(), [line]);
    }

    #[tokio::test]
    async fn a_raw_path_gets_the_file_as_it_is() {
        let (_kept, path) = file("{\"kind\": \"Anything\"}");
        let (client, requests) = server(|_| (201, json!({})));
        run(&client, &parse(&["--raw", "/api/v1/somewhere", "-f", &path])).await.unwrap();
        let all = requests.all();
        assert_eq!(
            (all[0].line.as_str(), &all[0].body["kind"]),
            ("POST /api/v1/somewhere", &json!("Anything"))
        );
        let error = run(&client, &parse(&["--raw", "/api/v1/somewhere"])).await.unwrap_err();
        assert_eq!(error.to_string(), "--raw needs one file, with -f");
    }

    #[tokio::test]
    async fn what_cannot_be_created_is_told_before_anything_is_sent() {
        let (_kept, other) = file("apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: m}\n");
        let (_empty, empty) = file("# nothing\n");
        for (line, error) in [
            (vec![], "must specify one of -f and -k"),
            (vec!["-f", empty.as_str()], "no objects passed to create"),
            (vec!["-f", "/nonexistent"], "the path \"/nonexistent\" does not exist"),
        ] {
            let (client, requests) = server(|asked| (201, asked.body.clone()));
            assert_eq!(run(&client, &parse(&line)).await.unwrap_err().to_string(), error);
            assert_eq!(requests.lines(), [""; 0]);
        }
        let (client, requests) = server(|asked| (201, asked.body.clone()));
        run(&client, &parse(&["-f", &other, "-n", "n"])).await.unwrap();
        assert_eq!(requests.lines(), [""; 0], "a namespace that is not the one that was asked for");
    }
}
