//! Docker's credential helpers, which the node's own configuration names.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use serde_json::{Value, json};

use super::server::{Registry, with_private_registry};
use crate::images::layout;
use crate::world::{World, with_objects, world};

/// Puts a helper where `PATH` has it; each time that it is asked is a line in a file.
fn helper(world: &World, name: &str, script: &str) {
    let directory = world.path("bin");
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join(format!("docker-credential-{name}"));
    let log = world.path(&format!("{name}.asked"));
    fs::write(&path, format!("#!/bin/sh\necho \"$1 $(cat)\" >> {}\n{script}\n", log.display())).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn asked(world: &World, name: &str) -> Vec<String> {
    let log = fs::read_to_string(world.path(&format!("{name}.asked"))).unwrap_or_default();
    log.lines().map(str::to_owned).collect()
}

/// `mkubelet image pull` on a node that has this in its `config.json`.
fn pull(world: &World, registry: &Registry, config: &Value) -> Output {
    fs::create_dir_all(world.root_dir()).unwrap();
    fs::write(world.root_dir().join("config.json"), config.to_string()).unwrap();
    let mut command = world.mkubelet();
    command.env("PATH", format!("{}:/usr/bin:/bin", world.path("bin").display()));
    command.arg("--registry-hosts").arg(world.path("hosts"));
    command.args(["image", "pull", &registry.name("team/app:1")]).output().unwrap()
}

#[test]
fn a_helper_of_the_nodes_configuration_is_asked_for_its_registry() {
    world(|world| {
        with_private_registry(world, |registry| {
            registry.push(&layout(world, "layout", &json!({})), "team/app:1", "oci");
            let hosts = world.path("hosts").join(registry.host());
            fs::create_dir_all(&hosts).unwrap();
            let text = format!("server = \"https://{}\"\nca = {:?}\n", registry.host(), registry.authority());
            fs::write(hosts.join("hosts.toml"), text).unwrap();
            helper(
                world,
                "knows",
                "echo '{\"ServerURL\": \"x\", \"Username\": \"me\", \"Secret\": \"secret\"}'",
            );
            helper(world, "empty", "echo 'credentials not found in native keychain'; exit 1");
            helper(world, "broken", "echo 'the keychain is locked'; exit 1");

            let host = registry.host();
            for (config, knows) in [
                (json!({"credHelpers": {host.as_str(): "knows"}, "credsStore": "broken"}), 1),
                (json!({"credsStore": "knows"}), 2),
            ] {
                let output = pull(world, registry, &config);
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                assert_eq!(asked(world, "knows"), vec![format!("get {host}"); knows]);
            }
            for (config, told, is_let_in) in [
                (json!({"credsStore": "empty"}), "401 Unauthorized", false),
                (json!({"credsStore": "broken"}), "docker-credential-broken: the keychain is locked", false),
                (json!({"credsStore": "missing"}), "docker-credential-missing: it cannot be started", false),
                (
                    json!({"credsStore": "broken", "auths": {host.as_str(): {"username": "me", "password": "secret"}}}),
                    "the keychain is locked",
                    true,
                ),
            ] {
                let output = pull(world, registry, &config);
                let errors = String::from_utf8(output.stderr).unwrap();
                assert!(errors.contains(told), "{config}: {errors}");
                assert_eq!(output.status.success(), is_let_in, "{config}: {errors}");
            }
            assert_eq!(asked(world, "broken").len(), 2);
            fs::remove_file(world.root_dir().join("config.json")).unwrap();
        });
    });
}

#[test]
fn a_secret_starts_no_program() {
    world(|world| {
        helper(world, "knows", "echo '{}'");
        let config = json!({"auths": {}, "credsStore": "knows", "credHelpers": {"127.0.0.1:1": "knows"}});
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
            "type": "kubernetes.io/dockerconfigjson",
            "stringData": {".dockerconfigjson": config.to_string()},
        });
        let pod = world.pod("p", [world.container("a", &[]).image("127.0.0.1:1/app:1")]);
        let pod = pod.spec("imagePullSecrets", json!([{"name": "s"}]));
        let manifest = world.write("p.json", &with_objects(&pod, &[secret]));
        let mut command = world.mkubelet();
        command.env("PATH", format!("{}:/usr/bin:/bin", world.path("bin").display()));
        command.arg("run").arg(manifest);
        let run = world.start(command);
        run.expect_prefix("container default/p/a: Waiting (ErrImagePull): ");
        run.stop();
        assert!(asked(world, "knows").is_empty());
    });
}
