//! Files put beside a manifest that is followed: each that is none is told and left alone, and the pod lives on (CVE-2019-11253).

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;

use nix::sys::stat::Mode;
use serde_json::json;

use super::attack;

/// Makes something that is no manifest.
type Make = fn(&Path);

const NO_MANIFESTS: [(&str, Make); 6] = [
    ("huge.yaml", |path| File::create(path).unwrap().set_len(5 << 30).unwrap()),
    ("fifo.yaml", |path| nix::unistd::mkfifo(path, Mode::S_IRWXU).unwrap()),
    ("device.yaml", |path| symlink("/dev/zero", path).unwrap()),
    ("binary.yaml", |path| fs::write(path, [0xff, 0xfe, 0x00]).unwrap()),
    ("deep.yaml", |path| fs::write(path, "[".repeat(100_000)).unwrap()),
    ("half.json", |path| fs::write(path, r#"{"apiVersion": "v1", "kind": "ConfigMap", "meta"#).unwrap()),
];

#[test]
fn what_is_put_beside_a_manifest_that_is_followed_does_no_harm() {
    attack(|world, _| {
        let object = |colour: &str| {
            let metadata = json!({"name": "settings"});
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"colour": colour}})
        };
        let container = world.container("a", &["says=/v/colour:red", "wait"]).mount("settings", "/v");
        let pod = world.pod("followed", [container]);
        let pod = pod.volume(json!({"name": "settings", "configMap": {"name": "settings"}}));
        fs::create_dir(world.path("manifests")).unwrap();
        world.write("manifests/pod.json", &pod.to_json());
        world.write("manifests/settings.json", &object("blue").to_string());
        let mut command = world.mkubelet();
        command.arg("run").arg(world.path("manifests"));
        let run = world.start(command);
        run.expect_running("followed", "a", 0);

        for (name, make) in NO_MANIFESTS {
            // Whoever puts a manifest there renames it.
            let (made, path) = (world.path(name), world.path("manifests").join(name));
            make(&made);
            fs::rename(&made, &path).unwrap();
            run.expect_error(name);
            fs::remove_file(&path).unwrap();
        }
        // It is still followed, and nothing else has come of it.
        world.write("manifests/settings.json", &object("red").to_string());
        world.answer("a", "says=/v/colour:red").unwrap();
        run.stop();
        assert_eq!(world.ledger().starts("a"), 1);
    });
}
