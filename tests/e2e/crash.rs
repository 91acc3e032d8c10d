//! kill -9 of the agent, the shim and pause: no exit is lost, nothing is left behind, and the pod comes back.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::world::{Pod, Run, World, http_get, kill, until, world};

/// A pod of two containers that serve.
fn pair(world: &World, name: &str) -> Pod {
    world.pod(name, [world.container("a", &["serve=80", "wait"]), world.container("b", &["term=0", "wait"])])
}

fn expect_both(run: &Run, pod: &str, restarts: u32) {
    run.expect_running(pod, "a", restarts);
    run.expect_running(pod, "b", restarts);
}

#[test]
fn a_new_agent_takes_over_what_a_killed_one_left_without_touching_it() {
    world(|world| {
        let pod = pair(world, "orphan");
        let run = world.run(&pod);
        let ip = run.ip("orphan");
        expect_both(&run, "orphan", 0);
        let (a, b) = (world.pid_of("a"), world.pid_of("b"));
        run.kill();
        assert_eq!(http_get(ip, 80, "/").1, "a", "the pod lives on without an agent");

        let run = world.run(&pod);
        run.expect("pod default/orphan: Running");
        assert_eq!(run.ip("orphan"), ip);
        assert_eq!((world.pid_of("a"), world.pid_of("b")), (a, b));
        run.stop();
        assert_eq!((world.ledger().starts("a"), world.ledger().starts("b")), (1, 1));
    });
}

#[test]
fn an_exit_while_no_agent_lived_is_not_lost() {
    world(|world| {
        let pod = world
            .pod("alone", [world.container("a", &["until=/ledger/go", "exit=5"])])
            .restart_policy("Never");
        let run = world.run(&pod);
        run.expect_running("alone", "a", 0);
        run.kill();
        world.touch("go");
        until("the container to end", || (world.ledger().ends("a") == [Some(5)]).then_some(()));
        world.run(&pod).wait().code(5).printed("container default/alone/a: Terminated (Error, exit code 5)");
        assert_eq!(world.ledger().starts("a"), 1);
    });
}

#[test]
fn a_killed_agent_can_be_replaced_any_number_of_times() {
    world(|world| {
        let pod = pair(world, "often");
        for _ in 0..5 {
            let run = world.run(&pod);
            expect_both(&run, "often", 0);
            run.kill();
        }
        let run = world.run(&pod);
        run.expect("pod default/often: Running");
        run.stop();
        assert_eq!((world.ledger().starts("a"), world.ledger().starts("b")), (1, 1));
    });
}

#[test]
fn a_changed_manifest_ends_the_old_pod_before_the_new_one_starts() {
    world(|world| {
        let run = world.run(&world.pod("changes", [world.container("old", &["term=0", "report", "wait"])]));
        world.answer("old", "report").unwrap();
        run.kill();
        let run = world.run(&world.pod("changes", [world.container("new", &["wait"])]));
        run.expect_running("changes", "new", 0);
        assert_eq!(world.ledger().ends("old"), [Some(0)]);
        assert!(world.ledger().time("old", "end") < world.ledger().time("new", "start"));
        run.stop();
    });
}

#[test]
fn containers_of_a_killed_shim_are_started_again_and_nothing_is_orphaned() {
    world(|world| {
        let run = world.run(&pair(world, "bereft"));
        let ip = run.ip("bereft");
        expect_both(&run, "bereft", 0);
        let old = [world.shim_pid(), world.pause_pid(), world.pid_of("a"), world.pid_of("b")];
        kill(old[0]);
        expect_both(&run, "bereft", 1);
        assert_eq!(http_get(ip, 80, "/").1, "a", "under the same address");
        until("what the old shim left to be gone", || {
            world.processes().iter().all(|process| !old.contains(&process.pid)).then_some(())
        });
        run.stop();
    });
}

#[test]
fn a_killed_pause_brings_the_sandbox_back_with_the_same_ip() {
    world(|world| {
        let run = world.run(&pair(world, "awake"));
        let ip = run.ip("awake");
        expect_both(&run, "awake", 0);
        let pause = world.pause_pid();
        kill(pause);
        until("another pause", || (world.pause_pid() != pause).then_some(()));
        expect_both(&run, "awake", 1);
        assert_eq!(http_get(ip, 80, "/").1, "a");
        run.stop();
    });
}

#[test]
fn agent_and_shim_killed_together_leave_nothing_that_the_next_run_does_not_clear() {
    world(|world| {
        let pod = pair(world, "gone");
        let run = world.run(&pod);
        expect_both(&run, "gone", 0);
        let shim = world.shim_pid();
        run.kill();
        kill(shim);

        let run = world.run(&pod);
        expect_both(&run, "gone", 1);
        assert_eq!(http_get(run.ip("gone"), 80, "/").1, "a");
        run.stop();
    });
}

#[test]
fn a_stop_while_the_shim_is_dead_still_cleans_up() {
    world(|world| {
        let run = world.run(&pair(world, "both"));
        expect_both(&run, "both", 0);
        kill(world.shim_pid());
        run.signal(Signal::SIGTERM);
        run.wait().printed("pod default/both: deleted");
    });
}

#[test]
fn everything_killed_at_any_moment_of_the_start_is_cleared_by_the_next_run() {
    world(|world| kill_while_starting(world, (0..12).map(|step| step * 5)));
}

#[test]
#[ignore = "takes minutes; `make test-long` runs it"]
fn everything_killed_at_any_moment_of_the_start_is_cleared_by_the_next_run_for_a_long_time() {
    world(|world| kill_while_starting(world, (0..400).map(|step| step % 100)));
}

/// Kills agent, shim, pause and containers, in an order that differs from time to time, so many milliseconds after the
/// start; then runs the same pod again and ends it.
fn kill_while_starting(world: &World, delays: impl Iterator<Item = u64>) {
    for (round, milliseconds) in delays.enumerate() {
        let name = format!("chaos{round}");
        let pod = pair(world, &name).grace(5);
        let run = world.run(&pod);
        std::thread::sleep(Duration::from_millis(milliseconds));
        let mut victims: Vec<i32> = world.processes().iter().map(|process| process.pid).collect();
        let turn = round % victims.len().max(1);
        victims.rotate_left(turn);
        // Sometimes some survive.
        let spared = if round % 3 == 0 { victims.len() / 2 } else { 0 };
        let victims: Vec<i32> = victims.into_iter().skip(spared).collect();
        let fate = format!("round {round}, after {milliseconds} ms, kills {victims:?}, spares {spared}");
        victims.iter().for_each(|pid| kill(*pid));
        let before = run.kill();
        let old_journal = world.journal();

        let run = world.run(&pod);
        run.expect(&format!("pod default/{name}: Running"));
        assert_eq!(http_get(run.ip(&name), 80, "/").1, "a", "{fate}");
        let new_journal = world.journal();
        let ended = run.stop();
        let story = || {
            let after = ended.transcript();
            format!(
                "{fate}\nfirst run\n{before}\njournal\n{old_journal}\nsecond run\n{after}\njournal\n{new_journal}"
            )
        };
        let lies = world.ledger().contradictions();
        assert!(lies.is_empty(), "{lies:?}\n{}", story());
        assert!(!story().contains("StartError"), "{}", story());
        let alive = world.processes().into_iter().filter(|process| !process.is_zombie()).count();
        assert_eq!(alive, 0, "{}", story());
    }
}

/// A socket that speaks for the shim as one of a later release does.
#[test]
fn a_pod_whose_shim_is_of_a_newer_mkubelet_is_left_alone_until_that_one_comes_back() {
    world(|world| {
        let pod = pair(world, "newer");
        let run = world.run(&pod);
        expect_both(&run, "newer", 0);
        let pids = (world.pid_of("a"), world.pid_of("b"));
        run.kill();

        let directory = world.run_dir().join("pods").join(&world.pod_uids()[0]);
        let (socket, aside) = (directory.join("shim.sock"), directory.join("shim.sock.aside"));
        fs::rename(&socket, &aside).unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        let newer = thread::spawn(move || {
            let mut peer = listener.accept().unwrap().0;
            let mut length = [0; 4];
            peer.read_exact(&mut length).unwrap();
            let mut request = vec![0; u32::from_le_bytes(length) as usize];
            peer.read_exact(&mut request).unwrap();
            let request: Value = serde_json::from_slice(&request).unwrap();
            let refusal =
                json!({"reply": {"id": request["id"], "result": {"Err": "this shim speaks version 999"}}});
            let body = refusal.to_string();
            peer.write_all(&u32::try_from(body.len()).unwrap().to_le_bytes()).unwrap();
            peer.write_all(body.as_bytes()).unwrap();
            // Until the agent hangs up.
            drop(peer.read(&mut length));
        });
        let ended = world.run(&pod).wait().code(1);
        newer.join().unwrap();
        let told = ended.stderr.join("\n");
        assert!(
            told.contains("of a newer mkubelet (this shim speaks version 999): it is left alone"),
            "{told}"
        );
        assert_eq!((world.pid_of("a"), world.pid_of("b")), pids);

        fs::rename(&aside, &socket).unwrap();
        let run = world.run(&pod);
        run.expect("pod default/newer: Running");
        assert_eq!((world.pid_of("a"), world.pid_of("b")), pids);
        run.stop();
        assert_eq!((world.ledger().starts("a"), world.ledger().starts("b")), (1, 1));
    });
}

/// What happens to the bytes of a file.
type Damage = fn(&[u8]) -> Vec<u8>;

const DAMAGES: [(&str, Damage); 4] = [
    ("cut", |bytes| bytes[..bytes.len() / 2].to_vec()),
    ("flipped", |bytes| {
        let mut bytes = bytes.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        bytes
    }),
    ("zeros", |bytes| vec![0; bytes.len()]),
    ("emptied", |_| Vec::new()),
];

/// What is on the disk of a pod is damaged while no agent looks after it: the next one sets that aside, and the pod runs.
#[test]
fn damaged_records_are_set_aside_and_the_pod_runs_as_its_manifest_says() {
    world(|world| {
        for (damage, damaged) in DAMAGES {
            for file in ["pod.json", "probes.json", "conditions.json", "journal"] {
                let pod = pair(world, "damaged");
                let run = world.run(&pod);
                run.expect("pod default/damaged: Running");
                let uid = &world.pod_uids()[0];
                let directory = if file == "pod.json" { world.root_dir() } else { world.run_dir() };
                let path = directory.join("pods").join(uid).join(file);
                let whole = until(&format!("{file} to be written"), || {
                    // Pods without probes have none, and a stranger's is no better.
                    let whole = fs::read(&path).ok().or((file == "probes.json").then(|| b"{}".to_vec()))?;
                    (!whole.is_empty()).then_some(whole)
                });
                run.kill();
                fs::write(&path, damaged(&whole)).unwrap();
                let run = world.run(&pod);
                run.expect_prefix("pod default/damaged: Running");
                let (a, b) = (world.pid_of("a"), world.pid_of("b"));
                assert!(a > 0 && b > 0, "{file} {damage}");
                run.stop();
            }
        }
    });
}

/// The journal is damaged, and its shim killed, under an agent that lives: that goes on by what it knows, and follows the shim that comes next.
#[test]
fn a_shim_that_is_killed_after_its_journal_was_damaged_is_followed_by_one_whose_journal_is_believed() {
    for (damage, damaged) in DAMAGES {
        for policy in ["Always", "Never"] {
            world(|world| {
                let run = world.run(&pair(world, "bereft").restart_policy(policy));
                expect_both(&run, "bereft", 0);
                let path = world.run_dir().join("pods").join(&world.pod_uids()[0]).join("journal");
                // It is in the journal.
                let shim = world.shim_pid();
                fs::write(&path, damaged(&fs::read(&path).unwrap())).unwrap();
                kill(shim);
                let starts = |name: &str| world.ledger().starts(name);
                if policy == "Always" {
                    expect_both(&run, "bereft", 1);
                    // Once more, from the journal that there is now.
                    kill(world.shim_pid());
                    expect_both(&run, "bereft", 2);
                    run.stop();
                } else {
                    let lost = "Terminated (ContainerStatusUnknown, exit code 137): it ended while nobody watched: its shim was gone";
                    run.wait().code(137).printed(&format!("container default/bereft/a: {lost}"));
                }
                let expected = if policy == "Always" { 3 } else { 1 };
                assert_eq!((starts("a"), starts("b")), (expected, expected), "{damage} {policy}");
            });
        }
    }
}
