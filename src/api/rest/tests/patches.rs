//! PATCH and deletecollection.

use serde_json::{Value, json};

use super::fixture::{CONFIG_MAPS, World, config_map};

const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

#[tokio::test]
async fn each_type_of_patch_changes_what_it_says() {
    let world = World::new();
    world.ask("POST", CONFIG_MAPS, config_map("a", "1")).await;
    let path = format!("{CONFIG_MAPS}/a");
    for (media_type, patch, data) in [
        (JSON, json!([{"op": "replace", "path": "/data/key", "value": "2"}]), json!({"key": "2"})),
        (MERGE, json!({"data": {"b": "3"}}), json!({"key": "2", "b": "3"})),
        (STRATEGIC, json!({"data": {"b": null}}), json!({"key": "2"})),
    ] {
        let patched = world.ask_as("PATCH", &path, media_type, patch).await;
        assert_eq!((patched.code, &patched.json["data"]), (200, &data), "{media_type}");
        assert_eq!(world.get(&path).await.json, patched.json);
    }
}

#[tokio::test]
async fn a_patch_that_cannot_be_is_refused_and_changes_nothing() {
    let world = World::new();
    let made = world.ask("POST", CONFIG_MAPS, config_map("a", "1")).await;
    let path = &format!("{CONFIG_MAPS}/a");
    for (path, media_type, patch, code) in [
        (path, MERGE, json!({"metadata": {"name": "b"}}), 400),
        (path, MERGE, json!({"metadata": {"uid": "other"}}), 409),
        (path, MERGE, json!({"metadata": {"resourceVersion": "1"}}), 409),
        (path, MERGE, json!({"metadata": {"labels": {"-": "x"}}}), 422),
        (path, MERGE, json!({"data": {"key": 1}}), 400),
        (path, JSON, json!([{"op": "test", "path": "/data/key", "value": "9"}]), 422),
        (path, "application/apply-patch+yaml", json!({}), 415),
        (path, "application/json", json!({}), 415),
        (&format!("{path}?fieldValidation=Strict"), MERGE, json!({"dta": {}}), 400),
        (&format!("{CONFIG_MAPS}/b"), MERGE, json!({}), 404),
    ] {
        let refused = world.ask_as("PATCH", path, media_type, patch.clone()).await;
        assert_eq!(refused.code, code, "{path} {media_type} {patch}: {}", refused.json);
    }
    assert_eq!(world.get(path).await.json, made.json);
}

#[tokio::test(flavor = "multi_thread")]
async fn patches_that_meet_are_all_carried_out() {
    let world = World::new();
    world.ask("POST", CONFIG_MAPS, config_map("a", "1")).await;
    let path = format!("{CONFIG_MAPS}/a");
    let ask = |key: &str| world.ask_as("PATCH", &path, MERGE, json!({"data": {key: "x"}}));
    let answers = tokio::join!(ask("b"), ask("c"), ask("d"), ask("e"));
    assert_eq!([answers.0.code, answers.1.code, answers.2.code, answers.3.code], [200; 4]);
    let data = world.get(&path).await.json["data"].clone();
    assert_eq!(data, json!({"key": "1", "b": "x", "c": "x", "d": "x", "e": "x"}));
}

#[tokio::test]
async fn a_collection_is_deleted_as_far_as_selectors_say() {
    let world = World::new();
    for (name, label) in [("a", "x"), ("b", "y"), ("c", "x")] {
        let mut object = config_map(name, "1");
        object["metadata"]["labels"] = json!({ "l": label });
        world.ask("POST", CONFIG_MAPS, object).await;
    }
    let deleted = world.ask("DELETE", &format!("{CONFIG_MAPS}?labelSelector=l%3Dx"), Value::Null).await;
    let names = |list: &Value| -> Vec<Value> {
        list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].clone()).collect()
    };
    assert_eq!((deleted.code, names(&deleted.json)), (200, vec![json!("a"), json!("c")]));
    assert_eq!(names(&world.get(CONFIG_MAPS).await.json), ["b"]);
}
