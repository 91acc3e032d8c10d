//! One test's world: made before the test, compared with what was there before, and taken down after it.

mod agent;
mod api;
mod exec;
mod group;
mod ledger;
mod manifest;
mod process;
mod run;
mod slot;
mod snapshot;
mod terminal;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Output};
use std::sync::{LazyLock, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

pub(crate) use agent::Agent;
pub(crate) use exec::Executor;
pub(crate) use group::{Group, HandedOn};
pub(crate) use ledger::Ledger;
pub(crate) use manifest::{Container, Pod, list, with_objects};
pub(crate) use process::{Process, kill, namespace};
pub(crate) use run::{Ended, Run};
use slot::Slot;
use snapshot::Snapshot;
pub(crate) use terminal::Terminal;

/// Nothing that works takes this long; what hangs is reported after it.
pub(crate) static HANG: LazyLock<Duration> = LazyLock::new(|| patient(Duration::from_secs(60)));
/// The kernel tears some things down after the last close, and init buries orphans, on their own time.
static SETTLE: LazyLock<Duration> = LazyLock::new(|| patient(Duration::from_secs(30)));

/// An upper bound, times MKUBELET_TEST_PATIENCE: an emulated processor is ten times slower, and that is no failure.
pub(crate) fn patient(bound: Duration) -> Duration {
    match std::env::var("MKUBELET_TEST_PATIENCE") {
        Ok(factor) => bound * factor.parse().expect("MKUBELET_TEST_PATIENCE is a number"),
        Err(_) => bound,
    }
}

/// Runs a test in a world of its own, then asks both oracles.
///
/// A test that cannot run says SKIPPED aloud; under `CI=true` it fails instead.
pub(crate) fn world(test: impl FnOnce(&World)) {
    world_in(&std::env::temp_dir(), test);
}

/// Likewise with all of its files in memory: for a test that makes and removes so much that a disk would set its pace.
pub(crate) fn world_in_memory(test: impl FnOnce(&World)) {
    world_in(Path::new(slot::MEMORY), test);
}

fn world_in(base: &Path, test: impl FnOnce(&World)) {
    let name = thread::current().name().unwrap_or("a test").to_owned();
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{name} needs root");
        // Not `eprintln`, which is captured as long as the test passes.
        drop(writeln!(std::io::stderr(), "SKIPPED {name}: needs root"));
        return;
    }
    let world = World::new(base);
    let verdict = catch_unwind(AssertUnwindSafe(|| test(&world)));
    // What a failed test leaves behind is no wonder.
    let leaks = if verdict.is_ok() { world.leaks() } else { None };
    let lies = world.ledger().contradictions();
    world.slot.clean();
    if let Err(panic) = verdict {
        resume_unwind(panic);
    }
    assert!(lies.is_empty(), "the ledger shows:\n{}", lies.join("\n"));
    if let Some(leaks) = leaks {
        panic!("the host differs from before:\n{leaks}");
    }
}

/// Directories, bridge, addresses and cgroups that belong to one test.
pub(crate) struct World {
    slot: Slot,
    before: Snapshot,
}

impl World {
    fn new(base: &Path) -> Self {
        let slot = Slot::take(base);
        slot.clean();
        let image = slot.dir().join("image");
        for dir in ["bin", "etc", "tmp"] {
            fs::create_dir_all(image.join(dir)).unwrap();
        }
        install("ledger", &image);
        fs::write(
            image.join("etc/passwd"),
            "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\n",
        )
        .unwrap();
        fs::write(image.join("etc/group"), "root:x:0:\nuser:x:1000:\nextra:x:2000:user\n").unwrap();
        Ledger::create(&slot.dir().join("ledger"));
        let before = Snapshot::take(&slot);
        Self { slot, before }
    }

    /// A path in the world's own directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.slot.dir().join(name)
    }

    pub(crate) fn root_dir(&self) -> PathBuf {
        self.path("root")
    }

    pub(crate) fn run_dir(&self) -> PathBuf {
        self.path("run")
    }

    pub(crate) fn log_dir(&self) -> PathBuf {
        self.path("log")
    }

    /// The first 24 bits of every pod's address.
    pub(crate) fn network(&self) -> [u8; 3] {
        self.slot.network()
    }

    /// The image that all containers use unless told otherwise: the ledger program, /etc/passwd and /etc/group.
    pub(crate) fn image(&self) -> String {
        format!("dir:{}", self.path("image").display())
    }

    /// A container that runs the ledger program, with the ledger mounted.
    pub(crate) fn container(&self, name: &str, steps: &[&str]) -> Container {
        Container::new(name, &self.image())
            .command(&[&["/bin/ledger", name], steps].concat())
            .mount("ledger", "/ledger")
    }

    /// A container of that image which carries out an attack (tests/programs/attacker.rs), without the ledger.
    pub(crate) fn attacker(&self, name: &str, words: &[&str]) -> Container {
        install("attacker", &self.path("image"));
        Container::new(name, &self.image()).command(&[&["/bin/attacker"], words].concat())
    }

    /// A pod with the ledger among its volumes.
    pub(crate) fn pod(&self, name: &str, containers: impl IntoIterator<Item = Container>) -> Pod {
        Pod::new(name, containers).host_path("ledger", &self.ledger_dir())
    }

    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::of(&self.ledger_dir())
    }

    fn ledger_dir(&self) -> PathBuf {
        self.path("ledger")
    }

    /// What a container answered to a step that asks something; waits for it.
    pub(crate) fn answer(&self, container: &str, step: &str) -> Result<Value, String> {
        until(&format!("{container} to answer {step}"), || self.ledger().answer(container, step))
    }

    /// Creates a file that the ledger program waits for (`until=/ledger/NAME`).
    pub(crate) fn touch(&self, name: &str) {
        fs::write(self.ledger_dir().join(name), "").unwrap();
    }

    /// `mkubelet` with this world's directories, bridge, addresses and cgroup.
    pub(crate) fn mkubelet(&self) -> Command {
        self.mkubelet_beside("")
    }

    /// Likewise with directories, bridge, addresses and cgroup of its own: a second node in the same world.
    pub(crate) fn mkubelet_beside(&self, suffix: &str) -> Command {
        let [a, b, c] = self.network();
        // Two halves of the world's /24.
        let (first, bits) = if suffix.is_empty() { (0, 25) } else { (128, 25) };
        let mut command = Command::new(env!("CARGO_BIN_EXE_mkubelet"));
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("RUST_BACKTRACE", "1")
            // How full the disk of this machine is, is not what a test is about, unless it says so by the flag.
            .env("MKUBELET_EVICTION_HARD", "")
            .arg("--root-dir")
            .arg(self.path(&format!("root{suffix}")))
            .arg("--run-dir")
            .arg(self.path(&format!("run{suffix}")))
            .arg("--log-dir")
            .arg(self.path(&format!("log{suffix}")))
            .arg("--bridge")
            .arg(format!("{}{suffix}", self.slot.bridge()))
            .arg("--pod-cidr")
            .arg(format!("{a}.{b}.{c}.{first}/{bits}"))
            .arg("--cgroup-root")
            .arg(format!("{}{suffix}", self.slot.cgroup_root()));
        command
    }

    /// [`World::mkubelet`], out of a binary that lies elsewhere.
    pub(crate) fn mkubelet_of(&self, program: &Path) -> Command {
        let (known, mut command) = (self.mkubelet(), Command::new(program));
        command.env_clear().args(known.get_args());
        command.envs(known.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
    }

    /// Writes a manifest below the world's directory and returns its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// `mkubelet run` of a pod.
    pub(crate) fn run(&self, pod: &Pod) -> Run {
        self.run_with(pod, &[])
    }

    /// Likewise, with flags.
    pub(crate) fn run_with(&self, pod: &Pod, flags: &[&str]) -> Run {
        let manifest = self.write(&format!("{}.json", pod.name()), &pod.to_json());
        let mut command = self.mkubelet();
        command.arg("run").args(flags).arg(manifest);
        self.start(command)
    }

    /// Likewise of the manifest at this path.
    pub(crate) fn run_manifest(&self, path: &Path) -> Run {
        self.run_manifest_with(path, &[])
    }

    /// Likewise with flags.
    pub(crate) fn run_manifest_with(&self, path: &Path, flags: &[&str]) -> Run {
        let mut command = self.mkubelet();
        command.arg("run").args(flags).arg(path);
        self.start(command)
    }

    /// Starts a command of [`World::mkubelet`].
    pub(crate) fn start(&self, command: Command) -> Run {
        Run::start(command, self.ledger_dir())
    }

    /// Starts one and leaves its standard output to the caller, to be closed or not to be read.
    pub(crate) fn start_unread(&self, command: Command) -> (Run, ChildStdout) {
        Run::start_unread(command, self.ledger_dir())
    }

    /// A command that ends by itself.
    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        self.mkubelet().args(arguments).output().unwrap()
    }

    /// `mkubelet image import`.
    pub(crate) fn import(&self, source: &Path, name: &str) {
        let output = self.output(&["image", "import", source.to_str().unwrap(), "--name", name]);
        assert!(output.status.success(), "image import: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// One of the images of rootfs/, which `make rootfs` builds, under this name.
    pub(crate) fn build(&self, image: &str, name: &str) {
        let rootfs = checkout().join("rootfs");
        let built = Command::new(rootfs.join("build")).arg(image).output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        self.import(&rootfs.join("out").join(image), name);
    }

    /// The processes of the container of that name, its first one first. Found by what they are, not by what mkubelet says.
    pub(crate) fn processes_of(&self, container: &str) -> Vec<Process> {
        let mut found: Vec<Process> =
            self.processes().into_iter().filter(|process| process.runs_ledger(container)).collect();
        found.sort_by_key(Process::pid_inside);
        found
    }

    /// To execute programs in the first container that the world's one pod started; waits for it.
    pub(crate) fn executor(&self) -> Executor {
        Executor::connect(self)
    }

    /// The first process of a running container; waits for it.
    pub(crate) fn pid_of(&self, container: &str) -> i32 {
        until(&format!("a process of {container}"), || {
            self.processes_of(container).first().map(|process| process.pid)
        })
    }

    /// The process of this world with just this command line; waits for it.
    pub(crate) fn process(&self, command_line: &str) -> Process {
        until(command_line, || {
            self.processes().into_iter().find(|process| process.command_line() == command_line)
        })
    }

    /// All processes that belong to this world.
    pub(crate) fn processes(&self) -> Vec<Process> {
        Process::all().into_iter().filter(|process| self.slot.owns(process)).collect()
    }

    /// What the shim of the world's one pod listens at.
    pub(crate) fn shim_socket(&self) -> PathBuf {
        self.run_dir().join("pods").join(&self.pod_uids()[0]).join("shim.sock")
    }

    pub(crate) fn shim_pid(&self) -> i32 {
        self.journal_pid("shimStarted")
    }

    pub(crate) fn pause_pid(&self) -> i32 {
        self.journal_pid("sandboxStarted")
    }

    /// The uids of the pods that have a run directory.
    pub(crate) fn pod_uids(&self) -> Vec<String> {
        let entries = fs::read_dir(self.run_dir().join("pods")).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// The journal of the world's one pod; empty when there is none.
    pub(crate) fn journal(&self) -> String {
        let path = self.pod_uids().first().map(|uid| self.run_dir().join("pods").join(uid).join("journal"));
        path.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default()
    }

    /// The process in the last journal record of that kind.
    fn journal_pid(&self, event: &str) -> i32 {
        until(&format!("{event} in a journal"), || {
            let journal = self.journal();
            let mut records = journal.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let last = records.rfind(|record| record["event"][event].is_object())?;
            i32::try_from(last["event"][event]["pid"].as_i64()?).ok()
        })
    }

    /// What is there now and was not before, or the other way round.
    fn leaks(&self) -> Option<String> {
        let deadline = Instant::now() + *SETTLE;
        loop {
            let difference = self.before.difference(&Snapshot::take(&self.slot))?;
            if Instant::now() > deadline {
                return Some(difference);
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// One of the manifests of examples/.
pub(crate) fn example(name: &str) -> PathBuf {
    checkout().join("examples").join(name)
}

fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Asks again until there is an answer.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + *HANG;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {:?} for {what}", *HANG);
        thread::sleep(Duration::from_millis(20));
    }
}

/// GET; the status line and the body. Waits for a server that does not listen yet.
pub(crate) fn http_get(ip: Ipv4Addr, port: u16, path: &str) -> (String, String) {
    let address = SocketAddr::from((ip, port));
    until(&format!("an answer of http://{address}{path}"), || try_get(address, path).ok())
}

/// GET, once.
pub(crate) fn try_get(address: SocketAddr, path: &str) -> std::io::Result<(String, String)> {
    let mut stream = TcpStream::connect_timeout(&address, patient(Duration::from_secs(2)))?;
    stream.set_read_timeout(Some(patient(Duration::from_secs(10))))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    Ok((head.lines().next().unwrap_or_default().to_owned(), body.to_owned()))
}

/// Puts a program of the tests into an image, unless it is there. A hard link where that works: it has 8 MB.
pub(crate) fn install(program: &str, image: &Path) {
    let (from, to) = (programs().join(program), image.join("bin").join(program));
    if !to.exists() {
        fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop)).unwrap();
    }
}

/// Where the programs of the tests are: in MKUBELET_TEST_PROGRAMS, where there is no cargo, else built once by the cargo
/// that built this test.
fn programs() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        if let Some(directory) = std::env::var_os("MKUBELET_TEST_PROGRAMS") {
            return directory.into();
        }
        build(&["ledger", "inside", "attacker"], &[])
    })
}

/// The binaries with points at which they die (src/failpoint.rs), under the names that they have everywhere. From where the programs of the
/// tests are.
pub(crate) fn failing_mkubelet() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let built = match std::env::var_os("MKUBELET_TEST_PROGRAMS") {
            Some(directory) => directory.into(),
            None => build(&["failing-agent", "failing-shim"], &["--features", "failpoints"]),
        };
        let directory = built.join("failing");
        fs::create_dir_all(&directory).unwrap();
        for (program, name) in [("failing-agent", "mkubelet"), ("failing-shim", "mkubelet-shim")] {
            // Other tests may be doing the same.
            let new = directory.join(format!("{name}.{}", std::process::id()));
            fs::hard_link(built.join(program), &new).unwrap();
            fs::rename(new, directory.join(name)).unwrap();
        }
        directory.join("mkubelet")
    })
}

/// Builds examples, by the cargo that built this test, and tells where they are.
fn build(examples: &[&str], flags: &[&str]) -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--quiet", "--message-format=json"]);
    build.args(examples.iter().flat_map(|example| ["--example", example])).args(flags);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let output = build.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).unwrap();
    let built = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let executable =
        built.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).next_back();
    let executable = executable.expect("cargo build --example names an executable");
    executable.parent().unwrap().to_owned()
}
