//! The machine goes down: pods end first, in their order, and some of them are there again afterwards. systemd is played, on a message
//! bus of the test's own.

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use zbus::Connection;
use zbus::connection::Builder;

use super::client::{create, get};
use super::operation;
use crate::world::{Pod, Run, World, kill, until, world};

const PATH: &str = "/org/freedesktop/login1";
const INTERFACE: &str = "org.freedesktop.login1.Manager";

/// A message bus; it ends with this.
struct Bus {
    daemon: Child,
    address: String,
}

impl Bus {
    fn start(world: &World) -> Self {
        let address = format!("unix:path={}", world.path("bus").display());
        let config = format!(
            "<busconfig><type>system</type><listen>{address}</listen><auth>EXTERNAL</auth><policy context=\"default\">\
             <allow send_destination=\"*\"/><allow receive_sender=\"*\"/><allow own=\"*\"/></policy></busconfig>"
        );
        let config = world.write("bus.conf", &config);
        let mut command = Command::new("dbus-daemon");
        command.arg("--nofork").arg(format!("--config-file={}", config.display())).stdin(Stdio::null());
        let daemon = command.spawn().expect("dbus-daemon: see scripts/install-packages");
        until("the message bus", || world.path("bus").exists().then_some(()));
        Self { daemon, address }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// What is known of locks and of the time that they have.
#[derive(Default)]
struct State {
    /// What was asked for, and the end of a pipe that shows whether it is held.
    locks: Vec<(String, OwnedFd)>,
    max_seconds: u64,
    signals: Vec<(String, i32)>,
}

/// The login manager's object.
struct Manager(Arc<Mutex<State>>);

#[zbus::interface(name = "org.freedesktop.login1.Manager")]
impl Manager {
    fn inhibit(&self, what: &str, _who: &str, _why: &str, mode: &str) -> zbus::OwnedFd {
        let (held, lock) = pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).unwrap();
        self.0.lock().unwrap().locks.push((format!("{what} {mode}"), held));
        lock.into()
    }

    #[zbus(property, name = "InhibitDelayMaxUSec")]
    fn inhibit_delay_max_usec(&self) -> u64 {
        self.0.lock().unwrap().max_seconds * 1_000_000
    }
}

/// The service manager's object. It passes a signal on: the login manager reads its configuration.
struct Services {
    state: Arc<Mutex<State>>,
    conf_dir: PathBuf,
}

#[zbus::interface(name = "org.freedesktop.systemd1.Manager")]
impl Services {
    fn kill_unit(&self, unit: &str, _whom: &str, signal: i32) {
        let text = fs::read_to_string(self.conf_dir.join("99-mkubelet.conf")).unwrap();
        let seconds = text.lines().find_map(|line| line.strip_prefix("InhibitDelayMaxSec=")).unwrap();
        let mut state = self.state.lock().unwrap();
        state.max_seconds = seconds.parse().unwrap();
        state.signals.push((unit.to_owned(), signal));
    }
}

/// systemd, as far as an agent knows it.
struct Systemd {
    runtime: Runtime,
    connection: Connection,
    state: Arc<Mutex<State>>,
}

impl Systemd {
    /// One whose login manager waits for 5 s, as it does unless somebody says otherwise.
    fn start(bus: &Bus, conf_dir: PathBuf) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let state = Arc::new(Mutex::new(State { max_seconds: 5, ..State::default() }));
        let (manager, services) =
            (Manager(Arc::clone(&state)), Services { state: Arc::clone(&state), conf_dir });
        let builder = Builder::address(bus.address.as_str()).name("org.freedesktop.login1");
        let builder = builder.name("org.freedesktop.systemd1").serve_at(PATH, manager);
        let builder = builder.serve_at("/org/freedesktop/systemd1", services);
        let connection = runtime.block_on(builder.build()).unwrap();
        Self { runtime, connection, state }
    }

    fn prepare_for_shutdown(&self, begins: bool) {
        let body = (begins,);
        let emitted = self.connection.emit_signal(None::<&str>, PATH, INTERFACE, "PrepareForShutdown", &body);
        self.runtime.block_on(emitted).unwrap();
    }

    /// The locks that are held.
    fn held(&self) -> Vec<String> {
        // At the end of the pipe nobody has its other end any more.
        let is_held = |held: &OwnedFd| fs::File::from(held.try_clone().unwrap()).read(&mut [0]).is_err();
        let state = self.state.lock().unwrap();
        state.locks.iter().filter(|(_, held)| is_held(held)).map(|(what, _)| what.clone()).collect()
    }

    fn expect_lock(&self) {
        until("a lock", || (self.held() == ["shutdown delay"]).then_some(()));
    }

    fn expect_release(&self) {
        until("the lock to be released", || self.held().is_empty().then_some(()));
    }
}

/// An agent that hears of shutdowns, or, without a bus, of none.
fn start(world: &World, address: &str, flags: &[&str]) -> Run {
    let mut command = world.mkubelet();
    command.env("DBUS_SYSTEM_BUS_ADDRESS", address).args(["agent", "--manifests"]);
    command.arg(world.manifests().path("")).arg("--logind-conf-dir").arg(world.path("logind.conf.d"));
    world.start({
        command.args(flags);
        command
    })
}

/// A pod that takes so long to end.
fn slow(world: &World, name: &str, seconds: u32) -> Pod {
    let hook = json!({"preStop": {"sleep": {"seconds": seconds}}});
    world.pod(name, [world.container(name, &["term=0", "wait"]).with("lifecycle", hook)])
}

/// The node's condition `Ready`: status, reason and message.
fn ready(world: &World) -> [String; 3] {
    let node = get(world, "nodes").remove(0);
    let conditions = node["status"]["conditions"].as_array().unwrap();
    let ready = conditions.iter().find(|one| one["type"] == "Ready").unwrap();
    ["status", "reason", "message"].map(|field| ready[field].as_str().unwrap().to_owned())
}

fn pod(world: &World, name: &str) -> Value {
    get(world, "pods").into_iter().find(|pod| pod["metadata"]["name"] == name).unwrap()
}

/// As at a power cut; what is left is of another boot.
fn reboot(world: &World) {
    world.processes().iter().for_each(|process| kill(process.pid));
    until("all to be dead", || world.processes().iter().all(|one| one.is_zombie()).then_some(()));
    fs::write(world.run_dir().join("boot_id"), "0f0e0d0c-0b0a-4908-8706-050403020100\n").unwrap();
}

/// Ends all pods, and waits until nothing is left of them.
fn clear(world: &World) {
    world.delete_all();
    world.manifests().clear();
    until("all pods to be gone", || world.pod_uids().is_empty().then_some(()));
}

const TERMINATED: &str = "Failed (Terminated): Pod was terminated in response to imminent node shutdown.";

#[test]
fn pods_end_in_their_order_before_the_machine_goes_down() {
    world(|world| {
        let bus = Bus::start(world);
        let systemd = Systemd::start(&bus, world.path("logind.conf.d"));
        let flags = ["--shutdown-grace-period=8s", "--shutdown-grace-period-critical-pods=4s"];
        let agent = start(world, &bus.address, &flags);
        systemd.expect_lock();
        assert_eq!(systemd.state.lock().unwrap().max_seconds, 8, "logind waits for the pods");
        let signals = systemd.state.lock().unwrap().signals.clone();
        assert_eq!(signals, [("systemd-logind.service".to_owned(), libc::SIGHUP)]);

        create(world, &slow(world, "ordinary", 1));
        create(
            world,
            &world.pod("stubborn", [world.container("stubborn", &["term=ignore", "wait"])]).grace(300),
        );
        let critical = slow(world, "critical", 0).spec("priorityClassName", json!("system-node-critical"));
        create(world, &critical);
        for name in ["ordinary", "stubborn", "critical"] {
            agent.expect_running(name, name, 0);
        }
        systemd.prepare_for_shutdown(true);
        let begun = std::time::Instant::now();
        for name in ["ordinary", "stubborn", "critical"] {
            agent.expect_prefix(&format!("pod default/{name}: {TERMINATED}"));
        }
        systemd.expect_release();
        assert!(begun.elapsed() >= Duration::from_secs(4), "somebody had time that was not used");
        let ended = |name: &str| world.ledger().time(name, "end");
        assert!(ended("ordinary") < ended("critical"));
        let apart = Duration::from_nanos(ended("critical") - ended("ordinary"));
        assert!(apart >= Duration::from_secs(2), "the first group has all of its time: {apart:?}");
        let state = &pod(world, "stubborn")["status"]["containerStatuses"][0]["state"]["terminated"];
        assert_eq!(state["exitCode"], 137);
        let target = pod(world, "critical")["status"]["conditions"].as_array().unwrap().clone();
        let target = target.into_iter().find(|one| one["type"] == "DisruptionTarget").unwrap();
        assert_eq!(target["reason"], "TerminationByKubelet");

        let down = ["False", "KubeletNotReady", "node is shutting down"].map(str::to_owned);
        until("the node to be told of", || (ready(world) == down).then_some(()));
        create(world, &world.pod("late", [world.container("late", &["wait"])]));
        agent.expect_prefix(
            "pod default/late: Failed (NodeShutdown): Pod was rejected: Pod was rejected as the node is shutting down.",
        );
        until("the shutdown to be an event", || {
            let events = get(world, "events");
            let tells = |event: &Value| event["message"] == "Shutdown manager detected shutdown event";
            events.iter().any(tells).then_some(())
        });
        let metrics = operation::get(world, "/metrics").1;
        let seconds = |which: &str| -> f64 {
            let name = format!("kubelet_graceful_shutdown_{which}_time_seconds ");
            metrics.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
        };
        let took = seconds("end") - seconds("start");
        assert!(seconds("start") > 1.7e9 && (4.0..30.0).contains(&took), "{took}");

        systemd.prepare_for_shutdown(false);
        systemd.expect_lock();
        until("the node to be well again", || (ready(world)[0] == "True").then_some(()));
        create(world, &slow(world, "next", 0));
        agent.expect_running("next", "next", 0);
        clear(world);
        agent.stop();
        systemd.expect_release();
        assert_eq!((world.ledger().starts("critical"), world.ledger().starts("late")), (1, 0));
    });
}

#[test]
fn pods_of_files_that_went_down_with_the_machine_begin_again_and_those_of_the_api_do_not() {
    world(|world| {
        let bus = Bus::start(world);
        let systemd = Systemd::start(&bus, world.path("logind.conf.d"));
        let flags = ["--shutdown-grace-period-by-pod-priority=0=4"];
        world.manifests().put(&slow(world, "file", 0));
        let agent = start(world, &bus.address, &flags);
        systemd.expect_lock();
        assert!(!world.path("logind.conf.d").exists(), "logind waits long enough");
        create(world, &slow(world, "api", 0));
        for name in ["file", "api"] {
            agent.expect_running(name, name, 0);
        }
        let go_down = |agent: &Run, names: &[&str]| {
            systemd.prepare_for_shutdown(true);
            for name in names {
                agent.expect_prefix(&format!("pod default/{name}: {TERMINATED}"));
            }
            systemd.expect_release();
        };
        go_down(&agent, &["file", "api"]);
        agent.stop();

        // The machine stayed.
        let agent = start(world, &bus.address, &flags);
        until("another start", || (world.ledger().starts("file") == 2).then_some(()));
        agent.expect_prefix(&format!("pod default/api: {TERMINATED}"));
        systemd.expect_lock();
        go_down(&agent, &["file"]);
        agent.stop();

        reboot(world);
        let agent = start(world, &bus.address, &flags);
        agent.expect_running("file", "file", 0);
        agent.expect_prefix(&format!("pod default/api: {TERMINATED}"));
        until("the API to be told", || (pod(world, "file")["status"]["phase"] == "Running").then_some(()));
        agent.stop();

        let agent = start(world, &bus.address, &flags);
        until("the pod to be taken over", || {
            agent.lines().iter().any(|line| line.contains("/file/file: Running")).then_some(())
        });
        clear(world);
        agent.stop();
        assert_eq!((world.ledger().starts("file"), world.ledger().starts("api")), (3, 1));
    });
}

#[test]
fn without_a_login_manager_the_agent_says_so_once_and_works() {
    world(|world| {
        let nowhere = format!("unix:path={}", world.path("no-bus").display());
        let agent = start(world, &nowhere, &["--shutdown-grace-period=30s"]);
        agent.expect_error("pods will have no time to end when the machine goes down: ");
        create(world, &slow(world, "pod", 0));
        agent.expect_running("pod", "pod", 0);
        clear(world);
        let ended = agent.stop();
        let told = ended.stderr.iter().filter(|line| line.contains("no time to end")).count();
        assert_eq!(told, 1, "{:?}", ended.stderr);
    });
}
