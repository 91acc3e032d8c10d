//! The API of a world's agent, asked by the verbs of the command line.

use serde_json::Value;

use super::{Pod, World, until};

impl World {
    /// Creates a pod through the API; waits for an agent that serves it.
    pub(crate) fn create(&self, pod: &Pod) {
        let path = self.write(&format!("api-{}.json", pod.name()), &pod.to_json());
        let path = path.to_str().unwrap();
        until("the API to take a pod", || {
            self.output(&["create", "-f", path]).status.success().then_some(())
        });
    }

    /// Deletes a pod through the API, with its own grace period, and does not wait for its end.
    pub(crate) fn delete(&self, pod: &str) {
        let line = ["delete", "pod", pod, "--wait=false", "--ignore-not-found"];
        until("the API to delete a pod", || self.output(&line).status.success().then_some(()));
    }

    /// Deletes all pods of the API, and waits until they are gone. Mirrors of manifests come back.
    pub(crate) fn delete_all(&self) {
        for name in
            self.pods().iter().filter(|pod| !is_mirror(pod)).map(|pod| pod["metadata"]["name"].clone())
        {
            self.delete(name.as_str().unwrap());
        }
        until("all pods of the API to be gone", || self.pods().iter().all(is_mirror).then_some(()));
    }

    /// All pods, as the API has them; waits for an agent that serves it.
    pub(crate) fn pods(&self) -> Vec<Value> {
        until("the API to list the pods", || {
            let output = self.output(&["get", "pods", "--output=json"]);
            let list: Value = serde_json::from_slice(&output.stdout).ok()?;
            list["items"].as_array().cloned()
        })
    }

    /// What the API says of a container, whichever pod it is of. Names are unique in a world.
    pub(crate) fn container_status(&self, container: &str) -> Option<Value> {
        let pods = self.pods();
        let statuses =
            |pod: &Value, field: &str| pod["status"][field].as_array().cloned().unwrap_or_default();
        let mut all = pods.iter().flat_map(|pod| {
            [statuses(pod, "initContainerStatuses"), statuses(pod, "containerStatuses")].concat()
        });
        all.find(|status| status["name"] == container)
    }
}

fn is_mirror(pod: &Value) -> bool {
    pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_string()
}
