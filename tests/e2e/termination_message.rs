//! What containers say as they end: from a file, or from the end of their log.

use serde_json::{Value, json};

use crate::world::{Container, World, until, world};

/// As large as a file's message can be, bytes.
const MAX: usize = 4096;

/// A container that writes a message to its usual place, and ends with that code.
fn speaker(world: &World, name: &str, message: &str, code: u8) -> Container {
    let put = format!("put=/dev/termination-log:{message}");
    world.container(name, &[&put, &format!("exit={code}")])
}

/// A container that tells why it failed in its log alone.
fn complainer(world: &World, name: &str, code: u8) -> Container {
    let container = world.container(name, &["print=trying", "complain=no database", &format!("exit={code}")]);
    container.with("terminationMessagePolicy", json!("FallbackToLogsOnError"))
}

fn terminated<'a>(status: &'a Value, state: &str) -> &'a Value {
    &status[state]["terminated"]
}

#[test]
fn a_message_is_told_by_containers_of_every_kind_whatever_they_end_with() {
    world(|world| {
        let sidecar = world.container("side", &["put=/dev/termination-log:went along", "term=0", "wait"]);
        let pod = world
            .pod("told", [speaker(world, "fails", "no disk\n", 3), speaker(world, "works", "all done", 0)])
            .init([
                speaker(world, "setup", "prepared", 0),
                sidecar.with("restartPolicy", json!("Always")),
                world.container("silent", &[]),
            ])
            .restart_policy("Never");
        let ended = world.run(&pod).wait().code(3);
        for (name, end) in [
            ("setup", "Terminated (Completed): prepared"),
            ("silent", "Terminated (Completed)"),
            ("side", "Terminated (Completed): went along"),
            ("works", "Terminated (Completed): all done"),
            ("fails", "Terminated (Error, exit code 3): no disk"),
        ] {
            let line = format!("container default/told/{name}: {end}");
            assert!(ended.stdout.contains(&line), "{line}\n{}", ended.transcript());
        }
    });
}

#[test]
fn the_last_state_keeps_the_message_and_the_next_attempt_begins_without_one() {
    world(|world| {
        let steps = ["once=/ledger/again.once", "put=/tmp/why:the first time", "exit=4"];
        let again = world.container("again", &steps).with("terminationMessagePath", json!("tmp/why"));
        let run = world.run_with(&world.pod("again", [again]), &["--output", "json"]);
        let status = until("the second attempt", || {
            let statuses = run.lines().into_iter().map(|line| {
                serde_json::from_str::<Value>(&line).unwrap()["object"]["status"]["containerStatuses"][0]
                    .take()
            });
            statuses
                .into_iter()
                .find(|status| !status["state"]["running"].is_null() && status["restartCount"] == 1)
        });
        assert_eq!(terminated(&status, "lastState")["message"], "the first time", "{status}");
        let ended = run.stop();
        let last: Value = serde_json::from_str(ended.stdout.last().unwrap()).unwrap();
        let state = terminated(&last["object"]["status"]["containerStatuses"][0], "state");
        assert_eq!((&state["exitCode"], &state["message"]), (&json!(143), &Value::Null), "{last}");
    });
}

#[test]
fn a_log_speaks_for_who_failed_without_a_message() {
    world(|world| {
        let both = complainer(world, "both", 2).command(&[
            "/bin/ledger",
            "both",
            "complain=not this",
            "put=/dev/termination-log:but this",
            "exit=2",
        ]);
        let plain = world.container("plain", &["complain=not told", "exit=2"]);
        let many = world.container("many", &["print-lines=200", "exit=2"]);
        let many = many.with("terminationMessagePolicy", json!("FallbackToLogsOnError"));
        let containers = [complainer(world, "fails", 2), complainer(world, "works", 0), both, plain, many];
        let ended = world.run(&world.pod("logs", containers).restart_policy("Never")).wait().code(2);
        let end = |name: &str| {
            let prefix = format!("container default/logs/{name}: Terminated (");
            let mut ends = ended.stdout.iter().filter_map(|line| line.strip_prefix(&prefix));
            ends.next().unwrap_or_else(|| panic!("no end of {name}\n{}", ended.transcript())).to_owned()
        };
        // Its two streams are read in no order.
        let orders = ["trying\\nno database", "no database\\ntrying"];
        let told = end("fails");
        assert!(orders.iter().any(|lines| told == format!("Error, exit code 2): {lines}")), "{told}");
        assert_eq!(end("works"), "Completed)");
        assert_eq!(end("both"), "Error, exit code 2): but this");
        assert_eq!(end("plain"), "Error, exit code 2)");
        let last: Vec<String> = (120..200).map(|line| format!("line {line}")).collect();
        assert_eq!(end("many"), format!("Error, exit code 2): {}", last.join("\\n")));
    });
}

#[test]
fn any_user_can_write_it_whatever_the_root_filesystem_is_like() {
    let contexts = [
        ("user", json!({"runAsUser": 1234, "runAsGroup": 2345})),
        ("read-only", json!({"readOnlyRootFilesystem": true})),
        (
            "bare",
            json!({"runAsUser": 1000, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}}),
        ),
    ];
    for host_users in [true, false] {
        world(|world| {
            let containers = contexts.clone().map(|(name, context)| {
                let container = world.container(name, &["put=/var/log/why:mine", "exit=1"]).security(context);
                container.with("terminationMessagePath", json!("/var/log/why"))
            });
            let pod = world.pod("users", containers).spec("hostUsers", json!(host_users));
            let ended = world.run(&pod.restart_policy("Never")).wait().code(1);
            for (name, _) in &contexts {
                let line = format!("container default/users/{name}: Terminated (Error, exit code 1): mine");
                assert!(ended.stdout.contains(&line), "{line}\n{}", ended.transcript());
            }
        });
    }
}

#[test]
fn a_message_survives_the_agent() {
    world(|world| {
        let steps = ["until=/ledger/go", "put=/dev/termination-log:nobody watched", "exit=5"];
        let pod = world.pod("alone", [world.container("a", &steps)]).restart_policy("Never");
        let run = world.run(&pod);
        run.expect_running("alone", "a", 0);
        run.kill();
        world.touch("go");
        until("the container to end", || (world.ledger().ends("a") == [Some(5)]).then_some(()));
        let end = "container default/alone/a: Terminated (Error, exit code 5): nobody watched";
        world.run(&pod).wait().code(5).printed(end);
    });
}

#[test]
fn a_container_that_is_killed_has_said_what_it_has_written() {
    world(|world| {
        let hog = world.container("hog", &["put=/dev/termination-log:soon full", "hold=256"]);
        let hog = hog.with("resources", json!({"limits": {"memory": "64Mi"}}));
        let deaf =
            world.container("deaf", &["put=/dev/termination-log:not yet", "term=ignore", "report", "wait"]);
        let pod = world.pod("killed", [hog, deaf]).restart_policy("Never").grace(1);
        let run = world.run(&pod);
        world.answer("deaf", "report").unwrap();
        run.expect("container default/killed/hog: Terminated (OOMKilled, exit code 137): soon full");
        let ended = run.stop();
        let line = "container default/killed/deaf: Terminated (Error, exit code 137): not yet";
        assert!(ended.stdout.iter().any(|told| told == line), "{}", ended.transcript());
    });
}

#[test]
fn a_long_message_is_told_by_its_end_and_what_is_no_text_by_replacement_characters() {
    world(|world| {
        let long = format!("beginning{}", "x".repeat(MAX));
        let containers = [
            speaker(world, "long", &long, 1),
            world.container("noise", &["noise=/dev/termination-log:6000", "exit=1"]),
        ];
        let pod = world.pod("long", containers).restart_policy("Never");
        let ended = world.run_with(&pod, &["--output", "json"]).wait().code(1);
        let last: Value = serde_json::from_str(ended.stdout.last().unwrap()).unwrap();
        let message = |index: usize| {
            let status = &last["object"]["status"]["containerStatuses"][index];
            terminated(status, "state")["message"].as_str().unwrap().to_owned()
        };
        assert_eq!(message(0), "x".repeat(MAX));
        assert_eq!(message(1), "\u{fffd}".repeat(MAX / 3));
    });
}
