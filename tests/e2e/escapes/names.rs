//! Names out of a manifest become paths, groups and labels: what could be more than a name is refused by its field (CWE-22).

use serde_json::{Value, json};

use super::attack;

/// Each is no name, whatever is to be named.
fn no_names() -> [String; 7] {
    [
        "../../../etc".to_owned(),
        "..".to_owned(),
        "a/b".to_owned(),
        "x".repeat(4096),
        "a\0b".to_owned(),
        "a\nb".to_owned(),
        "a b".to_owned(),
    ]
}

#[test]
fn what_is_no_name_is_refused_by_its_field() {
    attack(|world, _| {
        let fields = [
            ("metadata.name", "/metadata/name", true),
            ("metadata.namespace", "/metadata/namespace", false),
            ("metadata.uid", "/metadata/uid", false),
            ("spec.hostname", "/spec/hostname", false),
            ("spec.volumes[0].name", "/spec/volumes/0/name", true),
            ("spec.containers[0].name", "/spec/containers/0/name", true),
            ("spec.containers[0].volumeMounts[0].name", "/spec/containers/0/volumeMounts/0/name", true),
            ("spec.initContainers[0].name", "/spec/initContainers/0/name", true),
        ];
        for (field, pointer, is_required) in fields {
            let empty = is_required.then(String::new);
            for name in no_names().into_iter().chain(empty) {
                let mut pod: Value = json!({
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {"name": "named", "namespace": "default", "uid": "u-1"},
                    "spec": {
                        "hostname": "host",
                        "volumes": [{"name": "data", "emptyDir": {}}],
                        "initContainers": [{"name": "i", "image": world.image(), "command": ["/bin/ledger"]}],
                        "containers": [{
                            "name": "a",
                            "image": world.image(),
                            "command": ["/bin/ledger"],
                            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                        }],
                    },
                });
                *pod.pointer_mut(pointer).unwrap() = json!(name);
                let path = world.write("named.json", &pod.to_string());
                let output = world.output(&["run", path.to_str().unwrap()]);
                let told = String::from_utf8_lossy(&output.stderr).into_owned();
                let short: String = name.chars().take(20).collect();
                assert_eq!(output.status.code(), Some(1), "{field} {short:?}: {told}");
                assert!(told.contains(&format!(" {field}: ")), "{field} {short:?}: {told}");
                assert!(!world.root_dir().join("pods").exists(), "{field} {short:?}");
            }
        }
    });
}
