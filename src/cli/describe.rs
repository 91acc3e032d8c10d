//! `mkubelet describe`: one object, and what belongs to it, for people to read. The words and the layout are kubectl's.

mod config_map;
mod container;
mod events;
mod generic;
mod namespace;
mod node;
mod pod;
mod pod_resources;
mod secret;
mod volume;
mod writer;

use std::process::ExitCode;

use clap::Args;
use jiff::Zoned;
use kube::Client;
use serde_json::Value;

use self::writer::Writer;
use super::client::arguments::{self, Asked};
use super::client::discovery::Types;
use super::client::failure::{Tally, is_code, remark, told};
use super::client::query::Query;
use super::client::request;
use super::client::selection::{Chosen, Selection};
use super::say;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// Events of the object come last [default: true for one object, false for several].
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    show_events: Option<bool>,
}

/// What belongs to an object.
#[derive(Debug, Default)]
struct Surroundings {
    /// Its events; none when they are not to be shown.
    events: Option<Vec<Value>>,
    /// A node's pods that have not ended.
    pods: Vec<Value>,
}

pub(super) async fn run(client: &Client, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let selection = &arguments.selection;
    anyhow::ensure!(
        !selection.arguments.is_empty() || !selection.files.is_empty(),
        "You must specify the type of resource to describe. Use \"kubectl api-resources\" for a complete list of \
         supported resources."
    );
    let types = Types::of(client).await.map_err(told)?;
    let mut tally = Tally::default();
    let chosen = selection.objects(client, &types, true, &mut tally).await?;
    if chosen.is_empty() && tally.is_clean() {
        let place = format!(" in {} namespace.", selection.namespace.name());
        remark(&format!("No resources found{}", if selection.all_namespaces { "" } else { &place }));
    }
    let mut is_first = true;
    for object in &chosen {
        let with_events = arguments.show_events.unwrap_or(chosen.len() == 1);
        match one(client, object, with_events).await {
            Err(error) if is_code(&error, 404) && chosen.len() == 1 => {
                let like = by_prefix(client, &types, arguments).await?;
                if like.is_empty() {
                    return Err(told(error));
                }
                for object in &like {
                    let with_events = arguments.show_events.unwrap_or(true);
                    say(&format!("{}\n", one(client, object, with_events).await.map_err(told)?))?;
                }
            }
            described => {
                if let Some(text) = tally.note(described.map_err(told)) {
                    say(if is_first { "" } else { "\n\n" })?;
                    say(&text)?;
                    is_first = false;
                }
            }
        }
    }
    Ok(tally.exit_code())
}

/// Objects whose names begin with the one name that was asked for.
async fn by_prefix(client: &Client, types: &Types, arguments: &Arguments) -> anyhow::Result<Vec<Chosen>> {
    let asked = &arguments.selection.arguments;
    let ([kind, _], Ok(Asked::Named(pairs))) = (asked.as_slice(), arguments::parse(asked)) else {
        return Ok(Vec::new());
    };
    let [(_, prefix)] = pairs.as_slice() else { return Ok(Vec::new()) };
    let of = types.find(kind)?;
    let namespace = arguments.selection.namespace.name();
    let list = request::get(client, &of.path(Some(namespace))).await.map_err(told)?;
    let items = list["items"].as_array().into_iter().flatten();
    let names =
        items.filter_map(|item| item["metadata"]["name"].as_str()).filter(|name| name.starts_with(prefix));
    let one = |name: &str| Chosen {
        of: of.clone(),
        namespace: if of.namespaced { namespace.to_owned() } else { String::new() },
        name: name.to_owned(),
        object: None,
        source: None,
    };
    Ok(names.map(one).collect())
}

async fn one(client: &Client, chosen: &Chosen, with_events: bool) -> Result<String, kube::Error> {
    let object = chosen.of.typed(chosen.read(client).await?);
    let mut around = Surroundings::default();
    if with_events {
        around.events = Some(events_of(client, chosen, &object).await?);
    }
    if is(&object, "Node") {
        let mut query = Query::default();
        let running = format!("spec.nodeName={},status.phase!=Succeeded,status.phase!=Failed", chosen.name);
        query.add("fieldSelector", &running);
        around.pods = items(request::get(client, &query.below("/api/v1/pods")).await?);
    }
    Ok(text(&object, &around, Zoned::now()))
}

async fn events_of(client: &Client, chosen: &Chosen, object: &Value) -> Result<Vec<Value>, kube::Error> {
    let metadata = &object["metadata"];
    let mirrored = metadata["annotations"]["kubernetes.io/config.mirror"].as_str();
    let uid = mirrored.or_else(|| metadata["uid"].as_str()).unwrap_or_default();
    let mut uids = vec![uid];
    // A kubelet tells events of its node by the node's name.
    if is(object, "Node") {
        uids.push(&chosen.name);
    }
    let path = match chosen.namespace.as_str() {
        "" => "/api/v1/events".to_owned(),
        namespace => format!("/api/v1/namespaces/{namespace}/events"),
    };
    let mut events = Vec::new();
    for uid in uids {
        let mut query = Query::default();
        let about = format!("involvedObject.name={},involvedObject.uid={uid}", chosen.name);
        query.add("fieldSelector", &about);
        events.extend(items(request::get(client, &query.below(&path)).await?));
    }
    Ok(events)
}

fn items(mut list: Value) -> Vec<Value> {
    match list["items"].take() {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}

fn is(object: &Value, kind: &str) -> bool {
    object["apiVersion"] == "v1" && object["kind"] == kind
}

/// An object as text.
fn text(object: &Value, around: &Surroundings, now: Zoned) -> String {
    let mut writer = Writer::new(now);
    let kind = if object["apiVersion"] == "v1" { object["kind"].as_str().unwrap_or_default() } else { "" };
    match kind {
        "Pod" => pod::describe(object, &mut writer),
        "Node" => node::describe(object, &around.pods, &mut writer),
        "Namespace" => namespace::describe(object, &mut writer),
        "ConfigMap" => config_map::describe(object, &mut writer),
        "Secret" => secret::describe(object, &mut writer),
        _ => generic::describe(object, &mut writer),
    }
    // Of these two kubectl shows none.
    if let Some(events) = around.events.as_ref().filter(|_| !["Namespace", "Secret"].contains(&kind)) {
        events::describe(events, &mut writer);
    }
    writer.finish()
}

#[cfg(test)]
mod tests;
