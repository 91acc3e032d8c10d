//! What a client says to the agent's API, and hears.

use std::process::Output;

use serde_json::Value;

use crate::world::{Pod, World};

/// The output of a command that went well.
#[track_caller]
pub(super) fn fine(output: Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// Makes a pod.
pub(super) fn create(world: &World, pod: &Pod) {
    let manifest = world.write(&format!("{}.json", pod.name()), &pod.to_json());
    fine(world.output(&["create", "-f", manifest.to_str().unwrap()]));
}

/// All objects of a kind in the default namespace.
pub(super) fn get(world: &World, what: &str) -> Vec<Value> {
    let list: Value = serde_json::from_str(&fine(world.output(&["get", what, "-o", "json"]))).unwrap();
    list["items"].as_array().unwrap().clone()
}
