//! Objects come, change and go.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{DeleteParams, ListParams, PostParams, Preconditions};
use serde_json::{Value, json};

use super::fixture::{CONFIG_MAPS, World, config_map};

fn typed(name: &str, value: &str) -> ConfigMap {
    serde_json::from_value(config_map(name, value)).unwrap()
}

#[tokio::test]
async fn what_is_created_is_there_until_it_is_deleted() {
    let world = World::new();
    let api = world.config_maps();
    let made = api.create(&PostParams::default(), &typed("a", "1")).await.unwrap();
    assert_eq!(made.metadata.namespace.as_deref(), Some("default"));
    assert!(made.metadata.uid.is_some() && made.metadata.creation_timestamp.is_some());
    assert_eq!(api.get("a").await.unwrap(), made);
    let mut changed = made.clone();
    changed.data = Some([("key".to_owned(), "2".to_owned())].into());
    let replaced = api.replace("a", &PostParams::default(), &changed).await.unwrap();
    assert_eq!(replaced.data, changed.data);
    assert_eq!(replaced.metadata.uid, made.metadata.uid);
    let version =
        |object: &ConfigMap| object.metadata.resource_version.clone().unwrap().parse::<u64>().unwrap();
    assert!(version(&replaced) > version(&made));
    let status = api.delete("a", &DeleteParams::default()).await.unwrap().right().unwrap();
    assert_eq!(status.details.unwrap().uid, made.metadata.uid.unwrap());
    assert!(api.get_opt("a").await.unwrap().is_none());
}

#[tokio::test]
async fn an_update_that_changes_nothing_is_no_new_version() {
    let world = World::new();
    let api = world.config_maps();
    let made = api.create(&PostParams::default(), &typed("a", "1")).await.unwrap();
    let again = api.replace("a", &PostParams::default(), &typed("a", "1")).await.unwrap();
    assert_eq!(again, made);
}

#[tokio::test]
async fn lists_hold_what_their_namespace_and_selectors_say_in_order() {
    let world = World::new();
    world.ask("POST", "/api/v1/namespaces", json!({"metadata": {"name": "other"}})).await;
    for (namespace, name, label) in
        [("default", "b", "x"), ("default", "a", "y"), ("other", "c", "x"), ("default", "a.b", "x")]
    {
        let mut object = config_map(name, "1");
        object["metadata"]["labels"] = json!({ "l": label });
        let made = world.ask("POST", &format!("/api/v1/namespaces/{namespace}/configmaps"), object).await;
        assert_eq!(made.code, 201, "{made:?}");
    }
    let client = world.client();
    let names = async |api: kube::Api<ConfigMap>, params: ListParams| -> Vec<String> {
        let list = api.list(&params).await.unwrap();
        list.items.into_iter().map(|object| object.metadata.name.unwrap()).collect()
    };
    let all = || kube::Api::<ConfigMap>::all(client.clone());
    assert_eq!(names(all(), ListParams::default()).await, ["a", "a.b", "b", "c"]);
    assert_eq!(names(world.config_maps(), ListParams::default()).await, ["a", "a.b", "b"]);
    assert_eq!(names(all(), ListParams::default().labels("l in (x)")).await, ["a.b", "b", "c"]);
    assert_eq!(names(all(), ListParams::default().fields("metadata.namespace!=default")).await, ["c"]);
    let mut pages = Vec::new();
    let mut params = ListParams::default().limit(3);
    loop {
        let page = all().list(&params).await.unwrap();
        pages.push((page.items.len(), page.metadata.remaining_item_count));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    assert_eq!(pages, [(3, Some(1)), (1, None)]);
}

#[tokio::test]
async fn the_first_namespaces_are_there_and_others_are_needed_before_what_is_in_them() {
    let world = World::new();
    let namespaces: kube::Api<Namespace> = kube::Api::all(world.client());
    let names: Vec<_> = namespaces
        .list(&ListParams::default())
        .await
        .unwrap()
        .into_iter()
        .map(|one| one.metadata.name.unwrap())
        .collect();
    assert_eq!(names, ["default", "kube-node-lease", "kube-public", "kube-system"]);
    let refused = world.ask("POST", "/api/v1/namespaces/nowhere/configmaps", config_map("a", "1")).await;
    assert_eq!((refused.code, &refused.json["message"]), (404, &json!("namespaces \"nowhere\" not found")));
}

#[tokio::test]
async fn a_finalizer_keeps_a_deleted_object_until_it_is_taken_away() {
    let world = World::new();
    let mut object = config_map("a", "1");
    object["metadata"]["finalizers"] = json!(["example.com/keep"]);
    world.ask("POST", CONFIG_MAPS, object).await;
    let path = format!("{CONFIG_MAPS}/a");
    let going = world.ask("DELETE", &path, Value::Null).await;
    assert_eq!(going.json["kind"], "ConfigMap");
    assert!(going.json["metadata"]["deletionTimestamp"].is_string());
    let again = world.ask("DELETE", &path, Value::Null).await;
    assert_eq!(again.json, going.json);
    let mut free = world.get(&path).await.json;
    free["metadata"]["finalizers"] = json!([]);
    assert_eq!(world.ask("PUT", &path, free).await.code, 200);
    assert_eq!(world.get(&path).await.code, 404);
}

#[tokio::test]
async fn a_delete_may_say_which_object_it_means() {
    let world = World::new();
    let api = world.config_maps();
    let made = api.create(&PostParams::default(), &typed("a", "1")).await.unwrap();
    let only = |uid: &str| DeleteParams {
        preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
        ..DeleteParams::default()
    };
    let error = api.delete("a", &only("another")).await.unwrap_err().to_string();
    assert!(
        error.contains("Precondition failed: UID in precondition: another, UID in object meta: "),
        "{error}"
    );
    api.delete("a", &only(&made.metadata.uid.unwrap())).await.unwrap();
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_and_changes_nothing() {
    let world = World::new();
    let before = world.get(CONFIG_MAPS).await.json;
    let made = world.ask("POST", &format!("{CONFIG_MAPS}?dryRun=All"), config_map("a", "1")).await;
    assert_eq!((made.code, &made.json["metadata"]["namespace"]), (201, &json!("default")));
    assert_eq!(world.get(CONFIG_MAPS).await.json, before);
    world.ask("POST", CONFIG_MAPS, config_map("a", "1")).await;
    let path = format!("{CONFIG_MAPS}/a?dryRun=All");
    let changed = world.ask("PUT", &path, config_map("a", "2")).await;
    assert_eq!(changed.json["data"]["key"], "2");
    assert_eq!(world.ask("DELETE", &path, Value::Null).await.code, 200);
    assert_eq!(world.get(&path).await.json["data"]["key"], "1");
}
