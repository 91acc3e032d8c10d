//! Registries that lie, break off, stall or are overrun: nothing of it is believed, all of it is bounded.

use std::time::Instant;

use serde_json::{Value, json};

use super::registry::{Fault, OCI, Registry, layer_path};
use super::*;
use crate::image::digest::Digest;
use crate::image::tests::is_root;

/// Statuses of the words that a registry has for them.
fn status(status: u16) -> Fault {
    Fault::Status(status, vec![], r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#)
}

#[tokio::test]
async fn a_missing_image_is_told_in_the_registrys_words() {
    let registry = Registry::plain().await;
    let error = Node::new().pull(&registry, "app:1").await.unwrap_err();
    let address = registry.address;
    assert_eq!(
        problem(&error),
        format!("GET http://{address}/v2/app/manifests/1: 404 Not Found: MANIFEST_UNKNOWN: manifest unknown")
    );
    let node = Node::new();
    let manifest = registry.image("app", Some("1"), "x");
    registry.remove(&layer_path("app", &manifest));
    assert!(problem(&node.pull(&registry, "app:1").await.unwrap_err()).contains("404 Not Found"));
    assert_eq!(node.content()[..3], [0, 0, 0]);
}

#[tokio::test]
async fn nothing_that_a_registry_lies_about_is_kept() {
    let registry = Registry::plain().await;
    let good = registry.image("app", Some("1"), "hello");
    let digest = registry.manifest("app", None, &good)["digest"].as_str().unwrap().to_owned();
    let layer = layer_path("app", &good);
    let config = format!("app/blobs/{}", good["config"]["digest"].as_str().unwrap());
    let with = |change: &dyn Fn(&mut Value)| {
        let mut manifest = good.clone();
        change(&mut manifest);
        Fault::Bytes(manifest.to_string().into_bytes())
    };
    let size = good["layers"][0]["size"].as_u64().unwrap();
    let same_size = |size: u64| Fault::Bytes(vec![b'x'; size as usize]);
    let by_tag = "app/manifests/1".to_owned();
    let by_digest = format!("app/manifests/{digest}");
    let cases: Vec<(&str, &str, Fault, &str)> = vec![
        ("a wrong layer", &layer, same_size(size), "its bytes have the digest sha256:"),
        ("a longer layer", &layer, same_size(size + 1), "more than"),
        (
            "a wrong configuration",
            &config,
            same_size(good["config"]["size"].as_u64().unwrap()),
            "its bytes have the digest sha256:",
        ),
        ("a shorter configuration", &config, Fault::Bytes(b"{}".to_vec()), "it has 2 bytes, and "),
        (
            "another manifest",
            &by_digest,
            with(&|m| m["schemaVersion"] = 3.into()),
            "its bytes have the digest sha256:",
        ),
        ("a layer's size", &by_tag, with(&|m| m["layers"][0]["size"] = (size - 1).into()), "more than"),
        (
            "an enormous layer",
            &by_tag,
            with(&|m| m["layers"][0]["size"] = (1_u64 << 50).into()),
            "are allowed",
        ),
        (
            "an enormous configuration",
            &by_tag,
            with(&|m| m["config"]["size"] = (1_u64 << 40).into()),
            "are allowed",
        ),
        (
            "a layer elsewhere",
            &by_tag,
            with(&|m| m["layers"][0]["digest"] = "sha256:../../x".into()),
            "Invalid encoded value",
        ),
        (
            "version 1",
            &by_tag,
            with(&|m| m["schemaVersion"] = 1.into()),
            "its schemaVersion is 1, and only 2 is supported",
        ),
        ("both", &by_tag, with(&|m| m["manifests"] = json!([])), "it is both an index and a manifest"),
        (
            "neither",
            &by_tag,
            Fault::Bytes(b"{\"schemaVersion\": 2}".to_vec()),
            "it is neither an index nor a manifest",
        ),
        ("no JSON", &by_tag, Fault::Bytes(b"<html>".to_vec()), "expected value"),
        (
            "a huge manifest",
            &by_tag,
            Fault::Bytes(vec![b' '; (4 << 20) + 1]),
            "it has more than 4194304 bytes",
        ),
    ];
    for (what, path, fault, reason) in cases {
        let node = Node::new();
        registry.fault(path, &[fault]);
        let name = if path == by_digest { format!("app@{digest}") } else { "app:1".to_owned() };
        let error = problem(&node.pull(&registry, &name).await.expect_err(what));
        assert!(error.contains(reason), "{what}: {error}");
        assert_eq!(node.content(), [0, 0, 0, 0], "{what}");
    }
}

#[tokio::test]
async fn indexes_within_indexes_end() {
    let registry = Registry::plain().await;
    let mut inner = registry.manifest("app", None, &registry.image("app", None, "x"));
    for _ in 0..5 {
        let index = json!({"schemaVersion": 2, "mediaType": OCI[3], "manifests": [inner]});
        inner = registry.manifest("app", Some("deep"), &index);
    }
    let error = problem(&Node::new().pull(&registry, "app:deep").await.unwrap_err());
    assert!(error.contains("nested too deeply"), "{error}");
}

#[tokio::test]
async fn a_digest_that_the_registry_tells_of_a_tag_is_held_against_it() {
    let registry = Registry::plain().await;
    let told = vec![("docker-content-digest", Digest::of(b"other").to_string())];
    registry.fault("app/manifests/1", &[Fault::Status(200, told, "{}")]);
    let error = problem(&Node::new().pull(&registry, "app:1").await.unwrap_err());
    assert!(error.contains("by the registry"), "{error}");
}

#[tokio::test]
async fn a_layer_that_breaks_off_is_gone_on_with() {
    if !is_root("registry resume") {
        return;
    }
    let from = |byte: usize| Some(format!("bytes={byte}-"));
    for (what, faults, ranges) in [
        ("broken off", vec![Fault::Cut(10), Fault::Cut(5)], vec![None, from(10), from(15)]),
        ("stalled", vec![Fault::Stall(10)], vec![None, from(10)]),
        ("ended early", vec![Fault::End(10)], vec![None, from(10)]),
        ("an error on the way", vec![Fault::Cut(10), status(503)], vec![None, from(10), from(10)]),
        ("without ranges", vec![Fault::Cut(10), Fault::Whole], vec![None, from(10)]),
        ("no such range", vec![Fault::Cut(10), status(416)], vec![None, from(10), None]),
    ] {
        let (registry, node) = (Registry::plain().await, Node::new());
        let layer = layer_path("app", &registry.image("app", Some("1"), "hello"));
        registry.fault(&layer, &faults);
        node.pull(&registry, "app:1").await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(registry.asked_ranges(&layer), ranges, "{what}");
        assert_eq!(node.text(&registry, "app:1", "greeting"), "hello", "{what}");
    }
}

#[tokio::test]
async fn a_layer_that_breaks_off_again_and_again_fails_and_the_next_pull_goes_on() {
    if !is_root("registry next") {
        return;
    }
    let (registry, node) = (Registry::plain().await, Node::new());
    let layer = layer_path("app", &registry.image("app", Some("1"), "hello"));
    registry.fault(&layer, &[Fault::Cut(10), Fault::Cut(1), Fault::Stall(1)]);
    assert!(node.pull(&registry, "app:1").await.is_err());
    assert_eq!(registry.asked_ranges(&layer).len(), 3);
    assert_eq!(node.content(), [0, 0, 0, 1], "the part stays");
    node.pull(&registry, "app:1").await.unwrap();
    assert_eq!(registry.asked_ranges(&layer), [Some("bytes=12-".to_owned())]);
}

#[tokio::test]
async fn a_part_that_is_no_good_is_fetched_anew() {
    if !is_root("registry part") {
        return;
    }
    let (registry, node) = (Registry::plain().await, Node::new());
    let manifest = registry.image("app", Some("1"), "hello");
    let layer = layer_path("app", &manifest);
    node.store();
    let hex = manifest["layers"][0]["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    std::fs::write(node.dir.path().join(format!("images/downloads/{hex}.part")), b"rubbish").unwrap();
    node.pull(&registry, "app:1").await.unwrap();
    assert_eq!(registry.asked_ranges(&layer), [Some("bytes=7-".to_owned()), None]);
    assert_eq!(node.text(&registry, "app:1", "greeting"), "hello");
}

#[tokio::test]
async fn a_pull_that_nobody_waits_for_any_more_leaves_what_it_has_to_the_next() {
    if !is_root("registry dropped") {
        return;
    }
    let (registry, node) = (Registry::plain().await, Node::new());
    let layer = layer_path("app", &registry.image("app", Some("1"), "hello"));
    registry.fault(&layer, &[Fault::Stall(10)]);
    let given_up = tokio::time::timeout(Duration::from_millis(150), node.pull(&registry, "app:1")).await;
    assert!(given_up.is_err());
    assert_eq!(node.content()[..3], [0, 0, 0]);
    node.pull(&registry, "app:1").await.unwrap();
}

#[tokio::test]
async fn a_registry_that_is_overrun_is_asked_again_a_few_times_and_when_it_says() {
    if !is_root("registry overrun") {
        return;
    }
    let later = |time: &str| {
        Fault::Status(
            429,
            vec![("retry-after", time.to_owned())],
            r#"{"errors":[{"code":"TOOMANYREQUESTS"}]}"#,
        )
    };
    let manifest = "app/manifests/1";
    for (what, faults, asked, least, reason) in [
        ("once", vec![status(500)], 2, 0, None),
        ("twice", vec![status(503), status(502)], 3, 0, None),
        ("told when", vec![later("1")], 2, 1, None),
        (
            "always",
            vec![status(500), status(500), status(500)],
            3,
            0,
            Some("500 Internal Server Error: TOOMANYREQUESTS: slow down"),
        ),
        ("too late", vec![later("3600")], 1, 0, Some("429 Too Many Requests: TOOMANYREQUESTS")),
        ("never again", vec![status(400)], 1, 0, Some("400 Bad Request: TOOMANYREQUESTS: slow down")),
    ] {
        let (registry, node, begun) = (Registry::plain().await, Node::new(), Instant::now());
        registry.image("app", Some("1"), "hello");
        registry.fault(manifest, &faults);
        let pulled = node.pull(&registry, "app:1").await;
        match reason {
            None => drop(pulled.unwrap()),
            Some(reason) => assert!(problem(&pulled.unwrap_err()).ends_with(reason), "{what}"),
        }
        assert_eq!(registry.asked_ranges(manifest).len(), asked, "{what}");
        assert!(begun.elapsed() >= Duration::from_secs(least), "{what}");
    }
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_told_at_once() {
    let registry = Registry::plain().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = super::super::Endpoint::at(&format!("http://{closed}")).unwrap();
    let sources = vec![Source { endpoint, credentials: vec![] }];
    let error = problem(&Node::new().pull_from(&registry, "app:1", sources).await.unwrap_err());
    assert!(error.starts_with(&format!("GET http://{closed}/v2/app/manifests/1: ")), "{error}");
    assert!(error.contains("refused"), "{error}");
}

#[tokio::test]
async fn redirects_are_followed_and_end() {
    if !is_root("registry redirects") {
        return;
    }
    let (registry, storage) = (Registry::plain().await, Registry::plain().await);
    let layer = layer_path("app", &registry.image("app", Some("1"), "hello"));
    storage.image("app", Some("1"), "hello");
    let to = |address: String| Fault::Status(307, vec![("location", address)], "");
    for location in
        [format!("http://{}/v2/{layer}?signature=secret", storage.address), format!("/v2/{layer}")]
    {
        let node = Node::new();
        registry.fault(&layer, &[to(location)]);
        node.pull(&registry, "app:1").await.unwrap();
        assert_eq!(node.text(&registry, "app:1", "greeting"), "hello");
    }
    registry.fault(&layer, &vec![to(format!("/v2/{layer}")); 20]);
    let error = problem(&Node::new().pull(&registry, "app:1").await.unwrap_err());
    assert!(error.contains("more than 10 redirects"), "{error}");
    let gone = format!("http://{}/v2/nothing?signature=secret", storage.address);
    registry.fault(&layer, &[to(gone)]);
    let error = problem(&Node::new().pull(&registry, "app:1").await.unwrap_err());
    assert!(error.contains("404") && !error.contains("secret"), "{error}");
}

#[tokio::test]
async fn a_mirror_is_asked_first_and_passed_over_when_it_cannot_help() {
    if !is_root("registry mirror") {
        return;
    }
    let (registry, mirror) = (Registry::plain().await, Registry::plain().await);
    registry.image("app", Some("1"), "upstream");
    let source = |endpoint| Source { endpoint, credentials: vec![] };
    let of_mirror = || super::super::Endpoint { is_mirror: true, ..mirror.endpoint() };
    let sources = || vec![source(of_mirror()), source(registry.endpoint())];

    let node = Node::new();
    node.pull_from(&registry, "app:1", sources()).await.unwrap();
    assert_eq!(node.text(&registry, "app:1", "greeting"), "upstream");
    assert_eq!(
        mirror.asked()[0].path,
        format!("app/manifests/1?ns={}", registry.address.to_string().replace(':', "%3A"))
    );

    mirror.image("app", Some("1"), "mirrored");
    registry.asked();
    node.pull_from(&registry, "app:1", sources()).await.unwrap();
    assert_eq!(node.text(&registry, "app:1", "greeting"), "mirrored");
    assert_eq!(registry.asked(), []);

    // One that may not say what a tag means is asked for digests alone.
    let digests_only = super::super::Endpoint { resolves: false, ..of_mirror() };
    let node = Node::new();
    node.pull_from(&registry, "app:1", vec![source(digests_only), source(registry.endpoint())])
        .await
        .unwrap();
    assert_eq!(node.text(&registry, "app:1", "greeting"), "upstream");
}
