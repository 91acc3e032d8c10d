//! `mkubelet top pod`.

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use serde_json::Value;

use super::usage::Usage;
use super::{GROUP, SortBy, get, items, text};
use crate::cli::client::failure::{remark, told};
use crate::cli::client::query::{Query, segment};
use crate::cli::client::selection::Namespace;
use crate::cli::client::{request, table};
use crate::cli::say;

/// A pod that is older and of which nothing is measured is worth an error.
const YOUNG: SignedDuration = SignedDuration::from_mins(2);

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Only this pod.
    name: Option<String>,
    #[command(flatten)]
    namespace: Namespace,
    /// Pods of all namespaces.
    #[arg(short = 'A', long, conflicts_with = "name")]
    all_namespaces: bool,
    /// Only pods with these labels.
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "name")]
    selector: Option<String>,
    /// Only pods with these fields.
    #[arg(long, value_name = "SELECTOR", conflicts_with = "name")]
    field_selector: Option<String>,
    /// A line for each container.
    #[arg(long)]
    containers: bool,
    /// The pod that uses most comes first.
    #[arg(long, value_name = "FIGURE")]
    sort_by: Option<SortBy>,
    /// No line of names above.
    #[arg(long)]
    no_headers: bool,
    /// The sum of all below.
    #[arg(long)]
    sum: bool,
}

pub(super) async fn run(client: &Client, arguments: &Arguments) -> anyhow::Result<()> {
    let mut query = Query::default();
    query.add_some("labelSelector", arguments.selector.as_deref());
    query.add_some("fieldSelector", arguments.field_selector.as_deref());
    let namespace = match arguments.all_namespaces {
        true => String::new(),
        false => format!("/namespaces/{}", segment(arguments.namespace.name())),
    };
    let name = arguments.name.as_deref().map(|name| format!("/{}", segment(name))).unwrap_or_default();
    let mut pods = items(get(client, &query.below(&format!("{GROUP}{namespace}/pods{name}"))).await?);
    if pods.is_empty() {
        let all = request::get(client, &query.below(&format!("/api/v1{namespace}/pods"))).await;
        not_measured(&items(all.map_err(told)?), Timestamp::now())?;
        let place = match arguments.all_namespaces {
            true => String::new(),
            false => format!(" in {} namespace.", arguments.namespace.name()),
        };
        remark(&format!("No resources found{place}"));
        return Ok(());
    }
    sort(&mut pods, arguments.sort_by);
    say(&table::aligned(&rows(&pods, arguments)))
}

/// Why there is nothing to show of these pods; fine when there are none.
fn not_measured(pods: &[Value], now: Timestamp) -> anyhow::Result<()> {
    for pod in pods {
        let created = text(pod, "/metadata/creationTimestamp").parse::<Timestamp>();
        let age = created.map_or(SignedDuration::ZERO, |created| now.duration_since(created));
        let (namespace, name) = (text(pod, "/metadata/namespace"), text(pod, "/metadata/name"));
        anyhow::ensure!(
            age <= YOUNG,
            "Metrics not available for pod {namespace}/{name}, age: {}s",
            age.as_secs()
        );
    }
    anyhow::ensure!(pods.is_empty(), "metrics not available yet");
    Ok(())
}

fn sort(pods: &mut [Value], by: Option<SortBy>) {
    pods.sort_by_key(|pod| {
        let figure = by.map(|by| by.figure(&whole(pod))).unwrap_or_default();
        let name = |field| text(pod, field).to_owned();
        (std::cmp::Reverse(figure), name("/metadata/namespace"), name("/metadata/name"))
    });
}

fn containers(pod: &Value) -> impl Iterator<Item = (&str, Usage)> {
    let containers = pod["containers"].as_array().into_iter().flatten();
    containers.map(|container| (text(container, "/name"), Usage::of(&container["usage"])))
}

fn whole(pod: &Value) -> Usage {
    containers(pod).fold(Usage::default(), |mut sum, (_, usage)| {
        sum += usage;
        sum
    })
}

fn rows(pods: &[Value], arguments: &Arguments) -> Vec<Vec<String>> {
    let Arguments { all_namespaces, containers: each, no_headers, sum, .. } = *arguments;
    let titles = [(all_namespaces, "NAMESPACE"), (each, "POD"), (true, "NAME")];
    let names = titles.iter().filter(|(is_shown, _)| *is_shown).map(|(_, title)| (*title).to_owned());
    let figures = ["CPU(cores)", "MEMORY(bytes)"].map(str::to_owned);
    let mut header: Vec<String> = names.collect();
    let labels = header.len();
    header.extend(figures);
    let mut rows = if no_headers { Vec::new() } else { vec![header] };
    for pod in pods {
        let (namespace, name) = (text(pod, "/metadata/namespace"), text(pod, "/metadata/name"));
        let row = |container: Option<&str>, usage: Usage| {
            let namespace = all_namespaces.then(|| namespace.to_owned());
            let cells = namespace.into_iter().chain([name.to_owned()]);
            cells.chain(container.map(str::to_owned)).chain(usage.cells()).collect::<Vec<_>>()
        };
        match each {
            true => rows.extend(containers(pod).map(|(name, usage)| row(Some(name), usage))),
            false => rows.push(row(None, whole(pod))),
        }
    }
    if sum {
        let mut all = Usage::default();
        pods.iter().for_each(|pod| all += whole(pod));
        let blank = |text: &str| vec![text.to_owned(); labels];
        let line = ["________", "________"].map(str::to_owned);
        rows.push([blank(""), line.to_vec()].concat());
        rows.push([blank(""), all.cells().to_vec()].concat());
    }
    rows
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::client::fake::parsed;

    fn shown(line: &str) -> Vec<String> {
        let arguments: Arguments = parsed(line.split(' ')).unwrap();
        let container = |name: &str, cpu: &str| json!({"name": name, "usage": {"cpu": cpu, "memory": "2Mi"}});
        let pod = |name: &str, containers: Vec<Value>| json!({"metadata": {"namespace": "n", "name": name}, "containers": containers});
        let mut pods = vec![
            pod("web", vec![container("a", "1m"), container("b", "2m")]),
            pod("db", vec![container("c", "1m")]),
        ];
        sort(&mut pods, arguments.sort_by);
        rows(&pods, &arguments).iter().map(|row| row.join(",")).collect()
    }

    #[test]
    fn a_line_is_a_pod_or_a_container() {
        for (line, expected) in [
            ("top", vec!["NAME,CPU(cores),MEMORY(bytes)", "db,1m,2Mi", "web,3m,4Mi"]),
            ("top --sort-by=cpu --no-headers", vec!["web,3m,4Mi", "db,1m,2Mi"]),
            ("top -A --no-headers", vec!["n,db,1m,2Mi", "n,web,3m,4Mi"]),
            (
                "top --containers",
                vec!["POD,NAME,CPU(cores),MEMORY(bytes)", "db,c,1m,2Mi", "web,a,1m,2Mi", "web,b,2m,2Mi"],
            ),
            ("top --sum --no-headers", vec!["db,1m,2Mi", "web,3m,4Mi", ",________,________", ",4m,6Mi"]),
        ] {
            assert_eq!(shown(line), expected, "{line}");
        }
    }

    #[test]
    fn why_nothing_is_shown_is_told_in_kubectls_words() {
        let pod = json!({"metadata": {"namespace": "n", "name": "web", "creationTimestamp": "2026-01-01T00:00:00Z"}});
        let told =
            |pods: &[Value], now: &str| not_measured(pods, now.parse().unwrap()).map_err(|e| e.to_string());
        assert_eq!(told(&[], "2026-01-01T00:00:00Z"), Ok(()));
        let pods = [pod];
        assert_eq!(told(&pods, "2026-01-01T00:01:00Z"), Err("metrics not available yet".to_owned()));
        let old = "Metrics not available for pod n/web, age: 180s".to_owned();
        assert_eq!(told(&pods, "2026-01-01T00:03:00Z"), Err(old));
    }
}
