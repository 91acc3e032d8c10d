//! Further processes in a container that have a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Instant;

use mkubelet::container::spec::TerminalSize;
use mkubelet::container::user_namespace::IdRange;
use mkubelet::shim::protocol::{Call, ExecConfig, ExecExit, ExecStreams, Reply};
use mkubelet::sys::terminal;
use oci_spec::runtime::{Capability, LinuxCapabilities, MountBuilder};

use super::exec::{end, exited, idle_container, in_container};
use super::{Agent, HANG, World};

const SIZE: TerminalSize = TerminalSize { rows: 24, columns: 80 };

/// What is on the screen of a process.
struct Screen {
    id: u64,
    master: File,
    shown: String,
}

impl Screen {
    /// Waits until the screen has shown a text, and gives all up to its end.
    fn until(&mut self, text: &str) -> String {
        let deadline = Instant::now() + *HANG;
        loop {
            if let Some(at) = self.shown.find(text) {
                return self.shown.drain(..at + text.len()).collect();
            }
            assert!(Instant::now() < deadline, "waits for {text:?}, has {:?}", self.shown);
            assert!(self.more(), "{text:?} is not in {:?}", self.shown);
        }
    }

    /// False when nobody has the terminal open any more.
    fn more(&mut self) -> bool {
        let mut buffer = [0; 4096];
        match self.master.read(&mut buffer) {
            Ok(count) => self.shown.push_str(&String::from_utf8_lossy(&buffer[..count])),
            Err(error) if error.raw_os_error() == Some(libc::EIO) => return false,
            Err(error) => panic!("{error}"),
        }
        true
    }

    /// All that is left to be shown.
    fn rest(mut self) -> String {
        while self.more() {}
        self.shown
    }

    fn write(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }
}

impl Agent {
    fn exec_on_terminal(&mut self, args: &[&str]) -> Screen {
        let id = self.ask_exec(on_terminal(args), &[]);
        match self.reply(id) {
            Ok(Reply::ExecStarted { terminal: true, .. }) => {}
            other => panic!("not started: {other:?}"),
        }
        let master: OwnedFd = self.fds.pop().expect("the terminal came along");
        Screen { id, master: File::from(master), shown: String::new() }
    }
}

fn on_terminal(args: &[&str]) -> ExecConfig {
    ExecConfig { terminal: Some(SIZE), ..in_container("a", args) }
}

#[test]
fn a_process_talks_through_its_terminal_alone() {
    let Some((_world, mut agent)) = idle_container("tty-talks") else { return };
    let script = "busybox tty; busybox stty size; echo complaint >&2; echo direct >/dev/tty
echo ready; read line; echo got $line; busybox stty size; ls -1 /proc/self/fd; exit 3";
    let mut screen = agent.exec_on_terminal(&["sh", "-c", script]);
    let shown = screen.until("ready\r\n");
    assert_eq!(shown, "/dev/pts/0\r\n24 80\r\ncomplaint\r\ndirect\r\nready\r\n");
    terminal::set_size(screen.master.as_fd(), 40, 132).unwrap();
    screen.write("hello\n");
    assert_eq!(screen.until("132\r\n"), "hello\r\ngot hello\r\n40 132\r\n");
    let id = screen.id;
    assert_eq!(screen.rest(), "0\r\n1\r\n2\r\n3\r\n", "ls itself has 3 open on the directory");
    assert_eq!(agent.exit_of(id), exited(3));
    end(agent);
}

#[test]
fn keys_and_a_hangup_are_signals_to_the_process() {
    let Some((_world, mut agent)) = idle_container("tty-signals") else { return };
    let ended = |signal: i32| ExecExit { code: 128 + signal, signal: Some(signal), timed_out: false };
    let mut screen = agent.exec_on_terminal(&["sh", "-c", "echo ready; exec sleep 1000"]);
    screen.until("ready");
    screen.write("\x03");
    assert_eq!(agent.exit_of(screen.id), ended(libc::SIGINT));

    let Screen { id, master, .. } = agent.exec_on_terminal(&["sleep", "1000"]);
    drop(master);
    assert_eq!(agent.exit_of(id), ended(libc::SIGHUP));
    end(agent);
}

#[test]
fn a_timeout_ends_a_process_with_a_terminal() {
    let Some((_world, mut agent)) = idle_container("tty-time") else { return };
    let config = ExecConfig { timeout_ms: Some(4000), ..on_terminal(&["sh", "-c", "sleep 1d & sleep 1d"]) };
    let id = agent.ask_exec(config, &[]);
    assert!(matches!(agent.reply(id), Ok(Reply::ExecStarted { terminal: true, .. })));
    let exit = agent.exit_of(id);
    assert_eq!(exit, ExecExit { code: 137, signal: Some(libc::SIGKILL), timed_out: true });
    let master = File::from(agent.fds.pop().unwrap());
    // Nobody of its tree holds the terminal any more.
    assert_eq!(Screen { id, master, shown: String::new() }.rest(), "");
    end(agent);
}

#[test]
fn a_terminal_is_all_streams_in_one() {
    let Some((_world, mut agent)) = idle_container("tty-or") else { return };
    let (_reader, writer) = std::io::pipe().unwrap();
    let streams = ExecStreams { stdout: true, ..ExecStreams::default() };
    let id = agent.ask_exec(ExecConfig { streams, ..on_terminal(&["true"]) }, &[writer.as_fd()]);
    assert_eq!(agent.reply(id), Err("a terminal is all streams in one".to_owned()));
    end(agent);
}

#[test]
fn a_terminal_belongs_to_the_user_who_may_open_it_again() {
    belongs_to_the_user("tty-owner", None);
}

#[test]
fn a_terminal_belongs_to_the_user_in_a_user_namespace_too() {
    belongs_to_the_user("tty-owner-users", Some(IdRange { first: 2_000_093_184, count: 65_536 }));
}

fn belongs_to_the_user(name: &str, ids: Option<IdRange>) {
    let Some(world) = World::new(name) else { return };
    let mut agent = world.connect(1);
    agent.call(world.sandbox_with(ids)).unwrap();
    let mut config = world.container("a", &["sleep", "1000"]);
    (config.process.user.uid, config.process.user.gid) = (Some(1001), Some(1002));
    agent.call(Call::StartContainer(config)).unwrap();
    let script = "busybox stat -c '%u %g %a' $(busybox tty); echo again >$(busybox tty); exit 0";
    let screen = agent.exec_on_terminal(&["sh", "-c", script]);
    let id = screen.id;
    assert_eq!(screen.rest(), "1001 5 620\r\nagain\r\n");
    assert_eq!(agent.exit_of(id), exited(0));
    end(agent);
}

/// What a container with CAP_SYS_ADMIN may make of its /dev/pts: no process gets what is there for a terminal, or waits for it.
#[test]
fn what_is_no_terminal_is_never_opened_for_one() {
    let cases = [
        ("tmpfs", "mount -t tmpfs none /dev/pts", "it is no devpts"),
        ("fifo", "mount -t tmpfs none /dev/pts && busybox mkfifo /dev/pts/ptmx", "it is no devpts"),
        ("covered", "mount --bind /bin/busybox /dev/pts/ptmx", "EXDEV: Cross-device link"),
        (
            "link",
            "busybox umount /dev/pts && busybox rmdir /dev/pts && busybox ln -s /hostpts /dev/pts",
            "ELOOP: Too many symbolic links encountered",
        ),
        ("gone", "busybox umount /dev/pts && busybox rmdir /dev/pts", "ENOENT: No such file or directory"),
    ];
    for (name, script, expected) in cases {
        let Some(world) = World::new(&format!("tty-{name}")) else { return };
        let mut agent = world.connect(1);
        agent.call(world.sandbox()).unwrap();
        let script = format!("{script} && echo done && sleep 1000");
        let mut config = world.container("a", &["sh", "-c", &script]);
        // What a link may lead to: terminals of the host's.
        config.mounts.push(
            MountBuilder::default()
                .destination("/hostpts")
                .typ("bind")
                .source(Path::new("/dev/pts"))
                .options(vec!["rbind".to_owned()])
                .build()
                .unwrap(),
        );
        let mut capabilities = LinuxCapabilities::default();
        capabilities.set_bounding(Some([Capability::SysAdmin].into()));
        capabilities.set_effective(Some([Capability::SysAdmin].into()));
        capabilities.set_permitted(Some([Capability::SysAdmin].into()));
        config.process.capabilities = capabilities;
        agent.call(Call::StartContainer(config)).unwrap();
        let deadline = Instant::now() + *HANG;
        while !world.output("a").contains("done") {
            assert!(Instant::now() < deadline, "{name}: {}", world.log("a"));
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let failure = agent.exec_failure(on_terminal(&["true"]));
        assert_eq!(failure, format!("open a terminal in /dev/pts: {expected}"), "{name}");
        end(agent);
    }
}
