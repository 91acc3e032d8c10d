//! A disk without room: nothing that was told is lost, and when there is room again it is used.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use mkubelet::api::Api;
use mkubelet::api::store::Store;
use mkubelet::pod::sysctl::Allowed;
use serde_json::{Value, json};
use tower::ServiceExt;

/// A file system in memory.
struct Disk(PathBuf);

impl Disk {
    fn mount(path: &Path) -> Self {
        std::fs::create_dir(path).unwrap();
        let disk = Self(path.to_owned());
        disk.run(&["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs"]);
        disk
    }

    fn grow(&self) {
        self.run(&["mount", "-o", "remount,size=64m"]);
    }

    fn run(&self, words: &[&str]) {
        let status = Command::new(words[0]).args(&words[1..]).arg(&self.0).status().unwrap();
        assert!(status.success(), "{words:?}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

fn served(store: &Path) -> Router {
    let (store, lost) = Store::open(store).unwrap();
    assert_eq!(lost, None);
    Arc::new(Api::new(Arc::new(store), "node", &Allowed::default()).unwrap()).into_router()
}

async fn asked(api: &Router, method: &str, path: &str, body: Value) -> (u16, Value) {
    let request =
        Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    let request = request.body(body).unwrap();
    let answer = api.clone().oneshot(request).await.unwrap();
    let code = answer.status().as_u16();
    (code, serde_json::from_slice(&to_bytes(answer.into_body(), usize::MAX).await.unwrap()).unwrap())
}

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn created(api: &Router, number: usize) -> (u16, Value) {
    let object = json!({"metadata": {"name": format!("c{number}")}, "data": {"a": "x".repeat(256 << 10)}});
    asked(api, "POST", CONFIG_MAPS, object).await
}

async fn names(api: &Router) -> Vec<String> {
    let (_, list) = asked(api, "GET", CONFIG_MAPS, Value::Null).await;
    let mut names: Vec<String> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_full_disk_is_told_loses_nothing_and_is_no_hindrance_when_it_has_room_again() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::mount(&directory.path().join("disk"));
    let store = disk.0.join("store");
    let api = served(&store);
    let mut there = Vec::new();
    let refused = loop {
        let number = there.len();
        assert!(number < 100, "8 MiB hold no hundred times 256 KiB");
        match created(&api, number).await {
            (201, _) => there.push(format!("c{number}")),
            refused => break refused,
        }
    };
    there.sort();
    let (code, status) = refused;
    assert_eq!(
        (code, &status["kind"], &status["reason"]),
        (507, &json!("Status"), &json!("InsufficientStorage"))
    );
    let message = status["message"].as_str().unwrap();
    assert!(message.starts_with("no room for the objects: cannot "), "{message}");
    assert!(message.contains("No space left on device"), "{message}");
    // Again, and not for another reason.
    assert_eq!(created(&api, 100).await.0, 507);
    assert_eq!(names(&api).await, there, "what was told is there, and nothing else");

    disk.grow();
    assert_eq!(created(&api, 101).await.0, 201);
    let (code, _) = asked(&api, "DELETE", &format!("{CONFIG_MAPS}/c0"), Value::Null).await;
    assert_eq!(code, 200);
    there.retain(|name| name != "c0");
    there.push("c101".to_owned());
    there.sort();
    assert_eq!(names(&api).await, there);
    drop(api);
    assert_eq!(names(&served(&store)).await, there, "and so it is after a restart");
}
