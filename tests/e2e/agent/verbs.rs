//! Verbs that have the agent run things, and that look at what runs: run, debug, top, trace.

use std::process::Output;

use serde_json::Value;

use crate::world::{Agent, World, until, world};

/// An agent whose API answers.
fn serving(world: &World) -> Agent {
    let agent = world.agent();
    until("the agent's API", || world.output(&["get", "nodes"]).status.success().then_some(()));
    agent
}

/// What a verb printed, when it was content.
#[track_caller]
fn fine(world: &World, arguments: &[&str]) -> String {
    let output = world.output(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", both(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn both(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn json(world: &World, arguments: &[&str]) -> Value {
    serde_json::from_str(&fine(world, arguments)).unwrap()
}

fn gone(world: &World) {
    until("all pods to be gone", || world.pod_uids().is_empty().then_some(()));
}

#[test]
fn an_image_is_run_by_the_agent_and_the_verb_ends_as_its_container_does() {
    world(|world| {
        let agent = serving(world);
        let _installed = world.attacker("x", &[]);
        let image = format!("--image={}", world.image());
        // It looks whether a directory is empty.
        for (directory, code) in [("/bin", 1), ("/tmp", 0)] {
            let program = ["--command", "--", "/bin/attacker", "empty", directory];
            let line =
                [&["run", "once", &image, "--restart=Never", "--attach", "--rm"][..], &program].concat();
            let ended = world.output(&line);
            assert_eq!(ended.status.code(), Some(code), "{directory}: {}", both(&ended));
            assert!(both(&ended).contains("pod \"once\" deleted\n"), "{}", both(&ended));
            until("the pod's object to be gone", || {
                (!world.output(&["get", "pod", "once"]).status.success()).then_some(())
            });
        }
        let refused = world.output(&["run", "once", &image, "--rm"]);
        assert!(
            both(&refused).contains("--rm should only be used for attached containers"),
            "{}",
            both(&refused)
        );
        gone(world);
        agent.stop();
    });
}

#[test]
fn a_dry_run_needs_no_agent() {
    world(|world| {
        let line = ["run", "x", "--image=i", "--dry-run=client", "-o", "json", "--", "a"];
        let pod = json(world, &line);
        assert_eq!(pod["spec"]["containers"][0]["args"], serde_json::json!(["a"]));
        let refused = world.output(&["run", "x", "--image=i"]);
        assert!(both(&refused).contains("is `mkubelet agent` running?"), "{}", both(&refused));
    });
}

#[test]
fn a_pod_that_was_handed_over_is_debugged_and_measured() {
    world(|world| {
        let agent = serving(world);
        let _installed = world.attacker("x", &[]);
        let web = world.pod("web", [world.container("web", &["term=0", "wait"])]);
        let manifest = world.write("web.json", &web.to_json());
        let handed = fine(world, &["run", "--detach", manifest.to_str().unwrap()]);
        assert_eq!(handed, "pod/web created\n");
        agent.expect_running("web", "web", 0);

        let image = format!("--image={}", world.image());
        let look = ["debug", "web", &image, "--profile=general", "--target=web", "-c", "look", "--attach"];
        let program = ["--", "/bin/attacker", "print", "7"];
        let said = fine(world, &[&look[..], &program].concat());
        assert!(said.contains("Targeting container \"web\""), "{said}");
        let pod = json(world, &["get", "pod", "web", "-o", "json"]);
        let added = &pod["spec"]["ephemeralContainers"][0];
        assert_eq!((&added["name"], &added["targetContainerName"]), (&"look".into(), &"web".into()));
        assert_eq!(added["securityContext"]["capabilities"]["add"], serde_json::json!(["SYS_PTRACE"]));

        let (phases, from_journal) = steps(world);
        for step in
            ["admit", "shim", "sandbox", "network", "web/volumes", "web/create", "web/start", "web/ready"]
        {
            assert!(phases.contains(&step.to_owned()), "{step} is not in {phases:?}");
        }
        assert!(!from_journal);
        let table = fine(world, &["trace", "pod/web"]);
        assert!(table.starts_with("CONTAINER") && table.contains("Total: "), "{table}");

        let measured = fine(world, &["top", "pod", "--containers", "--no-headers"]);
        let cells: Vec<&str> = measured.split_whitespace().collect();
        assert_eq!(cells[..2], ["web", "web"], "{measured}");
        assert!(cells[2].ends_with('m') && cells[3].ends_with("Mi"), "{measured}");
        let node = fine(world, &["top", "node"]);
        assert!(node.starts_with("NAME") && node.lines().count() == 2 && node.contains('%'), "{node}");

        agent.stop();
        let agent = serving(world);
        let known = || Some(steps(world)).filter(|(phases, _)| phases.contains(&"web/start".to_owned()));
        let (phases, from_journal) = until("what the journal knows", known);
        assert!(from_journal && phases.contains(&"sandbox".to_owned()), "{phases:?}");

        fine(world, &["delete", "pod", "web", "--grace-period=1"]);
        gone(world);
        let forgotten = world.output(&["trace", "web"]);
        assert!(
            both(&forgotten).contains("nothing is known of the start of pod default/web"),
            "{}",
            both(&forgotten)
        );
        agent.stop();
    });
}

#[test]
fn a_node_is_debugged_in_its_own_namespaces() {
    world(|world| {
        let agent = serving(world);
        let _installed = world.attacker("x", &[]);
        let node = fine(world, &["get", "nodes", "-o", "name"]);
        let image = format!("--image={}", world.image());
        let program = ["--", "/bin/attacker", "empty", "/tmp"];
        let made =
            fine(world, &[&["debug", node.trim(), &image, "--profile=general"][..], &program].concat());
        assert!(made.starts_with("Creating debugging pod node-debugger-"), "{made}");
        let name = made.split(' ').nth(3).unwrap();
        fine(world, &["wait", "pod", name, "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s"]);
        let pod = json(world, &["get", "pod", name, "-o", "json"]);
        assert_eq!((&pod["spec"]["hostPID"], &pod["spec"]["hostNetwork"]), (&true.into(), &true.into()));
        fine(world, &["delete", "pod", name, "--grace-period=1"]);
        gone(world);
        agent.stop();
    });
}

/// The steps of the start of `web` that are known, and whether from the journal. None takes longer than the whole.
fn steps(world: &World) -> (Vec<String>, bool) {
    let output = world.output(&["trace", "web", "-o", "json"]);
    let trace: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let step = |step: &Value| {
        let figure = |name: &str| step[name].as_f64().unwrap();
        assert!(figure("startMilliseconds") >= 0.0 && figure("durationMilliseconds") >= 0.0, "{step}");
        let phase = step["phase"].as_str().unwrap();
        step["container"]
            .as_str()
            .map_or_else(|| phase.to_owned(), |container| format!("{container}/{phase}"))
    };
    let phases = trace["steps"].as_array().into_iter().flatten().map(step).collect();
    (phases, trace["fromJournal"] == true)
}
