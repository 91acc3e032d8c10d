//! Containers that are added to a running pod by an edit of its manifest, to look into it.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::objects::save;
use crate::world::{Container, Pod, Run, World, until, world};

/// A pod whose container `main` waits, with these ephemeral containers.
fn pod(world: &World, ephemeral: Vec<Container>) -> Pod {
    let pod = world.pod("p", [world.container("main", &["wait"])]);
    if ephemeral.is_empty() { pod } else { pod.ephemeral(ephemeral) }
}

/// Runs it without any; its manifest is then at the path.
fn run(world: &World) -> (Run, PathBuf) {
    let path = world.write("m.json", &pod(world, Vec::new()).to_json());
    let run = world.run_manifest(&path);
    run.expect_running("p", "main", 0);
    (run, path)
}

/// What the command of a container's PID 1 is, as a step.
const FIRST: &str = "read=/proc/1/cmdline";

#[test]
fn an_ephemeral_container_sees_its_targets_processes_and_ends_without_a_trace() {
    world(|world| {
        let (run, path) = run(world);
        let main = world.pid_of("main");
        // What is mounted in the target alone shows below its root.
        let steps = [FIRST, "read=/proc/1/root/proc/1/comm", "until=/ledger/go", "exit=3"];
        let debug = world.container("debug", &steps).with("targetContainerName", json!("main"));
        save(&path, &pod(world, vec![debug]).to_json());
        run.expect_running("p", "debug", 0);
        let first = world.answer("debug", FIRST).unwrap();
        assert!(first.as_str().unwrap().contains("\0main\0"), "{first}");
        assert_eq!(world.answer("debug", "read=/proc/1/root/proc/1/comm").unwrap(), "ledger\n");
        let namespace = |pid: i32, kind: &str| std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
        let pid = world.pid_of("debug");
        for kind in ["pid", "net", "ipc", "uts"] {
            assert_eq!(namespace(pid, kind), namespace(main, kind), "{kind}");
        }
        assert_ne!(namespace(pid, "mnt"), namespace(main, "mnt"));
        world.touch("go");
        run.expect_state("p", "debug", |state| state == "Terminated (Error, exit code 3)");
        assert_eq!(world.pid_of("main"), main);
        let ended = run.stop();
        let again = ended.stdout.iter().filter(|line| line.contains("/debug: Running")).count();
        assert_eq!((again, world.ledger().starts("debug"), world.ledger().starts("main")), (1, 1, 1));
    });
}

#[test]
fn without_a_target_it_has_processes_of_its_own_and_all_of_them_end_with_it() {
    world(|world| {
        let (run, path) = run(world);
        let alone = world.container("alone", &[FIRST, "child=orphan", "until=/ledger/go", "exit=0"]);
        let beside = world
            .container("beside", &["child=left", "until=/ledger/go", "exit=0"])
            .with("targetContainerName", json!("main"));
        save(&path, &pod(world, vec![alone, beside]).to_json());
        run.expect_running("p", "alone", 0);
        run.expect_running("p", "beside", 0);
        let first = world.answer("alone", FIRST).unwrap();
        assert!(first.as_str().unwrap().contains("\0alone\0"), "{first}");
        world.answer("alone", "child=orphan").unwrap();
        world.answer("beside", "child=left").unwrap();
        world.touch("go");
        for name in ["alone", "beside"] {
            run.expect_state("p", name, |state| state == "Terminated (Completed)");
        }
        let left = || [world.processes_of("orphan"), world.processes_of("left")].concat();
        until("their children to end with them", || left().is_empty().then_some(()));
        run.stop();
    });
}

#[test]
fn it_starts_while_an_init_container_runs_and_its_status_is_its_own() {
    world(|world| {
        let init = || world.container("init", &["until=/ledger/go", "exit=0"]);
        let pod = |ephemeral: Vec<Container>| pod(world, ephemeral).init([init()]);
        let path = world.write("m.json", &pod(Vec::new()).to_json());
        let mut command = world.mkubelet();
        command.args(["run", "--output", "json"]).arg(&path);
        let run = world.start(command);
        world.pid_of("init");
        save(&path, &pod(vec![world.container("debug", &["wait"])]).to_json());
        world.pid_of("debug");
        world.touch("go");
        let status = until("the pod to be ready", || {
            let line = run.lines().pop()?;
            let mut event: Value = serde_json::from_str(&line).unwrap();
            let status = event["object"]["status"].take();
            (status["containerStatuses"][0]["ready"] == true).then_some(status)
        });
        assert_eq!(status["phase"], "Running");
        let debug = &status["ephemeralContainerStatuses"][0];
        assert_eq!(
            (&debug["name"], &debug["ready"], &debug["restartCount"]),
            (&json!("debug"), &json!(false), &json!(0))
        );
        assert!(debug["state"]["running"].is_object(), "{debug}");
        run.stop();
    });
}

#[test]
fn it_outlives_the_agent_and_its_entry_in_the_manifest() {
    world(|world| {
        let (run, path) = run(world);
        let debug = || world.container("debug", &["wait"]).with("targetContainerName", json!("main"));
        save(&path, &pod(world, vec![debug()]).to_json());
        run.expect_running("p", "debug", 0);
        let pids = || (world.pid_of("main"), world.pid_of("debug"));
        let before = pids();
        run.kill();

        let run = world.run_manifest(&path);
        run.expect("container default/p/debug: Running");
        assert_eq!(pids(), before);
        save(&path, &pod(world, vec![debug().with("command", json!(["other"]))]).to_json());
        run.expect_error(
            "spec.ephemeralContainers: Forbidden: existing ephemeral containers \"debug\" may not be changed",
        );
        save(&path, &pod(world, Vec::new()).to_json());
        run.expect_error(
            "spec.ephemeralContainers: Forbidden: existing ephemeral containers \"debug\" may not be removed",
        );
        run.kill();
        let run = world.run_manifest(&path);
        run.expect("container default/p/debug: Running");
        assert_eq!(pids(), before);
        run.stop();
        assert_eq!((world.ledger().starts("main"), world.ledger().starts("debug")), (1, 1));
    });
}

#[test]
fn a_new_pod_has_none_and_a_missing_target_is_waited_for() {
    world(|world| {
        let debug = world.container("debug", &["wait"]).with("targetContainerName", json!("main"));
        let refused = world.run(&pod(world, vec![debug.clone()])).wait().code(1);
        let why = "pod default/p: spec.ephemeralContainers: Forbidden: cannot be set on create";
        assert!(refused.stderr.iter().any(|line| line.contains(why)), "{}", refused.transcript());

        let init = || world.container("init", &["until=/ledger/go", "exit=0"]);
        let with_init = |pod: Pod| pod.init([init()]);
        let path = world.write("m.json", &with_init(pod(world, Vec::new())).to_json());
        let run = world.run_manifest(&path);
        run.expect_running("p", "init", 0);
        save(&path, &with_init(pod(world, vec![debug])).to_json());
        let why = "Waiting (CreateContainerConfigError): unable to find target container \"main\"";
        run.expect_state("p", "debug", |state| state == why);
        world.touch("go");
        run.expect_running("p", "debug", 0);
        run.stop();
    });
}
