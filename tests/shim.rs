//! The shim alone, on the real kernel: what an agent would ask of it, and what it must answer.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "shim/attach.rs"]
mod attach;
#[path = "shim/exec.rs"]
mod exec;
#[path = "shim/terminal.rs"]
mod terminal;

use std::collections::VecDeque;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use mkubelet::cgroup::Cgroups;
use mkubelet::container::spec::{ContainerConfig, PidNamespace, Process, Root, StandardInput, UserRequest};
use mkubelet::container::user_namespace::IdRange;
use mkubelet::shim::frame::{Decoder, encode};
use mkubelet::shim::protocol::{
    Call, Event, ExecExit, Message, Record, Reply, Request, SandboxConfig, VERSION,
};
use mkubelet::sys::fd_passing;
use oci_spec::runtime::{LinuxCapabilities, LinuxResources, MountBuilder};

/// A hang, and nothing else, takes this long, or that many times as long: MKUBELET_TEST_PATIENCE is for emulated machines.
static HANG: LazyLock<Duration> = LazyLock::new(|| {
    let factor = std::env::var("MKUBELET_TEST_PATIENCE").map(|factor| factor.parse().unwrap());
    Duration::from_secs(60) * factor.unwrap_or(1)
});

/// A shim with its directories and its cgroup; all gone at the end.
struct World {
    directory: tempfile::TempDir,
    group: PathBuf,
    /// The process that was started: it ends when the shim, a child of its own, is in its cgroup.
    started: Child,
}

/// A connection to it, as an agent has one.
struct Agent {
    socket: UnixStream,
    decoder: Decoder,
    records: VecDeque<Record>,
    /// Ends of executed processes that came while something else was waited for, with the requests' numbers.
    exits: VecDeque<(u64, ExecExit)>,
    /// Likewise of clients that were attached, and why.
    detached: VecDeque<(u64, Option<String>)>,
    /// Descriptors that came, and that nobody has asked for yet.
    fds: Vec<OwnedFd>,
    next: u64,
}

impl World {
    fn new(name: &str) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            assert!(std::env::var_os("CI").is_none(), "needs root");
            println!("SKIPPED: needs root");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let group = PathBuf::from(format!("mkubelet-shim-test-{name}-{}", std::process::id()));
        std::fs::create_dir_all(directory.path().join("image/bin")).unwrap();
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].iter().find(|path| Path::new(path).exists());
        let busybox = busybox.expect("busybox-static is installed");
        std::fs::copy(busybox, directory.path().join("image/bin/busybox")).unwrap();
        for applet in [
            "sh", "sleep", "cat", "id", "mount", "ls", "kill", "hostname", "true", "readlink", "setsid",
            "env",
        ] {
            std::os::unix::fs::symlink("busybox", directory.path().join("image/bin").join(applet)).unwrap();
        }
        let started = Self::spawn(directory.path(), &group);
        Some(Self { directory, group, started })
    }

    fn spawn(directory: &Path, group: &Path) -> Child {
        let socket = directory.join("shim.sock");
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let log =
            std::fs::OpenOptions::new().append(true).create(true).open(directory.join("shim.log")).unwrap();
        Command::new(env!("CARGO_BIN_EXE_mkubelet-shim"))
            .args(["shim", "--pod-uid", "test", "--cgroup-mount", "/sys/fs/cgroup", "--run-dir"])
            .arg(directory)
            .arg("--cgroup")
            .arg(group)
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)))
            .stdout(Stdio::null())
            .stderr(log)
            .current_dir("/")
            .process_group(0)
            .env_clear()
            .spawn()
            .unwrap()
    }

    fn cgroups(&self) -> Cgroups {
        Cgroups::detect(Path::new("/sys/fs/cgroup")).unwrap()
    }

    fn connect(&self, from: u64) -> Agent {
        let socket = UnixStream::connect(self.directory.path().join("shim.sock")).unwrap();
        socket.set_read_timeout(Some(*HANG)).unwrap();
        let mut agent = Agent {
            socket,
            decoder: Decoder::default(),
            records: VecDeque::new(),
            exits: VecDeque::new(),
            detached: VecDeque::new(),
            fds: Vec::new(),
            next: 0,
        };
        let reply = agent.call(Call::Subscribe { version: VERSION, from });
        assert!(matches!(reply, Ok(Reply::Subscribed { version: VERSION, .. })), "{reply:?}");
        agent
    }

    fn sandbox(&self) -> Call {
        self.sandbox_with(None)
    }

    fn sandbox_with(&self, user_namespace: Option<IdRange>) -> Call {
        Call::CreateSandbox(SandboxConfig {
            user_namespace,
            sysctls: Vec::new(),
            hostname: "shim-test".to_owned(),
            host_network: false,
            host_ipc: false,
            pids: PidNamespace::Container,
            cgroup: self.group.join("sandbox"),
            shm_size: 1 << 20,
        })
    }

    fn log(&self, id: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(format!("{id}.log"))).unwrap_or_default()
    }

    /// What the container printed, without the CRI framing.
    fn output(&self, id: &str) -> String {
        self.log(id)
            .split_terminator('\n')
            .filter_map(|line| line.splitn(4, ' ').nth(3))
            .map(|text| format!("{text}\n"))
            .collect()
    }

    fn container(&self, id: &str, args: &[&str]) -> Box<ContainerConfig> {
        let mount = |destination: &str, kind: &str, options: &[&str]| {
            MountBuilder::default()
                .destination(destination)
                .typ(kind)
                .options(options.iter().map(|&option| option.to_owned()).collect::<Vec<_>>())
                .build()
                .unwrap()
        };
        let shm = MountBuilder::default()
            .destination("/dev/shm")
            .typ("bind")
            .source(self.directory.path().join("shm"))
            .options(vec!["rbind".to_owned()])
            .build()
            .unwrap();
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let attempt_dir = self.directory.path().join("attempts").join(id);
        std::fs::create_dir_all(&attempt_dir).unwrap();
        Box::new(ContainerConfig {
            id: id.to_owned(),
            name: id.to_owned(),
            attempt: 0,
            image_id: None,
            target: None,
            stays: false,
            log_path: self.directory.path().join(format!("{id}.log")),
            log_limits: None,
            termination_message: None,
            root: Root { lower: vec![self.directory.path().join("image")], attempt_dir, readonly: false },
            host_devices: false,
            mounts: vec![
                mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
                mount("/dev", "tmpfs", &["nosuid", "noexec", "mode=755", "size=65536k"]),
                mount(
                    "/dev/pts",
                    "devpts",
                    &["nosuid", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
                ),
                shm,
                mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
                mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
                mount("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", "ro"]),
            ],
            masked_paths: words(&["/proc/kcore", "/sys/firmware"]),
            readonly_paths: words(&["/proc/sys"]),
            cgroups_path: self.group.join(id),
            resources: LinuxResources::default(),
            stdin: StandardInput::Nothing,
            terminal: false,
            process: Process {
                args: words(args),
                env: words(&["PATH=/bin"]),
                cwd: "/".into(),
                user: UserRequest::default(),
                capabilities: LinuxCapabilities::default(),
                rlimits: Vec::new(),
                oom_score_adj: 1000,
                no_new_privileges: true,
                apparmor_profile: None,
                seccomp: None,
            },
        })
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let cgroups = self.cgroups();
        let _ = cgroups.kill(&self.group);
        let _ = self.started.kill();
        let _ = self.started.wait();
        if std::thread::panicking() {
            println!(
                "{}",
                std::fs::read_to_string(self.directory.path().join("shim.log")).unwrap_or_default()
            );
        }
        cgroups.remove(&self.group).unwrap();
    }
}

impl Agent {
    fn ask(&mut self, call: Call) -> u64 {
        self.next += 1;
        self.socket.write_all(&encode(&Request { id: self.next, call }).unwrap()).unwrap();
        self.next
    }

    fn call(&mut self, call: Call) -> Result<Reply, String> {
        let asked = self.ask(call);
        self.reply(asked)
    }

    fn reply(&mut self, asked: u64) -> Result<Reply, String> {
        loop {
            match self.message() {
                Message::Reply { id, result } if id == asked => return result,
                Message::Reply { id, .. } => panic!("a reply to {id}, which nobody waits for"),
                Message::Record(record) => self.records.push_back(record),
                Message::ExecExited { id, exit } => self.exits.push_back((id, exit)),
                Message::AttachEnded { id, why } => self.detached.push_back((id, why)),
            }
        }
    }

    fn record(&mut self) -> Record {
        if let Some(record) = self.records.pop_front() {
            return record;
        }
        loop {
            match self.message() {
                Message::Record(record) => return record,
                Message::ExecExited { id, exit } => self.exits.push_back((id, exit)),
                Message::AttachEnded { id, why } => self.detached.push_back((id, why)),
                other => panic!("expected a record, got {other:?}"),
            }
        }
    }

    fn message(&mut self) -> Message {
        let mut buffer = [0; 4096];
        loop {
            if let Some(message) = self.decoder.take().unwrap() {
                return message;
            }
            let received = fd_passing::receive(self.socket.as_fd(), &mut buffer, &mut self.fds);
            let count = received.expect("the shim answers in time");
            assert!(count > 0, "the shim hung up");
            self.decoder.push(&buffer[..count]);
        }
    }

    /// The next records up to the end of `id`: exit code and signal, or the text of the failure to start.
    fn end_of(&mut self, id: &str) -> Result<(i32, Option<i32>), String> {
        loop {
            match self.record().event {
                Event::ContainerExited { container, exit, .. } if container.id == id => {
                    return Ok((exit.code, exit.signal));
                }
                Event::ContainerStartFailed { container, failure } if container.id == id => {
                    return Err(format!("{}: {}", failure.step, failure.text));
                }
                _ => {}
            }
        }
    }

    fn run(&mut self, config: Box<ContainerConfig>) -> Result<(i32, Option<i32>), String> {
        let id = config.id.clone();
        assert_eq!(self.call(Call::StartContainer(config)), Ok(Reply::Done));
        self.end_of(&id)
    }
}

#[test]
fn a_container_runs_in_the_sandbox_and_its_output_and_exit_are_kept() {
    let Some(world) = World::new("runs") else { return };
    let mut agent = world.connect(1);
    assert!(matches!(agent.call(world.sandbox()), Ok(Reply::Sandbox { .. })));
    let script =
        "hostname; echo complaint >&2; ls /proc/self/fd; ls /dev; echo $$; printf unfinished; exit 7";
    assert_eq!(agent.run(world.container("a", &["sh", "-c", script])), Ok((7, None)));
    let output = world.output("a");
    assert!(output.starts_with("shim-test\n") || output.starts_with("complaint\n"), "{output}");
    // The two streams are read in no order.
    let output = output.replacen("complaint\n", "", 1);
    assert!(output.contains("0\n1\n2\n3\n"), "ls itself has 3 open on the directory: {output}");
    for name in [
        "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty",
        "urandom", "zero",
    ] {
        assert!(output.lines().any(|line| line == name), "{name} in {output}");
    }
    assert!(output.ends_with("\n1\nunfinished\n"), "{output}");
    assert!(world.log("a").contains(" stderr F complaint\n"));
    assert_eq!(agent.call(Call::Shutdown), Ok(Reply::Done));
}

#[test]
fn what_cannot_start_says_at_which_step_and_why() {
    let Some(world) = World::new("fails") else { return };
    let mut agent = world.connect(1);
    let early = agent.call(Call::StartContainer(world.container("early", &["true"])));
    assert_eq!(early, Err("the sandbox does not run".to_owned()));
    agent.call(world.sandbox()).unwrap();
    let cases: [(&str, &[&str], &str); 2] = [
        ("nope", &["nope"], "execve: \"nope\": executable file not found in $PATH"),
        ("dir", &["/proc"], "execve: \"/proc\": Permission denied"),
    ];
    for (id, args, expected) in cases {
        assert_eq!(agent.run(world.container(id, args)), Err(expected.to_owned()));
    }

    let mut config = world.container("cwd", &["true"]);
    config.process.cwd = "/proc/self/fd/7".into();
    let error = agent.run(config).unwrap_err();
    assert!(error.starts_with("working directory /proc/self/fd/7: "), "{error}");

    let proc = world.directory.path().join("image/proc");
    std::os::unix::fs::symlink("/sys", &proc).unwrap();
    let error = agent.run(world.container("link", &["true"])).unwrap_err();
    assert_eq!(error, "mount /proc: /proc in the image: a symbolic link is in the way");
    assert_eq!(agent.call(Call::Shutdown), Ok(Reply::Done));
}

#[test]
fn signals_and_kills_end_a_container_with_their_codes() {
    let Some(world) = World::new("signals") else { return };
    let mut agent = world.connect(1);
    agent.call(world.sandbox()).unwrap();
    let trap = "trap 'exit 3' TERM; while :; do sleep 0.01; done";
    agent.call(Call::StartContainer(world.container("polite", &["sh", "-c", trap]))).unwrap();
    agent.call(Call::StartContainer(world.container("deaf", &["sleep", "1000"]))).unwrap();
    agent.call(Call::Signal { id: "deaf".to_owned(), signal: libc::SIGTERM }).unwrap();
    // PID 1 of a PID namespace takes only the signals that it handles, and may not have come to its trap yet.
    let deadline = Instant::now() + *HANG;
    while Instant::now() < deadline {
        agent.call(Call::Signal { id: "polite".to_owned(), signal: libc::SIGTERM }).unwrap();
        if agent.records.iter().any(|record| matches!(record.event, Event::ContainerExited { .. })) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(agent.end_of("polite"), Ok((3, None)));
    agent.call(Call::Kill { id: "deaf".to_owned() }).unwrap();
    assert_eq!(agent.end_of("deaf"), Ok((137, Some(libc::SIGKILL))));
    assert_eq!(agent.call(Call::Shutdown), Ok(Reply::Done));
}

#[test]
fn a_shim_outlives_its_agent_and_tells_the_next_one_everything() {
    let Some(world) = World::new("outlives") else { return };
    let mut agent = world.connect(1);
    agent.call(world.sandbox()).unwrap();
    agent.call(Call::StartContainer(world.container("a", &["sh", "-c", "sleep 0.3; exit 42"]))).unwrap();
    drop(agent);
    let mut agent = world.connect(1);
    assert_eq!(agent.end_of("a"), Ok((42, None)));
    drop(agent);
    let mut agent = world.connect(4);
    assert!(matches!(agent.record().event, Event::ContainerStarted { .. }));
    assert!(matches!(agent.record().event, Event::ContainerExited { .. }));
    assert_eq!(agent.call(Call::Shutdown), Ok(Reply::Done));
}

#[test]
fn a_start_that_a_dead_agent_asked_for_is_not_begun_again() {
    let Some(world) = World::new("again") else { return };
    let mut agent = world.connect(1);
    agent.call(world.sandbox()).unwrap();
    let same = |id: &str| {
        let mut config = world.container(id, &["sh", "-c", "echo once"]);
        config.name = "a".to_owned();
        config.root.attempt_dir = world.directory.path().join("attempts/a");
        std::fs::create_dir_all(&config.root.attempt_dir).unwrap();
        Call::StartContainer(config)
    };
    agent.ask(same("first"));
    drop(agent);

    let mut agent = world.connect(1);
    assert_eq!(agent.call(same("second")), Ok(Reply::Done), "while it is on its way");
    assert_eq!(agent.end_of("first"), Ok((0, None)));
    assert_eq!(agent.call(same("third")), Ok(Reply::Done), "when it has ended");
    assert_eq!(agent.call(Call::Shutdown), Ok(Reply::Done));
    assert!(agent.records.iter().all(|record| !matches!(record.event, Event::ContainerStarted { .. })));
    assert_eq!(
        (world.output("first"), world.output("second"), world.output("third")),
        ("once\n".into(), "".into(), "".into())
    );
}

#[test]
fn an_attempt_that_was_cut_short_can_be_tried_again() {
    let Some(world) = World::new("cut") else { return };
    let mut agent = world.connect(1);
    agent.call(world.sandbox()).unwrap();
    let config = world.container("a", &["sh", "-c", "ls /left"]);
    // As the kernel leaves it when nobody unmounts.
    std::fs::create_dir_all(config.root.attempt_dir.join("work/work/incompat/volatile/dirty")).unwrap();
    std::fs::create_dir_all(config.root.attempt_dir.join("upper/left")).unwrap();
    assert_eq!(agent.run(config), Ok((1, None)), "{}", world.output("a"));
    assert_eq!(agent.call(Call::Shutdown), Ok(Reply::Done));
}

#[test]
fn a_volume_is_judged_by_the_very_file_that_gets_mounted() {
    let Some(world) = World::new("volume") else { return };
    let mut agent = world.connect(1);
    agent.call(world.sandbox()).unwrap();
    let (file, link) = (world.directory.path().join("file"), world.directory.path().join("link"));
    std::fs::write(&file, "").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    for (id, expected) in [("a", "directory"), ("b", "file")] {
        let mut config = world.container(id, &["sh", "-c", "test -f /volume"]);
        let options = vec!["rbind".to_owned(), format!("x-mkubelet.type={expected}")];
        let volume =
            MountBuilder::default().destination("/volume").typ("bind").source(&link).options(options);
        config.mounts.push(volume.build().unwrap());
        match (agent.run(config), expected) {
            (Err(failure), "directory") => {
                let wanted = format!("hostPath type check failed: {} is not a directory", link.display());
                assert!(failure.ends_with(&wanted), "{failure}");
            }
            (end, _) => assert_eq!((end, expected), (Ok((0, None)), "file")),
        }
    }
    assert_eq!(agent.call(Call::Shutdown), Ok(Reply::Done));
}

#[test]
fn a_killed_shim_takes_its_pod_along_and_the_next_one_reports_it_lost() {
    let Some(mut world) = World::new("killed") else { return };
    let mut agent = world.connect(1);
    agent.call(world.sandbox()).unwrap();
    agent.call(Call::StartContainer(world.container("a", &["sleep", "1000"]))).unwrap();
    let Event::ShimStarted { pid, .. } = agent.records[0].event else { panic!("no shim started") };
    drop(agent);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    world.started.wait().unwrap();
    let deadline = Instant::now() + *HANG;
    while world.cgroups().is_populated(&world.group).unwrap() {
        assert!(Instant::now() < deadline, "something of the pod still runs");
        std::thread::sleep(Duration::from_millis(5));
    }
    world.started = World::spawn(world.directory.path(), &world.group);
    let mut agent = world.connect(1);
    let ends: Vec<Event> = std::iter::from_fn(|| Some(agent.record().event)).take(7).collect();
    assert!(
        matches!(&ends[4], Event::ContainerExited { container, exit, .. } if container.id == "a" && exit.lost)
    );
    assert!(matches!(ends[5], Event::SandboxExited { exit } if exit.lost));
    assert!(matches!(ends[6], Event::ShimStarted { .. }));
    assert_eq!(agent.call(Call::Shutdown), Ok(Reply::Done));
}

#[test]
fn killing_pause_ends_the_containers_and_a_new_sandbox_can_follow() {
    let Some(world) = World::new("pause") else { return };
    let mut agent = world.connect(1);
    let Ok(Reply::Sandbox { pid }) = agent.call(world.sandbox()) else { panic!("no sandbox") };
    agent.call(Call::StartContainer(world.container("a", &["sleep", "1000"]))).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    assert_eq!(agent.end_of("a"), Ok((137, Some(libc::SIGKILL))));
    assert!(matches!(agent.call(world.sandbox()), Ok(Reply::Sandbox { pid: new }) if new != pid));
    assert_eq!(agent.run(world.container("b", &["true"])), Ok((0, None)));
    assert_eq!(agent.call(Call::Shutdown), Ok(Reply::Done));
}

#[test]
fn a_start_that_loses_its_sandbox_on_the_way_was_killed_and_has_not_failed() {
    let Some(world) = World::new("orphan") else { return };
    let mut agent = world.connect(1);
    // Pause is killed at another moment of the start each time.
    for round in 0..60 {
        let Ok(Reply::Sandbox { pid }) = agent.call(world.sandbox()) else { panic!("no sandbox") };
        let id = format!("c{round}");
        let asked = agent.ask(Call::StartContainer(world.container(&id, &["sleep", "1000"])));
        std::thread::sleep(Duration::from_micros(250 * round));
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
        match agent.reply(asked) {
            Ok(reply) => {
                assert_eq!(reply, Reply::Done);
                assert_eq!(agent.end_of(&id), Ok((137, Some(libc::SIGKILL))), "round {round}");
            }
            // Too late for it to be begun at all.
            Err(why) => assert!(why.starts_with("the sandbox "), "{why}"),
        }
    }
    assert_eq!(agent.call(Call::Shutdown), Ok(Reply::Done));
}

#[test]
fn containers_begin_anew_only_when_none_runs() {
    let Some(world) = World::new("anew") else { return };
    let mut agent = world.connect(1);
    agent.call(world.sandbox()).unwrap();
    agent.call(Call::StartContainer(world.container("a", &["sleep", "1000"]))).unwrap();
    assert_eq!(agent.call(Call::Reset), Err("containers still run".to_owned()));
    agent.call(Call::Kill { id: "a".to_owned() }).unwrap();
    assert_eq!(agent.end_of("a"), Ok((137, Some(9))));
    assert_eq!(agent.call(Call::Reset), Ok(Reply::Done));
    assert_eq!(agent.record().event, Event::ContainersReset);
    assert_eq!(agent.call(Call::Shutdown), Ok(Reply::Done));
}
