//! Watches: what they tell, and what comes of lists and watches together.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use futures::StreamExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::fixture::{CONFIG_MAPS, World, config_map};

/// Lines of a watch, as they come.
struct Lines {
    body: axum::body::BodyDataStream,
}

impl Lines {
    async fn of(world: &World, query: &str) -> Self {
        let request = Request::get(format!("{CONFIG_MAPS}?watch=1&{query}")).body(Body::empty()).unwrap();
        let response = world.send(request).await;
        assert_eq!(response.status(), 200);
        Self { body: response.into_body().into_data_stream() }
    }

    /// The next event, or nothing at the end.
    async fn next(&mut self) -> Option<Value> {
        let line = tokio::time::timeout(Duration::from_secs(60), self.body.next()).await.unwrap()?.unwrap();
        assert!(line.ends_with(b"\n"));
        Some(serde_json::from_slice(&line).unwrap())
    }

    /// `TYPE NAME VALUE` of the next event.
    async fn next_words(&mut self) -> String {
        let event = self.next().await.unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let object = &event["object"];
        [text(&event["type"]), text(&object["metadata"]["name"]), text(&object["data"]["key"])].join(" ")
    }
}

async fn put(world: &World, name: &str, value: &str, label: &str) -> Value {
    let mut object = config_map(name, value);
    object["metadata"]["labels"] = json!({ "l": label });
    let path = format!("{CONFIG_MAPS}/{name}");
    let answer = match world.get(&path).await.code {
        404 => world.ask("POST", CONFIG_MAPS, object).await,
        _ => world.ask("PUT", &path, object).await,
    };
    assert!(answer.code < 300, "{answer:?}");
    answer.json
}

async fn remove(world: &World, name: &str) -> u16 {
    world.ask("DELETE", &format!("{CONFIG_MAPS}/{name}"), Value::Null).await.code
}

#[tokio::test]
async fn a_watch_tells_what_there_is_and_then_what_happens() {
    let world = World::new();
    put(&world, "a", "1", "x").await;
    let mut lines = Lines::of(&world, "").await;
    assert_eq!(lines.next_words().await, "ADDED a 1");
    put(&world, "b", "2", "x").await;
    put(&world, "a", "3", "x").await;
    remove(&world, "b").await;
    assert_eq!(lines.next_words().await, "ADDED b 2");
    assert_eq!(lines.next_words().await, "MODIFIED a 3");
    assert_eq!(lines.next_words().await, "DELETED b 2");
}

#[tokio::test]
async fn a_watch_goes_on_after_the_revision_that_it_names() {
    let world = World::new();
    let first = put(&world, "a", "1", "x").await;
    put(&world, "a", "2", "x").await;
    let version = first["metadata"]["resourceVersion"].as_str().unwrap();
    let mut lines = Lines::of(&world, &format!("resourceVersion={version}")).await;
    assert_eq!(lines.next_words().await, "MODIFIED a 2");
}

#[tokio::test]
async fn to_a_selector_what_no_longer_matches_is_deleted_and_what_begins_to_is_added() {
    let world = World::new();
    let mut lines = Lines::of(&world, "labelSelector=l%3Dx").await;
    put(&world, "a", "1", "x").await;
    let left = put(&world, "a", "2", "y").await;
    put(&world, "a", "3", "y").await;
    put(&world, "a", "4", "x").await;
    put(&world, "b", "5", "y").await;
    remove(&world, "a").await;
    assert_eq!(lines.next_words().await, "ADDED a 1");
    let gone = lines.next().await.unwrap();
    assert_eq!((&gone["type"], &gone["object"]["data"]["key"]), (&json!("DELETED"), &json!("1")));
    assert_eq!(gone["object"]["metadata"]["resourceVersion"], left["metadata"]["resourceVersion"]);
    assert_eq!(lines.next_words().await, "ADDED a 4");
    assert_eq!(lines.next_words().await, "DELETED a 4");
}

#[tokio::test]
async fn a_watch_of_one_object_tells_of_no_other() {
    let world = World::new();
    put(&world, "a", "1", "x").await;
    put(&world, "b", "1", "x").await;
    let request =
        Request::get(format!("{CONFIG_MAPS}/b?watch=true&timeoutSeconds=1")).body(Body::empty()).unwrap();
    let mut lines = Lines { body: world.send(request).await.into_body().into_data_stream() };
    assert_eq!(lines.next_words().await, "ADDED b 1");
    assert_eq!(lines.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn bookmarks_come_every_minute_and_at_the_end() {
    let world = World::new();
    put(&world, "a", "1", "x").await;
    let latest = world.get(CONFIG_MAPS).await.json["metadata"]["resourceVersion"].clone();
    let mut lines = Lines::of(&world, "allowWatchBookmarks=true&timeoutSeconds=90").await;
    assert_eq!(lines.next_words().await, "ADDED a 1");
    for _ in 0..2 {
        let bookmark = lines.next().await.unwrap();
        assert_eq!(
            bookmark,
            json!({"type": "BOOKMARK", "object": {
                "kind": "ConfigMap", "apiVersion": "v1", "metadata": {"resourceVersion": latest, "creationTimestamp": null},
            }})
        );
    }
    assert_eq!(lines.next().await, None);
}

#[tokio::test]
async fn initial_events_end_with_a_mark() {
    let world = World::new();
    put(&world, "a", "1", "x").await;
    const QUERY: &str = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut lines = Lines::of(&world, QUERY).await;
    assert_eq!(lines.next_words().await, "ADDED a 1");
    let mark = lines.next().await.unwrap();
    assert_eq!(
        (&mark["type"], &mark["object"]["metadata"]["annotations"]),
        (&json!("BOOKMARK"), &json!({"k8s.io/initial-events-end": "true"}))
    );
    let refused = world.get(&format!("{CONFIG_MAPS}?watch=1&sendInitialEvents=true")).await;
    assert_eq!(refused.code, 422);
}

#[tokio::test]
async fn who_comes_too_late_or_from_elsewhere_is_told_in_the_stream() {
    // What happened before a restart is not remembered.
    let world = World::new().restarted();
    for (version, code, message) in [
        ("0001", 410, "too old resource version: 1 ("),
        ("99999999", 504, "Too large resource version: 99999999"),
    ] {
        let mut lines = Lines::of(&world, &format!("resourceVersion={version}")).await;
        let event = lines.next().await.unwrap();
        assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(code)));
        assert!(event["object"]["message"].as_str().unwrap().starts_with(message), "{event}");
        assert_eq!(lines.next().await, None);
    }
}

#[tokio::test]
async fn tables_are_watched_too_and_say_their_columns_once() {
    let world = World::new();
    let request = Request::get(format!("{CONFIG_MAPS}?watch=1"))
        .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
        .body(Body::empty())
        .unwrap();
    let mut lines = Lines { body: world.send(request).await.into_body().into_data_stream() };
    put(&world, "a", "1", "x").await;
    put(&world, "a", "2", "x").await;
    let first = lines.next().await.unwrap();
    assert_eq!(first["object"]["columnDefinitions"][0]["name"], "Name");
    let second = lines.next().await.unwrap();
    assert_eq!((&second["type"], &second["object"]["columnDefinitions"]), (&json!("MODIFIED"), &Value::Null));
    assert_eq!(second["object"]["rows"][0]["cells"][0], "a");
}

#[tokio::test]
async fn the_client_of_the_agent_follows() {
    let world = World::new();
    put(&world, "a", "1", "x").await;
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let mut events = Box::pin(watcher(world.config_maps(), config).applied_objects());
        let first = events.next().await.unwrap().unwrap();
        assert_eq!(first.metadata.name.as_deref(), Some("a"));
        put(&world, "b", "2", "x").await;
        assert_eq!(events.next().await.unwrap().unwrap().metadata.name.as_deref(), Some("b"));
        remove(&world, "b").await;
    }
}

/// Writes and deletes of five names.
fn deeds() -> impl Strategy<Value = Vec<(u8, Option<u8>)>> {
    prop::collection::vec((0..5_u8, prop::option::weighted(0.7, 0..3_u8)), 1..30)
}

#[test]
fn a_list_and_what_a_watch_tells_after_it_make_the_list_of_later() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut runner = TestRunner::new(ProptestConfig { cases: 16, ..ProptestConfig::default() });
    let check = async |before: Vec<(u8, Option<u8>)>, after: Vec<(u8, Option<u8>)>| {
        let world = World::new();
        let perform = async |deeds: Vec<(u8, Option<u8>)>| {
            for (name, value) in deeds {
                let name = format!("n{name}");
                match value {
                    Some(value) => {
                        put(&world, &name, &value.to_string(), if value == 0 { "x" } else { "y" }).await;
                    }
                    None => {
                        remove(&world, &name).await;
                    }
                }
            }
        };
        let list = async || {
            let list = world.get(&format!("{CONFIG_MAPS}?labelSelector=l%3Dy")).await.json;
            let items = list["items"].as_array().unwrap().clone();
            let named = items.into_iter().map(|item| (item["metadata"]["name"].to_string(), item));
            (named.collect::<BTreeMap<_, _>>(), list["metadata"]["resourceVersion"].clone())
        };
        perform(before).await;
        let (mut replayed, version) = list().await;
        perform(after).await;
        let query =
            format!("labelSelector=l%3Dy&resourceVersion={}&timeoutSeconds=1", version.as_str().unwrap());
        let mut lines = Lines::of(&world, &query).await;
        let (expected, latest) = list().await;
        let mut seen = version;
        while seen != latest && replayed != expected {
            let Some(event) = lines.next().await else { break };
            let object = event["object"].clone();
            let name = object["metadata"]["name"].to_string();
            seen = object["metadata"]["resourceVersion"].clone();
            match event["type"].as_str().unwrap() {
                "ADDED" => assert!(replayed.insert(name, object).is_none()),
                "MODIFIED" => assert!(replayed.insert(name, object).is_some()),
                "DELETED" => assert!(replayed.remove(&name).is_some()),
                other => panic!("{other}"),
            }
        }
        assert_eq!(replayed, expected);
    };
    runner
        .run(&(deeds(), deeds()), |(before, after)| {
            runtime.block_on(check(before, after));
            Ok(())
        })
        .unwrap();
}
