//! `mkubelet top node`.

use clap::Args;
use kube::Client;
use serde_json::Value;

use super::usage::{Usage, percent};
use super::{GROUP, SortBy, get, items, text};
use crate::cli::client::failure::told;
use crate::cli::client::query::{Query, segment};
use crate::cli::client::{request, table};
use crate::cli::say;

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Only this node.
    name: Option<String>,
    /// Only nodes with these labels.
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "name")]
    selector: Option<String>,
    /// The node that uses most comes first.
    #[arg(long, value_name = "FIGURE")]
    sort_by: Option<SortBy>,
    /// No line of names above.
    #[arg(long)]
    no_headers: bool,
    /// Percentages of all that a node has, instead of what pods may have of it.
    #[arg(long)]
    show_capacity: bool,
}

pub(super) async fn run(client: &Client, arguments: &Arguments) -> anyhow::Result<()> {
    let (mut query, name) = (Query::default(), arguments.name.as_deref());
    query.add_some("labelSelector", arguments.selector.as_deref());
    let name = name.map(|name| format!("/{}", segment(name))).unwrap_or_default();
    let mut metrics = items(get(client, &query.below(&format!("{GROUP}/nodes{name}"))).await?);
    let nodes = request::get(client, &query.below(&format!("/api/v1/nodes{name}"))).await.map_err(told)?;
    let nodes = items(nodes);
    anyhow::ensure!(!metrics.is_empty(), "metrics not available yet");
    sort(&mut metrics, arguments.sort_by);
    let whole = if arguments.show_capacity { "capacity" } else { "allocatable" };
    say(&table::aligned(&rows(&metrics, &nodes, whole, arguments.no_headers)))
}

fn sort(metrics: &mut [Value], by: Option<SortBy>) {
    metrics.sort_by_key(|node| {
        let figure = by.map(|by| by.figure(&Usage::of(&node["usage"]))).unwrap_or_default();
        (std::cmp::Reverse(figure), text(node, "/metadata/name").to_owned())
    });
}

fn rows(metrics: &[Value], nodes: &[Value], whole: &str, no_headers: bool) -> Vec<Vec<String>> {
    let header = ["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"].map(str::to_owned).to_vec();
    let row = |measured: &Value| {
        let name = text(measured, "/metadata/name");
        let node = nodes.iter().find(|node| text(node, "/metadata/name") == name);
        let has = node.map(|node| Usage::of(&node["status"][whole])).unwrap_or_default();
        let uses = Usage::of(&measured["usage"]);
        let [cpu, memory] = uses.cells();
        let (of_cpu, of_memory) = (percent(uses.millicores, has.millicores), percent(uses.bytes, has.bytes));
        vec![name.to_owned(), cpu, of_cpu, memory, of_memory]
    };
    (!no_headers).then_some(header).into_iter().chain(metrics.iter().map(row)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_is_told_with_its_share_of_what_there_is() {
        let measured = |name: &str, cpu: &str| json!({"metadata": {"name": name}, "usage": {"cpu": cpu, "memory": "512Mi"}});
        let mut metrics = vec![measured("a", "500m"), measured("b", "1500m")];
        let nodes = [json!({"metadata": {"name": "a"}, "status": {
            "allocatable": {"cpu": "2", "memory": "1Gi"}, "capacity": {"cpu": "4", "memory": "2Gi"},
        }})];
        let header = vec!["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"];
        let b = vec!["b", "1500m", "<unknown>", "512Mi", "<unknown>"];
        let a = vec!["a", "500m", "25%", "512Mi", "50%"];
        assert_eq!(rows(&metrics, &nodes, "allocatable", false), [header, a, b.clone()]);
        sort(&mut metrics, Some(SortBy::Cpu));
        let a = vec!["a", "500m", "12%", "512Mi", "25%"];
        assert_eq!(rows(&metrics, &nodes, "capacity", true), [b, a]);
    }
}
