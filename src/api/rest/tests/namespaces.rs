//! Namespaces, pods' own subresources, and what the server does by itself.

use std::time::Duration;

use serde_json::{Value, json};

use super::fixture::{World, config_map};

const PODS: &str = "/api/v1/namespaces/default/pods";

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}})
}

/// Asks until the answer has this code.
async fn until(world: &World, path: &str, code: u16) {
    for _ in 0..600 {
        if world.get(path).await.code == code {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{path} never answered {code}");
}

#[tokio::test]
async fn a_namespace_goes_after_everything_in_it() {
    let world = World::new();
    let background = tokio::spawn(world.api.clone().run());
    let path = "/api/v1/namespaces/gone";
    world.ask("POST", "/api/v1/namespaces", json!({"metadata": {"name": "gone"}})).await;
    world.ask("POST", &format!("{path}/configmaps"), config_map("a", "1")).await;
    let mut kept = config_map("kept", "1");
    kept["metadata"]["finalizers"] = json!(["example.com/keep"]);
    world.ask("POST", &format!("{path}/configmaps"), kept).await;
    let going = world.ask("DELETE", path, Value::Null).await;
    assert_eq!((going.code, &going.json["status"]["phase"]), (200, &json!("Terminating")));
    until(&world, &format!("{path}/configmaps/a"), 404).await;
    assert_eq!(world.get(path).await.code, 200);
    let refused = world.ask("POST", &format!("{path}/configmaps"), config_map("late", "1")).await;
    assert_eq!(
        (refused.code, refused.json["message"].as_str()),
        (
            403,
            Some(
                "configmaps \"late\" is forbidden: unable to create new content in namespace gone because it is being terminated"
            )
        )
    );
    let mut free = world.get(&format!("{path}/configmaps/kept")).await.json;
    free["metadata"]["finalizers"] = json!([]);
    world.ask("PUT", &format!("{path}/configmaps/kept"), free).await;
    until(&world, path, 404).await;
    background.abort();
}

#[tokio::test]
async fn the_namespaces_that_everything_needs_stay() {
    let world = World::new();
    let refused = world.ask("DELETE", "/api/v1/namespaces/default", Value::Null).await;
    assert_eq!(
        (refused.code, refused.json["message"].as_str()),
        (403, Some("namespaces \"default\" is forbidden: this namespace may not be deleted"))
    );
}

#[tokio::test]
async fn a_pod_has_its_time_to_end_and_a_second_delete_may_only_shorten_it() {
    let world = World::new();
    let path = format!("{PODS}/a");
    let made = world.ask("POST", PODS, pod("a")).await;
    assert_eq!((made.code, &made.json["spec"]["nodeName"]), (201, &json!("this-node")), "{made:?}");
    let grace = async |query: &str| {
        let answer = world.ask("DELETE", &format!("{path}{query}"), Value::Null).await;
        assert_eq!((answer.code, &answer.json["kind"]), (200, &json!("Pod")));
        answer.json["metadata"]["deletionGracePeriodSeconds"].clone()
    };
    assert_eq!(grace("").await, json!(30));
    assert_eq!(grace("?gracePeriodSeconds=60").await, json!(30));
    assert_eq!(grace("?gracePeriodSeconds=5").await, json!(5));
    assert_eq!(world.get(&path).await.code, 200);
    grace("?gracePeriodSeconds=0").await;
    assert_eq!(world.get(&path).await.code, 404);
}

#[tokio::test]
async fn the_status_of_a_pod_is_written_apart_from_what_is_wanted() {
    const MERGE: &str = "application/merge-patch+json";
    let world = World::new();
    world.ask("POST", PODS, pod("a")).await;
    let patch = json!({"metadata": {"labels": {"l": "x"}}, "status": {"phase": "Running"}});
    let whole = world.ask_as("PATCH", &format!("{PODS}/a"), MERGE, patch.clone()).await;
    assert_eq!(
        (&whole.json["metadata"]["labels"], &whole.json["status"]["phase"]),
        (&json!({"l": "x"}), &json!("Pending"))
    );
    let status = world.ask_as("PATCH", &format!("{PODS}/a/status"), MERGE, patch).await;
    assert_eq!((status.code, &status.json["status"]["phase"]), (200, &json!("Running")));
}

#[tokio::test]
async fn an_eviction_deletes_and_a_connection_needs_somebody_at_its_other_end() {
    let world = World::new();
    world.ask("POST", PODS, pod("a")).await;
    let log = world.get(&format!("{PODS}/a/log")).await;
    assert_eq!((log.code, log.json["message"].as_str()), (503, Some("nobody serves pods/log here")));
    let evict = |name: &str| {
        json!({
            "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}, "deleteOptions": {"gracePeriodSeconds": 0},
        })
    };
    let path = format!("{PODS}/a/eviction");
    assert_eq!(world.ask("POST", &path, evict("b")).await.code, 400);
    assert_eq!(world.ask("POST", &path, evict("a")).await.code, 201);
    assert_eq!(world.get(&format!("{PODS}/a")).await.code, 404);
}
