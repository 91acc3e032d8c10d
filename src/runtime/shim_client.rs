//! The agent's end of a shim's socket: calls out, replies and journal records in.
//!
//! One task reads. It hands a reply to its caller only after every record that came before it went into the channel, so who
//! has seen a reply and emptied the channel knows all that had happened by then.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};

use super::timing::Span;
use crate::container::spec::TerminalSize;
use crate::shim::frame::{self, Decoder, FrameError};
use crate::shim::protocol::{
    AttachConfig, Call, Event, ExecConfig, ExecExit, Message, Record, Reply, Request, StartFailure, VERSION,
};
use crate::state::record::Ending;
use crate::sys::{fd_passing, terminal};

/// A shim that does not answer within this time is stuck. As long as a kubelet waits for its runtime (`--runtime-request-timeout`):
/// many pods that start at once on a slow machine take their time, and are not to be given up for that.
const ANSWER_TIME: Duration = Duration::from_secs(120);

/// Read at a time, bytes.
const BUFFER: usize = 64 << 10;

/// What happens to a pod without having been asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// A line of the journal.
    Record(Record),
    /// ConfigMaps or Secrets have changed: what could not be started for want of one may be tried again.
    Objects,
    /// The pod may not go on.
    Evict(Ending),
    /// Steps of its start are done, and took so long.
    Timed(Vec<Span>),
    /// The connection ended: the shim is gone. Nothing follows.
    Lost,
}

/// Why a shim could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens.
    #[error("connect to the shim at {path}")]
    Connect {
        /// Its socket.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The connection ended, or the shim with it.
    #[error("the shim is gone")]
    Gone,
    /// No answer came in time.
    #[error("the shim does not answer within {} s", ANSWER_TIME.as_secs())]
    Stuck,
    /// The shim said no, and why.
    #[error("{0}")]
    Refused(String),
    /// The program of an exec could not be started.
    #[error("{}: {}", .0.step, .0.text)]
    NotStarted(StartFailure),
    /// No pipe for the output of an exec.
    #[error("make a pipe")]
    Pipe(#[source] io::Error),
    /// An answer to another question.
    #[error("the shim gave an answer that does not fit")]
    Confused,
    /// It speaks a newer version, which is not known here.
    #[error(
        "the pod's shim is of a newer mkubelet ({0}): it is left alone, as is all that runs in the pod; \
         run that mkubelet to look after it"
    )]
    TooNew(String),
    /// It speaks an older version: what it does not know of what it is told it would leave out, be it what keeps a container in.
    #[error(
        "the pod's shim is of an older mkubelet (version {0} of its protocol, not {VERSION}): what runs goes on, \
         but nothing new is started in this pod; delete it and make it anew"
    )]
    TooOld(u32),
    /// A request cannot be written as a frame.
    #[error("write a request")]
    Frame(#[source] FrameError),
}

/// A connection to a shim. It ends when this is dropped.
#[derive(Debug)]
pub struct ShimClient {
    socket: Arc<UnixStream>,
    callers: Arc<Mutex<Callers>>,
    /// Held while a frame is written, so that frames do not mix.
    writing: tokio::sync::Mutex<()>,
    gone: watch::Receiver<bool>,
    reader: tokio::task::JoinHandle<()>,
    /// The version of the protocol that the shim speaks.
    version: u32,
    has_sandbox: Arc<AtomicBool>,
}

/// A process that runs in a container because this connection asked for it; the shim kills it when the connection ends.
#[derive(Debug)]
pub struct Executed {
    /// The process, as the host sees it.
    pub pid: i32,
    /// The master of its terminal, if it was given one. When it is closed the process gets SIGHUP; reading fails with EIO once
    /// nobody in the container has the terminal open.
    pub terminal: Option<OwnedFd>,
    ended: oneshot::Receiver<ExecExit>,
}

impl Attached {
    /// What names it to the shim.
    pub fn request(&self) -> u64 {
        self.request
    }

    /// Waits until the client is attached no longer; tells why, if that was not the container's end or the client's wish.
    pub async fn ended(&mut self) -> Result<Option<String>, Error> {
        (&mut self.ended).await.map_err(|_| Error::Gone)
    }
}

impl Executed {
    /// Gives its terminal's window another size, which the program in the foreground is told by SIGWINCH. Fine without one.
    pub fn resize(&self, size: TerminalSize) -> io::Result<()> {
        self.terminal
            .as_ref()
            .map_or(Ok(()), |master| terminal::set_size(master.as_fd(), size.rows, size.columns))
    }

    /// Waits for its end.
    pub async fn wait(self) -> Result<ExecExit, Error> {
        self.ended.await.map_err(|_| Error::Gone)
    }
}

/// A client that is attached to a container, until the connection ends.
#[derive(Debug)]
pub struct Attached {
    request: u64,
    ended: oneshot::Receiver<Option<String>>,
}

/// Who waits for which reply.
#[derive(Debug, Default)]
struct Callers {
    last_id: u64,
    /// `None` once the connection has ended.
    waiting: Option<HashMap<u64, oneshot::Sender<Answer>>>,
    /// Who waits for the end of an exec, by the number of its request.
    execs: HashMap<u64, oneshot::Sender<ExecExit>>,
    /// Who is attached, likewise.
    attached: HashMap<u64, oneshot::Sender<Option<String>>>,
}

type Answer = (Result<Reply, String>, Option<OwnedFd>);

impl ShimClient {
    /// Connects, and asks for the records from number `from` on. When this returns, all that had been recorded is in
    /// `notices`, or on its way into it, up to the number returned.
    pub async fn connect(
        path: &Path,
        from: u64,
        notices: mpsc::UnboundedSender<Notice>,
    ) -> Result<(Self, u64), Error> {
        let socket = UnixStream::connect(path).await;
        let socket = socket.map_err(|source| Error::Connect { path: path.display().to_string(), source })?;
        let socket = Arc::new(socket);
        let callers = Arc::new(Mutex::new(Callers { waiting: Some(HashMap::new()), ..Callers::default() }));
        let (ended, gone) = watch::channel(false);
        let has_sandbox = Arc::new(AtomicBool::new(false));
        let reader = Reader {
            socket: Arc::clone(&socket),
            callers: Arc::clone(&callers),
            has_sandbox: Arc::clone(&has_sandbox),
            notices,
            decoder: Decoder::default(),
            fds: VecDeque::new(),
            _ended: ended,
        };
        let reader = tokio::spawn(reader.run());
        let writing = tokio::sync::Mutex::new(());
        let mut client = Self { socket, callers, writing, gone, reader, version: VERSION, has_sandbox };
        match client.call(Call::Subscribe { version: VERSION, from }).await {
            Ok((Reply::Subscribed { version: version @ 1..=VERSION, last, .. }, _)) => {
                client.version = version;
                Ok((client, last))
            }
            Ok((Reply::Subscribed { version, .. }, _)) => Err(Error::TooNew(format!(
                "it speaks version {version} of its protocol, this program {VERSION}"
            ))),
            Ok(_) => Err(Error::Confused),
            // There is no other reason to refuse that.
            Err(Error::Refused(why)) => Err(Error::TooNew(why)),
            Err(error) => Err(error),
        }
    }

    /// Asks, and waits for the answer; with it may come a file descriptor.
    ///
    /// A shim of an older version is asked to start neither a container nor a sandbox: it would pass over what it does not know.
    pub async fn call(&self, call: Call) -> Result<(Reply, Option<OwnedFd>), Error> {
        let starts = match &call {
            Call::StartContainer(_) => true,
            // One that runs is only told of.
            Call::CreateSandbox(_) => !self.has_sandbox.load(Ordering::Acquire),
            _ => false,
        };
        if starts && self.version < VERSION {
            return Err(Error::TooOld(self.version));
        }
        let (answer, answered) = oneshot::channel();
        let id = self.callers().add(answer).ok_or(Error::Gone)?;
        self.exchange(Request { id, call }, &[], answered).await
    }

    /// Runs a further process in a container. `streams` are the ones that `config` announces, in its order; they can be
    /// closed once this has returned. The process is at most started then: [`Executed::wait`] tells how it ended.
    pub async fn exec(&self, config: ExecConfig, streams: &[BorrowedFd<'_>]) -> Result<Executed, Error> {
        let wants_terminal = config.terminal.is_some();
        if wants_terminal && self.version < VERSION {
            return Err(Error::TooOld(self.version));
        }
        let (answer, answered) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let id = self.callers().add(answer).ok_or(Error::Gone)?;
        self.callers().execs.insert(id, end);
        let request = Request { id, call: Call::Exec(Box::new(config)) };
        let error = match self.exchange(request, streams, answered).await {
            Ok((Reply::ExecStarted { pid, .. }, terminal)) if terminal.is_some() == wants_terminal => {
                return Ok(Executed { pid, terminal, ended });
            }
            Ok((Reply::ExecFailed(failure), _)) => Error::NotStarted(failure),
            Ok(_) => Error::Confused,
            Err(error) => error,
        };
        self.callers().execs.remove(&id);
        Err(error)
    }

    /// Attaches a client to a container. `streams` are the ones that `config` announces, in its order: the shim's ends of pipes, which can be
    /// closed once this has returned. What is printed from then on comes out of them.
    pub async fn attach(&self, config: AttachConfig, streams: &[BorrowedFd<'_>]) -> Result<Attached, Error> {
        if self.version < VERSION {
            return Err(Error::TooOld(self.version));
        }
        let (answer, answered) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let id = self.callers().add(answer).ok_or(Error::Gone)?;
        self.callers().attached.insert(id, end);
        let request = Request { id, call: Call::Attach(config) };
        let error = match self.exchange(request, streams, answered).await {
            Ok((Reply::Attached, _)) => return Ok(Attached { request: id, ended }),
            Ok(_) => Error::Confused,
            Err(error) => error,
        };
        self.callers().attached.remove(&id);
        Err(error)
    }

    /// Tells that an attached client ([`Attached::request`]) sends nothing more, or has left: all that it has sent is in its pipe.
    pub async fn end_stdin(&self, attach: u64) -> Result<(), Error> {
        self.tell(Call::EndStdin { attach }).await
    }

    /// Likewise, where nothing but a yes is of interest.
    pub async fn tell(&self, call: Call) -> Result<(), Error> {
        self.call(call).await.map(drop)
    }

    /// True once the shim has ended.
    pub fn is_gone(&self) -> bool {
        self.callers().waiting.is_none()
    }

    /// Waits for the shim's end.
    pub async fn gone(&self) {
        // The sender goes with the reader.
        let mut gone = self.gone.clone();
        while gone.changed().await.is_ok() {}
    }

    /// Sends a request with its descriptors, and waits for the answer.
    async fn exchange(
        &self,
        request: Request,
        fds: &[BorrowedFd<'_>],
        answered: oneshot::Receiver<Answer>,
    ) -> Result<(Reply, Option<OwnedFd>), Error> {
        let id = request.id;
        let frame = frame::encode(&request).map_err(Error::Frame)?;
        let exchange = async {
            self.write(&frame, fds).await.map_err(|_| Error::Gone)?;
            answered.await.map_err(|_| Error::Gone)
        };
        match tokio::time::timeout(ANSWER_TIME, exchange).await {
            Ok(answer) => {
                let (result, fd) = answer?;
                Ok((result.map_err(Error::Refused)?, fd))
            }
            Err(_) => {
                self.callers().forget(id);
                Err(Error::Stuck)
            }
        }
    }

    async fn write(&self, mut frame: &[u8], mut fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let _turn = self.writing.lock().await;
        while !frame.is_empty() {
            let send = || fd_passing::send(self.socket.as_fd(), frame, fds);
            let count = self.socket.async_io(Interest::WRITABLE, send).await?;
            frame = &frame[count..];
            // They went with the first byte.
            fds = &[];
        }
        Ok(())
    }

    fn callers(&self) -> std::sync::MutexGuard<'_, Callers> {
        lock(&self.callers)
    }
}

impl Drop for ShimClient {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Callers {
    /// The number of a new request; `None` when no answer can come any more.
    fn add(&mut self, answer: oneshot::Sender<Answer>) -> Option<u64> {
        let waiting = self.waiting.as_mut()?;
        self.last_id += 1;
        waiting.insert(self.last_id, answer);
        Some(self.last_id)
    }

    fn forget(&mut self, id: u64) -> Option<oneshot::Sender<Answer>> {
        self.waiting.as_mut()?.remove(&id)
    }
}

/// The task that reads.
struct Reader {
    socket: Arc<UnixStream>,
    callers: Arc<Mutex<Callers>>,
    notices: mpsc::UnboundedSender<Notice>,
    /// Set before the record is passed on that says so.
    has_sandbox: Arc<AtomicBool>,
    decoder: Decoder,
    /// Descriptors that came, to be given out in their order: a reply that brings one takes the first.
    fds: VecDeque<OwnedFd>,
    _ended: watch::Sender<bool>,
}

impl Reader {
    async fn run(mut self) {
        if let Err(error) = self.read().await {
            tracing::warn!(%error, "connection to a shim broke");
        }
        // Nobody may be left to care.
        let _ = self.notices.send(Notice::Lost);
        // Only now: whoever finds the shim gone finds the notice in the channel, too.
        let mut callers = lock(&self.callers);
        callers.waiting = None;
        callers.execs.clear();
        callers.attached.clear();
    }

    /// Reads until the shim ends, or what it says makes no sense.
    async fn read(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let mut fds = Vec::new();
            let receive = || fd_passing::receive(self.socket.as_fd(), &mut buffer, &mut fds);
            let count = match self.socket.async_io(Interest::READABLE, receive).await {
                Ok(0) => return Ok(()),
                // What a killed peer leaves unread resets the connection: an end like any other.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
                count => count?,
            };
            self.fds.extend(fds);
            self.decoder.push(&buffer[..count]);
            while let Some(message) = self.decoder.take().map_err(io::Error::other)? {
                self.dispatch(message);
            }
        }
    }

    fn dispatch(&mut self, message: Message) {
        match message {
            Message::Record(record) => {
                match record.event {
                    Event::SandboxStarted { .. } => self.has_sandbox.store(true, Ordering::Release),
                    Event::SandboxExited { .. } => self.has_sandbox.store(false, Ordering::Release),
                    _ => {}
                }
                let _ = self.notices.send(Notice::Record(record));
            }
            Message::ExecExited { id, exit } => {
                if let Some(caller) = lock(&self.callers).execs.remove(&id) {
                    let _ = caller.send(exit);
                }
            }
            Message::AttachEnded { id, why } => {
                if let Some(caller) = lock(&self.callers).attached.remove(&id) {
                    let _ = caller.send(why);
                }
            }
            Message::Reply { id, result } => {
                let fd = match &result {
                    Ok(Reply::Sandbox { .. } | Reply::Tmpfs | Reply::ExecStarted { terminal: true, .. }) => {
                        self.fds.pop_front()
                    }
                    _ => None,
                };
                if let Some(caller) = lock(&self.callers).forget(id) {
                    // The caller may have given up.
                    let _ = caller.send((result, fd));
                }
            }
        }
    }
}

fn lock(callers: &Mutex<Callers>) -> std::sync::MutexGuard<'_, Callers> {
    // Whole after every operation, so a panic elsewhere does not spoil it.
    callers.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::{UnixListener, UnixStream as Peer};

    use serde_json::json;

    use super::*;
    use crate::container::spec::ContainerConfig;
    use crate::container::spec::PidNamespace;
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
        let (client, last) = ShimClient::connect(&path, 1, sender).await.unwrap();
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
            let error = ShimClient::connect(&path, 1, sender).await.unwrap_err();
            assert!(matches!(error, Error::TooNew(_)), "{error}");
            assert!(error.to_string().contains(&format!("version {}", VERSION + 1)), "{error}");
        }
    }

    #[tokio::test]
    async fn nobody_listening_is_an_error_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let (sender, _notices) = mpsc::unbounded_channel();
        let error = ShimClient::connect(&dir.path().join("none"), 1, sender).await.unwrap_err();
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
}
