//! `mkubelet edit`: objects in an editor, and what was changed there as a patch.

mod editor;
mod text;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use http::Method;
use kube::Client;
use serde_json::{Value, json};

use self::editor::Editor;
use self::text::Reason;
use super::client::discovery::Types;
use super::client::failure::{Exit, Tally, lines, remark, told};
use super::client::query::Query;
use super::client::report::Validation;
use super::client::request::{self, STRATEGIC_MERGE, ask};
use super::client::selection::{Chosen, Selection};
use super::client::{files, output, three_way};
use super::say;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// In which form to edit them, and to print what they are then.
    #[arg(short, long, value_enum)]
    output: Option<Format>,
    /// The part of the object that is edited, such as `status`.
    #[arg(long, value_name = "NAME")]
    subresource: Option<String>,
    /// Print the patch, too.
    #[arg(long)]
    output_patch: bool,
    /// What becomes of fields that a type does not have: an error, a warning, or nothing.
    #[arg(long, default_value = "strict", num_args = 0..=1, require_equals = true, default_missing_value = "strict")]
    validate: Validation,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    #[default]
    Yaml,
    Json,
}

pub(super) async fn run(client: &Client, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    edit(client, arguments, &Editor::of_environment()).await
}

/// What became of the edited text.
#[derive(Debug, Default)]
struct Outcome {
    /// Why it has to be edited again.
    reasons: Vec<Reason>,
    /// What nobody can mend in the editor: the server's refusals of another kind, and objects that are gone.
    refused: bool,
    gone: bool,
}

async fn edit(client: &Client, arguments: &Arguments, editor: &Editor) -> anyhow::Result<ExitCode> {
    let types = Types::of(client).await.map_err(told)?;
    let mut tally = Tally::default();
    let chosen = arguments.selection.objects(client, &types, true, &mut tally).await?;
    if arguments.subresource.is_some() {
        let is_named = chosen.iter().all(|object| object.object.is_none());
        anyhow::ensure!(is_named, "subresource cannot be used when bulk resources are specified");
    }
    let part = arguments.subresource.as_deref();
    let mut originals = Vec::new();
    for object in &chosen {
        let read = match part {
            Some(_) => request::get(client, &object.part(part)).await,
            None => object.read(client).await,
        };
        let mut read = object.of.typed(read.map_err(told)?);
        if let Some(metadata) = read["metadata"].as_object_mut() {
            metadata.shift_remove("managedFields");
        }
        originals.push((object, read));
    }
    anyhow::ensure!(!originals.is_empty(), "edit cancelled, no objects found");
    let format = arguments.output.unwrap_or_default();
    let original = shown(&originals, format)?;
    let extension = if format == Format::Json { "json" } else { "yaml" };
    // JSON has no comments.
    let header =
        |reasons: &[Reason]| if format == Format::Json { String::new() } else { text::header(reasons) };
    let (mut body, mut reasons, mut last) = (original.clone(), Vec::new(), None::<PathBuf>);
    loop {
        let (file, edited) = match editor.edit(&format!("{}{body}", header(&reasons)), extension) {
            Ok(edited) => edited,
            Err(error) => return Err(kept(error, last.as_deref())),
        };
        let edited = text::without_comments(&edited);
        if let Some(last) = last.take() {
            if edited == text::without_comments(&body) {
                // Of two copies that are the same, the newer one is kept.
                let _ = std::fs::remove_file(last);
                return Err(kept(
                    anyhow::anyhow!("Edit cancelled, no valid changes were saved."),
                    Some(&file),
                ));
            }
            let _ = std::fs::remove_file(last);
        }
        let nothing_done = match edited.as_str() {
            same if same == text::without_comments(&original) => Some("Edit cancelled, no changes made."),
            blank if blank.trim().is_empty() => Some("Edit cancelled, saved file was empty."),
            _ => None,
        };
        if let Some(why) = nothing_done {
            remark(why);
            std::fs::remove_file(&file)?;
            return Ok(ExitCode::SUCCESS);
        }
        let outcome = match files::parse("edited-file", &edited) {
            Err(why) => Outcome {
                reasons: vec![Reason::new(format!("The edited file had a syntax error: {why}"))],
                ..Outcome::default()
            },
            Ok(documents) => {
                let edited = documents.into_iter().map(|document| document.object);
                apply(client, arguments, &originals, edited)
                    .await
                    .map_err(|error| kept(error, Some(&file)))?
            }
        };
        if outcome.refused {
            remark(&format!("You can run `mkubelet apply -f {}` to try this update again.", file.display()));
            return Err(Exit(1).into());
        }
        if outcome.gone {
            remark(&format!(
                "The edits you made on deleted resources have been saved to {:?}",
                file.display().to_string()
            ));
            return Err(Exit(1).into());
        }
        if outcome.reasons.is_empty() {
            std::fs::remove_file(&file)?;
            return Ok(tally.exit_code());
        }
        (body, reasons, last) = (edited, outcome.reasons, Some(file));
    }
}

/// The error, after it was told where the work is.
fn kept(error: anyhow::Error, file: Option<&Path>) -> anyhow::Error {
    if let Some(file) = file.filter(|file| file.exists()) {
        remark(&format!("A copy of your changes has been stored to {:?}", file.display().to_string()));
    }
    error
}

fn shown(originals: &[(&Chosen, Value)], format: Format) -> anyhow::Result<String> {
    let object = match originals {
        [(_, one)] => one.clone(),
        several => {
            let items: Vec<Value> = several.iter().map(|(_, object)| object.clone()).collect();
            json!({"apiVersion": "v1", "kind": "List", "items": items, "metadata": {}})
        }
    };
    if format == Format::Json { output::json(&object) } else { Ok(output::yaml(&object)) }
}

/// Sends what was changed in each object.
async fn apply(
    client: &Client,
    arguments: &Arguments,
    originals: &[(&Chosen, Value)],
    edited: impl Iterator<Item = Value>,
) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    for edited in edited {
        let uid = &edited["metadata"]["uid"];
        let found = originals.iter().find(|(_, original)| original["metadata"]["uid"] == *uid);
        let name = edited["metadata"]["name"].as_str().unwrap_or_default();
        let (object, original) = found
            .ok_or_else(|| anyhow::anyhow!("no original object found for {name:?} with the uid {uid}"))?;
        if *original == edited {
            say(&format!("{} skipped\n", object.of.named(name)))?;
            continue;
        }
        let is_same = |pointer: &str| original.pointer(pointer) == edited.pointer(pointer);
        anyhow::ensure!(
            ["/apiVersion", "/kind", "/metadata/name", "/metadata/namespace"].into_iter().all(is_same),
            "At least one of apiVersion, kind and name was changed"
        );
        let patch = three_way::patch(&object.of.kind, Some(original), &edited, original);
        let mut query = Query::default();
        query.add("fieldManager", "kubectl-edit");
        query.add("fieldValidation", arguments.validate.parameter());
        let path = query.below(&object.part(arguments.subresource.as_deref()));
        if arguments.output_patch {
            say(&format!("Patch: {patch}\n"))?;
        }
        match ask(client, Method::PATCH, &path, STRATEGIC_MERGE, Some(&patch)).await {
            Ok(after) => say(&match arguments.output {
                None => format!("{} edited\n", object.of.named(name)),
                Some(Format::Json) => output::json(&after)?,
                Some(Format::Yaml) => output::yaml(&after),
            })?,
            Err(error) => outcome.note(object, error),
        }
    }
    Ok(outcome)
}

impl Outcome {
    fn note(&mut self, object: &Chosen, error: kube::Error) {
        let what = format!("{} {:?}", object.of.qualified(&object.of.plural), object.name);
        match error {
            kube::Error::Api(status) if [400, 422].contains(&status.code) => {
                remark(&format!("error: {what} is invalid"));
                let causes = status.details.iter().flat_map(|details| &details.causes);
                let mut causes: Vec<String> =
                    causes.map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
                if causes.is_empty() {
                    causes.push(status.message.clone());
                }
                self.reasons.push(Reason { head: format!("{what} was not valid"), causes });
            }
            kube::Error::Api(status) if status.code == 404 => {
                remark(&format!("error: {what} could not be found on the server"));
                self.gone = true;
            }
            error => {
                remark(&format!("error: {what} could not be patched: {}", lines(&told(error))));
                self.refused = true;
            }
        }
    }
}

#[cfg(test)]
mod tests;
