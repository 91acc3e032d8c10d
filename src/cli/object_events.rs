//! `mkubelet events`: what has happened to objects, the latest last.

use std::process::ExitCode;

use clap::Args;
use futures::{AsyncBufReadExt, StreamExt};
use http::Request;
use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};

use super::client::arguments::{self, Asked};
use super::client::discovery::Types;
use super::client::failure::{remark, told};
use super::client::output;
use super::client::query::Query;
use super::client::report::Format;
use super::client::request;
use super::client::selection::Namespace;
use super::client::table::{Printer, Style, Table};
use super::client::watch::Event;
use super::say;
use crate::api::table::age;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    namespace: Namespace,
    /// Events of all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only those of this object: `pod/web`.
    #[arg(long = "for", value_name = "TYPE/NAME")]
    object: Option<String>,
    /// Only those of these types: Normal, Warning.
    #[arg(long, value_delimiter = ',')]
    types: Vec<String>,
    /// Then print every further one, until interrupted.
    #[arg(short, long)]
    watch: bool,
    /// Print the objects themselves, or their names.
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,
    /// Events that are asked for at a time; 0 is all at once, which it is here whatever is said.
    #[arg(long, value_name = "NUMBER", default_value_t = 500)]
    chunk_size: u32,
    /// No line with the names of the columns.
    #[arg(long)]
    no_headers: bool,
}

pub(super) async fn run(client: &Client, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    for kind in &arguments.types {
        let is_known = ["normal", "warning"].contains(&kind.to_lowercase().as_str());
        anyhow::ensure!(is_known, "valid --types are Normal or Warning");
    }
    let types = Types::of(client).await.map_err(told)?;
    let mut query = Query::default();
    query.add_some("fieldSelector", selector(&types, arguments)?.as_deref());
    let namespace = arguments.namespace.name();
    let path = types.find("events.v1.")?.path((!arguments.all_namespaces).then_some(namespace));
    let list = request::get(client, &query.below(&path)).await.map_err(told)?;
    let mut events: Vec<&Value> =
        list["items"].as_array().into_iter().flatten().filter(|event| is_asked(event, arguments)).collect();
    events.sort_by_key(|event| last_seen(event));
    let mut printer = Printer::new(Style {
        with_namespace: arguments.all_namespaces,
        no_headers: arguments.no_headers,
        ..Style::default()
    });
    if let Some(format) = arguments.output.filter(|_| !arguments.watch) {
        say(&whole(format, &events)?)?;
    } else if !events.is_empty() {
        say(&text(arguments.output, &events, &mut printer)?)?;
    } else if !arguments.watch && arguments.all_namespaces {
        remark("No events found.");
    } else if !arguments.watch {
        remark(&format!("No events found in {namespace} namespace."));
    }
    if arguments.watch {
        query.add("watch", "true");
        query.add_some("resourceVersion", list["metadata"]["resourceVersion"].as_str());
        watch(client, &query.below(&path), arguments, &mut printer).await?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn watch(
    client: &Client,
    path: &str,
    arguments: &Arguments,
    printer: &mut Printer,
) -> anyhow::Result<()> {
    let request = Request::get(path).body(Vec::new())?;
    let mut lines = client.request_stream(request).await.map_err(told)?.lines();
    while let Some(line) = lines.next().await {
        // As kubectl has it: a watch whose server goes is over.
        let Ok(line) = line else { break };
        let Event { kind, object } = serde_json::from_str(&line)?;
        match kind.as_str() {
            "ERROR" => anyhow::bail!("{}", object["message"].as_str().unwrap_or("the watch failed")),
            "ADDED" | "MODIFIED" if is_asked(&object, arguments) => {
                say(&text(arguments.output, &[&object], printer)?)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// All of them as one list, or their names.
fn whole(format: Format, events: &[&Value]) -> anyhow::Result<String> {
    let items: Vec<Value> = events.iter().map(|event| typed(event)).collect();
    let list = json!({"apiVersion": "v1", "kind": "EventList", "metadata": {}, "items": items});
    Ok(match format {
        Format::Json => output::json(&list)?,
        Format::Yaml => output::yaml(&list),
        Format::Name => events.iter().map(|event| named(event)).collect(),
    })
}

/// A line for each of them, or each as it is.
fn text(format: Option<Format>, events: &[&Value], printer: &mut Printer) -> anyhow::Result<String> {
    let one = |event: &&Value| match format {
        Some(Format::Json) => output::json(&typed(event)),
        Some(Format::Yaml) => Ok(format!("---\n{}", output::yaml(&typed(event)))),
        _ => Ok(named(event)),
    };
    match format {
        Some(_) => events.iter().map(one).collect(),
        None => Ok(printer.print(&table(events, Timestamp::now())?, "")),
    }
}

fn named(event: &Value) -> String {
    format!("event/{}\n", event["metadata"]["name"].as_str().unwrap_or_default())
}

/// An event of a list, which does not say what it is, as one that does.
fn typed(event: &Value) -> Value {
    let mut event = event.clone();
    event["apiVersion"] = "v1".into();
    event["kind"] = "Event".into();
    event
}

/// The fields by which events are about one object.
fn selector(types: &Types, arguments: &Arguments) -> anyhow::Result<Option<String>> {
    let Some(object) = &arguments.object else { return Ok(None) };
    let bad = || anyhow::anyhow!("--for must be in resource/name form");
    let Asked::Named(pairs) = arguments::parse(std::slice::from_ref(object)).map_err(|_| bad())? else {
        return Err(bad());
    };
    let [(kind, name)] = pairs.as_slice() else { return Err(bad()) };
    let of = types.find(kind)?;
    Ok(Some(format!("involvedObject.kind={},involvedObject.name={name}", of.kind)))
}

fn is_asked(event: &Value, arguments: &Arguments) -> bool {
    let kind = event["type"].as_str().unwrap_or_default();
    arguments.types.is_empty() || arguments.types.iter().any(|asked| asked.eq_ignore_ascii_case(kind))
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// The latest time that an event tells of itself.
fn last_seen(event: &Value) -> Option<Timestamp> {
    time(&event["series"]["lastObservedTime"])
        .or_else(|| time(&event["lastTimestamp"]))
        .or_else(|| time(&event["eventTime"]))
}

fn table(events: &[&Value], now: Timestamp) -> anyhow::Result<Table> {
    let since = |time: Option<Timestamp>| age(time, now);
    let row = |event: &&Value| {
        let first = time(&event["firstTimestamp"]).or_else(|| time(&event["eventTime"]));
        let last = last_seen(event);
        let count = event["series"]["count"].as_i64().or_else(|| event["count"].as_i64()).unwrap_or(1);
        let seen = match count {
            2.. => format!("{} (x{count} over {})", since(last), since(first)),
            _ => since(last),
        };
        let about = &event["involvedObject"];
        let text = |value: &Value| value.as_str().unwrap_or_default().trim().to_owned();
        let object = format!("{}/{}", text(&about["kind"]), text(&about["name"]));
        json!({
            "cells": [seen, text(&event["type"]), text(&event["reason"]), object, text(&event["message"])],
            "object": {"metadata": {"namespace": event["metadata"]["namespace"]}},
        })
    };
    let columns =
        ["Last Seen", "Type", "Reason", "Object", "Message"].map(|name| json!({"name": name, "priority": 0}));
    let rows: Vec<Value> = events.iter().map(row).collect();
    Ok(serde_json::from_value(json!({"columnDefinitions": columns, "rows": rows}))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_printed_as_they_are() {
        let event = json!({"metadata": {"name": "web.1"}, "reason": "Created"});
        let mut printer = Printer::new(Style::default());
        let yaml = "apiVersion: v1\nkind: Event\nmetadata:\n  name: web.1\nreason: Created\n";
        for (format, expected) in [
            (Format::Name, "event/web.1\n".to_owned()),
            (Format::Yaml, format!("---\n{yaml}")),
            (Format::Json, output::json(&typed(&event)).unwrap()),
        ] {
            assert_eq!(text(Some(format), &[&event], &mut printer).unwrap(), expected);
        }
        assert_eq!(
            whole(Format::Yaml, &[&event]).unwrap(),
            "apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Event\n  metadata:\n    name: web.1\n  reason: Created\n\
             kind: EventList\nmetadata: {}\n"
        );
        assert_eq!(whole(Format::Name, &[]).unwrap(), "");
    }

    #[test]
    fn an_event_is_a_line_with_how_often_and_since_when() {
        let event = |reason: &str, first: &str, last: &str, count: i64| {
            json!({
                "metadata": {"namespace": "n"}, "type": "Normal", "reason": reason, "message": "text\n", "count": count,
                "firstTimestamp": first, "lastTimestamp": last, "involvedObject": {"kind": "Pod", "name": "web"},
            })
        };
        let now = "2026-01-01T01:00:00Z".parse().unwrap();
        let once = event("Created", "2026-01-01T00:59:30Z", "2026-01-01T00:59:30Z", 1);
        let often = event("BackOff", "2026-01-01T00:00:00Z", "2026-01-01T00:58:00Z", 7);
        let printed = Printer::new(Style::default()).print(&table(&[&often, &once], now).unwrap(), "");
        assert_eq!(
            printed,
            "LAST SEEN          TYPE     REASON    OBJECT    MESSAGE\n\
             2m (x7 over 60m)   Normal   BackOff   Pod/web   text\n\
             30s                Normal   Created   Pod/web   text\n"
        );
    }
}
