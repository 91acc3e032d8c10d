//! The verbs against the API itself, over its socket.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::client::{connect, request};
use super::super::{Cli, Command};
use super::*;
use crate::api::Api;
use crate::api::server::{Limits, Server};
use crate::api::store::Store;
use crate::pod::sysctl::Allowed;

/// An API without an agent: nothing runs, and nothing is in the way.
struct World {
    dir: TempDir,
    client: kube::Client,
    _stop: DropGuard,
}

const POD: &str = "
apiVersion: v1
kind: Pod
metadata:
  name: web
  labels: {app: web, tier: front}
spec:
  containers:
  - name: nginx
    image: nginx:1
    env: [{name: A, value: '1'}, {name: B, value: '2'}]
";

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(dir.path()).unwrap();
        let api = Arc::new(Api::new(Arc::new(store), "this-node", &Allowed::default()).unwrap());
        let socket = dir.path().join("api.sock");
        let server = Server::bind(&socket, Limits::default()).unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(server.run(api.into_router(), stop.clone()));
        let client = connect(&socket).await.unwrap();
        Self { dir, client, _stop: stop.drop_guard() }
    }

    fn write(&self, text: &str) -> PathBuf {
        let path = self.dir.path().join("manifest.yaml");
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Runs a command line to its end; says whether it succeeded.
    async fn run(&self, line: &str) -> bool {
        let manifest = self.dir.path().join("manifest.yaml");
        let line = format!("mkubelet {}", line.replace("MANIFEST", manifest.to_str().unwrap()));
        let command = Cli::try_parse_from(line.split(' ')).unwrap().command;
        let Command::Verb(verb) = command else { panic!("{line}: no verb") };
        let ended = carry_out(verb, &self.client).await;
        ended.is_ok_and(|code| format!("{code:?}") == format!("{:?}", ExitCode::SUCCESS))
    }

    async fn read(&self, path: &str) -> Option<Value> {
        request::get(&self.client, &format!("/api/v1/namespaces/default/{path}")).await.ok()
    }
}

#[tokio::test]
async fn a_manifest_is_created_configured_and_deleted_by_what_it_says() {
    let world = World::new().await;
    world.write(POD);
    assert!(world.run("apply -f MANIFEST --dry-run=server").await);
    assert_eq!(world.read("pods/web").await, None);
    assert!(world.run("apply -f MANIFEST").await);
    let created = world.read("pods/web").await.unwrap();
    assert!(world.run("apply -f MANIFEST").await);
    assert_eq!(world.read("pods/web").await.unwrap(), created, "applied again, it stays what it is");

    assert!(world.run("label pod web owner=me").await);
    world.write(&POD.replace("nginx:1", "nginx:2").replace(", tier: front", ""));
    assert!(world.run("apply -f MANIFEST").await);
    let changed = world.read("pods/web").await.unwrap();
    assert_eq!(changed["metadata"]["labels"], json!({"app": "web", "owner": "me"}));
    let mut expected = created["spec"].clone();
    expected["containers"][0]["image"] = "nginx:2".into();
    assert_eq!(changed["spec"], expected, "defaults stay");

    assert!(world.run("delete -f MANIFEST --force").await);
    assert_eq!(world.read("pods/web").await, None);
    assert!(!world.run("delete -f MANIFEST").await);
    assert!(world.run("delete -f MANIFEST --ignore-not-found").await);
}

#[tokio::test]
async fn objects_are_changed_waited_for_and_deleted_by_name_and_label() {
    let world = World::new().await;
    for name in ["a", "b", "c"] {
        world.write(&format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}}}, data: {{k: '1'}}}}"
        ));
        assert!(world.run("create -f MANIFEST").await);
        assert!(!world.run("create -f MANIFEST").await, "it is there");
    }
    assert!(world.run("label cm a b x=1").await);
    assert!(!world.run("label cm a x=2").await);
    assert!(world.run("annotate cm/a note=text").await);
    assert!(world.run("patch cm c --type=merge -p {\"data\":{\"k\":\"2\"}}").await);
    assert!(world.run("wait cm/c --for=jsonpath={.data.k}=2 --timeout=5s").await);
    assert!(!world.run("wait cm/c --for=jsonpath={.data.k}=3 --timeout=200ms").await);
    assert_eq!(world.read("configmaps/a").await.unwrap()["metadata"]["annotations"], json!({"note": "text"}));
    assert!(world.run("delete cm -l x=1").await);
    assert_eq!(world.read("configmaps/a").await, None);
    assert!(world.run("wait cm/b --for=delete").await);
    assert!(world.read("configmaps/c").await.is_some());
    assert!(world.run("get cm,pods -o name").await);
    assert!(world.run("delete cm --all").await);
    assert_eq!(world.read("configmaps").await.unwrap()["items"], json!([]));
}

#[tokio::test]
async fn what_the_api_refuses_is_not_there() {
    let world = World::new().await;
    for (from, to) in
        [("    image: nginx:1\n", ""), ("    image: nginx:1\n", "    imge: nginx:1\n"), ("web", "We_b")]
    {
        world.write(&POD.replace(from, to));
        assert!(!world.run("create -f MANIFEST").await, "{to}");
        assert!(!world.run("apply -f MANIFEST").await, "{to}");
    }
    assert_eq!(world.read("pods").await.unwrap()["items"], json!([]));
    for line in [
        "get podz",
        "get pod none",
        "logs none",
        "exec none -- ls",
        "delete pod none",
        "wait pod/none --for=condition=Ready",
    ] {
        assert!(!world.run(line).await, "{line}");
    }
}
