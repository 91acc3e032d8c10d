//! Variables of a container from every source, and what happens while a source is missing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::objects::{config_map, save, secret};
use crate::world::{Pod, World, patient, with_objects, world};

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
