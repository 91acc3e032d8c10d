//! Pods whose images come from a registry: pulled, asked for again, missing, and found later.

mod collect;
mod helpers;
mod kills;
mod plugins;
mod private;
mod server;
mod slow;
mod terminal;

use serde_json::{Value, json};

pub(crate) use self::server::with_registry;
use crate::images::layout;
use crate::world::{Container, World, world};

/// A container from an image whose own command says what it does.
fn container(world: &World, name: &str, image: &str, steps: &[&str]) -> Container {
    world.container(name, steps).image(image)
}

#[test]
fn a_pod_runs_from_images_of_a_registry_in_the_formats_of_oci_and_of_docker() {
    world(|world| {
        with_registry(world, |registry| {
            let layout = layout(world, "layout", &json!({"Env": ["COLOUR=blue"]}));
            registry.push(&layout, "team/oci:1", "oci");
            registry.push(&layout, "docker:1", "v2s2");
            let of = |name: &str, image: &str| container(world, name, &registry.name(image), &["report"]);
            let pod =
                world.pod("pulled", [of("a", "team/oci:1"), of("b", "docker:1")]).restart_policy("Never");
            world.run(&pod).wait().success();
            for name in ["a", "b"] {
                assert_eq!(world.answer(name, "report").unwrap()["env"]["COLOUR"], "blue");
            }
            let list = String::from_utf8(world.output(&["image", "list"]).stdout).unwrap();
            assert!(list.contains(&registry.name("team/oci:1")) && list.contains("docker:1"), "{list}");
        });
    });
}

#[test]
fn an_index_is_followed_to_this_machines_image_by_tag_and_by_digest() {
    world(|world| {
        with_registry(world, |registry| {
            registry.push(&layout(world, "layout", &json!({})), "app:amd", "oci");
            let (manifest, digest) = registry.manifest("app", "amd");
            let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
            let index = json!({
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.index.v1+json",
                "manifests": [{
                    "mediaType": manifest["mediaType"].as_str().unwrap_or("application/vnd.oci.image.manifest.v1+json"),
                    "digest": digest,
                    "size": manifest.to_string().len(),
                    "platform": {"os": "linux", "architecture": architecture},
                }],
            });
            let of_index = registry.put_index("app", "all", &index);
            let images = ["app:all".to_owned(), format!("app@{of_index}"), format!("app@{digest}")];
            let containers = images.iter().zip(["a", "b", "c"]);
            let containers =
                containers.map(|(image, name)| container(world, name, &registry.name(image), &["exit=0"]));
            world
                .run(&world.pod("index", containers.collect::<Vec<_>>()).restart_policy("Never"))
                .wait()
                .success();
        });
    });
}

#[test]
fn a_missing_image_holds_nobody_else_up_and_is_found_when_it_has_come() {
    world(|world| {
        with_registry(world, |registry| {
            let late = container(world, "late", &registry.name("late:1"), &["wait"]);
            let pod = world.pod("patient", [late, world.container("fine", &["wait"])]);
            let run = world.run(&pod);
            run.expect_running("patient", "fine", 0);
            let line = run.expect_prefix("container default/patient/late: Waiting (ErrImagePull): ");
            assert!(line.contains("/v2/late/manifests/1: 404 Not Found: MANIFEST_UNKNOWN"), "{line}");
            let line = run.expect_prefix("container default/patient/late: Waiting (ImagePullBackOff): ");
            let expected = format!("Back-off pulling image {:?}: ErrImagePull: ", registry.name("late:1"));
            assert!(line.contains(&expected), "{line}");
            registry.push(&layout(world, "layout", &json!({})), "late:1", "oci");
            run.expect_running("patient", "late", 0);
            run.stop();
        });
    });
}

#[test]
fn the_policy_says_whether_the_registry_is_asked_for_what_is_there() {
    world(|world| {
        let named = |name: &str, image: &str, policy: &str| {
            container(world, name, image, &["wait"]).with("imagePullPolicy", json!(policy))
        };
        let mut image = String::new();
        with_registry(world, |registry| {
            registry.push(&layout(world, "layout", &json!({})), "app:1", "oci");
            image = registry.name("app:1");
            let never = world.run(&world.pod("never", [named("n", &image, "Never")]));
            let line = never.expect_prefix("container default/never/n: Waiting (ErrImageNeverPull): ");
            assert!(line.contains("is not present with pull policy of Never"), "{line}");
            never.stop();
            let always = world.run(&world.pod("first", [named("f", &image, "Always")]));
            always.expect_running("first", "f", 0);
            always.stop();
        });
        if image.is_empty() {
            return;
        }
        // The registry is gone.
        let all =
            ["Never", "IfNotPresent", "Always"].map(|policy| named(&policy.to_lowercase(), &image, policy));
        let run = world.run(&world.pod("then", all));
        run.expect_running("then", "never", 0);
        run.expect_running("then", "ifnotpresent", 0);
        let line = run.expect_prefix("container default/then/always: Waiting (ErrImagePull): ");
        assert!(line.contains("refused"), "{line}");
        run.stop();
    });
}

#[test]
fn an_image_can_be_pulled_by_hand_and_a_name_that_is_none_is_told() {
    world(|world| {
        with_registry(world, |registry| {
            registry.push(&layout(world, "layout", &json!({})), "app:1", "oci");
            let pulled = world.output(&["image", "pull", &registry.name("app:1")]);
            assert!(pulled.status.success(), "{}", String::from_utf8_lossy(&pulled.stderr));
            assert!(String::from_utf8_lossy(&pulled.stdout).starts_with(&registry.name("app:1")));
            let missing = world.output(&["image", "pull", &registry.name("app:2")]);
            assert_eq!(missing.status.code(), Some(1));
            assert!(String::from_utf8_lossy(&missing.stderr).contains("404 Not Found"));
        });
        let run = world.run(&world.pod("bad", [container(world, "b", "Nginx:1", &[])]));
        let line = run.expect_prefix("container default/bad/b: Waiting (InvalidImageName): ");
        assert!(
            line.contains("Failed to apply default image tag \"Nginx:1\": couldn't parse image name"),
            "{line}"
        );
        run.stop();
    });
}

#[test]
fn a_pull_beyond_the_rate_of_a_kubelet_configuration_fails_until_it_is_its_turn() {
    world(|world| {
        // Nobody listens there.
        let of = |name: &str| container(world, name, &format!("127.0.0.1:1/{name}:1"), &["wait"]);
        world.manifests().put(&world.pod("p", [of("a"), of("b")]));
        let config = json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "staticPodPath": world.path("manifests"), "registryPullQPS": 1, "registryBurst": 1,
        });
        let config = world.write("kubelet.json", &config.to_string());
        let agent = world.agent_with(&["--config", config.to_str().unwrap()], None);
        for why in ["pull QPS exceeded", "Connection refused"] {
            agent.expect_where(why, |line| line.contains("Waiting (ErrImagePull): ") && line.contains(why));
        }
        agent.clear(world);
    });
}

#[test]
fn an_image_volume_is_pulled_like_any_image() {
    world(|world| {
        with_registry(world, |registry| {
            registry.push(&layout(world, "layout", &json!({})), "files:1", "oci");
            let volume: Value = json!({"name": "v", "image": {"reference": registry.name("files:1"), "pullPolicy": "Always"}});
            let a = world.container("a", &["read=/v/etc/group"]).mount("v", "/v");
            let run = world.run(&world.pod("volume", [a]).volume(volume).restart_policy("Never"));
            run.wait().success();
            let answer = world.answer("a", "read=/v/etc/group").unwrap();
            assert!(answer.to_string().contains("extra:x:2000:user"), "{answer}");
        });
    });
}
