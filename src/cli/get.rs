//! `mkubelet get`: objects of the agent's API as a table, YAML, JSON, names, or what paths into them say.

mod custom_columns;
mod format;
mod order;
mod plain;

use clap::Args;
use futures::{AsyncBufReadExt, StreamExt};
use http::Request;
use jiff::Timestamp;
use kube::Client;
use serde::Deserialize;
use serde_json::{Value, json};

use self::format::Format;
use self::order::Order;
use super::client::arguments::{self, Asked};
use super::client::discovery::{Type, Types};
use super::client::failure::{lines, remark};
use super::client::files::{Document, Files};
use super::client::query::{self, Query as Parameters};
use super::client::request::{self, JSON};
use super::client::selection::Namespace;
use super::client::table::{self, Printer, Style, Table};
use super::client::watch::Event;
use super::client::{output, pod, told};
use super::json_path::Missing;
use super::say;

/// Objects that are asked for at a time.
const CHUNK: u32 = 500;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Types, or a type and names, or TYPE/NAME: `pods`, `po,cm`, `pod web`, `pod/web cm/settings`.
    #[arg(value_name = "TYPE [NAME]...", required_unless_present_any = ["filename", "raw"])]
    arguments: Vec<String>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    namespace: Namespace,
    /// Objects of all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only objects with these labels: `app=web,tier!=db`.
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// Only objects with these fields: `status.phase=Running`.
    #[arg(long, value_name = "SELECTOR")]
    field_selector: Option<String>,
    /// How to print them: wide, yaml, json, name, jsonpath=TEMPLATE, jsonpath-file=FILE, jsonpath-as-json=TEMPLATE,
    /// custom-columns=HEADER:PATH,..., custom-columns-file=FILE.
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<String>,
    /// The order, by a field: `.metadata.creationTimestamp`.
    #[arg(long, value_name = "PATH")]
    sort_by: Option<String>,
    /// Fields of a template that an object does not have are nothing; else an error.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    allow_missing_template_keys: bool,
    /// Then print every change, until interrupted.
    #[arg(short, long)]
    watch: bool,
    /// Print only changes, not what there is.
    #[arg(long)]
    watch_only: bool,
    /// With what has happened to each object that is watched: ADDED, MODIFIED, DELETED.
    #[arg(long)]
    output_watch_events: bool,
    /// A column with the labels.
    #[arg(long)]
    show_labels: bool,
    /// A column for each of these labels.
    #[arg(short = 'L', long, value_name = "KEY,...", value_delimiter = ',')]
    label_columns: Vec<String>,
    /// Names with their types, as where several types are printed.
    #[arg(long)]
    show_kind: bool,
    /// No line with the names of the columns.
    #[arg(long)]
    no_headers: bool,
    /// No error for names that there are none of.
    #[arg(long)]
    ignore_not_found: bool,
    /// With managed fields, which objects have none of here.
    #[arg(long)]
    show_managed_fields: bool,
    /// Columns as the server has them; else names and ages.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    server_print: bool,
    /// The part of the objects that is asked for, such as `status`.
    #[arg(long, value_name = "NAME")]
    subresource: Option<String>,
    /// Objects of a list that are asked for at a time; 0 is all at once.
    #[arg(long, value_name = "NUMBER", default_value_t = CHUNK)]
    chunk_size: u32,
    /// What the server answers at this path, as it is.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["arguments", "filename", "watch", "watch_only"])]
    raw: Option<String>,
}

/// One request: all objects of a type, or one by name.
struct Query<'a> {
    of: &'a Type,
    path: String,
    name: Option<String>,
}

pub(super) async fn run(client: &Client, arguments: Arguments) -> anyhow::Result<()> {
    if let Some(path) = &arguments.raw {
        let request = Request::get(path).body(Vec::new())?;
        return say(&client.request_text(request).await.map_err(told)?);
    }
    let missing = if arguments.allow_missing_template_keys { Missing::Nothing } else { Missing::Error };
    let format = Format::parse(arguments.output.as_deref(), missing, arguments.no_headers)?;
    let order = arguments.sort_by.as_deref().map(Order::parse).transpose()?;
    let types = Types::of(client).await.map_err(told)?;
    let queries = match arguments.files.is_empty() {
        true => {
            let asked = arguments::parse(&arguments.arguments).map_err(anyhow::Error::msg)?;
            queries(&asked, &types, &arguments)?
        }
        false => of_files(&types, &arguments).await?,
    };
    let is_of_names = queries.iter().all(|query| query.name.is_some());
    anyhow::ensure!(
        is_of_names || arguments.subresource.is_none(),
        "subresource cannot be used when bulk resources are specified"
    );
    if arguments.watch || arguments.watch_only {
        let [query] = queries.as_slice() else {
            anyhow::bail!("you may only specify a single resource type");
        };
        return watch(client, query, &arguments, &format).await;
    }
    match format {
        Format::Table { wide } => tables(client, &queries, &arguments, wide, order.as_ref()).await,
        format => objects(client, &queries, &arguments, &format, order.as_ref()).await,
    }
}

fn queries<'a>(asked: &Asked, types: &'a Types, arguments: &Arguments) -> anyhow::Result<Vec<Query<'a>>> {
    let namespace = (!arguments.all_namespaces).then(|| arguments.namespace.name());
    match asked {
        Asked::All(names) => {
            let mut queries = Vec::new();
            for name in names {
                let found = types.of_name(name)?.into_iter();
                queries.extend(found.map(|of| Query { of, path: of.path(namespace), name: None }));
            }
            Ok(queries)
        }
        Asked::Named(_) if arguments.all_namespaces => {
            anyhow::bail!("a resource cannot be retrieved by name across all namespaces")
        }
        Asked::Named(_) if arguments.selector.is_some() || arguments.field_selector.is_some() => {
            anyhow::bail!("name cannot be provided when a selector is specified")
        }
        Asked::Named(pairs) => {
            let of = |(kind, name): &(String, String)| {
                let of = types.find(kind)?;
                Ok(Query::of_one(of, namespace, name, arguments))
            };
            pairs.iter().map(of).collect()
        }
    }
}

/// The objects that manifests name.
async fn of_files<'a>(types: &'a Types, arguments: &Arguments) -> anyhow::Result<Vec<Query<'a>>> {
    anyhow::ensure!(
        arguments.arguments.is_empty(),
        "when paths, URLs, or stdin is provided as input, you may not specify resource arguments as well"
    );
    let one = |document: &Document| {
        let of = types.of_object(document)?;
        let namespace = arguments.namespace.of(&document.object)?;
        Ok(Query::of_one(of, Some(namespace), pod::name(&document.object), arguments))
    };
    arguments.files.read().await?.iter().map(one).collect()
}

impl<'a> Query<'a> {
    fn of_one(of: &'a Type, namespace: Option<&str>, name: &str, arguments: &Arguments) -> Self {
        let part = arguments.subresource.as_deref().map(|part| format!("/{}", query::segment(part)));
        let path = format!("{}/{}{}", of.path(namespace), query::segment(name), part.unwrap_or_default());
        Self { of, path, name: Some(name.to_owned()) }
    }
}

/// The parameters of a list.
fn selectors(arguments: &Arguments) -> Parameters {
    let mut parameters = Parameters::default();
    parameters.add_some("labelSelector", arguments.selector.as_deref());
    parameters.add_some("fieldSelector", arguments.field_selector.as_deref());
    parameters
}

fn request(path: &str, parameters: &Parameters, accept: &str) -> anyhow::Result<Request<Vec<u8>>> {
    Ok(Request::get(parameters.below(path)).header(http::header::ACCEPT, accept).body(Vec::new())?)
}

/// Asks for one piece after another; `None` for a name that there is none of, where that is no error.
async fn pieces<T: Piece>(
    client: &Client,
    query: &Query<'_>,
    arguments: &Arguments,
    accept: &str,
) -> anyhow::Result<Vec<T>> {
    let mut found = Vec::new();
    let mut parameters = selectors(arguments);
    if arguments.sort_by.is_some() {
        // The whole list at once, and in the rows of tables what it is sorted by.
        parameters.add("includeObject", "Object");
    } else if query.name.is_none() && arguments.chunk_size > 0 {
        parameters.add("limit", &arguments.chunk_size.to_string());
    }
    let mut next = parameters.clone();
    loop {
        let piece: T = match client.request(request(&query.path, &next, accept)?).await {
            Err(kube::Error::Api(status)) if status.code == 404 && arguments.ignore_not_found => break,
            answer => answer.map_err(told)?,
        };
        let token = piece.next();
        found.push(piece);
        let Some(token) = token else { break };
        next = parameters.clone();
        next.add("continue", &token);
    }
    Ok(found)
}

/// An answer that may be a part of a list.
trait Piece: for<'de> Deserialize<'de> {
    /// Where the list goes on.
    fn next(&self) -> Option<String>;
}

impl Piece for Table {
    fn next(&self) -> Option<String> {
        self.metadata.continue_.clone().filter(|token| !token.is_empty())
    }
}

impl Piece for Value {
    fn next(&self) -> Option<String> {
        self["metadata"]["continue"].as_str().filter(|token| !token.is_empty()).map(str::to_owned)
    }
}

fn style(arguments: &Arguments, wide: bool) -> Style {
    Style {
        wide,
        with_namespace: arguments.all_namespaces,
        with_event: arguments.output_watch_events,
        label_columns: arguments.label_columns.clone(),
        show_labels: arguments.show_labels,
        no_headers: arguments.no_headers,
    }
}

async fn tables(
    client: &Client,
    queries: &[Query<'_>],
    arguments: &Arguments,
    wide: bool,
    order: Option<&Order>,
) -> anyhow::Result<()> {
    let several_types = queries.iter().any(|query| query.of != queries[0].of);
    let mut failed = Vec::new();
    let mut printer: Option<(&Type, Printer)> = None;
    let mut is_empty = true;
    for query in queries {
        let found = match arguments.server_print {
            true => pieces(client, query, arguments, table::ACCEPT).await,
            false => match pieces::<Value>(client, query, arguments, JSON).await {
                Ok(pieces) => pieces.iter().map(|piece| plain::table(piece, Timestamp::now())).collect(),
                Err(error) => Err(error),
            },
        };
        let mut pieces: Vec<Table> = match found {
            Ok(pieces) => pieces,
            Err(error) => {
                failed.push(error);
                continue;
            }
        };
        if let Some(order) = order {
            // As kubectl has it: a single row is in order, whatever it has.
            let tables = pieces.iter_mut().filter(|piece| piece.rows.len() > 1);
            tables.into_iter().try_for_each(|piece| order.sort(&mut piece.rows, |row| &row.object))?;
        }
        let mut style = style(arguments, wide);
        style.with_namespace &= query.of.namespaced;
        let prefix = if several_types || arguments.show_kind { query.of.named("") } else { String::new() };
        for piece in pieces.iter().filter(|piece| !piece.rows.is_empty()) {
            let is_new = printer.as_ref().is_none_or(|(of, _)| *of != query.of);
            if is_new && !is_empty {
                say("\n")?;
            }
            let (_, printer) = match &mut printer {
                Some(printer) if !is_new => printer,
                printer => printer.insert((query.of, Printer::new(style.clone()))),
            };
            is_empty = false;
            say(&printer.print(piece, &prefix))?;
        }
    }
    if is_empty && failed.is_empty() && !arguments.ignore_not_found {
        nothing(arguments, queries.iter().any(|query| query.of.namespaced));
    }
    all_found(failed)
}

fn nothing(arguments: &Arguments, namespaced: bool) {
    let place = format!(" in {} namespace", arguments.namespace.name());
    let is_within = namespaced && !arguments.all_namespaces;
    remark(&format!("No resources found{}", if is_within { format!("{place}.") } else { String::new() }));
}

/// The first error, after the others were told.
fn all_found(mut failed: Vec<anyhow::Error>) -> anyhow::Result<()> {
    let Some(last) = failed.pop() else { return Ok(()) };
    for error in failed {
        remark(&lines(&error));
    }
    Err(last)
}

async fn objects(
    client: &Client,
    queries: &[Query<'_>],
    arguments: &Arguments,
    format: &Format,
    order: Option<&Order>,
) -> anyhow::Result<()> {
    let mut found: Vec<(&Type, Value)> = Vec::new();
    let mut failed = Vec::new();
    for query in queries {
        let pieces: Vec<Value> = match pieces(client, query, arguments, JSON).await {
            Ok(pieces) => pieces,
            Err(error) => {
                failed.push(error);
                continue;
            }
        };
        for mut piece in pieces {
            match piece["items"].take() {
                // Items of a list do not say what they are.
                Value::Array(items) => {
                    found.extend(items.into_iter().map(|item| (query.of, query.of.typed(item))))
                }
                _ => {
                    if let Some(fields) = piece.as_object_mut() {
                        fields.remove("items");
                    }
                    found.push((query.of, piece));
                }
            }
        }
    }
    let is_single = matches!(queries, [Query { name: Some(_), .. }]);
    if let Some(order) = order.filter(|_| !is_single) {
        order.sort(&mut found, |(_, object)| object)?;
    }
    let objects = || found.iter().map(|(_, object)| object);
    let whole = || {
        if is_single { objects().next().cloned() } else { Some(output::list(objects().cloned().collect())) }
    };
    let text = match format {
        Format::Name => found.iter().map(|(of, object)| name(of, object)).collect(),
        Format::CustomColumns(_) if is_single && found.is_empty() => String::new(),
        Format::CustomColumns(columns) => columns.text(objects(), true)?,
        Format::JsonPath(path) => whole().map_or(Ok(String::new()), |object| path.text(&object))?,
        Format::Yaml => whole().map_or_else(String::new, |object| output::yaml(&object)),
        Format::Json | Format::Table { .. } => {
            whole().map_or(Ok(String::new()), |object| output::json(&object))?
        }
    };
    say(&text)?;
    all_found(failed)
}

fn name(of: &Type, object: &Value) -> String {
    format!("{}\n", of.named(object["metadata"]["name"].as_str().unwrap_or_default()))
}

/// Prints what there is, unless only changes are wanted, and then every change.
async fn watch(
    client: &Client,
    query: &Query<'_>,
    arguments: &Arguments,
    format: &Format,
) -> anyhow::Result<()> {
    let is_table = matches!(format, Format::Table { .. });
    let mut parameters = selectors(arguments);
    let mut path = query.path.as_str();
    if let Some(name) = &query.name {
        // A single object is watched by its name.
        anyhow::ensure!(arguments.subresource.is_none(), "a subresource cannot be watched");
        path = path.rsplit_once('/').map_or(path, |(list, _)| list);
        let field = format!("metadata.name={name}");
        parameters.add("fieldSelector", &field);
    }
    if arguments.watch_only {
        let mut first = parameters.clone();
        first.add("limit", "1");
        let list = request::get(client, &first.below(path)).await.map_err(told)?;
        parameters.add_some("resourceVersion", list["metadata"]["resourceVersion"].as_str());
    }
    parameters.add("watch", "true");
    let accept = if is_table { table::ACCEPT } else { JSON };
    let mut printer = Printer::new(Style {
        with_namespace: arguments.all_namespaces && query.of.namespaced,
        ..style(arguments, *format == Format::Table { wide: true })
    });
    let prefix = if arguments.show_kind { query.of.named("") } else { String::new() };
    let mut is_first = true;
    let request = self::request(path, &parameters, accept)?;
    let mut lines = client.request_stream(request).await.map_err(told)?.lines();
    while let Some(line) = lines.next().await {
        // As kubectl has it: a watch whose server goes is over.
        let Ok(line) = line else { break };
        let Event { kind, object } = serde_json::from_str(&line)?;
        match kind.as_str() {
            "BOOKMARK" => {}
            "ERROR" => anyhow::bail!("{}", object["message"].as_str().unwrap_or("the watch failed")),
            _ if is_table => {
                let table: Table = serde_json::from_value(object)?;
                say(&printer.print_event(&table, &prefix, &kind))?;
            }
            _ => {
                let object = match arguments.output_watch_events {
                    true => json!({"object": object, "type": kind}),
                    false => object,
                };
                say(&one(&object, query.of, format, is_first)?)?;
                is_first = false;
            }
        }
    }
    Ok(())
}

fn one(object: &Value, of: &Type, format: &Format, is_first: bool) -> anyhow::Result<String> {
    match format {
        Format::Name => Ok(name(of, object)),
        Format::JsonPath(path) => path.text(object),
        Format::CustomColumns(columns) => columns.text([object], is_first),
        Format::Json => output::json(object),
        Format::Yaml | Format::Table { .. } => Ok(format!("---\n{}", output::yaml(object))),
    }
}
