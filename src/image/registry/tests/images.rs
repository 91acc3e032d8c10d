//! Images as they should be: of every kind, by tag and by digest, once and again.

use serde_json::{Value, json};

use super::registry::{DOCKER, OCI, Registry, layer_path};
use super::*;
use crate::image::Access;
use crate::image::digest::Digest;
use crate::image::tests::{Tar, gzip, is_root};

#[tokio::test]
async fn manifests_of_oci_and_of_docker_and_layers_of_every_compression_are_pulled() {
    if !is_root("registry kinds") {
        return;
    }
    let registry = Registry::plain().await;
    let tar = |text: &str| Tar::new().file("greeting", text).finish();
    let plain = |bytes: &[u8]| bytes.to_vec();
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
    type Compress<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;
    let cases: [(&str, &[&str; 4], &str, Compress<'_>); 5] = [
        ("oci-gzip", &OCI, OCI[2], &gzip),
        ("oci-zstd", &OCI, "application/vnd.oci.image.layer.v1.tar+zstd", &zstd),
        ("oci-plain", &OCI, "application/vnd.oci.image.layer.v1.tar", &plain),
        ("docker-gzip", &DOCKER, DOCKER[2], &gzip),
        ("docker-plain", &DOCKER, "application/vnd.docker.image.rootfs.diff.tar", &plain),
    ];
    let node = Node::new();
    for (name, kinds, media_type, compress) in cases {
        let tar = tar(name);
        registry.image_of(name, Some("1"), kinds, &[(media_type, compress(&tar), Digest::of(&tar))]);
        let stored = node.pull(&registry, &format!("{name}:1")).await.unwrap();
        assert_eq!(stored.reference, format!("{}/{name}:1", registry.address));
        assert_eq!(node.text(&registry, &format!("{name}:1"), "greeting"), name);
    }
    assert_eq!(node.content(), [5, 15, 5, 0], "an image, three blobs and a layer each; no download is left");
}

#[tokio::test]
async fn an_index_gives_the_image_for_this_machine_and_is_found_by_its_own_digest() {
    if !is_root("registry index") {
        return;
    }
    let registry = Registry::plain().await;
    let platform = |mut descriptor: Value, architecture: &str, variant: Option<&str>| {
        descriptor["platform"] = json!({"os": "linux", "architecture": architecture, "variant": variant});
        if variant.is_none() {
            descriptor["platform"].as_object_mut().unwrap().remove("variant");
        }
        descriptor
    };
    let ours = oci_spec::image::Arch::default().to_string();
    let of = |greeting: &str| {
        let manifest = registry.image("app", None, greeting);
        registry.manifest("app", None, &manifest)
    };
    let (foreign, special, right) = (of("foreign"), of("special"), of("right"));
    let mut attestation = of("attestation");
    attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    for kind in [OCI[3], DOCKER[3]] {
        let index = json!({"schemaVersion": 2, "mediaType": kind, "manifests": [
            platform(foreign.clone(), "s390x", None),
            attestation.clone(),
            platform(special.clone(), &ours, Some("v99")),
            platform(right.clone(), &ours, None),
        ]});
        let index = registry.manifest("app", Some("1"), &index);
        let node = Node::new();
        node.pull(&registry, "app:1").await.unwrap();
        assert_eq!(node.text(&registry, "app:1", "greeting"), "right");
        for digest in [&index["digest"], &right["digest"]] {
            let name = format!("app@{}", digest.as_str().unwrap());
            assert_eq!(node.text(&registry, &name, "greeting"), "right", "{name}");
        }
        let node = Node::new();
        node.pull(&registry, &format!("app@{}", index["digest"].as_str().unwrap())).await.unwrap();
        assert_eq!(node.content()[0], 1);
    }
    let none =
        json!({"schemaVersion": 2, "mediaType": OCI[3], "manifests": [platform(foreign, "s390x", None)]});
    registry.manifest("app", Some("2"), &none);
    let error = problem(&Node::new().pull(&registry, "app:2").await.unwrap_err());
    assert_eq!(error, format!("none of its 1 images is for linux/{ours}"));
}

#[tokio::test]
async fn what_is_there_is_not_pulled_again_and_a_tag_that_moved_is_followed() {
    if !is_root("registry again") {
        return;
    }
    let registry = Registry::plain().await;
    let manifest = registry.image("app", Some("1"), "one");
    let node = Node::new();
    let first = node.pull(&registry, "app:1").await.unwrap();
    registry.asked();
    let again = node.pull(&registry, "app:1").await.unwrap();
    assert_eq!(again, first);
    assert_eq!(registry.asked().len(), 1, "only the tag is asked for");

    // Another image with the same layer, and one more.
    let tar = Tar::new().file("more", "two").finish();
    let other = Tar::new().file("greeting", "one").finish();
    let layers = [(OCI[2], gzip(&other), Digest::of(&other)), (OCI[2], gzip(&tar), Digest::of(&tar))];
    registry.image_of("app", Some("1"), &OCI, &layers);
    node.pull(&registry, "app:1").await.unwrap();
    assert_eq!(registry.asked_ranges(&layer_path("app", &manifest)), [], "the layer that both have");
    assert_eq!(node.text(&registry, "app:1", "more"), "two");
    assert_eq!(node.content(), [1, 4, 2, 0], "nobody uses the old one");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pulls_of_an_image_fetch_its_layers_once() {
    if !is_root("registry twice") {
        return;
    }
    let registry = Registry::plain().await;
    let manifest = registry.image("app", Some("1"), "one");
    let node = Node::new();
    let pulls = (0..4).map(|_| node.pull(&registry, "app:1"));
    for pulled in futures::future::join_all(pulls).await {
        pulled.unwrap();
    }
    assert_eq!(registry.asked_ranges(&layer_path("app", &manifest)), [None]);
    assert_eq!(node.content(), [1, 3, 1, 0]);
}

#[tokio::test]
async fn what_was_pulled_with_a_secret_is_for_who_has_it_until_everybody_may() {
    if !is_root("registry access") {
        return;
    }
    let registry = Registry::secure().await;
    registry.image("app", Some("1"), "private");
    let node = Node::new();
    let access = || node.store().resolve(&format!("{}/app:1", registry.address)).unwrap().access.unwrap();
    let grant = |password: &str, is_nodes: bool| Grant { credential: authority::me(password), is_nodes };
    let holders =
        |names: &[&str]| Access::Holders(names.iter().map(|p| authority::me(p).fingerprint()).collect());

    node.pull_as(&registry, "app:1", vec![grant("one", false)]).await.unwrap();
    assert_eq!(access(), holders(&["one"]));
    node.pull_as(&registry, "app:1", vec![grant("two", false)]).await.unwrap();
    assert_eq!(access(), holders(&["one", "two"]));
    node.pull_as(&registry, "app:1", vec![grant("three", true)]).await.unwrap();
    assert_eq!(access(), Access::Everyone, "the node's own credential");
    node.pull_as(&registry, "app:1", vec![grant("four", false)]).await.unwrap();
    assert_eq!(access(), Access::Everyone);
    registry.image("app", Some("1"), "another");
    node.pull_as(&registry, "app:1", vec![grant("four", false)]).await.unwrap();
    assert_eq!(access(), holders(&["four"]), "another image");
}

/// A digest is no secret: whoever knows it must be let in as well.
#[tokio::test]
async fn a_private_image_that_is_in_the_store_is_not_to_be_had_by_its_digest_alone() {
    if !is_root("registry digest") {
        return;
    }
    let registry = Registry::secure().await;
    let manifest = registry.image("app", Some("1"), "private");
    let descriptor = registry.manifest("app", None, &manifest);
    let name = format!("app@{}", descriptor["digest"].as_str().unwrap());
    registry.guard(authority::BASIC, "Basic realm=\"r\"");
    let node = Node::new();
    let access = || node.store().resolve(&format!("{}/{name}", registry.address)).unwrap().access.unwrap();
    let grant = || Grant { credential: authority::me("secret"), is_nodes: false };
    for mine in ["app:1", &name] {
        node.pull_as(&registry, mine, vec![grant()]).await.unwrap();
    }
    let error = problem(&node.pull(&registry, &name).await.unwrap_err());
    assert!(error.contains("401 Unauthorized"), "{error}");
    assert_eq!(access(), Access::Holders([authority::me("secret").fingerprint()].into()));
}

/// Somebody's own registry may name what it does not have.
#[tokio::test]
async fn a_private_image_is_not_to_be_had_by_what_another_registry_calls_its_own() {
    if !is_root("registry foreign") {
        return;
    }
    let (theirs, mine) = (Registry::secure().await, Registry::plain().await);
    let manifest = theirs.image("app", Some("1"), "private");
    theirs.guard(authority::BASIC, "Basic realm=\"r\"");
    let node = Node::new();
    let grant = Grant { credential: authority::me("secret"), is_nodes: false };
    node.pull_as(&theirs, "app:1", vec![grant]).await.unwrap();

    let mut platform = theirs.manifest("app", None, &manifest);
    platform["platform"] =
        json!({"os": "linux", "architecture": oci_spec::image::Arch::default().to_string()});
    mine.manifest(
        "app",
        Some("index"),
        &json!({"schemaVersion": 2, "mediaType": OCI[3], "manifests": [platform]}),
    );
    let mut of_it = mine.image("app", None, "mine");
    of_it["config"] = manifest["config"].clone();
    mine.manifest("app", Some("config"), &of_it);
    for name in ["app:index", "app:config"] {
        let error = problem(&node.pull(&mine, name).await.unwrap_err());
        assert!(error.contains("404 Not Found"), "{name}: {error}");
    }
    assert_eq!(node.store().list().unwrap().len(), 1);
}
