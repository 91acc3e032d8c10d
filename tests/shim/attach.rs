//! Containers that read what attached clients send, and what those hear.

use std::fs::File;
use std::io::{ErrorKind, PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use mkubelet::container::spec::{ContainerConfig, StandardInput, TerminalSize};
use mkubelet::container::user_namespace::IdRange;
use mkubelet::shim::frame::encode;
use mkubelet::shim::protocol::{AttachConfig, Call, ExecStreams, Message, Reply, Request};
use mkubelet::sys::fd_passing;

use super::exec::end;
use super::{Agent, HANG, World};

/// A client, as its agent holds it.
struct Client {
    request: u64,
    stdin: Option<PipeWriter>,
    output: File,
    heard: String,
}

impl Client {
    fn send(&mut self, text: &str) {
        self.stdin.as_mut().expect("it has standard input").write_all(text.as_bytes()).unwrap();
    }

    /// Waits until it has heard a text, and gives all up to its end.
    fn until(&mut self, text: &str) -> String {
        let deadline = Instant::now() + *HANG;
        loop {
            if let Some(at) = self.heard.find(text) {
                return self.heard.drain(..at + text.len()).collect();
            }
            assert!(Instant::now() < deadline, "waits for {text:?}, has {:?}", self.heard);
            let mut buffer = [0; 4096];
            let count = self.output.read(&mut buffer).unwrap();
            assert!(count > 0, "{text:?} is not in {:?}", self.heard);
            self.heard.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    }

    /// All that is left to be heard.
    fn rest(&mut self) -> String {
        self.output.read_to_string(&mut self.heard).unwrap();
        std::mem::take(&mut self.heard)
    }
}

impl Agent {
    fn ask_attach(
        &mut self,
        id: &str,
        streams: ExecStreams,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Reply, String> {
        self.next += 1;
        let call = Call::Attach(AttachConfig { id: id.to_owned(), streams });
        let frame = encode(&Request { id: self.next, call }).unwrap();
        assert_eq!(fd_passing::send(self.socket.as_fd(), &frame, fds).unwrap(), frame.len());
        self.reply(self.next)
    }

    /// Attaches a client that may type and hears both streams.
    fn attach(&mut self, id: &str) -> Client {
        let (typed, stdin): (PipeReader, PipeWriter) = pipe().unwrap();
        let (output, spoken) = pipe().unwrap();
        let streams = ExecStreams { stdin: true, stdout: true, stderr: true };
        let fds = [typed.as_fd(), spoken.as_fd(), spoken.as_fd()];
        assert_eq!(self.ask_attach(id, streams, &fds), Ok(Reply::Attached));
        let output = File::from(std::os::fd::OwnedFd::from(output));
        Client { request: self.next, stdin: Some(stdin), output, heard: String::new() }
    }

    /// Says that a client sends nothing more.
    fn end_stdin(&mut self, client: &mut Client) {
        client.stdin = None;
        assert_eq!(self.call(Call::EndStdin { attach: client.request }), Ok(Reply::Done));
    }

    /// Why a client is attached no longer.
    fn detached(&mut self, client: &Client) -> Option<String> {
        loop {
            if let Some(index) = self.detached.iter().position(|(id, _)| *id == client.request) {
                return self.detached.remove(index).unwrap().1;
            }
            match self.message() {
                Message::AttachEnded { id, why } => self.detached.push_back((id, why)),
                Message::ExecExited { id, exit } => self.exits.push_back((id, exit)),
                Message::Record(record) => self.records.push_back(record),
                Message::Reply { id, .. } => panic!("a reply to {id}, which nobody waits for"),
            }
        }
    }
}

fn reads(world: &World, stdin: StandardInput, script: &str) -> Box<ContainerConfig> {
    let mut config = world.container("a", &["sh", "-c", script]);
    config.stdin = stdin;
    config
}

fn start(name: &str, configure: impl FnOnce(&World) -> Box<ContainerConfig>) -> Option<(World, Agent)> {
    let world = World::new(name)?;
    let mut agent = world.connect(1);
    agent.call(world.sandbox()).unwrap();
    let config = configure(&world);
    assert_eq!(agent.call(Call::StartContainer(config)), Ok(Reply::Done));
    Some((world, agent))
}

fn until(mut holds: impl FnMut() -> bool, what: &str) {
    let deadline = Instant::now() + *HANG;
    while !holds() {
        assert!(Instant::now() < deadline, "waits until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn several_clients_type_and_all_of_them_hear() {
    let script = "while read line; do echo got $line; echo complaint >&2; [ $line = end ] && exit 7; done";
    let Some((world, mut agent)) = start("attach-several", |world| reads(world, StandardInput::Open, script))
    else {
        return;
    };
    let (mut one, mut two) = (agent.attach("a"), agent.attach("a"));
    one.send("first\n");
    // The streams are two pipes, of which either may be read first.
    for client in [&mut one, &mut two] {
        let heard = client.until("got first\n");
        assert!(heard.contains("complaint\n") || client.until("complaint\n").contains("complaint\n"));
    }
    two.send("second\n");
    one.until("got second\n");
    two.until("got second\n");

    // One leaves, and the standard input stays.
    agent.end_stdin(&mut one);
    assert_eq!(agent.detached(&one), None);
    let mut late = agent.attach("a");
    late.send("end\n");
    assert_eq!(agent.end_of("a"), Ok((7, None)));
    let heard = late.rest();
    assert!(
        heard.contains("got end\n") && !heard.contains("got second\n"),
        "what was printed since: {heard}"
    );
    assert_eq!(agent.detached(&late), None);
    assert!(two.rest().contains("got end\n"));
    assert_eq!(world.output("a").matches("got").count(), 3, "the log has it as well");
    end(agent);
}

#[test]
fn standard_input_for_one_client_ends_with_what_he_sends() {
    let Some((_world, mut agent)) =
        start("attach-once", |world| reads(world, StandardInput::Once, "busybox wc -c; sleep 1; exit 3"))
    else {
        return;
    };
    let mut first = agent.attach("a");
    // More than both pipes hold.
    let text = "x".repeat(300 << 10);
    first.send(&text);
    agent.end_stdin(&mut first);
    // He stays for what becomes of it.
    first.until("307200\n");
    let mut second = agent.attach("a");
    let error = second.stdin.as_mut().unwrap().write_all(b"more").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    agent.end_stdin(&mut second);
    assert_eq!(agent.end_of("a"), Ok((3, None)));
    assert_eq!((first.rest(), second.rest()), (String::new(), String::new()));
    assert_eq!((agent.detached(&first), agent.detached(&second)), (None, None));
    end(agent);
}

#[test]
fn an_agent_that_dies_neither_ends_standard_input_nor_loses_what_came() {
    for (name, stdin) in [("attach-crash", StandardInput::Open), ("attach-crash-once", StandardInput::Once)] {
        let script = "while read line; do echo got $line; done; echo over; exit 4";
        let Some((world, mut agent)) = start(name, |world| reads(world, stdin, script)) else { return };
        let mut client = agent.attach("a");
        client.send("before\n");
        client.until("got before\n");
        // All its descriptors are closed at once.
        drop(client);
        drop(agent);
        let mut agent = world.connect(1);
        let mut client = agent.attach("a");
        client.send("after\n");
        assert_eq!(client.until("\n"), "got after\n");
        assert_eq!(world.output("a"), "got before\ngot after\n");
        agent.call(Call::Kill { id: "a".to_owned() }).unwrap();
        assert_eq!(agent.end_of("a"), Ok((137, Some(libc::SIGKILL))));
        end(agent);
    }
}

#[test]
fn what_was_sent_before_the_end_arrives_though_the_client_is_gone() {
    let script = "until [ -e /go ]; do sleep 0.05; done; busybox wc -c; exit 0";
    let Some((world, mut agent)) = start("attach-tail", |world| reads(world, StandardInput::Once, script))
    else {
        return;
    };
    let mut client = agent.attach("a");
    client.send(&"x".repeat(100 << 10));
    agent.end_stdin(&mut client);
    drop(client);
    drop(agent);
    let mut agent = world.connect(1);
    let go = ["sh", "-c", "echo > /go"];
    let asked = agent.ask_exec(super::exec::in_container("a", &go), &[]);
    agent.reply(asked).unwrap();
    assert_eq!(agent.end_of("a"), Ok((0, None)));
    assert_eq!(world.output("a"), "102400\n");
    end(agent);
}

#[test]
fn a_client_that_never_reads_holds_nobody_back() {
    const BYTES: usize = 20 << 20;
    let script = format!("read go; busybox head -c {BYTES} /dev/zero | busybox tr '\\0' x; echo; exit 5");
    let Some((world, mut agent)) = start("attach-slow", |world| reads(world, StandardInput::Open, &script))
    else {
        return;
    };
    let lazy = agent.attach("a");
    let mut eager = agent.attach("a");
    let reader = eager.output.try_clone().unwrap();
    let counted = std::thread::spawn(move || std::io::copy(&mut &reader, &mut std::io::sink()).unwrap());
    eager.send("go\n");
    assert_eq!(agent.end_of("a"), Ok((5, None)));
    let reason = "the client reads more slowly than the container writes";
    assert_eq!(agent.detached(&lazy).as_deref(), Some(reason));
    let why = agent.detached(&eager);
    let heard = counted.join().unwrap();
    // It may have been too slow, too, on a busy machine; then it was told.
    assert!(heard as usize == BYTES + 1 || why.as_deref() == Some(reason), "{heard} {why:?}");
    let logged: usize = world.output("a").lines().map(str::len).sum();
    assert_eq!(logged, BYTES, "the log has all of it");
    end(agent);
}

#[test]
fn a_container_has_a_terminal_of_its_own() {
    has_a_terminal("attach-tty", None);
}

#[test]
fn a_container_has_a_terminal_of_its_own_in_a_user_namespace_too() {
    has_a_terminal("attach-tty-users", Some(IdRange { first: 2_000_158_720, count: 65_536 }));
}

fn has_a_terminal(name: &str, ids: Option<IdRange>) {
    let Some(world) = World::new(name) else { return };
    let mut agent = world.connect(1);
    agent.call(world.sandbox_with(ids)).unwrap();
    let script =
        "busybox tty; busybox stat -c '%u %g %a' $(busybox tty); echo complaint >&2; echo direct >/dev/tty
trap 'echo now $(busybox stty size)' WINCH; echo ready; while :; do read line && echo got $line; done";
    let mut config = reads(&world, StandardInput::Once, script);
    config.terminal = true;
    (config.process.user.uid, config.process.user.gid) = (Some(1001), Some(1002));
    agent.call(Call::StartContainer(config)).unwrap();
    until(|| world.output("a").contains("ready"), "it is ready");
    assert_eq!(world.output("a"), "/dev/pts/0\r\n1001 5 620\r\ncomplaint\r\ndirect\r\nready\r\n");
    assert!(world.log("a").lines().all(|line| line.contains(" stdout F ")), "a terminal has one stream");

    let mut client = agent.attach("a");
    client.send("hello\n");
    assert_eq!(client.until("got hello\r\n"), "hello\r\ngot hello\r\n", "with its echo");
    let resize = |rows, columns| Call::Resize { id: "a".to_owned(), size: TerminalSize { rows, columns } };
    assert_eq!(agent.call(resize(40, 132)), Ok(Reply::Done));
    client.until("now 40 132\r\n");

    // A terminal stays when somebody hangs up, even the one for whom it was.
    agent.end_stdin(&mut client);
    assert_eq!(agent.detached(&client), None);
    let mut client = agent.attach("a");
    client.send("again\n");
    client.until("got again\r\n");
    agent.call(Call::Kill { id: "a".to_owned() }).unwrap();
    assert_eq!(agent.end_of("a"), Ok((137, Some(libc::SIGKILL))));
    assert_eq!(agent.detached(&client), None);
    end(agent);
}

#[test]
fn a_terminal_that_is_closed_and_opened_again_goes_on() {
    let script = "exec 0<&- 1>&- 2>&-; sleep 0.3; exec 1>/dev/pts/0; echo again; exit 0";
    let Some((world, mut agent)) = start("attach-reopen", |world| {
        let mut config = reads(world, StandardInput::Open, script);
        config.terminal = true;
        config
    }) else {
        return;
    };
    assert_eq!(agent.end_of("a"), Ok((0, None)));
    assert_eq!(world.output("a"), "again\r\n");
    end(agent);
}

#[test]
fn the_last_words_on_a_terminal_are_kept() {
    let Some((world, mut agent)) = start("attach-last", |world| {
        let mut config = reads(world, StandardInput::Nothing, "busybox seq 1 20000; exit 9");
        config.terminal = true;
        config
    }) else {
        return;
    };
    assert_eq!(agent.end_of("a"), Ok((9, None)));
    let expected: String = (1..=20_000).map(|number| format!("{number}\r\n")).collect();
    assert!(world.output("a") == expected, "{} bytes", world.output("a").len());
    end(agent);
}

#[test]
fn what_cannot_be_attached_says_why() {
    let Some((_world, mut agent)) =
        start("attach-why", |world| reads(world, StandardInput::Nothing, "sleep 1000"))
    else {
        return;
    };
    let nothing = ExecStreams::default();
    let gone = agent.ask_attach("b", nothing, &[]);
    assert_eq!(gone, Err("container b does not run".to_owned()));
    let without = agent.ask_attach("a", ExecStreams { stdout: true, ..nothing }, &[]);
    assert_eq!(without, Err("the standard streams did not come with the request".to_owned()));
    let size = TerminalSize { rows: 1, columns: 1 };
    let resized = agent.call(Call::Resize { id: "a".to_owned(), size });
    assert_eq!(resized, Err("container a has no terminal".to_owned()));

    // Without standard input there is nothing to type into.
    let mut deaf = agent.attach("a");
    assert_eq!(deaf.stdin.as_mut().unwrap().write_all(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    let clients: Vec<Client> = (1..16).map(|_| agent.attach("a")).collect();
    let many = agent.ask_attach("a", nothing, &[]);
    assert_eq!(many, Err("16 clients are attached to the pod's containers already".to_owned()));
    // Whoever closes what he hears by has left.
    let left = clients.iter().map(|client| client.request).collect::<Vec<_>>();
    drop(clients);
    for request in left {
        let (stdin, output) = (None, deaf.output.try_clone().unwrap());
        assert_eq!(agent.detached(&Client { request, stdin, output, heard: String::new() }), None);
    }
    assert_eq!(agent.ask_attach("a", nothing, &[]), Ok(Reply::Attached));
    end(agent);
}
