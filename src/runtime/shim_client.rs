//! The agent's end of a shim's socket: calls out, replies and journal records in.
//!
//! One task reads. It hands a reply to its caller only after every record that came before it went into the channel, so who
//! has seen a reply and emptied the channel knows all that had happened by then.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;

use super::timing::Span;
use crate::container::spec::TerminalSize;
use crate::shim::frame::{self, Decoder, FrameError};
use crate::shim::journal;
use crate::shim::protocol::{
    AttachConfig, Call, Event, ExecConfig, ExecExit, Message, Record, Reply, Request, StartFailure, VERSION,
};
use crate::state::record::Ending;
use crate::sys::{fd_passing, terminal};

/// A shim that does not answer within this time is stuck. As long as a kubelet waits for its runtime (`--runtime-request-timeout`):
/// many pods that start at once on a slow machine take their time, and are not to be given up for that.
const ANSWER_TIME: Duration = Duration::from_secs(120);

/// Read at a time, bytes.
const BUFFER: usize = 16 << 10;

/// What happens to a pod without having been asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// A line of the journal.
    Record(Record),
    /// ConfigMaps or Secrets have changed: what could not be started for want of one may be tried again.
    Objects,
    /// The pod may not go on.
    Evict(Ending),
    /// Something that somebody may want to know.
    Happened(crate::events::Event),
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
    ///
    /// What the shim writes into `journal` and then has no time to tell is in `notices`, too, before [`Notice::Lost`].
    pub async fn connect(
        path: &Path,
        from: u64,
        notices: mpsc::UnboundedSender<Notice>,
        journal: Option<PathBuf>,
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
            journal,
            subscribed: false,
            told: from.saturating_sub(1),
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
    journal: Option<PathBuf>,
    /// The shim was able to read its journal.
    subscribed: bool,
    /// Number of the last record that came.
    told: u64,
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
        self.tell_the_rest().await;
        // Nobody may be left to care.
        let _ = self.notices.send(Notice::Lost);
        // Only now: whoever finds the shim gone finds the notice in the channel, too.
        let mut callers = lock(&self.callers);
        callers.waiting = None;
        callers.execs.clear();
        callers.attached.clear();
    }

    /// A shim writes down what happens before it tells of it: what it has not told any more is in its journal.
    async fn tell_the_rest(&mut self) {
        let Some(journal) = self.journal.take().filter(|_| self.subscribed) else { return };
        let read = spawn_blocking(move || journal::read(&journal)).await;
        // Where nothing can be read its successor will say so.
        let records = read.ok().and_then(Result::ok).unwrap_or_default();
        let rest = records.into_iter().filter(|record| record.seq > self.told);
        rest.for_each(|record| drop(self.notices.send(Notice::Record(record))));
    }

    /// Reads until the shim ends, or what it says makes no sense.
    async fn read(&mut self) -> io::Result<()> {
        loop {
            let mut fds = Vec::new();
            let receive = || {
                // For this moment alone: most shims of a node say nothing most of the time.
                let mut buffer = [0; BUFFER];
                let count = fd_passing::receive(self.socket.as_fd(), &mut buffer, &mut fds)?;
                self.decoder.push(&buffer[..count]);
                Ok(count)
            };
            match self.socket.async_io(Interest::READABLE, receive).await {
                Ok(0) => return Ok(()),
                // What a killed peer leaves unread resets the connection: an end like any other.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
                count => count?,
            };
            self.fds.extend(fds);
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
                self.told = record.seq;
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
                self.subscribed |= matches!(result, Ok(Reply::Subscribed { .. }));
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
mod tests;
