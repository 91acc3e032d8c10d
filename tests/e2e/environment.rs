//! Variables of a container from every source, and what happens while a source is missing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::objects::{config_map, save, secret};
use crate::world::{Container, Pod, World, patient, with_objects, world};

fn pod(world: &World, steps: &[&str], env: Value, env_from: Value) -> Pod {
    world.pod("p", [world.container("a", steps).with("env", env).with("envFrom", env_from)])
}

#[test]
fn variables_come_from_objects_and_from_the_pod_itself() {
    world(|world| {
        let env = json!([
            {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}},
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}},
            {"name": "LATER", "valueFrom": {"secretKeyRef": {"name": "none", "key": "x", "optional": true}}},
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "TIER", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['tier']"}}},
            {"name": "ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
            {"name": "URL", "value": "http://$(NAME):$(APP_port)/$(LATER)"},
        ]);
        let env_from = json!([
            {"prefix": "APP_", "configMapRef": {"name": "settings"}},
            {"secretRef": {"name": "none", "optional": true}},
        ]);
        let container = world.container("a", &["report"]).with("env", env).with("envFrom", env_from);
        let container = container.with("resources", json!({"limits": {"cpu": "250m"}}));
        let pod = world.pod("p", [container]).label("tier", "front").restart_policy("Never");
        let objects = [
            config_map("settings", json!({"colour": "blue", "port": "80"})),
            secret("login", json!({"password": "hunter2"})),
        ];
        let path = world.write("all.json", &with_objects(&pod, &objects));
        world.run_manifest(&path).wait().success();

        let report = world.answer("a", "report").unwrap();
        let env = &report["env"];
        for (name, value) in [
            ("COLOUR", "blue"),
            ("PASSWORD", "hunter2"),
            ("NAME", "p"),
            ("TIER", "front"),
            ("CPU", "250"),
            ("APP_colour", "blue"),
            ("APP_port", "80"),
            ("URL", "http://p:80/$(LATER)"),
        ] {
            assert_eq!(env[name], value, "{name}");
        }
        assert!(env.get("LATER").is_none());
        let addresses = report["addresses"].as_array().unwrap();
        assert!(addresses.contains(&env["ADDRESS"]), "{} of {addresses:?}", env["ADDRESS"]);
    });
}

#[test]
fn a_container_waits_for_its_variables_and_goes_on_when_they_come() {
    world(|world| {
        let env =
            json!([{"name": "C", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}}]);
        let env_from = json!([{"secretRef": {"name": "login"}}]);
        let pod = pod(world, &["report", "wait"], env, env_from);
        let path = world.write("m.json", &with_objects(&pod, &[]));
        let run = world.run_manifest(&path);
        let waiting = |why: &str| {
            let line = format!("Waiting (CreateContainerConfigError): {why}");
            run.expect_state("p", "a", |state| state == line)
        };
        waiting("secret \"login\" not found");
        let login = secret("login", json!({"password": "hunter2"}));
        save(&path, &with_objects(&pod, std::slice::from_ref(&login)));
        waiting("configmap \"settings\" not found");
        let settings = |data: Value| with_objects(&pod, &[login.clone(), config_map("settings", data)]);
        save(&path, &settings(json!({"size": "1"})));
        waiting("couldn't find key colour in ConfigMap default/settings");
        let started = Instant::now();
        save(&path, &settings(json!({"colour": "blue"})));
        let report = world.answer("a", "report").unwrap();
        assert!(started.elapsed() < patient(Duration::from_secs(10)), "{:?}", started.elapsed());
        assert_eq!((&report["env"]["C"], &report["env"]["password"]), (&json!("blue"), &json!("hunter2")));
        run.stop();
        assert_eq!(world.ledger().starts("a"), 1);
    });
}

/// The containers, and `i` before them, which writes to the volume `files` for them.
fn pod_with_files(
    world: &World,
    init: &[&str],
    medium: &str,
    containers: impl IntoIterator<Item = Container>,
) -> Pod {
    world
        .pod("p", containers)
        .init([world.container("i", init).mount("files", "/files")])
        .volume(json!({"name": "files", "emptyDir": {"medium": medium}}))
        .restart_policy("Never")
}

/// The container `a` with a variable V from `sub/vars` in the volume `files`, which it does not mount.
fn reader(world: &World, optional: bool) -> Container {
    let file = json!({"volumeName": "files", "path": "sub/vars", "key": "V", "optional": optional});
    let env = json!([{"name": "V", "valueFrom": {"fileKeyRef": file}}]);
    world.container("a", &["report"]).with("env", env)
}

#[test]
fn what_an_init_container_writes_to_a_file_is_a_variable_of_others() {
    for medium in ["", "Memory"] {
        world(|world| {
            let file = "# settings\nU='1'\nV='two\nlines $(HOME)' # note\n";
            let init = ["make=/files/sub", &format!("put=/files/sub/vars:{file}")];
            let pod = pod_with_files(world, &init, medium, [reader(world, false)]);
            world.run(&pod).wait().success();
            assert_eq!(world.answer("a", "report").unwrap()["env"]["V"], "two\nlines $(HOME)", "{medium:?}");
        });
    }
}

#[test]
fn a_container_starts_without_an_optional_variable_of_a_file() {
    for init in [&[][..], &["make=/files/sub", "put=/files/sub/vars:U='1'\n"]] {
        world(|world| {
            let pod = pod_with_files(world, init, "", [reader(world, true)]);
            world.run(&pod).wait().success();
            assert!(world.answer("a", "report").unwrap()["env"].get("V").is_none(), "{init:?}");
        });
    }
}

#[test]
fn a_container_waits_for_the_variable_of_a_file_and_goes_on_when_it_is_there() {
    world(|world| {
        let late = ["until=/ledger/now", "put=/files/sub/vars:V='late'\n"];
        let writer = world.container("b", &late).mount("files", "/files");
        let init = ["make=/files/sub", "put=/files/sub/vars:U='1'\n"];
        let run = world.run(&pod_with_files(world, &init, "", [reader(world, false), writer]));
        let missing = "environment variable key \"V\" not found in file \"sub/vars\"";
        let line = format!("Waiting (CreateContainerConfigError): {missing}");
        run.expect_state("p", "a", |state| state == line);
        world.touch("now");
        run.wait().success();
        assert_eq!(world.answer("a", "report").unwrap()["env"]["V"], "late");
        assert_eq!(world.ledger().starts("a"), 1);
    });
}

#[test]
fn a_file_of_variables_never_leads_out_of_its_volume() {
    world(|world| {
        let init = ["symlink=/:/files/sub"];
        let run = world.run(&pod_with_files(world, &init, "", [reader(world, true)]));
        run.expect_state("p", "a", |state| {
            state.starts_with("Waiting (CreateContainerConfigError): couldn't parse env file \"sub/vars\"")
                && state.contains("EXDEV")
        });
        run.stop();
        assert_eq!(world.ledger().starts("a"), 0);
    });
}
