//! Pods as the tests write them: JSON, with whatever field a test is about.

use std::path::Path;

use serde_json::{Value, json};

/// A pod's manifest.
#[derive(Debug, Clone)]
pub(crate) struct Pod(Value);

impl Pod {
    pub(crate) fn new(name: &str, containers: impl IntoIterator<Item = Container>) -> Self {
        let containers: Vec<Value> = containers.into_iter().map(|container| container.0).collect();
        Self(json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {"containers": containers},
        }))
    }

    pub(crate) fn name(&self) -> &str {
        self.0["metadata"]["name"].as_str().unwrap()
    }

    /// metadata.uid.
    pub(crate) fn uid(mut self, uid: &str) -> Self {
        self.0["metadata"]["uid"] = json!(uid);
        self
    }

    /// Any field of the spec.
    pub(crate) fn spec(mut self, field: &str, value: Value) -> Self {
        self.0["spec"][field] = value;
        self
    }

    pub(crate) fn label(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["labels"][key] = json!(value);
        self
    }

    pub(crate) fn annotation(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["annotations"][key] = json!(value);
        self
    }

    pub(crate) fn restart_policy(self, policy: &str) -> Self {
        self.spec("restartPolicy", json!(policy))
    }

    /// terminationGracePeriodSeconds.
    pub(crate) fn grace(self, seconds: u32) -> Self {
        self.spec("terminationGracePeriodSeconds", json!(seconds))
    }

    pub(crate) fn init(self, containers: impl IntoIterator<Item = Container>) -> Self {
        let containers: Vec<Value> = containers.into_iter().map(|container| container.0).collect();
        self.spec("initContainers", json!(containers))
    }

    /// ephemeralContainers.
    pub(crate) fn ephemeral(self, containers: impl IntoIterator<Item = Container>) -> Self {
        let containers: Vec<Value> = containers.into_iter().map(|container| container.0).collect();
        self.spec("ephemeralContainers", json!(containers))
    }

    pub(crate) fn volume(mut self, volume: Value) -> Self {
        if self.0["spec"]["volumes"].is_null() {
            self.0["spec"]["volumes"] = json!([]);
        }
        self.0["spec"]["volumes"].as_array_mut().unwrap().push(volume);
        self
    }

    pub(crate) fn host_path(self, name: &str, path: &Path) -> Self {
        self.volume(json!({"name": name, "hostPath": {"path": path}}))
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string_pretty(&self.0).unwrap()
    }
}

/// A pod, and the objects that it uses, in one file.
pub(crate) fn with_objects(pod: &Pod, objects: &[Value]) -> String {
    let items: Vec<&Value> = objects.iter().chain([&pod.0]).collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

/// Several pods in one file.
pub(crate) fn list(pods: &[Pod]) -> String {
    let items: Vec<&Value> = pods.iter().map(|pod| &pod.0).collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

/// One entry of `containers` or `initContainers`.
#[derive(Debug, Clone)]
pub(crate) struct Container(Value);

impl Container {
    pub(crate) fn new(name: &str, image: &str) -> Self {
        Self(json!({"name": name, "image": image, "volumeMounts": []}))
    }

    /// Any field.
    pub(crate) fn with(mut self, field: &str, value: Value) -> Self {
        self.0[field] = value;
        self
    }

    pub(crate) fn image(self, image: &str) -> Self {
        self.with("image", json!(image))
    }

    pub(crate) fn command(self, words: &[&str]) -> Self {
        self.with("command", json!(words))
    }

    pub(crate) fn security(self, context: Value) -> Self {
        self.with("securityContext", context)
    }

    pub(crate) fn mount(self, volume: &str, path: &str) -> Self {
        self.mount_with(json!({"name": volume, "mountPath": path}))
    }

    /// Any volumeMount.
    pub(crate) fn mount_with(mut self, mount: Value) -> Self {
        self.0["volumeMounts"].as_array_mut().unwrap().push(mount);
        self
    }
}
