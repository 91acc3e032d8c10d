//! livenessProbe httpGet: a container that stops answering is restarted, and nothing else changes.

use std::fs;

use serde_json::json;

use crate::world::{http_get, world};

#[test]
fn a_container_whose_liveness_probe_fails_is_restarted_and_keeps_its_ip() {
    world(|world| {
        let probe =
            json!({"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1, "failureThreshold": 2});
        let container = world.container("a", &["serve=8080", "wait"]).with("livenessProbe", probe);
        let run = world.run(&world.pod("lively", [container]));
        let ip = run.ip("lively");
        run.expect_running("lively", "a", 0);
        assert_eq!(http_get(ip, 8080, "/healthz").0, "HTTP/1.1 200 OK");

        world.touch("a.sick");
        run.expect_prefix("container default/lively/a: Terminated (Error, exit code 143)");
        fs::remove_file(world.path("ledger/a.sick")).unwrap();
        run.expect_running("lively", "a", 1);
        assert_eq!(http_get(ip, 8080, "/healthz"), ("HTTP/1.1 200 OK".into(), "a".into()));
        run.stop().agrees_with(&world.ledger(), "lively", "a");
        assert_eq!(world.ledger().starts("a"), 2);
    });
}

#[test]
fn a_healthy_container_is_left_alone() {
    world(|world| {
        let probe = json!({"httpGet": {"port": "web"}, "periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 20, "initialDelaySeconds": 1});
        let ports = json!([{"name": "web", "containerPort": 8080}]);
        let container =
            world.container("a", &["serve=8080", "wait"]).with("livenessProbe", probe).with("ports", ports);
        let run = world.run(&world.pod("healthy", [container]));
        run.expect_running("healthy", "a", 0);
        std::thread::sleep(std::time::Duration::from_secs(4));
        run.stop();
        assert_eq!(world.ledger().starts("a"), 1);
    });
}

#[test]
fn a_deaf_container_whose_probe_fails_is_killed_after_the_grace_period() {
    world(|world| {
        // Nothing listens there.
        let probe = json!({"httpGet": {"port": 9}, "periodSeconds": 1, "failureThreshold": 1});
        let container = world.container("a", &["term=ignore", "wait"]).with("livenessProbe", probe);
        let run = world.run(&world.pod("stuck", [container]).grace(1));
        run.expect("container default/stuck/a: Terminated (Error, exit code 137)");
        run.expect_running("stuck", "a", 1);
        run.stop();
    });
}
