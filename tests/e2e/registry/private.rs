//! Registries that want to know who asks, by https; mirrors, and proxies.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::{fs, thread};

use base64::Engine;
use serde_json::{Value, json};

use super::server::{Registry, with_private_registry, with_registry};
use crate::images::layout;
use crate::world::{Pod, Run, World, with_objects, world};

/// The configuration of Docker that opens a registry.
fn docker_config(registry: &Registry, password: &str) -> String {
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("me:{password}"));
    json!({"auths": {registry.host(): {"auth": auth}}}).to_string()
}

fn pull_secret(name: &str, config: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": config},
    })
}

/// Says how a host is reached.
fn say_host(world: &World, host: &str, text: &str) {
    let directory = world.path("hosts").join(host);
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("hosts.toml"), text).unwrap();
}

fn run(world: &World, pod: &Pod, objects: &[Value]) -> Run {
    let manifest = world.write(&format!("{}.json", pod.name()), &with_objects(pod, objects));
    world.run_manifest_with(&manifest, &["--registry-hosts", world.path("hosts").to_str().unwrap()])
}

fn refused(world: &World, pod: &Pod, objects: &[Value], reason: &str, part: &str) {
    let run = run(world, pod, objects);
    let line = run.expect_prefix(&format!("container default/{}/a: Waiting ({reason}): ", pod.name()));
    assert!(line.contains(part), "{line}");
    run.stop();
}

#[test]
fn a_private_image_is_for_pods_with_its_secret_until_the_node_itself_may_have_it() {
    world(|world| {
        with_private_registry(world, |registry| {
            registry.push(&layout(world, "layout", &json!({})), "team/app:1", "oci");
            let trusted =
                format!("server = \"https://{}\"\nca = {:?}\n", registry.host(), registry.authority());
            say_host(world, &registry.host(), &trusted);
            let pod = |name: &str, policy: &str, secret: Option<&str>| {
                let image = registry.name("team/app:1");
                let a =
                    world.container("a", &["exit=0"]).image(&image).with("imagePullPolicy", json!(policy));
                let pod = world.pod(name, [a]).restart_policy("Never");
                match secret {
                    Some(secret) => pod.spec("imagePullSecrets", json!([{"name": secret}])),
                    None => pod,
                }
            };
            let secrets = [
                pull_secret("good", &docker_config(registry, "secret")),
                pull_secret("bad", &docker_config(registry, "x")),
            ];
            let denied = "401 Unauthorized";
            refused(world, &pod("nobody", "IfNotPresent", None), &[], "ErrImagePull", denied);
            refused(world, &pod("wrong", "IfNotPresent", Some("bad")), &secrets, "ErrImagePull", denied);
            refused(world, &pod("gone", "IfNotPresent", Some("none")), &secrets, "ErrImagePull", denied);
            run(world, &pod("right", "IfNotPresent", Some("good")), &secrets).wait().success();

            // It is in the store now, and still not for everybody.
            refused(world, &pod("nobody", "IfNotPresent", None), &[], "ErrImagePull", denied);
            let never = "is not present with pull policy of Never";
            refused(world, &pod("never", "Never", None), &[], "ErrImageNeverPull", never);
            run(world, &pod("again", "Never", Some("good")), &secrets).wait().success();

            // The node's own credentials are everybody's.
            fs::write(world.root_dir().join("config.json"), docker_config(registry, "secret")).unwrap();
            run(world, &pod("nobody", "IfNotPresent", None), &[]).wait().success();
            fs::remove_file(world.root_dir().join("config.json")).unwrap();
            run(world, &pod("never", "Never", None), &[]).wait().success();
        });
    });
}

#[test]
fn a_registry_whose_certificate_nobody_vouches_for_is_not_asked() {
    world(|world| {
        with_private_registry(world, |registry| {
            say_host(world, &registry.host(), &format!("server = \"https://{}\"\n", registry.host()));
            let pod = world.pod("p", [world.container("a", &[]).image(&registry.name("app:1"))]);
            refused(world, &pod, &[], "ErrImagePull", "certificate");
            say_host(world, &registry.host(), "sever = \"https://x\"\n");
            refused(world, &pod, &[], "ErrImagePull", "hosts.toml: unknown field `sever`");
        });
    });
}

#[test]
fn a_mirror_has_the_images_of_another_registry() {
    world(|world| {
        with_registry(world, |registry| {
            registry.push(&layout(world, "layout", &json!({})), "team/app:1", "oci");
            say_host(world, "registry.invalid", &format!("[host.\"http://{}\"]\n", registry.host()));
            let a = world.container("a", &["exit=0"]).image("registry.invalid/team/app:1");
            run(world, &world.pod("p", [a]).restart_policy("Never"), &[]).wait().success();
        });
    });
}

#[test]
fn the_proxy_of_the_environment_is_asked_but_for_hosts_that_need_none() {
    world(|world| {
        let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = proxy.local_addr().unwrap();
        say_host(world, "registry.invalid", "server = \"http://registry.invalid\"\n");
        let asked = thread::spawn(move || {
            let (mut stream, _) = proxy.accept().unwrap();
            let mut request = [0; 4096];
            let count = stream.read(&mut request).unwrap();
            stream
                .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .unwrap();
            String::from_utf8_lossy(&request[..count]).into_owned()
        });
        let pull = |no_proxy: &str| {
            let mut command = world.mkubelet();
            command.env("HTTP_PROXY", format!("http://{address}")).env("NO_PROXY", no_proxy);
            command.arg("--registry-hosts").arg(world.path("hosts"));
            let output = command.args(["image", "pull", "registry.invalid/app:1"]).output().unwrap();
            String::from_utf8(output.stderr).unwrap()
        };
        let told = pull("registry.invalid");
        assert!(!told.contains("404") && told.contains("registry.invalid"), "{told}");
        assert!(pull("").contains("404 Not Found"));
        let request = asked.join().unwrap();
        assert!(request.starts_with("GET http://registry.invalid/v2/app/manifests/1 "), "{request}");
    });
}
