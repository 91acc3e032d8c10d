//! Clients of containers, as the agent serves them: exec, attach and portforward, without the protocols that carry them.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use mkubelet::agent::streams::{attach, exec, forward};
use mkubelet::api::streams::{RemoteCommandStreams, WindowSize};
use mkubelet::config::Layout;
use mkubelet::pod::PodUid;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::world::{Container, HANG, Pod, World, until, world};

/// A client of the first container of the world's one pod.
struct Client {
    runtime: Runtime,
    stdin: Option<DuplexStream>,
    stdout: DuplexStream,
    sizes: mpsc::Sender<WindowSize>,
    gone: Option<DropGuard>,
    session: tokio::task::JoinHandle<Result<i32, String>>,
    heard: String,
}

type Session = Pin<Box<dyn Future<Output = Result<i32, String>> + Send>>;

impl Client {
    fn exec(world: &World, words: &[&str], tty: bool) -> Self {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        Self::begin(world, tty, None, |socket, id, streams| {
            Box::pin(async move { exec::exec(&socket, id, words, streams).await })
        })
    }

    fn exec_in_window(world: &World, words: &[&str], window: WindowSize) -> Self {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        Self::begin(world, true, Some(window), |socket, id, streams| {
            Box::pin(async move { exec::exec(&socket, id, words, streams).await })
        })
    }

    fn attach(world: &World) -> Self {
        Self::begin(world, false, None, |socket, id, streams| {
            Box::pin(async move { attach::attach(&socket, id, streams).await.map(|()| 0) })
        })
    }

    fn begin(
        world: &World,
        tty: bool,
        window: Option<WindowSize>,
        session: impl FnOnce(PathBuf, String, RemoteCommandStreams) -> Session,
    ) -> Self {
        let id = world.executor().container().to_owned();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (typed, stdin) = duplex(64 << 10);
        let (spoken, stdout) = duplex(64 << 10);
        let (sizes, resize) = mpsc::channel(4);
        if let Some(window) = window {
            sizes.try_send(window).unwrap();
        }
        let gone = CancellationToken::new();
        let streams = RemoteCommandStreams {
            stdin: Some(Box::new(typed)),
            stdout: Some(Box::new(spoken)),
            stderr: None,
            tty,
            resize,
            gone: gone.clone(),
        };
        let session = runtime.spawn(session(world.shim_socket(), id, streams));
        let gone = Some(gone.drop_guard());
        Self { runtime, stdin: Some(stdin), stdout, sizes, gone, session, heard: String::new() }
    }

    fn send(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("it has standard input");
        self.runtime.block_on(stdin.write_all(text.as_bytes())).unwrap();
    }

    /// Sends nothing more.
    fn end(&mut self) {
        self.stdin = None;
    }

    fn resize(&self, width: u16, height: u16) {
        self.sizes.blocking_send(WindowSize { width, height }).unwrap();
    }

    /// Waits until it has heard a text, and gives all up to its end.
    fn until(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.heard.find(text) {
                return self.heard.drain(..at + text.len()).collect();
            }
            let mut buffer = [0; 4096];
            let reading = async { timeout(*HANG, self.stdout.read(&mut buffer)).await };
            let count = self.runtime.block_on(reading).expect("it hears something").unwrap();
            assert!(count > 0, "{text:?} is not in {:?}", self.heard);
            self.heard.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    }

    /// Waits for the end: what there was left to hear, and what came of it.
    fn ended(mut self) -> (String, Result<i32, String>) {
        let ending = async {
            self.stdout.read_to_string(&mut self.heard).await.unwrap();
            self.session.await.unwrap()
        };
        let result = self.runtime.block_on(async { timeout(*HANG, ending).await }).expect("it ends");
        (self.heard, result)
    }

    /// Leaves, on purpose or not; waits until that has been taken note of.
    fn leave(mut self) {
        self.gone = None;
        let _ = self.runtime.block_on(async { timeout(*HANG, self.session).await }).expect("it ends");
    }

    /// Ends as when the agent dies: nobody takes note of anything, so its threads are over before what they read is.
    fn die(self) {
        self.runtime.shutdown_timeout(*HANG);
    }
}

/// A pod whose one container answers what it is told.
fn conversing(world: &World, name: &str, fields: &[(&str, serde_json::Value)]) -> Pod {
    let steps = ["term=ignore", "print=begun", "converse", "exit=7"];
    let container =
        fields.iter().fold(world.container("a", &steps), |container: Container, (field, value)| {
            container.with(field, value.clone())
        });
    world.pod(name, [container]).restart_policy("Never").grace(1)
}

#[test]
fn a_program_in_a_container_answers_its_client_and_its_exit_code_is_told() {
    world(|world| {
        let run = world.run(&world.pod("exec", [world.container("a", &["wait"])]).grace(1));
        let mut client = Client::exec(world, &["/bin/ledger", "b", "converse", "exit=3"], false);
        client.send("one\nwindow\n");
        client.until("got one\nwindow Inappropriate ioctl for device (os error 25)\n");
        client.send(&"x".repeat(200_000));
        client.send("\n");
        client.end();
        let (heard, code) = client.ended();
        assert_eq!((heard.len(), code), ("got \n".len() + 200_000 + "enough\n".len(), Ok(3)));

        let missing = Client::exec(world, &["/bin/nope"], false);
        let why = "execve: \"/bin/nope\": No such file or directory".to_owned();
        assert_eq!(missing.ended(), (String::new(), Err(why)));
        run.stop();
    });
}

#[test]
fn a_program_has_a_terminal_of_its_clients_size() {
    world(|world| {
        let run = world.run(&world.pod("terminal", [world.container("a", &["wait"])]).grace(1));
        let words = ["/bin/ledger", "b", "term=ignore", "report", "converse", "exit=4"];
        let mut client = Client::exec_in_window(world, &words, WindowSize { width: 132, height: 40 });
        client.send("window\n");
        client.until("window 40 132\r\n");
        let report = world.answer("b", "report").unwrap();
        assert_eq!(report["env"]["TERM"], "xterm");
        client.resize(80, 24);
        until("the signal", || world.ledger().signals("b").contains(&"SIGWINCH".to_owned()).then_some(()));
        client.send("window\nenough\n");
        client.until("window 24 80\r\n");
        assert_eq!(client.ended().1, Ok(4));
        run.stop();
    });
}

#[test]
fn a_client_that_goes_away_takes_its_program_along_and_nothing_else() {
    world(|world| {
        let run = world.run(&world.pod("leaves", [world.container("a", &["wait"])]).grace(1));
        for tty in [false, true] {
            let name = format!("b{tty}");
            let client = Client::exec(world, &["/bin/ledger", &name, "child=1", "print=up", "wait"], tty);
            let line = format!("/bin/ledger {name}");
            let is_there =
                || world.processes().iter().any(|process| process.command_line().starts_with(&line));
            until("the program", || is_there().then_some(()));
            client.leave();
            until("its end", || (!is_there()).then_some(()));
        }
        run.expect_running("leaves", "a", 0);
        run.stop();
    });
}

#[test]
fn attached_clients_converse_with_a_container_and_leave_it_running() {
    world(|world| {
        let run = world.run(&conversing(world, "attach", &[("stdin", json!(true))]));
        let (mut one, mut two) = (Client::attach(world), Client::attach(world));
        // Who has been answered is attached.
        two.send("two\n");
        two.until("got two\n");
        one.send("one\n");
        one.until("got one\n");
        two.until("got one\n");
        one.end();
        assert_eq!(one.ended(), (String::new(), Ok(0)), "who sends nothing more has left");
        two.leave();
        let mut three = Client::attach(world);
        three.send("enough\n");
        assert_eq!(three.ended(), ("enough\n".to_owned(), Ok(0)), "the container's end is the end");
        run.wait().code(7).agrees_with(&world.ledger(), "attach", "a");
    });
}

#[test]
fn standard_input_for_one_ends_when_he_leaves_and_not_when_the_agent_dies() {
    world(|world| {
        let fields = [("stdin", json!(true)), ("stdinOnce", json!(true))];
        let pod = conversing(world, "once", &fields);
        let run = world.run(&pod);
        let mut client = Client::attach(world);
        client.send("before\n");
        client.until("got before\n");
        client.die();
        run.kill();
        let run = world.run(&pod);
        let mut client = Client::attach(world);
        client.send("after\n");
        assert_eq!(client.until("\n"), "got after\n");
        client.leave();
        run.wait().code(7).agrees_with(&world.ledger(), "once", "a");
    });
}

#[test]
fn a_container_with_a_terminal_has_it_in_its_log_and_for_its_clients() {
    world(|world| {
        let fields = [("stdin", json!(true)), ("stdinOnce", json!(true)), ("tty", json!(true))];
        let run = world.run(&conversing(world, "tty", &fields));
        let mut client = Client::attach(world);
        client.resize(100, 50);
        until("the signal", || world.ledger().signals("a").contains(&"SIGWINCH".to_owned()).then_some(()));
        client.send("window\n");
        client.until("window 50 100\r\n");
        let log = std::fs::read_to_string(world.log_dir().join(log_of(world)).join("a/0.log")).unwrap();
        assert!(log.contains(" stdout F window 50 100\r\n") && !log.contains(" stderr "), "{log}");
        client.end();
        assert_eq!(client.ended().1, Ok(0), "a terminal does not end with who types on it");
        let mut client = Client::attach(world);
        client.send("enough\n");
        assert_eq!(client.ended(), ("enough\r\nenough\r\n".to_owned(), Ok(0)), "with its echo");
        run.wait().code(7);
    });
}

/// The name of the directory of the one pod's logs.
fn log_of(world: &World) -> std::ffi::OsString {
    std::fs::read_dir(world.log_dir()).unwrap().next().expect("a pod has logs").unwrap().file_name()
}

#[test]
fn two_hundred_clients_that_come_and_go_leave_nothing_with_the_shim() {
    world(|world| {
        let run = world.run(&conversing(world, "many", &[("stdin", json!(true))]));
        let descriptors =
            || std::fs::read_dir(format!("/proc/{}/fd", world.shim_pid())).unwrap().flatten().count();
        let mut first = Client::attach(world);
        first.send("hello\n");
        first.until("got hello\n");
        let before = descriptors();
        let id = world.executor().container().to_owned();
        let socket = world.shim_socket();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for round in 0..200 {
                let (typed, stdin) = duplex(64);
                let gone = CancellationToken::new();
                let streams = RemoteCommandStreams {
                    stdin: Some(Box::new(typed)),
                    stdout: Some(Box::new(duplex(64).0)),
                    stderr: Some(Box::new(duplex(64).0)),
                    tty: false,
                    resize: mpsc::channel(1).1,
                    gone: gone.clone(),
                };
                let attached = attach::attach(&socket, id.clone(), streams);
                // Some leave at once, some a moment later, some by the end of what they send.
                let leaves = async {
                    tokio::time::sleep(Duration::from_millis(round % 3)).await;
                    if round % 2 == 0 { gone.cancel() } else { drop(stdin) }
                };
                let (result, ()) = timeout(*HANG, async { tokio::join!(attached, leaves) }).await.unwrap();
                assert_eq!(result, Ok(()), "{round}");
            }
        });
        // With it goes what its last connection left to be done.
        drop(runtime);
        until("the descriptors are closed", || (descriptors() <= before).then_some(()));
        first.send("enough\n");
        first.until("enough\n");
        run.wait().code(7);
    });
}

#[test]
fn a_port_of_a_pod_is_reached_by_its_loopback() {
    world(|world| {
        let run = world.run(&world.pod("port", [world.container("a", &["serve=8080", "wait"])]).grace(1));
        run.expect_running("port", "a", 0);
        // Nothing but the run directory is looked at.
        let layout = Layout::new("/nowhere", world.run_dir(), "/nowhere");
        let uid: PodUid = world.pod_uids()[0].parse().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut stream = loop {
                match forward::connect(&layout, &uid, 8080).await {
                    Ok(stream) => break stream,
                    // It may not listen yet.
                    Err(why) => assert!(why.contains("connection refused"), "{why}"),
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            };
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
            let why = forward::connect(&layout, &uid, 8081).await.unwrap_err();
            let expected = format!("failed to connect to localhost:8081 inside namespace \"{uid}\", IPv4: ");
            assert!(why.starts_with(&expected) && why.contains("connection refused"), "{why}");
        });
        run.stop();
        let gone = runtime.block_on(forward::connect(&layout, &uid, 8080)).unwrap_err();
        assert!(gone.contains("No such file or directory"), "{gone}");
    });
}
