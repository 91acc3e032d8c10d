//! Further processes in a container that runs.

use std::collections::BTreeSet;
use std::fs;
use std::io::{PipeReader, Read, Write, pipe};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use mkubelet::container::seccomp::Filter;
use mkubelet::container::user_namespace::IdRange;
use mkubelet::shim::frame::encode;
use mkubelet::shim::protocol::{Call, Event, ExecConfig, ExecExit, ExecStreams, Message, Reply, Request};
use mkubelet::sys::fd_passing;
use oci_spec::runtime::{Capability, LinuxCapabilities, PosixRlimitBuilder, PosixRlimitType};

use super::{Agent, HANG, World};

impl Agent {
    /// Asks for an exec, with these standard streams.
    pub(super) fn ask_exec(&mut self, config: ExecConfig, fds: &[BorrowedFd<'_>]) -> u64 {
        self.next += 1;
        let frame = encode(&Request { id: self.next, call: Call::Exec(Box::new(config)) }).unwrap();
        assert_eq!(fd_passing::send(self.socket.as_fd(), &frame, fds).unwrap(), frame.len());
        self.next
    }

    /// Starts one with a pipe for its output; gives the request's number, the pid and the pipe.
    fn exec_with_output(&mut self, mut config: ExecConfig) -> (u64, i32, PipeReader) {
        let (reader, writer) = pipe().unwrap();
        config.streams = ExecStreams { stdout: true, stderr: true, ..ExecStreams::default() };
        let id = self.ask_exec(config, &[writer.as_fd(), writer.as_fd()]);
        match self.reply(id) {
            Ok(Reply::ExecStarted { pid, .. }) => (id, pid, reader),
            other => panic!("not started: {other:?}"),
        }
    }

    pub(super) fn exit_of(&mut self, asked: u64) -> ExecExit {
        loop {
            if let Some(index) = self.exits.iter().position(|(id, _)| *id == asked) {
                return self.exits.remove(index).unwrap().1;
            }
            match self.message() {
                Message::ExecExited { id, exit } => self.exits.push_back((id, exit)),
                Message::AttachEnded { id, why } => self.detached.push_back((id, why)),
                Message::Record(record) => self.records.push_back(record),
                Message::Reply { id, .. } => panic!("a reply to {id}, which nobody waits for"),
            }
        }
    }

    /// Runs one to its end: what it wrote, and how it ended.
    fn exec(&mut self, config: ExecConfig) -> (String, ExecExit) {
        let (id, _, mut reader) = self.exec_with_output(config);
        let mut output = String::new();
        reader.read_to_string(&mut output).unwrap();
        (output, self.exit_of(id))
    }

    /// Why one could not be started.
    pub(super) fn exec_failure(&mut self, config: ExecConfig) -> String {
        let id = self.ask_exec(config, &[]);
        match self.reply(id) {
            Ok(Reply::ExecFailed(failure)) => format!("{}: {}", failure.step, failure.text),
            Err(text) => text,
            other => panic!("it started: {other:?}"),
        }
    }
}

pub(super) fn in_container(id: &str, args: &[&str]) -> ExecConfig {
    ExecConfig {
        id: id.to_owned(),
        args: args.iter().map(|&word| word.to_owned()).collect(),
        ..ExecConfig::default()
    }
}

pub(super) fn exited(code: i32) -> ExecExit {
    ExecExit { code, signal: None, timed_out: false }
}

/// A world with one container, `a`, that does nothing; and a connection.
pub(super) fn idle_container(name: &str) -> Option<(World, Agent)> {
    let world = World::new(name)?;
    let mut agent = world.connect(1);
    agent.call(world.sandbox()).unwrap();
    agent.call(Call::StartContainer(world.container("a", &["sleep", "1000"]))).unwrap();
    Some((world, agent))
}

pub(super) fn end(mut agent: Agent) {
    assert_eq!(agent.call(Call::Shutdown), Ok(Reply::Done));
}

fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn until_gone(pid: i32) {
    let deadline = Instant::now() + *HANG;
    while is_alive(pid) {
        assert!(Instant::now() < deadline, "{pid} still runs");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The processes in a container's cgroup, as the host sees them.
fn processes(world: &World, id: &str) -> BTreeSet<i32> {
    world.cgroups().processes(&world.group.join(id)).unwrap().into_iter().collect()
}

#[test]
fn exit_codes_signals_and_output_come_back() {
    let Some((_world, mut agent)) = idle_container("exec-ends") else { return };
    let shell = |script: &str| in_container("a", &["sh", "-c", script]);
    assert_eq!(agent.exec(shell("echo out; echo err >&2; exit 7")), ("out\nerr\n".to_owned(), exited(7)));
    let killed = |signal| ExecExit { code: 128 + signal, signal: Some(signal), timed_out: false };
    assert_eq!(agent.exec(shell("kill -TERM $$")).1, killed(libc::SIGTERM));
    assert_eq!(agent.exec(shell("kill -KILL $$")).1, killed(libc::SIGKILL));

    let (reader, writer) = pipe().unwrap();
    let (stdin, mut feed) = pipe().unwrap();
    let streams = ExecStreams { stdin: true, stdout: true, stderr: false };
    let config = ExecConfig { streams, ..in_container("a", &["sh", "-c", "cat; echo lost >&2"]) };
    let id = agent.ask_exec(config, &[stdin.as_fd(), writer.as_fd()]);
    drop((stdin, writer));
    assert!(matches!(agent.reply(id), Ok(Reply::ExecStarted { .. })));
    feed.write_all(b"fed\n").unwrap();
    drop(feed);
    assert_eq!(std::io::read_to_string(reader).unwrap(), "fed\n");
    assert_eq!(agent.exit_of(id), exited(0));

    let id = agent.ask_exec(shell("cat; exit 4"), &[]);
    assert!(matches!(agent.reply(id), Ok(Reply::ExecStarted { .. })));
    assert_eq!(agent.exit_of(id), exited(4), "standard input is empty when none is given");
    end(agent);
}

#[test]
fn a_process_has_what_the_first_one_was_given() {
    has_what_the_first_one_was_given("exec-same", None);
}

#[test]
fn a_process_has_what_the_first_one_was_given_in_a_user_namespace_too() {
    has_what_the_first_one_was_given(
        "exec-same-users",
        Some(IdRange { first: 2_000_027_648, count: 65_536 }),
    );
}

fn has_what_the_first_one_was_given(name: &str, ids: Option<IdRange>) {
    let Some(world) = World::new(name) else { return };
    let mut agent = world.connect(1);
    agent.call(world.sandbox_with(ids)).unwrap();
    let mut config = world.container("a", &["sh", "-c", "/report; sleep 1000"]);
    let report = "#!/bin/sh\ncd /tmp\nfor n in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$n; done
umask; cat /proc/self/uid_map /proc/self/cgroup /proc/self/limits /proc/self/oom_score_adj
while read key value; do case $key in Uid:|Gid:|Groups:|Cap*|NoNewPrivs:|Seccomp:|Sig*) echo $key $value;; esac; done </proc/self/status
ls -l /proc/self/fd 2>/dev/null | while read a b c d e f g h name; do case $name in [0-2]*) echo fd ${name%% *};; esac; done
";
    let path = world.directory.path().join("image/report");
    fs::write(&path, report).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    fs::create_dir_all(world.directory.path().join("image/etc")).unwrap();
    fs::create_dir_all(world.directory.path().join("image/tmp")).unwrap();
    fs::write(world.directory.path().join("image/etc/passwd"), "app:x:1001:1002::/home/app:/bin/sh\n")
        .unwrap();
    fs::write(world.directory.path().join("image/etc/group"), "app:x:1002:\nmore:x:1003:app\n").unwrap();
    config.process.user.image_user = "app".to_owned();
    config.process.user.supplemental_groups = vec![4000];
    config.process.oom_score_adj = 321;
    config.process.env.push("GREETING=hello".to_owned());
    let mut capabilities = LinuxCapabilities::default();
    capabilities.set_bounding(Some([Capability::Chown, Capability::Kill].into()));
    config.process.capabilities = capabilities;
    let files = PosixRlimitBuilder::default().typ(PosixRlimitType::RlimitNofile).soft(77u64).hard(88u64);
    config.process.rlimits = vec![files.build().unwrap()];
    let allow_all = libc::sock_filter { code: 6, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW };
    config.process.seccomp = Some(Filter::new(0, &[allow_all]));
    agent.call(Call::StartContainer(config)).unwrap();
    let deadline = Instant::now() + *HANG;
    while !world.output("a").contains("fd 2") {
        assert!(Instant::now() < deadline, "{}", world.log("a"));
        std::thread::sleep(Duration::from_millis(5));
    }
    // The container's files may say otherwise by now: who the container runs as was decided at its start.
    let upper = world.directory.path().join("attempts/a/upper/etc");
    fs::create_dir_all(&upper).unwrap();
    fs::write(upper.join("passwd"), "app:x:0:0::/root:/bin/sh\n").unwrap();

    let (output, exit) = agent.exec(in_container("a", &["/report"]));
    assert_eq!(exit, exited(0), "{output}");
    assert_eq!(output, world.output("a"));
    let map = |from: &str| from.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let host = fs::read_to_string("/proc/self/uid_map").unwrap();
    let expected = ids.map_or(host, |ids| format!("0 {} {}", ids.first, ids.count));
    assert!(output.lines().any(|line| map(line) == map(&expected)), "{output}");
    assert!(output.contains("Uid: 1001 1001 1001 1001\n"), "{output}");
    assert!(output.contains("CapBnd: 0000000000000021\n"), "{output}");
    assert!(output.contains("Seccomp: 2\n"), "{output}");
    assert!(output.contains("\n321\n") && output.contains("\n0022\n"), "{output}");

    let variables = |output: &str| output.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let expected = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<BTreeSet<_>>();
    let config =
        ExecConfig { env: vec!["GREETING=bye".into(), "NEW=1".into()], ..in_container("a", &["env"]) };
    let (output, _) = agent.exec(config);
    assert_eq!(variables(&output), expected(&["PATH=/bin", "HOME=/home/app", "GREETING=bye", "NEW=1"]));
    end(agent);
}

#[test]
fn a_working_directory_lies_inside_the_root() {
    let Some((_world, mut agent)) = idle_container("exec-cwd") else { return };
    let at = |cwd: &str| ExecConfig { cwd: Some(cwd.into()), ..in_container("a", &["sh", "-c", "pwd -P"]) };
    assert_eq!(agent.exec(at("/dev/pts")).0, "/dev/pts\n");
    assert_eq!(agent.exec(at("/dev/../../../bin")).0, "/bin\n");
    for number in 0..64 {
        for path in [format!("/proc/self/fd/{number}"), format!("/proc/thread-self/fd/{number}")] {
            let failure = agent.exec_failure(at(&path));
            assert!(failure.starts_with(&format!("working directory {path}: ")), "{failure}");
        }
    }
    for path in ["/proc/1/root", "/proc/self/root/..", "/proc/1/cwd", "/nowhere", "/bin/sh"] {
        let failure = agent.exec_failure(at(path));
        assert!(failure.starts_with(&format!("working directory {path}: ")), "{failure}");
    }
    end(agent);
}

#[test]
fn what_cannot_be_executed_is_an_error_that_says_why() {
    let Some((world, mut agent)) = idle_container("exec-errors") else { return };
    assert_eq!(agent.exec_failure(in_container("b", &["true"])), "container b does not run");
    let missing = "execve: \"nope\": executable file not found in $PATH";
    assert_eq!(agent.exec_failure(in_container("a", &["nope"])), missing);
    let streams = ExecStreams { stdout: true, ..ExecStreams::default() };
    let unsent = ExecConfig { streams, ..in_container("a", &["true"]) };
    assert_eq!(agent.exec_failure(unsent), "the standard streams did not come with the request");

    agent.call(Call::Kill { id: "a".to_owned() }).unwrap();
    assert_eq!(agent.end_of("a"), Ok((137, Some(libc::SIGKILL))));
    assert_eq!(agent.exec_failure(in_container("a", &["true"])), "container a does not run");
    assert_eq!(agent.run(world.container("c", &["true"])), Ok((0, None)), "and containers start as before");
    end(agent);
}

#[test]
fn a_timeout_kills_the_whole_tree_and_nothing_else() {
    let Some((world, mut agent)) = idle_container("exec-time") else { return };
    let before = processes(&world, "a");
    let (bystander, pid, _reader) = agent.exec_with_output(in_container("a", &["sleep", "1000"]));
    let script = "sleep 1d & (sleep 1d & sleep 1d) & setsid sh -c 'sleep 1d; true' & sh -c 'sleep 1d & exit' & sleep 1d";
    let config = ExecConfig { timeout_ms: Some(4000), ..in_container("a", &["sh", "-c", script]) };
    let started = Instant::now();
    let (id, _, mut reader) = agent.exec_with_output(config);
    while processes(&world, "a").len() < before.len() + 8 {
        assert!(started.elapsed() < Duration::from_millis(3990), "{:?}", processes(&world, "a"));
    }
    let exit = agent.exit_of(id);
    assert_eq!(exit, ExecExit { code: 137, signal: Some(libc::SIGKILL), timed_out: true });
    assert!(started.elapsed() >= Duration::from_secs(4));
    // The pipe ends: nobody holds it any more.
    assert_eq!(reader.read_to_string(&mut String::new()).unwrap(), 0);
    let mut expected = before;
    expected.insert(pid);
    let deadline = Instant::now() + *HANG;
    while processes(&world, "a") != expected {
        assert!(Instant::now() < deadline, "{:?} {expected:?}", processes(&world, "a"));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(is_alive(pid));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(agent.exit_of(bystander).signal, Some(libc::SIGINT));

    let config = ExecConfig { timeout_ms: Some(60_000), ..in_container("a", &["true"]) };
    assert_eq!(agent.exec(config).1, exited(0), "time enough changes nothing");
    end(agent);
}

#[test]
fn what_a_finished_process_leaves_behind_goes_on_in_the_container() {
    let Some((world, mut agent)) = idle_container("exec-left") else { return };
    let before = processes(&world, "a").len();
    let script = "sleep 1d </dev/null >/dev/null 2>&1 &";
    assert_eq!(agent.exec(in_container("a", &["sh", "-c", script])).1, exited(0));
    assert_eq!(processes(&world, "a").len(), before + 1);
    agent.call(Call::Kill { id: "a".to_owned() }).unwrap();
    assert_eq!(agent.end_of("a"), Ok((137, Some(libc::SIGKILL))));
    end(agent);
}

#[test]
fn the_end_of_the_container_and_of_the_connection_end_a_process() {
    let Some((world, mut agent)) = idle_container("exec-with") else { return };
    let (id, ..) = agent.exec_with_output(in_container("a", &["sleep", "1d"]));
    agent.call(Call::StartContainer(world.container("b", &["sleep", "1000"]))).unwrap();
    agent.call(Call::Kill { id: "a".to_owned() }).unwrap();
    assert_eq!(agent.exit_of(id), ExecExit { code: 137, signal: Some(libc::SIGKILL), timed_out: false });
    assert_eq!(agent.end_of("a"), Ok((137, Some(libc::SIGKILL))));

    let mut other = world.connect(1);
    let (_, pid, _) = other.exec_with_output(in_container("b", &["sh", "-c", "sleep 1d & sleep 1d"]));
    drop(other);
    until_gone(pid);
    let deadline = Instant::now() + *HANG;
    while processes(&world, "b").len() > 1 {
        assert!(Instant::now() < deadline, "its child still runs");
        std::thread::sleep(Duration::from_millis(5));
    }
    end(agent);
}

#[test]
fn a_hundred_processes_leave_nothing_behind_and_too_many_at_once_are_refused() {
    let Some((world, mut agent)) = idle_container("exec-many") else { return };
    let Event::ShimStarted { pid: shim, .. } = agent.records[0].event else { panic!("no shim started") };
    let descriptors = || fs::read_dir(format!("/proc/{shim}/fd")).unwrap().count();
    let (before, left) = (descriptors(), processes(&world, "a"));
    let started = Instant::now();
    for number in 0..100 {
        let exec = ExecConfig {
            timeout_ms: Some(60_000),
            ..in_container("a", &["sh", "-c", &format!("exit {number}")])
        };
        assert_eq!(agent.exec(exec).1, exited(number));
    }
    println!("an exec of a shell took {:?}", started.elapsed() / 100);
    for _ in 0..100 {
        assert!(agent.exec_failure(in_container("a", &["nope"])).contains("not found"));
    }
    // That the last one failed is told before its process has ended.
    let deadline = Instant::now() + *HANG;
    while descriptors() != before && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!((descriptors(), processes(&world, "a")), (before, left.clone()));
    let children = fs::read_to_string(format!("/proc/{shim}/task/{shim}/children")).unwrap();
    assert_eq!(children.split_whitespace().count(), 2, "pause and the container: {children}");

    let sleeping: Vec<u64> =
        (0..64).map(|_| agent.exec_with_output(in_container("a", &["sleep", "1d"])).0).collect();
    let refusal = agent.exec_failure(in_container("a", &["true"]));
    assert_eq!(refusal, "64 processes are being executed in the pod's containers already");
    for pid in processes(&world, "a").difference(&left) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid), nix::sys::signal::Signal::SIGINT).unwrap();
    }
    for id in sleeping {
        assert_eq!(agent.exit_of(id).signal, Some(libc::SIGINT));
    }
    assert_eq!(agent.exec(in_container("a", &["true"])).1, exited(0));
    end(agent);
}
