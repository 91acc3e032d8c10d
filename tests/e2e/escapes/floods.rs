//! Output without end, output that nobody ends, and connections without number: afterwards all is as before
//! (CVE-2020-8551, CVE-2022-31030, CVE-2025-64329).

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::attack;
use crate::world::{Pod, World, kill, until};

/// Memory of a process that is its own, and its open descriptors.
#[derive(Debug, Clone, Copy)]
struct Size {
    bytes: u64,
    descriptors: usize,
}

/// What an allocator may keep back, bytes.
const SLACK: u64 = 16 << 20;

impl Size {
    fn of(pid: i32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").trim().parse().unwrap();
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        Self { bytes: kibibytes << 10, descriptors }
    }
}

/// Waits for a process to be as it was.
fn expect_as_before(pid: i32, before: Size) {
    until("memory and descriptors to go back", || {
        let now = Size::of(pid);
        (now.bytes <= before.bytes + SLACK && now.descriptors <= before.descriptors).then_some(())
    });
}

fn log_of(world: &World, container: &str) -> PathBuf {
    until("a log", || {
        let pod = fs::read_dir(world.log_dir()).ok()?.flatten().next()?;
        Some(pod.path().join(container).join("0.log")).filter(|path| path.exists())
    })
}

#[test]
fn a_quarter_of_a_gigabyte_of_output_leaves_no_trace_in_memory() {
    attack(|world, _| flood(world, 256 << 20));
}

#[test]
#[ignore = "takes minutes; `make test-long` runs it"]
fn ten_gigabytes_of_output_leave_no_trace_in_memory() {
    attack(|world, _| flood(world, 10 << 30));
}

fn flood(world: &World, bytes: u64) {
    let calm = world.container("calm", &["wait"]);
    let printer = world.attacker("loud", &["print", &bytes.to_string()]);
    let run = world.run(&world.pod("loud", [calm, printer]).restart_policy("Never"));
    run.expect_running("loud", "calm", 0);
    let (agent, shim) = (run.pid(), world.shim_pid());
    let before = [Size::of(agent), Size::of(shim)];
    let log = log_of(world, "loud");
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        // As a log rotator does it, so that the disk is spared.
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let _ = fs::OpenOptions::new().write(true).open(&log).and_then(|file| file.set_len(0));
                thread::sleep(Duration::from_millis(50));
            }
        });
        let mut size = Size::of(shim);
        while !run.lines().iter().any(|line| line == "container default/loud/loud: Terminated (Completed)") {
            size = Size::of(shim);
            assert!(size.bytes <= before[1].bytes + SLACK, "the shim grows: {size:?}, before {before:?}");
            thread::sleep(Duration::from_millis(50));
        }
        over.store(true, Ordering::Relaxed);
        assert!(size.descriptors > 0);
    });
    expect_as_before(agent, before[0]);
    expect_as_before(shim, before[1]);
    run.stop();
}

/// Of what an executed program prints the beginning is kept, and the rest does not stop it.
#[test]
fn what_an_executed_program_prints_is_kept_up_to_a_cap() {
    attack(|world, _| {
        let run = world.run(&world.pod("asked", [world.attacker("a", &["sleep"])]).grace(1));
        run.expect("container default/asked/a: Running");
        let (executor, shim) = (world.executor(), world.shim_pid());
        let before = Size::of(shim);
        let captured = executor.run(&["/bin/attacker", "print", "67108864"], 10_000).unwrap();
        assert_eq!((captured.exit.code, captured.output.len()), (0, 10_000));
        expect_as_before(shim, before);
        run.stop();
    });
}

#[test]
fn a_process_that_keeps_an_executed_programs_output_open_does_not_hold_up_its_end() {
    attack(|world, _| {
        let run = world.run(&world.pod("asked", [world.attacker("a", &["sleep"])]).grace(1));
        run.expect("container default/asked/a: Running");
        let (executor, shim) = (world.executor(), world.shim_pid());
        executor.run(&["/bin/attacker", "inside"], 0).unwrap();
        let before = Size::of(shim);
        for _ in 0..20 {
            let captured = executor.run(&["/bin/attacker", "leave-output-open"], 10_000).unwrap();
            assert_eq!(captured.exit.code, 0);
        }
        expect_as_before(shim, before);
        run.stop();
    });
}

#[test]
fn a_process_that_keeps_the_output_open_does_not_hold_up_the_end() {
    attack(|world, _| {
        let pod = Pod::new("kept", [world.attacker("a", &["leave-output-open"])]).restart_policy("Never");
        world.run(&pod).wait().success().printed("container default/kept/a: Terminated (Completed)");
    });
}

/// A container can hand its output to another one, which lives on: the pipe then never ends, and never has to.
#[test]
fn an_output_that_was_lent_to_another_container_does_not_hold_up_the_end() {
    attack(|world, _| {
        let lender = world.attacker("lender", &["lend-output", "/data/socket"]).mount("data", "/data");
        let borrower = world.attacker("borrower", &["borrow-output", "/data/socket"]).mount("data", "/data");
        let pod = Pod::new("lent", [borrower, lender]).grace(1);
        let pod = pod.volume(serde_json::json!({"name": "data", "emptyDir": {}})).restart_policy("Never");
        let run = world.run(&pod);
        run.expect("container default/lent/lender: Terminated (Completed)");
        run.stop();
    });
}

#[test]
fn connections_without_number_to_a_shim_leave_it_as_it_was() {
    attack(|world, _| {
        let run = world.run(&world.pod("called", [world.container("a", &["wait"])]));
        run.expect_running("called", "a", 0);
        let shim = world.shim_pid();
        let before = Size::of(shim);
        let socket = world.run_dir().join("pods").join(&world.pod_uids()[0]).join("shim.sock");
        for _ in 0..10_000 {
            drop(UnixStream::connect(&socket).unwrap());
        }
        // More at a time than it takes, none of which says a word.
        let held: Vec<_> = (0..64).map(|_| UnixStream::connect(&socket)).collect();
        kill(world.pid_of("a"));
        run.expect_running("called", "a", 1);
        drop(held);
        expect_as_before(shim, before);
        run.stop();
    });
}
