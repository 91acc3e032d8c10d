//! Many probes a second beside a CPU hog: nobody is restarted who is well, and who is sick is, in time.

use std::fs;
use std::io::Write;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::world::{Run, World, list, patient, until, world};

const THRESHOLD: u32 = 3;

#[test]
fn six_pods_beside_a_hog_are_restarted_when_they_are_sick_and_not_before() {
    world(|world| keep_watch(world, 6, Duration::from_secs(6)));
}

#[test]
#[ignore = "takes minutes; `make test-long` runs it"]
fn a_hundred_and_ten_pods_beside_a_hog_are_restarted_when_they_are_sick_and_not_before() {
    world(|world| keep_watch(world, 110, Duration::from_secs(120)));
}

/// Three probes for each pod, each once a second, for a while; then one of the pods falls sick.
fn keep_watch(world: &World, pods: usize, time: Duration) {
    let each_second = |mut probe: Value| {
        probe["periodSeconds"] = json!(1);
        probe["failureThreshold"] = json!(THRESHOLD);
        probe
    };
    let watched = |number: usize| {
        let front = world
            .container(&format!("a{number}"), &["serve=8080", "wait"])
            .with("livenessProbe", each_second(json!({"httpGet": {"port": 8080, "path": "/healthz"}})))
            .with("readinessProbe", each_second(json!({"tcpSocket": {"port": 8080}})));
        let back = world
            .container(&format!("b{number}"), &["health=9000", "wait"])
            .with("livenessProbe", each_second(json!({"grpc": {"port": 9000}})));
        world.pod(&format!("p{number}"), [front, back]).grace(5)
    };
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let hog = world.container("hog", &[&format!("spin={processors}"), "wait"]);
    let mut all: Vec<_> = (0..pods).map(watched).collect();
    all.push(world.pod("hog", [hog]).grace(0));
    let manifest = world.write("all.json", &list(&all));
    let mut command = world.mkubelet();
    command.arg("run").arg(manifest);
    let run = world.start(command);
    for number in 0..pods {
        run.expect(&format!("container default/p{number}/a{number}: Ready"));
    }

    let before = cpu_time(&run);
    thread::sleep(time);
    let used = (cpu_time(&run) - before).as_secs_f64() / time.as_secs_f64();
    let mut out = std::io::stdout();
    drop(writeln!(out, "{} probes a second take {:.1} % of a processor", pods * 3, used * 100.0));

    let ledger = world.ledger();
    for container in (0..pods).flat_map(|number| [format!("a{number}"), format!("b{number}")]) {
        assert_eq!(ledger.starts(&container), 1, "{container} was well");
    }
    let unready: Vec<_> = run.lines().into_iter().filter(|line| line.ends_with(": Not ready")).collect();
    assert!(unready.is_empty(), "{unready:?}");

    world.touch("a0.sick");
    let sick = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    until("the sick container's second start", || (world.ledger().starts("a0") == 2).then_some(()));
    let noticed = Duration::from_nanos(world.ledger().time("a0", "signal")) - sick;
    assert!(noticed <= patient(Duration::from_secs(1) * (THRESHOLD + 1)), "after {noticed:?}");
    run.stop();
}

/// What the agent has used so far.
fn cpu_time(run: &Run) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", run.pid())).unwrap();
    // Behind the name, which may hold anything: utime and stime are the 12th and 13th, in hundredths of a second.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}
