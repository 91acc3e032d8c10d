//! What a shim answers, and what becomes of who asked when it is gone.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream as Peer};

use serde_json::json;

use super::*;
use crate::container::spec::ContainerConfig;
use crate::container::spec::PidNamespace;
use crate::shim::journal::Journal;
use crate::shim::protocol::{Exit, SandboxConfig};

const ENDED: Exit = Exit { code: 137, signal: Some(9), oom_killed: false, lost: false };

/// A shim that reads one request at a time and answers as told, over a real socket.
struct FakeShim {
    peer: Peer,
}

impl FakeShim {
    fn request(&mut self) -> Request {
        let mut header = [0; 4];
        self.peer.read_exact(&mut header).unwrap();
        let mut body = vec![0; u32::from_le_bytes(header) as usize];
        self.peer.read_exact(&mut body).unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    /// A request that brings descriptors.
    fn request_with_fds(&mut self) -> (Request, Vec<OwnedFd>) {
        let (mut fds, mut decoder) = (Vec::new(), Decoder::default());
        let mut buffer = [0; 4096];
        loop {
            let count = fd_passing::receive(self.peer.as_fd(), &mut buffer, &mut fds).unwrap();
            decoder.push(&buffer[..count]);
            if let Some(request) = decoder.take().unwrap() {
                return (request, fds);
            }
        }
    }

    fn say(&mut self, message: &Message) {
        self.peer.write_all(&frame::encode(message).unwrap()).unwrap();
    }

    fn reply(&mut self, id: u64, reply: Reply) {
        self.say(&Message::Reply { id, result: Ok(reply) });
    }

    fn reply_with_fd(&mut self, id: u64, reply: Reply, fd: &impl AsFd) {
        let frame = frame::encode(&Message::Reply { id, result: Ok(reply) }).unwrap();
        let sent = fd_passing::send(self.peer.as_fd(), &frame, &[fd.as_fd()]).unwrap();
        assert_eq!(sent, frame.len());
    }
}

/// Connects to a fake shim that runs `script` after the subscription.
async fn connected(
    script: impl FnOnce(FakeShim) + Send + 'static,
) -> (ShimClient, mpsc::UnboundedReceiver<Notice>) {
    connected_to(VERSION, script).await
}

async fn connected_to(
    version: u32,
    script: impl FnOnce(FakeShim) + Send + 'static,
) -> (ShimClient, mpsc::UnboundedReceiver<Notice>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shim.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        let mut shim = FakeShim { peer: listener.accept().unwrap().0 };
        let id = shim.request().id;
        shim.reply(id, Reply::Subscribed { version, pid: 1, last: 1 });
        shim.say(&record(1));
        script(shim);
    });
    let (sender, notices) = mpsc::unbounded_channel();
    let (client, last) = ShimClient::connect(&path, 1, sender, None).await.unwrap();
    assert_eq!(last, 1);
    (client, notices)
}

fn record(seq: u64) -> Message {
    let event = Event::SandboxStarted { pid: 1 };
    Message::Record(Record { seq, at: jiff::Timestamp::UNIX_EPOCH, event })
}

fn number(notice: Option<Notice>) -> u64 {
    match notice {
        Some(Notice::Record(record)) => record.seq,
        other => panic!("no record: {other:?}"),
    }
}

#[tokio::test]
async fn a_reply_comes_after_the_records_before_it_and_brings_its_descriptor() {
    let (client, mut notices) = connected(|mut shim| {
        let id = shim.request().id;
        shim.say(&record(2));
        let (reader, _writer) = std::io::pipe().unwrap();
        shim.reply_with_fd(id, Reply::Sandbox { pid: 7 }, &reader);
    })
    .await;
    let signal = Call::Signal { id: "x".into(), signal: 15 };
    let (reply, fd) = client.call(signal).await.unwrap();
    assert_eq!(reply, Reply::Sandbox { pid: 7 });
    assert!(fd.is_some());
    assert_eq!(number(notices.try_recv().ok()), 1);
    assert_eq!(number(notices.try_recv().ok()), 2);
}

#[tokio::test]
async fn a_shim_that_dies_fails_its_callers_and_is_told_of_once() {
    let (client, mut notices) = connected(|mut shim| drop(shim.request())).await;
    let call = Call::Kill { id: "x".into() };
    assert!(matches!(client.tell(call.clone()).await, Err(Error::Gone)));
    assert!(matches!(client.tell(call).await, Err(Error::Gone)));
    client.gone().await;
    assert_eq!(number(notices.recv().await), 1);
    assert_eq!(notices.recv().await, Some(Notice::Lost));
    assert_eq!(notices.recv().await, None);
}

#[tokio::test]
async fn a_refusal_is_told_in_the_shims_words() {
    let (client, _notices) = connected(|mut shim| {
        let id = shim.request().id;
        shim.say(&Message::Reply { id, result: Err("no".into()) });
    })
    .await;
    assert_eq!(client.tell(Call::Shutdown).await.unwrap_err().to_string(), "no");
}

#[tokio::test]
async fn an_older_shim_is_followed_and_told_to_end_things_but_starts_nothing() {
    let (client, mut notices) = connected_to(VERSION - 1, |mut shim| {
        // What its journal says of the sandbox counts: the first record says that it runs.
        let id = shim.request().id;
        shim.reply(id, Reply::Sandbox { pid: 1 });
        let event = Event::SandboxExited { exit: ENDED };
        shim.say(&Message::Record(Record { seq: 2, at: jiff::Timestamp::UNIX_EPOCH, event }));
        let id = shim.request().id;
        shim.reply(id, Reply::Done);
    })
    .await;
    assert_eq!(number(notices.recv().await), 1);
    let config: ContainerConfig = serde_json::from_value(json!({
        "id": "x", "name": "a", "attempt": 0, "logPath": "/x", "mounts": [], "maskedPaths": [], "readonlyPaths": [],
        "root": {"lower": [], "attemptDir": "/x", "readonly": false}, "cgroupsPath": "/x", "resources": {},
        "process": {
            "args": [], "env": [], "cwd": "/", "capabilities": {}, "rlimits": [], "oomScoreAdj": 0, "noNewPrivileges": true,
            "user": {"imageUser": "", "supplementalGroups": [], "strictGroups": false, "nonRoot": false},
        },
    }))
    .unwrap();
    let start = || client.tell(Call::StartContainer(Box::new(config.clone())));
    let told = start().await.unwrap_err().to_string();
    assert!(told.contains("nothing new is started in this pod"), "{told}");

    let sandbox = || {
        client.tell(Call::CreateSandbox(SandboxConfig {
            hostname: "x".into(),
            host_network: false,
            host_ipc: false,
            pids: PidNamespace::Container,
            cgroup: "/x".into(),
            shm_size: 1,
            sysctls: Vec::new(),
            user_namespace: None,
        }))
    };
    sandbox().await.unwrap();
    assert_eq!(number(notices.recv().await), 2);
    assert!(matches!(sandbox().await, Err(Error::TooOld(_))));
    client.tell(Call::Shutdown).await.unwrap();
}

#[tokio::test]
async fn a_newer_shim_is_told_from_one_that_is_gone() {
    let newer = Reply::Subscribed { version: VERSION + 1, pid: 1, last: 0 };
    let refusal = format!("this shim speaks version {}, the agent only {VERSION}", VERSION + 1);
    for result in [Ok(newer), Err(refusal)] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shim.sock");
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || {
            let mut shim = FakeShim { peer: listener.accept().unwrap().0 };
            let id = shim.request().id;
            shim.say(&Message::Reply { id, result });
        });
        let (sender, _notices) = mpsc::unbounded_channel();
        let error = ShimClient::connect(&path, 1, sender, None).await.unwrap_err();
        assert!(matches!(error, Error::TooNew(_)), "{error}");
        assert!(error.to_string().contains(&format!("version {}", VERSION + 1)), "{error}");
    }
}

#[tokio::test]
async fn nobody_listening_is_an_error_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (sender, _notices) = mpsc::unbounded_channel();
    let error = ShimClient::connect(&dir.path().join("none"), 1, sender, None).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }));
}

fn exit(code: i32) -> ExecExit {
    ExecExit { code, signal: None, timed_out: false }
}

fn exec() -> ExecConfig {
    ExecConfig { id: "x".into(), args: vec!["true".into()], ..ExecConfig::default() }
}

#[tokio::test]
async fn the_first_bytes_of_an_execs_output_are_kept_and_the_rest_does_not_stop_it() {
    let (client, _notices) = connected(|mut shim| {
        let (request, mut fds) = shim.request_with_fds();
        assert_eq!(fds.len(), 2);
        shim.reply(request.id, Reply::ExecStarted { pid: 7, terminal: false });
        let mut stdout = std::fs::File::from(fds.remove(0));
        // More than any pipe holds; and its other end stays open, as by a process that was left behind.
        stdout.write_all(&b"0123456789".repeat(200_000)).unwrap();
        shim.say(&Message::ExecExited { id: request.id, exit: exit(3) });
        std::mem::forget((stdout, fds));
    })
    .await;
    let captured = super::super::exec::capture(&client, exec(), 25).await.unwrap();
    assert_eq!(captured.exit, exit(3));
    assert_eq!(captured.output, b"0123456789012345678901234");
}

#[tokio::test]
async fn an_exec_that_fails_and_one_that_is_lost_are_errors() {
    let (client, _notices) = connected(|mut shim| {
        let failure = StartFailure { step: "execve".into(), errno: None, text: "no".into() };
        let id = shim.request().id;
        shim.reply(id, Reply::ExecFailed(failure));
        let id = shim.request().id;
        shim.reply(id, Reply::ExecStarted { pid: 7, terminal: false });
    })
    .await;
    assert_eq!(client.exec(exec(), &[]).await.unwrap_err().to_string(), "execve: no");
    let running = client.exec(exec(), &[]).await.unwrap();
    assert_eq!(running.pid, 7);
    assert!(matches!(running.wait().await, Err(Error::Gone)));
    assert!(client.callers().execs.is_empty());
}

#[tokio::test]
async fn the_other_end_of_a_terminal_comes_with_the_answer_and_tells_of_a_new_size() {
    let size = TerminalSize { rows: 24, columns: 80 };
    let on_terminal = || ExecConfig { terminal: Some(size), ..exec() };
    let (done, finished) = std::sync::mpsc::channel();
    let (client, _notices) = connected(move |mut shim| {
        let request = shim.request();
        let Call::Exec(config) = request.call else { panic!("{request:?}") };
        assert_eq!(config.terminal, Some(size));
        let pty = nix::pty::openpty(None, None).unwrap();
        shim.reply_with_fd(request.id, Reply::ExecStarted { pid: 7, terminal: true }, &pty.master);
        // One without is no answer.
        let id = shim.request().id;
        shim.reply(id, Reply::ExecStarted { pid: 8, terminal: false });
        done.send(pty.slave).unwrap();
    })
    .await;
    let running = client.exec(on_terminal(), &[]).await.unwrap();
    running.resize(TerminalSize { rows: 40, columns: 132 }).unwrap();
    assert!(matches!(client.exec(on_terminal(), &[]).await, Err(Error::Confused)));
    let slave = finished.recv().unwrap();
    assert_eq!(terminal::size(slave.as_fd()).unwrap(), (40, 132));

    let (client, _notices) = connected_to(VERSION - 1, drop).await;
    assert!(matches!(client.exec(on_terminal(), &[]).await, Err(Error::TooOld(_))));
}

#[tokio::test]
async fn what_a_shim_has_written_and_not_told_comes_before_its_loss() {
    let dir = tempfile::tempdir().unwrap();
    let (path, file) = (dir.path().join("shim.sock"), dir.path().join("journal"));
    let (mut journal, _) = Journal::open(&file).unwrap();
    let listener = UnixListener::bind(&path).unwrap();
    let writer = std::thread::spawn(move || {
        let mut shim = FakeShim { peer: listener.accept().unwrap().0 };
        let id = shim.request().id;
        shim.reply(id, Reply::Subscribed { version: VERSION, pid: 1, last: 1 });
        let mut happens =
            |pid| journal.append(jiff::Timestamp::UNIX_EPOCH, Event::SandboxStarted { pid }).unwrap();
        shim.say(&Message::Record(happens(1)));
        happens(2);
        happens(3);
    });
    let (sender, mut notices) = mpsc::unbounded_channel();
    let (_client, _) = ShimClient::connect(&path, 1, sender, Some(file)).await.unwrap();
    for seq in 1..=3 {
        assert_eq!(number(notices.recv().await), seq);
    }
    assert_eq!(notices.recv().await, Some(Notice::Lost));
    writer.join().unwrap();
}
