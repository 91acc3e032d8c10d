//! What `run --output json` tells: the status of pods as the Kubernetes API has it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::world::{until, world};

/// The watch events that were printed.
fn events(lines: &[String]) -> Vec<Value> {
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Whether a condition of a pod holds.
fn condition<'a>(pod: &'a Value, kind: &str) -> &'a str {
    let conditions = pod["status"]["conditions"].as_array().unwrap();
    conditions.iter().find(|c| c["type"] == kind).unwrap()["status"].as_str().unwrap()
}

#[test]
fn the_whole_status_of_a_pod_is_told_with_every_change() {
    world(|world| {
        let container = world
            .container("main", &["until=/ledger/go", "exit=0"])
            .security(json!({"runAsUser": 1234, "runAsGroup": 2345}))
            .with("resources", json!({"limits": {"memory": "64Mi"}}));
        let pod = world
            .pod("told", [container])
            .init([world.container("setup", &[])])
            .restart_policy("Never")
            .spec("securityContext", json!({"supplementalGroups": [3456]}));
        let run = world.run_with(&pod, &["--output", "json"]);
        run.expect_prefix("{\"type\":\"ADDED\",\"object\":{\"apiVersion\":\"v1\",\"kind\":\"Pod\"");
        // One that ends the moment it has started may never be told as ready.
        let is_ready = |pod: &Value| pod["object"]["status"]["containerStatuses"][0]["ready"] == true;
        until("the container is ready", || events(&run.lines()).iter().any(is_ready).then_some(()));
        world.touch("go");
        let ended = run.wait().success();
        let events = events(&ended.stdout);
        assert_eq!(
            (&events[0]["type"], &events.last().unwrap()["type"]),
            (&json!("ADDED"), &json!("DELETED"))
        );

        let running = &events.iter().rfind(|event| is_ready(event)).unwrap()["object"];
        assert_eq!(running["status"]["phase"], "Running");
        assert_eq!(running["metadata"]["name"], "told");
        for kind in ["PodScheduled", "PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready"] {
            assert_eq!(condition(running, kind), "True", "{kind}");
        }
        let status = &running["status"];
        assert_eq!(status["qosClass"], "Burstable");
        assert_eq!(status["podIPs"][0]["ip"], status["podIP"]);
        let main = &status["containerStatuses"][0];
        assert_eq!(
            (&main["ready"], &main["started"], &main["restartCount"]),
            (&json!(true), &json!(true), &json!(0))
        );
        assert_eq!(
            main["user"]["linux"],
            json!({"uid": 1234, "gid": 2345, "supplementalGroups": [2345, 3456]})
        );
        assert_eq!(main["resources"]["limits"]["memory"], "64Mi");
        assert_eq!(main["volumeMounts"][0]["mountPath"], "/ledger");
        assert!(main["imageID"].as_str().unwrap().contains(':'), "{main}");

        let last = &events.last().unwrap()["object"];
        assert_eq!(last["status"]["phase"], "Succeeded");
        assert_eq!(condition(last, "Ready"), "False");
        let terminated = &last["status"]["containerStatuses"][0]["state"]["terminated"];
        assert_eq!((&terminated["exitCode"], &terminated["reason"]), (&json!(0), &json!("Completed")));
        assert_eq!(last["status"]["initContainerStatuses"][0]["ready"], true);
    });
}

#[test]
fn an_agent_that_takes_a_pod_over_tells_the_same_status() {
    world(|world| {
        let container = world.container("main", &["until=/ledger/go", "exit=0"]);
        let pod = world.pod("kept", [container]).restart_policy("Never");
        let json = ["--output", "json"];
        let status = |lines: Vec<String>| {
            let newest = events(&lines).pop()?["object"]["status"].take();
            (newest["containerStatuses"][0]["ready"] == true).then_some(newest)
        };
        let run = world.run_with(&pod, &json);
        let kept = || -> Option<Value> {
            let record = world.run_dir().join("pods").join(world.pod_uids().first()?).join("conditions.json");
            let mut kept: Value = serde_json::from_slice(&std::fs::read(&record).ok()?).ok()?;
            Some(kept["conditions"].take())
        };
        // It is kept a moment after it is told, and there may be more to tell by then.
        let before = until("the pod is ready, and its conditions are kept", || {
            status(run.lines()).filter(|told| kept().as_ref() == Some(&told["conditions"]))
        });
        run.kill();
        // Times are told in seconds: those of the next agent would be others.
        std::thread::sleep(Duration::from_millis(1100));
        let run = world.run_with(&pod, &json);
        until(&format!("the next agent to tell {before}"), || {
            status(run.lines()).filter(|after| *after == before)
        });
        world.touch("go");
        run.wait().success();
    });
}
