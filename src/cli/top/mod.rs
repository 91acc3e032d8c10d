//! `mkubelet top`: what nodes and pods use just now, from the resource metrics API.

mod nodes;
mod pods;
mod usage;

use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use kube::Client;
use serde_json::Value;

use super::client::failure::{is_code, told};
use super::client::request;
use usage::Usage;

/// Where the resource metrics API is.
const GROUP: &str = "/apis/metrics.k8s.io/v1beta1";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Shows what pods use.
    #[command(visible_aliases = ["pods", "po"])]
    Pod(pods::Arguments),
    /// Shows what nodes use.
    #[command(visible_aliases = ["nodes", "no"])]
    Node(nodes::Arguments),
}

/// `--sort-by`: the most comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SortBy {
    Cpu,
    Memory,
}

impl SortBy {
    fn figure(self, usage: &Usage) -> u64 {
        match self {
            Self::Cpu => usage.millicores,
            Self::Memory => usage.bytes,
        }
    }
}

pub(super) async fn run(client: &Client, command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Pod(arguments) => pods::run(client, arguments).await,
        Command::Node(arguments) => nodes::run(client, arguments).await,
    }
    .map(|()| ExitCode::SUCCESS)
}

/// Asks for metrics; a server that has none at all says so in kubectl's words.
async fn get(client: &Client, path: &str) -> anyhow::Result<Value> {
    match request::get(client, path).await {
        Err(error) if is_code(&error, 503) => anyhow::bail!("Metrics API not available"),
        answer => answer.map_err(told),
    }
}

/// The objects of an answer, be it a list or one.
fn items(answer: Value) -> Vec<Value> {
    match answer {
        Value::Object(mut fields) if fields.contains_key("items") => match fields.remove("items") {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        },
        one => vec![one],
    }
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
