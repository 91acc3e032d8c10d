//! The objects that a verb is about: by type and name, by labels or fields, or those of files.

use clap::Args;
use kube::Client;
use serde_json::Value;

use super::NAMESPACE;
use super::arguments::{self, Asked};
use super::discovery::{Type, Types};
use super::failure::{Tally, told};
use super::files::{Document, Files};
use super::query::{Query, segment};
use super::request;

/// The namespace of objects that name none.
#[derive(Debug, Default, Args)]
pub(in crate::cli) struct Namespace {
    /// Namespace of the objects.
    #[arg(short, long)]
    namespace: Option<String>,
}

impl Namespace {
    /// Whether one was asked for.
    pub(in crate::cli) fn is_given(&self) -> bool {
        self.namespace.is_some()
    }

    /// The namespace.
    pub(in crate::cli) fn name(&self) -> &str {
        self.namespace.as_deref().unwrap_or(NAMESPACE)
    }

    /// The namespace of an object of a file, which must be the one that was asked for, if one was.
    pub(in crate::cli) fn of<'a>(&'a self, object: &'a Value) -> anyhow::Result<&'a str> {
        let written = object["metadata"]["namespace"].as_str().filter(|name| !name.is_empty());
        match (written, self.namespace.as_deref()) {
            (Some(written), Some(asked)) if written != asked => anyhow::bail!(
                "the namespace from the provided object {written:?} does not match the namespace {asked:?}. \
                 You must pass '--namespace={written}' to perform this operation."
            ),
            (Some(written), _) => Ok(written),
            (None, _) => Ok(self.name()),
        }
    }
}

/// Which objects.
#[derive(Debug, Default, Args)]
pub(in crate::cli) struct Selection {
    /// Types and names, or TYPE/NAME.
    #[arg(value_name = "TYPE [NAME]...")]
    pub(in crate::cli) arguments: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli) files: Files,
    #[command(flatten)]
    pub(in crate::cli) namespace: Namespace,
    /// Objects of all namespaces.
    #[arg(short = 'A', long)]
    pub(in crate::cli) all_namespaces: bool,
    /// Only objects with these labels: `app=web,tier!=db`.
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub(in crate::cli) selector: Option<String>,
    /// Only objects with these fields: `status.phase=Running`.
    #[arg(long, value_name = "SELECTOR")]
    pub(in crate::cli) field_selector: Option<String>,
    /// All objects of the types.
    #[arg(long)]
    pub(in crate::cli) all: bool,
}

/// An object of a selection, not yet asked for.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) struct Chosen {
    /// Its type.
    pub(in crate::cli) of: Type,
    /// Its namespace, unless the type has none.
    pub(in crate::cli) namespace: String,
    /// Its name.
    pub(in crate::cli) name: String,
    /// The object, where a list has given it.
    pub(in crate::cli) object: Option<Value>,
    /// The file that names it, if one does.
    pub(in crate::cli) source: Option<String>,
}

impl Chosen {
    /// The path of its requests.
    pub(in crate::cli) fn path(&self) -> String {
        self.of.object_path(&self.namespace, &self.name)
    }

    /// The path of requests for one part of it: `status`.
    pub(in crate::cli) fn part(&self, subresource: Option<&str>) -> String {
        let part = subresource.map(|part| format!("/{}", segment(part))).unwrap_or_default();
        format!("{}{part}", self.path())
    }

    /// Reads it, unless that was done.
    pub(in crate::cli) async fn read(&self, client: &Client) -> Result<Value, kube::Error> {
        match &self.object {
            Some(object) => Ok(object.clone()),
            None => request::get(client, &self.path()).await,
        }
    }
}

/// What kubectl says to a verb without objects.
const NOTHING: &str = "You must provide one or more resources by argument or filename.\n\
                       Example resource specifications include:\n   \
                       '-f rsrc.yaml'\n   '--filename=rsrc.json'\n   '<resource> <name>'\n   '<resource>'";

impl Selection {
    /// The objects. Types without names are those of a selector, or all of them where `may_be_all` or `--all` says so. What fails for one type is
    /// told, and the others are given.
    pub(in crate::cli) async fn objects(
        &self,
        client: &Client,
        types: &Types,
        may_be_all: bool,
        tally: &mut Tally,
    ) -> anyhow::Result<Vec<Chosen>> {
        if !self.files.is_empty() {
            anyhow::ensure!(
                self.arguments.is_empty(),
                "when paths, URLs, or stdin is provided as input, you may not specify resource arguments as well"
            );
            let documents = self.files.read().await?;
            let chosen = documents.iter().map(|document| self.document(types, document));
            return Ok(chosen.filter_map(|chosen| tally.note(chosen)).collect());
        }
        anyhow::ensure!(!self.arguments.is_empty(), NOTHING);
        let has_selector = self.selector.is_some() || self.field_selector.is_some();
        match arguments::parse(&self.arguments).map_err(anyhow::Error::msg)? {
            Asked::Named(_) if has_selector => {
                anyhow::bail!("name cannot be provided when a selector is specified")
            }
            Asked::Named(_) if self.all => {
                anyhow::bail!("setting 'all' parameter but found a non empty selector. ")
            }
            Asked::Named(_) if self.all_namespaces => {
                anyhow::bail!("a resource cannot be retrieved by name across all namespaces")
            }
            Asked::Named(pairs) => {
                let one = |(kind, name): &(String, String)| {
                    let of = types.find(kind)?.clone();
                    let namespace =
                        if of.namespaced { self.namespace.name().to_owned() } else { String::new() };
                    Ok(Chosen { of, namespace, name: name.clone(), object: None, source: None })
                };
                pairs.iter().map(one).collect()
            }
            Asked::All(_) if !has_selector && !self.all && !may_be_all => {
                anyhow::bail!("resource(s) were provided, but no name was specified")
            }
            Asked::All(names) => {
                let mut chosen = Vec::new();
                for name in names {
                    for of in types.of_name(&name)? {
                        chosen.extend(tally.note(self.list(client, of).await).unwrap_or_default());
                    }
                }
                Ok(chosen)
            }
        }
    }

    fn document(&self, types: &Types, document: &Document) -> anyhow::Result<Chosen> {
        let of = types.of_object(document)?.clone();
        let name = document.object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        anyhow::ensure!(!name.is_empty(), "error: {:?}: resource name may not be empty", document.source);
        let namespace =
            if of.namespaced { self.namespace.of(&document.object)?.to_owned() } else { String::new() };
        Ok(Chosen { of, namespace, name, object: None, source: Some(document.source.clone()) })
    }

    async fn list(&self, client: &Client, of: &Type) -> anyhow::Result<Vec<Chosen>> {
        let mut query = Query::default();
        query.add_some("labelSelector", self.selector.as_deref());
        query.add_some("fieldSelector", self.field_selector.as_deref());
        let namespace = (!self.all_namespaces).then(|| self.namespace.name());
        let list = request::get(client, &query.below(&of.path(namespace))).await.map_err(told)?;
        let text =
            |object: &Value, field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let one = |object: &Value| Chosen {
            of: of.clone(),
            namespace: text(object, "namespace"),
            name: text(object, "name"),
            object: Some(of.typed(object.clone())),
            source: None,
        };
        Ok(list["items"].as_array().into_iter().flatten().map(one).collect())
    }
}
