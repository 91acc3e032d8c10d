//! What outlives the agent, whatever becomes of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::world::{Pod, World, http_get, kill, patient, until, world, world_in_memory};

/// A pod of two containers that serve.
fn pair(world: &World, name: &str) -> Pod {
    world.pod(
        name,
        [world.container("a", &["serve=80", "term=0", "wait"]), world.container("b", &["term=0", "wait"])],
    )
}

#[test]
fn an_agent_that_is_stopped_or_killed_touches_no_container() {
    world(|world| {
        world.manifests().put(&pair(world, "lasting"));
        let agent = world.agent();
        let ip = agent.ip("lasting");
        agent.expect_running("lasting", "a", 0);
        agent.expect_running("lasting", "b", 0);
        let pids = (world.pid_of("a"), world.pid_of("b"));
        agent.stop();
        assert_eq!(http_get(ip, 80, "/").1, "a", "the pod lives on without an agent");
        for _ in 0..3 {
            let agent = world.agent();
            agent.expect("pod default/lasting: Running");
            assert_eq!(agent.ip("lasting"), ip);
            agent.kill();
        }
        let agent = world.agent();
        agent.expect("pod default/lasting: Running");
        assert_eq!((world.pid_of("a"), world.pid_of("b")), pids);
        agent.clear(world);
        assert_eq!((world.ledger().starts("a"), world.ledger().starts("b")), (1, 1));
    });
}

#[test]
fn a_manifest_that_goes_while_no_agent_lives_ends_its_pod_and_one_that_changes_replaces_it() {
    world(|world| {
        for name in ["gone", "changed"] {
            let pod = world.pod(name, [world.container(name, &["term=0", "wait"])]);
            world.manifests().put(&pod);
        }
        let agent = world.agent();
        agent.expect_running("gone", "gone", 0);
        agent.expect_running("changed", "changed", 0);
        agent.kill();
        world.manifests().remove("gone.json");
        world.manifests().put(&world.pod("changed", [world.container("new", &["term=0", "wait"])]));
        let agent = world.agent();
        agent.expect("pod default/gone: deleted");
        agent.expect_running("changed", "new", 0);
        assert_eq!(world.ledger().ends("gone"), [Some(0)]);
        assert!(world.ledger().time("changed", "end") < world.ledger().time("new", "start"));
        agent.clear(world);
    });
}

#[test]
fn a_grace_period_is_not_begun_again_by_another_agent() {
    world(|world| {
        // It ignores its stop signal.
        let pod = world.pod("deaf", [world.container("deaf", &["term=ignore", "wait"])]).grace(6);
        world.manifests().put(&pod);
        let agent = world.agent();
        agent.expect_running("deaf", "deaf", 0);
        world.manifests().clear();
        agent.expect("pod default/deaf: Terminating (grace period 6s)");
        let told = Instant::now();
        until("half of the time", || (told.elapsed().as_secs() >= 3).then_some(()));
        agent.kill();
        let agent = world.agent();
        agent.expect("pod default/deaf: deleted");
        let took = told.elapsed().as_secs_f64();
        assert!((5.5..9.5).contains(&took), "{took} s from the order to the end");
        agent.stop();
    });
}

/// What ends a process that does nothing about it. Not SIGSEGV and SIGBUS, which Rust has handlers for.
const DEADLY: [Signal; 10] = [
    Signal::SIGILL,
    Signal::SIGTRAP,
    Signal::SIGABRT,
    Signal::SIGFPE,
    Signal::SIGKILL,
    Signal::SIGALRM,
    Signal::SIGSTKFLT,
    Signal::SIGXCPU,
    Signal::SIGVTALRM,
    Signal::SIGPROF,
];

#[test]
fn every_exit_while_no_agent_lived_is_told_as_it_was() {
    // Ten pods of eleven containers: one for each code from 0 to 99, and one of each pod that a signal ends. They share PID namespaces:
    // the first process of one could be ended by SIGKILL alone.
    world_in_memory(|world| {
        let name = |pod: usize, code: usize| format!("c{pod}-{code}");
        let container =
            |name: &str, code: usize| world.container(name, &["until=/ledger/go", &format!("exit={code}")]);
        let codes = |pod: usize| (0..10).map(move |one| pod * 10 + one);
        for pod in 0..10 {
            let ends = codes(pod).map(|code| container(&name(pod, code), code));
            let killed = world.container(&format!("killed{pod}"), &["wait"]);
            let pod = world.pod(&format!("p{pod}"), ends.chain([killed])).restart_policy("Never");
            world.manifests().put(&pod.spec("shareProcessNamespace", json!(true)));
        }
        let agent = world.agent();
        for pod in 0..10 {
            codes(pod).for_each(|code| agent.expect_running(&format!("p{pod}"), &name(pod, code), 0));
            agent.expect_running(&format!("p{pod}"), &format!("killed{pod}"), 0);
        }
        agent.kill();
        let before = Timestamp::now();
        world.touch("go");
        for (pod, signal) in DEADLY.into_iter().enumerate() {
            let pid = Pid::from_raw(world.pid_of(&format!("killed{pod}")));
            nix::sys::signal::kill(pid, signal).unwrap();
        }
        for pod in 0..10 {
            for code in codes(pod) {
                let ends = || world.ledger().ends(&name(pod, code));
                until("an exit", || (ends() == [i64::try_from(code).ok()]).then_some(()));
            }
            let killed = format!("killed{pod}");
            until(&killed, || world.processes_of(&killed).is_empty().then_some(()));
        }
        let after = Timestamp::now();
        let agent = world.agent();
        for (pod, signal) in DEADLY.into_iter().enumerate() {
            for code in codes(pod) {
                let how = match code {
                    0 => "Completed".to_owned(),
                    code => format!("Error, exit code {code}"),
                };
                agent.expect(&format!("container default/p{pod}/{}: Terminated ({how})", name(pod, code)));
            }
            let code = 128 + signal as i32;
            agent.expect(&format!(
                "container default/p{pod}/killed{pod}: Terminated (Error, exit code {code})"
            ));
            agent.expect(&format!("pod default/p{pod}: Failed"));
        }
        expect_ends(world, before, after);
        agent.clear(world);
    });
}

/// Demands of the API that it tells each end as the container wrote it down: code, reason and time, to the second as Kubernetes has it.
fn expect_ends(world: &World, before: Timestamp, after: Timestamp) {
    let over = || {
        let pods = world.pods();
        let ended: Vec<Value> = pods
            .iter()
            .flat_map(|pod| pod["status"]["containerStatuses"].as_array().cloned())
            .flatten()
            .collect();
        (ended.len() == 110 && ended.iter().all(|one| one["state"]["terminated"].is_object()))
            .then_some(ended)
    };
    for status in until("all ends to be told", over) {
        let (name, end) = (status["name"].as_str().unwrap(), &status["state"]["terminated"]);
        let seconds = |field: &str| end[field].as_str().unwrap().parse::<Timestamp>().unwrap().as_second();
        let finished = seconds("finishedAt");
        assert!((before.as_second()..=after.as_second()).contains(&finished), "{status}");
        assert!(seconds("startedAt") <= finished, "{status}");
        assert_eq!(end["reason"], if end["exitCode"] == 0 { "Completed" } else { "Error" }, "{status}");
        if let [Some(code)] = world.ledger().ends(name)[..] {
            assert_eq!(end["exitCode"], code, "{status}");
            let written = i64::try_from(world.ledger().time(name, "end") / 1_000_000_000).unwrap();
            // It wrote that down, and then ended.
            assert!((written..=after.as_second()).contains(&finished), "{status}, written {written}");
        }
        assert_eq!(status["restartCount"], 0, "{status}");
    }
}

#[test]
fn an_upgrade_of_both_binaries_touches_no_container() {
    world(|world| {
        let own = Path::new(env!("CARGO_BIN_EXE_mkubelet"));
        let installed = world.path("bin");
        fs::create_dir(&installed).unwrap();
        let install = || {
            for name in ["mkubelet", "mkubelet-shim"] {
                // As `install` does it: another file under the same name.
                fs::copy(own.with_file_name(name), installed.join("new")).unwrap();
                fs::rename(installed.join("new"), installed.join(name)).unwrap();
            }
        };
        install();
        world.manifests().put(&pair(world, "lasting"));
        let agent = world.agent_of(&installed.join("mkubelet"));
        agent.expect_running("lasting", "a", 0);
        agent.expect_running("lasting", "b", 0);
        let pids = (world.pid_of("a"), world.pid_of("b"), world.shim_pid());
        install();
        agent.stop();
        let agent = world.agent_of(&installed.join("mkubelet"));
        agent.expect("pod default/lasting: Running");
        assert_eq!((world.pid_of("a"), world.pid_of("b"), world.shim_pid()), pids);
        // What begins from now on is of the new binaries.
        kill(pids.2);
        agent.expect_running("lasting", "a", 1);
        agent.clear(world);
    });
}

/// The conditions of every pod as they were told last, with the times of their changes.
fn conditions(world: &World) -> BTreeMap<String, String> {
    let read = |uid: String| {
        let path = world.run_dir().join("pods").join(&uid).join("conditions.json");
        fs::read_to_string(path).ok().map(|text| (uid, text))
    };
    world.pod_uids().into_iter().filter_map(read).collect()
}

/// So many pods with a readiness probe; their agent is killed, and another one comes.
fn restart_the_agent_of(world: &World, count: usize) {
    let name = |number: usize| format!("p{number}");
    for number in 0..count {
        let probe = json!({"tcpSocket": {"port": 80}, "periodSeconds": 1, "failureThreshold": 1});
        let container = world.container(&name(number), &["serve=80", "term=0", "wait"]);
        world.manifests().put(&world.pod(&name(number), [container.with("readinessProbe", probe)]));
    }
    let agent = world.agent();
    (0..count).for_each(|number| agent.expect_running(&name(number), &name(number), 0));
    let is_ready = |text: &str| {
        let record: Value = serde_json::from_str(text).unwrap_or_default();
        let conditions = record["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True")
    };
    let before = until("all pods to be ready", || {
        let all = conditions(world);
        (all.len() == count && all.values().all(|text| is_ready(text))).then_some(all)
    });
    agent.kill();

    let begun = Instant::now();
    let agent = world.agent();
    world.manifests().put(&world.pod("another", [world.container("another", &["term=0", "wait"])]));
    until("the agent to act", || (world.pod_uids().len() > count).then_some(()));
    let acted = begun.elapsed();
    (0..count).for_each(|number| agent.expect(&format!("pod default/{}: Running", name(number))));
    agent.expect_running("another", "another", 0);
    // Probes have asked several times by then.
    std::thread::sleep(Duration::from_secs(3));
    let after = conditions(world);
    for (uid, conditions) in &before {
        assert_eq!(after.get(uid), Some(conditions));
    }
    (0..count).for_each(|number| assert_eq!(world.ledger().starts(&name(number)), 1));
    assert!(acted < patient(Duration::from_secs(2)), "acts after {acted:?}");
    agent.clear(world);
}

#[test]
fn another_agent_restarts_nothing_flips_no_readiness_and_acts_within_two_seconds() {
    world_in_memory(|world| restart_the_agent_of(world, 20));
}

#[test]
#[ignore = "takes minutes; `make test-long` runs it"]
fn another_agent_restarts_nothing_and_flips_no_readiness_of_110_pods() {
    world_in_memory(|world| restart_the_agent_of(world, 110));
}

#[test]
fn restarts_are_counted_on_by_another_agent() {
    world(|world| {
        let pod = world.pod("again", [world.container("a", &["once=/ledger/x", "term=0", "wait"])]);
        world.manifests().put(&pod);
        let agent = world.agent();
        agent.expect_running("again", "a", 0);
        kill(world.pid_of("a"));
        agent.expect_running("again", "a", 1);
        agent.kill();
        kill(world.pid_of("a"));
        let agent = world.agent();
        agent.expect_state("again", "a", |state| state.starts_with("Waiting (CrashLoopBackOff"));
        agent.expect_running("again", "a", 2);
        let starts = world.ledger().starts("a");
        assert_eq!(starts, 3);
        agent.clear(world);
    });
}

#[test]
fn containers_of_a_killed_shim_run_again_within_two_seconds() {
    world(|world| {
        world.manifests().put(&pair(world, "bereft"));
        let agent = world.agent();
        agent.expect_running("bereft", "a", 0);
        agent.expect_running("bereft", "b", 0);
        let (killed, old) =
            (Instant::now(), [world.shim_pid(), world.pause_pid(), world.pid_of("a"), world.pid_of("b")]);
        kill(old[0]);
        until("both to run again", || {
            (world.ledger().starts("a") == 2 && world.ledger().starts("b") == 2).then_some(())
        });
        let took = killed.elapsed();
        assert!(took < patient(Duration::from_secs(2)), "{took:?}");
        until("what the old shim left to be gone", || {
            world.processes().iter().all(|process| !old.contains(&process.pid)).then_some(())
        });
        agent.clear(world);
    });
}

#[test]
fn containers_of_a_killed_shim_do_not_run_again_where_their_policy_is_never() {
    world(|world| {
        world.manifests().put(&pair(world, "once").restart_policy("Never"));
        let agent = world.agent();
        agent.expect_running("once", "a", 0);
        agent.expect_running("once", "b", 0);
        let old = [world.shim_pid(), world.pause_pid(), world.pid_of("a"), world.pid_of("b")];
        kill(old[0]);
        agent.expect("pod default/once: Failed");
        until("what the shim left to be gone", || {
            world.processes().iter().all(|process| !old.contains(&process.pid)).then_some(())
        });
        for name in ["a", "b"] {
            let status = world.container_status(name).unwrap();
            assert_eq!(status["state"]["terminated"]["exitCode"], 137, "{status}");
            assert_eq!(world.ledger().starts(name), 1);
        }
        agent.clear(world);
    });
}

#[test]
fn a_killed_pause_is_followed_by_another_under_the_same_address() {
    world(|world| {
        world.manifests().put(&pair(world, "awake"));
        let agent = world.agent();
        let (ip, pause) = (agent.ip("awake"), world.pause_pid());
        agent.expect_running("awake", "a", 0);
        kill(pause);
        agent.expect_running("awake", "a", 1);
        assert_ne!(world.pause_pid(), pause);
        assert_eq!(http_get(ip, 80, "/").1, "a");
        agent.clear(world);
    });
}

#[test]
fn a_pod_that_had_ended_before_a_reboot_is_not_begun_again() {
    world(|world| {
        let done =
            |name: &str, code: &str| world.pod(name, [world.container(name, &[&format!("exit={code}")])]);
        world.manifests().put(&done("never", "3").restart_policy("Never"));
        world.manifests().put(&done("well", "0").restart_policy("OnFailure"));
        let agent = world.agent();
        agent.expect("pod default/never: Failed");
        agent.expect("pod default/well: Succeeded");
        until("the ends to be kept", || {
            let kept = |uid: &String| {
                let record = fs::read_to_string(world.root_dir().join("pods").join(uid).join("pod.json"));
                record.is_ok_and(|text| text.contains("\"over\""))
            };
            world.pod_uids().iter().all(kept).then_some(())
        });
        agent.kill();
        world.processes().iter().for_each(|process| kill(process.pid));
        until("all to be dead", || world.processes().iter().all(|one| one.is_zombie()).then_some(()));
        fs::write(world.run_dir().join("boot_id"), "0f0e0d0c-0b0a-4908-8706-050403020100\n").unwrap();

        let agent = world.agent();
        agent.expect("pod default/never: Failed");
        agent.expect("pod default/well: Succeeded");
        agent.clear(world);
        assert_eq!((world.ledger().starts("never"), world.ledger().starts("well")), (1, 1));
    });
}

#[test]
fn after_a_reboot_every_pod_is_started_anew_with_its_init_containers() {
    world(|world| {
        let pod = world
            .pod("first", [world.container("a", &["serve=80", "term=0", "wait"])])
            .init([world.container("i", &["exit=0"])]);
        world.manifests().put(&pod);
        world.manifests().put(&world.pod("gone", [world.container("g", &["term=0", "wait"])]));
        let agent = world.agent();
        world.create(
            &world
                .pod("second", [world.container("b", &["term=0", "wait"])])
                .init([world.container("j", &["exit=0"])]),
        );
        agent.expect_running("second", "b", 0);
        agent.expect_running("first", "a", 0);
        agent.expect_running("gone", "g", 0);
        agent.kill();
        // A machine that is switched off takes no leave.
        world.processes().iter().for_each(|process| kill(process.pid));
        until("all to be dead", || world.processes().iter().all(|one| one.is_zombie()).then_some(()));
        fs::write(world.run_dir().join("boot_id"), "0f0e0d0c-0b0a-4908-8706-050403020100\n").unwrap();
        world.manifests().remove("gone.json");

        let agent = world.agent();
        agent.expect_running("first", "a", 0);
        for (container, init) in [("a", "i"), ("b", "j")] {
            until("the second start", || (world.ledger().starts(container) == 2).then_some(()));
            assert_eq!(world.ledger().ends(init), [Some(0), Some(0)]);
        }
        until("what is not wanted to be cleared away", || (world.pod_uids().len() == 2).then_some(()));
        assert_eq!(world.ledger().starts("g"), 1);
        assert_eq!(http_get(agent.ip("first"), 80, "/").1, "a");
        world.delete_all();
        agent.clear(world);
    });
}
