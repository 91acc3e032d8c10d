//! Images: what is accepted has digests that are file names and strings without NUL, and says nothing but what to run.
//!
//! The input has two pages: a manifest, which is taken for an index as well, and an image configuration.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use super::pages;
use crate::config::Layout;
use crate::container::spec::ContainerConfig;
use crate::image::Image;
use crate::image::manifest;
use crate::pod;
use crate::pod::env::Variables;
use crate::runtime::oci;
use crate::runtime::stop_signal::signal_number;

/// Of a container that leaves everything to its image.
const POD: &[u8] =
    b"{apiVersion: v1, kind: Pod, metadata: {name: p, uid: u}, spec: {containers: [{name: c, image: i}]}}";

pub(super) fn check(data: &[u8]) {
    let [manifest, configuration] = pages(data);
    for descriptor in manifest::index(manifest, "an index").unwrap_or_default() {
        if let Ok(digest) = manifest::digest(&descriptor) {
            assert!(is_file_name(digest.hex()));
        }
    }
    if let Ok(digest) = manifest::config_digest(manifest, "a manifest") {
        assert!(is_file_name(digest.hex()));
    }
    let Ok(checked) = manifest::check(manifest, configuration) else { return };
    assert!((1..=127).contains(&checked.layers.len()));
    assert_eq!(checked.layers[0].chain_id, checked.layers[0].diff_id);
    for layer in &checked.layers {
        assert!(
            [&layer.blob, &layer.diff_id, &layer.chain_id].iter().all(|digest| is_file_name(digest.hex()))
        );
    }
    let chain_ids: HashSet<_> = checked.layers.iter().map(|layer| &layer.chain_id).collect();
    assert_eq!(chain_ids.len(), checked.layers.len(), "no layer stands for two");

    if let Some(signal) = checked.config.stop_signal() {
        assert!((1..=64).contains(&signal_number(signal)), "{signal:?}");
    }
    steers_nothing(checked.config);
}

/// An image decides its program, environment, working directory and user, and nothing else (CVE-2022-0811, CVE-2024-3154).
fn steers_nothing(config: oci_spec::image::Config) {
    let mut plain = oci_spec::image::Config::default();
    plain.set_cmd(Some(vec!["true".to_owned()]));
    let Some(mut told) = told(config) else { return };
    assert!(told.process.cwd.is_absolute(), "{:?}", told.process.cwd);
    assert!(!told.process.args.is_empty());
    let strings = told.process.args.iter().chain(&told.process.env);
    assert!(strings.chain([&told.process.user.image_user]).all(|text| !text.contains('\0')));

    let plain = self::told(plain).expect("a container that runs true");
    told.process.args.clone_from(&plain.process.args);
    told.process.env.clone_from(&plain.process.env);
    told.process.cwd.clone_from(&plain.process.cwd);
    told.process.user.image_user.clone_from(&plain.process.user.image_user);
    assert_eq!(told, plain);
}

fn told(config: oci_spec::image::Config) -> Option<ContainerConfig> {
    let pods = pod::decode(POD, "pod.yaml").expect("a plain pod").pods;
    let pod = &pods[0];
    let image = Image {
        id: "sha256:1".into(),
        reference: "i".into(),
        layers: vec!["/l".into()],
        config,
        repo_digest: None,
        access: None,
    };
    let start = oci::Start {
        pod,
        spec: &pod.spec.containers[0],
        image: &image,
        id: "1",
        attempt: 0,
        pod_group: Path::new("group"),
        volumes: &BTreeMap::new(),
        env: &Variables::default(),
    };
    let node = oci::NodeFacts { hostname: "node".into(), memory: 1 << 30, ..Default::default() };
    oci::config(start, &Layout::new("/root", "/run", "/log"), &node).ok()
}

fn is_file_name(hex: &str) -> bool {
    hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase())
}
