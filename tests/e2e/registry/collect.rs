//! Images that nobody uses go by themselves when their disk is full, and what is wanted, or was imported, stays.

use serde_json::{Value, json};

use super::server::{Registry, with_registry};
use crate::images::layout;
use crate::world::{World, until, world};

/// Pulls two images, of which a static pod uses one, and imports a third. Gives the names of the two: the used one first.
fn three_images(world: &World, registry: &Registry) -> [String; 2] {
    let names = ["used", "unused"].map(|name| {
        // Other images, for one that is called by two names is one.
        let layout = layout(world, name, &json!({"Env": [format!("NAME={name}")]}));
        let name = registry.name(&format!("{name}:1"));
        let (_, image) = name.split_once('/').unwrap();
        registry.push(&layout, image, "oci");
        let pulled = world.output(&["image", "pull", &name]);
        assert!(pulled.status.success(), "{}", String::from_utf8_lossy(&pulled.stderr));
        name
    });
    world.import(&world.path("image"), "imported:1");
    let container = world.container("used", &["term=0", "wait"]).image(&names[0]);
    world.manifests().put(&world.pod("used", [container]));
    names
}

fn listed(world: &World) -> String {
    String::from_utf8(world.output(&["image", "list", "-o", "name"]).stdout).unwrap()
}

/// Runs an agent with these flags until the unused image is gone, and looks what else is.
fn only_the_unused_image_goes(world: &World, flags: &[&str], then: impl FnOnce()) {
    with_registry(world, |registry| {
        let [used, unused] = three_images(world, registry);
        let manifests = world.manifests().path("");
        let age = "--minimum-image-ttl-duration=0s";
        let flags = [&["--manifests", manifests.to_str().unwrap(), age], flags].concat();
        let agent = world.agent_with(&flags, None);
        agent.expect_running("used", "used", 0);
        until("the image to be removed", || (!listed(world).contains(&unused)).then_some(()));
        then();
        // Both are told as by a kubelet with containerd.
        let status = world.container_status("used").unwrap();
        assert_eq!(status["image"], used.as_str());
        let image_id = status["imageID"].as_str().unwrap().to_owned();
        assert!(image_id.starts_with(&format!("{}@sha256:", used.trim_end_matches(":1"))), "{image_id}");
        let node: Value =
            serde_json::from_slice(&world.output(&["get", "nodes", "-o", "json"]).stdout).unwrap();
        let images = node["items"][0]["status"]["images"].as_array().unwrap();
        assert!(images.iter().any(|image| image["names"] == json!([image_id, used])), "{images:?}");
        let list = listed(world);
        assert!(list.contains(&used) && list.contains("docker.io/library/imported:1"), "{list}");
        agent.clear(world);
    });
}

#[test]
fn a_full_disk_has_unused_images_removed_and_says_so_when_that_was_not_enough() {
    world(|world| {
        // More than 1 % of any disk is used, and images are not all that is on it.
        let flags = ["--eviction-hard=", "--image-gc-high-threshold=1", "--image-gc-low-threshold=0"];
        only_the_unused_image_goes(world, &flags, || {
            let event = until("the node's event", || {
                let list = world.output(&["get", "events", "-o", "json"]).stdout;
                let list: Value = serde_json::from_slice(&list).ok()?;
                let all = list["items"].as_array()?.clone();
                all.into_iter().find(|event| event["reason"] == "FreeDiskSpaceFailed")
            });
            let message = event["message"].as_str().unwrap();
            assert!(
                message
                    .starts_with("Failed to garbage collect required amount of images. Attempted to free ")
                    && message.ends_with(" bytes eligible to free."),
                "{message}"
            );
            assert_eq!(
                (&event["involvedObject"]["kind"], &event["type"]),
                (&json!("Node"), &json!("Warning"))
            );
            let metrics = String::from_utf8(world.output(&["get", "--raw", "/metrics"]).stdout).unwrap();
            let counted = r#"kubelet_image_garbage_collected_total{reason="space"} 1"#;
            assert!(metrics.lines().any(|line| line == counted), "{metrics}");
        });
    });
}

#[test]
fn disk_pressure_has_unused_images_removed() {
    world(|world| {
        // The one pod is static, and stays.
        only_the_unused_image_goes(world, &["--eviction-hard=imagefs.available<1Pi"], || {});
    });
}

#[test]
fn an_image_that_is_unused_for_too_long_goes_though_there_is_room() {
    world(|world| {
        let flags = ["--eviction-hard=", "--image-gc-high-threshold=100", "--image-maximum-gc-age=10ms"];
        only_the_unused_image_goes(world, &flags, || {});
    });
}
