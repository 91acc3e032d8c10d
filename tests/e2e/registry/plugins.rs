//! Credential-provider plugins, as those of a kubelet: small scripts that know what opens the private registry.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::server::{Registry, with_private_registry};
use crate::images::layout;
use crate::world::{Pod, Process, World, until, world};

const VERSION: &str = "credentialprovider.kubelet.k8s.io/v1";

/// Puts a program into the directory of plugins.
fn program(world: &World, name: &str, script: &str) {
    let directory = world.path("plugins");
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A plugin that writes down what it is asked, with its arguments and a variable, and knows this.
fn knowing(world: &World, name: &str, registry: &Registry, password: &str) {
    let answer = json!({
        "kind": "CredentialProviderResponse",
        "apiVersion": VERSION,
        "cacheKeyType": "Registry",
        "cacheDuration": "1h",
        "auth": {registry.host(): {"username": "me", "password": password}},
    });
    let log = world.path(&format!("{name}.asked"));
    let script = format!("read asked; echo \"$* $COLOUR $asked\" >> {}; echo '{answer}'", log.display());
    program(world, name, &script);
}

/// A provider of the configuration, for everything on this machine.
fn provider(name: &str) -> Value {
    json!({
        "name": name,
        "apiVersion": VERSION,
        "matchImages": ["127.0.0.1:*", "*.example"],
        "defaultCacheDuration": "1m",
        "args": ["get", "it"],
        "env": [{"name": "COLOUR", "value": "blue"}],
    })
}

fn configure(world: &World, registry: &Registry, providers: &[Value]) {
    let providers: Vec<Value> = providers
        .iter()
        .map(|provider| {
            let mut provider = provider.clone();
            provider["matchImages"][0] = registry.host().into();
            provider
        })
        .collect();
    let config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1", "kind": "CredentialProviderConfig", "providers": providers,
    });
    world.write("providers.json", &config.to_string());
    let hosts = world.path("hosts").join(registry.host());
    fs::create_dir_all(&hosts).unwrap();
    let text = format!("server = \"https://{}\"\nca = {:?}\n", registry.host(), registry.authority());
    fs::write(hosts.join("hosts.toml"), text).unwrap();
}

/// `mkubelet` that knows the plugins.
fn mkubelet(world: &World) -> Command {
    let mut command = world.mkubelet();
    command.arg("--registry-hosts").arg(world.path("hosts"));
    command.arg("--image-credential-provider-config").arg(world.path("providers.json"));
    command.arg("--image-credential-provider-bin-dir").arg(world.path("plugins"));
    command
}

fn pod(world: &World, registry: &Registry, name: &str, images: &[&str]) -> Pod {
    let containers = images.iter().enumerate().map(|(at, image)| {
        let container = world.container(&format!("c{at}"), &["exit=0"]);
        container.image(&registry.name(image)).with("imagePullPolicy", json!("Always"))
    });
    world.pod(name, containers.collect::<Vec<_>>()).restart_policy("Never")
}

fn run(world: &World, pod: &Pod) -> crate::world::Run {
    let manifest = world.write(&format!("{}.json", pod.name()), &pod.to_json());
    let mut command = mkubelet(world);
    command.arg("run").arg(manifest);
    world.start(command)
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn a_plugin_opens_a_private_registry_for_all_pods_and_is_asked_once_for_what_it_says_is_the_same() {
    world(|world| {
        with_private_registry(world, |registry| {
            registry.push(&layout(world, "layout", &json!({})), "team/app:1", "oci");
            registry.push(&world.path("layout"), "team/other:1", "oci");
            knowing(world, "knowing", registry, "secret");
            configure(world, registry, &[provider("knowing")]);
            run(world, &pod(world, registry, "p", &["team/app:1"])).wait().success();
            let asked = lines(&world.path("knowing.asked"));
            let image = registry.name("team/app");
            let request = json!({"kind": "CredentialProviderRequest", "apiVersion": VERSION, "image": image});
            assert_eq!(asked, [format!("get it blue {request}")]);

            // It is everybody's on the node now, without any plugin too.
            let never = world.container("n", &["exit=0"]).image(&registry.name("team/app:1"));
            let never = never.with("imagePullPolicy", json!("Never"));
            world.run(&world.pod("never", [never]).restart_policy("Never")).wait().success();

            // An agent of its own knows nothing yet; of two images of one registry the second needs no other answer.
            fs::remove_file(world.path("knowing.asked")).unwrap();
            let both = pod(world, registry, "both", &["team/other:1"]);
            let init = pod(world, registry, "init", &["team/app:1"]);
            let init = serde_json::from_str::<Value>(&init.to_json()).unwrap()["spec"]["containers"].clone();
            let mut init = init;
            init[0]["name"] = "first".into();
            run(world, &both.spec("initContainers", init)).wait().success();
            assert_eq!(lines(&world.path("knowing.asked")).len(), 1);
        });
    });
}

#[test]
fn a_plugin_that_fails_is_logged_and_another_one_is_asked() {
    world(|world| {
        with_private_registry(world, |registry| {
            registry.push(&layout(world, "layout", &json!({})), "app:1", "oci");
            program(world, "failing", "sleep 1000 & echo no idea >&2; exit 7");
            knowing(world, "wrong", registry, "x");
            knowing(world, "knowing", registry, "secret");
            configure(world, registry, &[provider("failing"), provider("wrong")]);
            let denied = run(world, &pod(world, registry, "denied", &["app:1"]));
            let line = denied.expect_prefix("container default/denied/c0: Waiting (ErrImagePull): ");
            assert!(line.contains("401 Unauthorized"), "{line}");
            let image = registry.name("app");
            denied.expect_error(&format!(
                "Failed getting credential from external registry credential provider: error execing credential provider plugin failing for image {image}: exit status 7: no idea"
            ));
            denied.stop();
            configure(world, registry, &["failing", "wrong", "knowing"].map(provider));
            run(world, &pod(world, registry, "let-in", &["app:1"])).wait().success();
        });
    });
}

#[test]
fn a_plugin_that_hangs_ends_with_whoever_waits_for_it() {
    world(|world| {
        with_private_registry(world, |registry| {
            let pids = world.path("pids");
            let script = format!("sleep 1000 & echo $$ $! > {0}.new; mv {0}.new {0}; wait", pids.display());
            program(world, "hangs", &script);
            configure(world, registry, &[provider("hangs")]);
            let begun = || until("the plugin to begin", || fs::read_to_string(&pids).ok());
            let expect_gone = |begun: String| {
                for pid in begun.split_whitespace() {
                    let is_gone = || Process::of(pid.parse().unwrap()).is_none_or(|left| left.is_zombie());
                    until("the plugin to be gone", || is_gone().then_some(()));
                }
                fs::remove_file(&pids).unwrap();
            };

            let run = run(world, &pod(world, registry, "p", &["app:1"]));
            let of_run = begun();
            run.stop();
            expect_gone(of_run);

            let mut command = mkubelet(world);
            let mut pull = command.args(["image", "pull", &registry.name("app:1")]).spawn().unwrap();
            let of_pull = begun();
            signal::kill(Pid::from_raw(pull.id().cast_signed()), Signal::SIGTERM).unwrap();
            assert_eq!(pull.wait().unwrap().code(), Some(1));
            expect_gone(of_pull);
        });
    });
}

#[test]
fn an_agent_whose_plugins_are_not_as_they_should_be_does_not_start() {
    world(|world| {
        let config = world.write(
            "providers.json",
            "apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n- name: a/b\n",
        );
        program(world, "p", "");
        let image_list = |flags: &[&str]| {
            let output =
                world.mkubelet().args(["image", "pull", "a.example/x"]).args(flags).output().unwrap();
            assert_eq!(output.status.code(), Some(1));
            String::from_utf8(output.stderr).unwrap()
        };
        let config_flag = format!("--image-credential-provider-config={}", config.display());
        let told = image_list(&[&config_flag]);
        assert!(told.contains("--image-credential-provider-bin-dir go together"), "{told}");
        let plugins = format!("--image-credential-provider-bin-dir={}", world.path("plugins").display());
        let told = image_list(&[&config_flag, &plugins]);
        let name = "providers[0].name: Invalid value: \"a/b\": provider name cannot contain '/'";
        assert!(told.contains("failed to validate credential provider config: "), "{told}");
        assert!(told.contains(name) && told.contains("providers[0].matchImages: Required value"), "{told}");
    });
}
