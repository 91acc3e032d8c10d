//! What becomes of objects when their owner is deleted.

use serde_json::{Value, json};

use super::super::super::garbage::pass;
use super::fixture::{CONFIG_MAPS, World, config_map};

/// An owner, and two objects of it; one has another owner, too, of a kind that is not served.
async fn family() -> World {
    let world = World::new();
    let owner = world.ask("POST", CONFIG_MAPS, config_map("owner", "1")).await.json;
    let reference = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"], "blockOwnerDeletion": true,
    });
    let other = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": "1"});
    for (name, owners) in [("only", json!([reference])), ("shared", json!([reference, other]))] {
        let mut object = config_map(name, "1");
        object["metadata"]["ownerReferences"] = owners;
        assert_eq!(world.ask("POST", CONFIG_MAPS, object).await.code, 201);
    }
    pass(&world.api).await.unwrap();
    assert_eq!(names(&world).await, ["only", "owner", "shared"], "everything has its owner");
    world
}

async fn names(world: &World) -> Vec<String> {
    let list = world.get(CONFIG_MAPS).await.json;
    let items = list["items"].as_array().unwrap().iter();
    items.map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

async fn delete(world: &World, policy: &str) -> u16 {
    let path = format!("{CONFIG_MAPS}/owner?propagationPolicy={policy}");
    world.ask("DELETE", &path, Value::Null).await.code
}

#[tokio::test]
async fn in_the_background_they_go_after_their_owner_unless_they_have_another() {
    let world = family().await;
    assert_eq!(delete(&world, "Background").await, 200);
    assert_eq!(names(&world).await, ["only", "shared"]);
    pass(&world.api).await.unwrap();
    assert_eq!(names(&world).await, ["shared"]);
}

#[tokio::test]
async fn in_the_foreground_the_owner_waits_for_them() {
    let world = family().await;
    let path = format!("{CONFIG_MAPS}/shared");
    world.ask("DELETE", &path, Value::Null).await;
    assert_eq!(delete(&world, "Foreground").await, 200);
    assert_eq!(names(&world).await, ["only", "owner"]);
    for _ in 0..3 {
        pass(&world.api).await.unwrap();
    }
    assert_eq!(names(&world).await, [""; 0]);
}

#[tokio::test]
async fn orphans_stay_and_forget_their_owner() {
    let world = family().await;
    assert_eq!(delete(&world, "Orphan").await, 200);
    pass(&world.api).await.unwrap();
    pass(&world.api).await.unwrap();
    assert_eq!(names(&world).await, ["only", "shared"]);
    let only = world.get(&format!("{CONFIG_MAPS}/only")).await.json;
    assert_eq!(only["metadata"].get("ownerReferences"), None);
    let shared = world.get(&format!("{CONFIG_MAPS}/shared")).await.json;
    assert_eq!(shared["metadata"]["ownerReferences"][0]["kind"], "Deployment");
}

#[tokio::test]
async fn a_policy_that_there_is_not_is_refused() {
    assert_eq!(delete(&family().await, "Sometimes").await, 422);
}
