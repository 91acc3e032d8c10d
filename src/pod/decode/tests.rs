//! Manifests and the verdicts on them.

use super::*;

#[test]
fn a_plain_pod_is_decoded() {
    let manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: c, image: nginx}]}";
    let pods = decode(manifest.as_bytes(), "pod.yaml").unwrap();
    assert_eq!(pods[0].key.to_string(), "default/web");
}
