//! The words between an agent and a shim: versioned, one JSON value a frame, over the shim's unix socket.
//!
//! A frame is the length of its body as a little-endian u32, then the body; file descriptors ride on its first byte
//! (SCM_RIGHTS). The agent sends [`Request`]s; the shim answers each with one [`Message::Reply`], and sends every new
//! [`Record`] of its journal as [`Message::Record`]. The journal is the truth: a reply only says that a request was carried out.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::container::spec::{ContainerConfig, PidNamespace, TerminalSize};
use crate::container::user_namespace::IdRange;

/// Version of this protocol and of the journal. A shim lives as long as its pod, so an agent serves older ones too: it follows
/// and ends what they run, and asks them to start nothing.
///
/// It rises with every field that a shim must not pass over.
pub const VERSION: u32 = 9;

/// A longer body ends the connection, bytes.
pub const MAX_FRAME: usize = 8 << 20;

/// A call, with a number that its reply repeats.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// Chosen by the caller, increasing.
    pub id: u64,
    /// What to do.
    pub call: Call,
}

/// What an agent may ask of a shim.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Call {
    /// The first call of a connection: send all records from number `from` on, and every later one.
    Subscribe {
        /// The caller's [`VERSION`].
        version: u32,
        /// First record wanted; the journal starts at 1.
        from: u64,
    },
    /// Start pause. Answered with [`Reply::Sandbox`] and the network namespace as file descriptor (none with `host_network`).
    /// When pause runs already this answers the same and starts nothing.
    CreateSandbox(SandboxConfig),
    /// Start a container. Answered when its program runs, or could not be started (`Reply::Done` either way: the record tells).
    /// When this attempt of it has been begun already, under whatever id, this answers the same and starts nothing.
    StartContainer(Box<ContainerConfig>),
    /// Send a signal to the container's first process. Done when it is gone already.
    Signal {
        /// The container.
        id: String,
        /// Number of the signal.
        signal: i32,
    },
    /// SIGKILL to everything in the container's cgroup. Done when it is gone already.
    Kill {
        /// The container.
        id: String,
    },
    /// Run a further process in a container, with exactly what its first process was given: namespaces, root, cgroup,
    /// identity, capabilities, limits. Answered with [`Reply::ExecStarted`] or [`Reply::ExecFailed`]; after the former comes
    /// one [`Message::ExecExited`]. It is not in the journal, and is killed when the connection ends that asked for it.
    Exec(Box<ExecConfig>),
    /// Let a client hear what a container prints from now on, and type into its standard input, if it has one. Answered with
    /// [`Reply::Attached`]; then comes one [`Message::AttachEnded`]. It ends with the connection that asked for it.
    Attach(AttachConfig),
    /// The client of an attach of this connection sends nothing more: all of it is in its pipe. Without this the end of the pipe is but a
    /// client that may come back, by way of another agent. Done when it is attached no longer.
    EndStdin {
        /// The number of its request.
        attach: u64,
    },
    /// Give a container's terminal a window of another size, which the program in the foreground is told by SIGWINCH.
    Resize {
        /// The container.
        id: String,
        /// The size.
        size: TerminalSize,
    },
    /// Mount a filesystem in memory for the pod, if it is not there yet. Answered with [`Reply::Tmpfs`] and its root as file
    /// descriptor. It goes with the shim.
    MountTmpfs(TmpfsConfig),
    /// Write down that all containers begin anew, none of which runs, but for those that stay: [`Event::ContainersReset`].
    Reset,
    /// Kill what still runs, remove the cgroups below the pod's, answer, and end.
    Shutdown,
}

/// What pause is made of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SandboxConfig {
    /// Host name in the new UTS namespace.
    pub hostname: String,
    /// Stay in the host's network and UTS namespaces.
    pub host_network: bool,
    /// Stay in the host's IPC namespace; the containers' /dev/shm is the host's.
    #[serde(default)]
    pub host_ipc: bool,
    /// Where the processes of the pod's containers have their numbers.
    #[serde(default)]
    pub pids: PidNamespace,
    /// The sandbox's group, relative to the hierarchies' roots.
    pub cgroup: std::path::PathBuf,
    /// Size of the /dev/shm that the pod's containers share, bytes.
    pub shm_size: u64,
    /// Kernel parameters of the new namespaces, name and value; see [`crate::container::sysctls::set`].
    #[serde(default)]
    pub sysctls: Vec<(String, String)>,
    /// The host's ids behind a user namespace of the pod's own; `None`: the host's user namespace.
    #[serde(default)]
    pub user_namespace: Option<IdRange>,
}

/// A filesystem in memory, mounted on `volumes/NAME` in the pod's run directory, in the shim's mount namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TmpfsConfig {
    /// Unique in the pod; safe as a file name.
    pub name: String,
    /// Bytes that it takes; `None`: as the kernel does it, half of the memory.
    pub size: Option<u64>,
    /// Device files and set-user-id programs in it are but files.
    pub inert: bool,
}

/// A further process in a container that runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecConfig {
    /// The container.
    pub id: String,
    /// The program, looked up in the PATH of its environment if it has no slash, and its arguments.
    pub args: Vec<String>,
    /// `NAME=value`, added to the environment that the container's first process was started with.
    pub env: Vec<String>,
    /// Working directory, if it is not to be that of the container's first process. Absolute; must be there.
    pub cwd: Option<std::path::PathBuf>,
    /// When it has run for so many milliseconds it is killed, with all that it has started.
    pub timeout_ms: Option<u64>,
    /// Which of its standard streams come along as file descriptors, in this order; the others are /dev/null.
    pub streams: ExecStreams,
    /// Instead of them a terminal of the container's, which controls it, with a window of this size. Its other end comes with
    /// the answer.
    #[serde(default)]
    pub terminal: Option<TerminalSize>,
}

/// A client at a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttachConfig {
    /// The container.
    pub id: String,
    /// Which streams come along as file descriptors, in this order: one to read what the client sends, and ones to write to what it
    /// hears. They are pipes. Of a container with a terminal all output is standard output.
    pub streams: ExecStreams,
}

/// The standard streams that are given to a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecStreams {
    /// Standard input.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
}

impl ExecStreams {
    /// How many descriptors come along.
    pub fn count(self) -> usize {
        [self.stdin, self.stdout, self.stderr].into_iter().filter(|given| *given).count()
    }
}

/// What a shim says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Message {
    /// The answer to a request.
    Reply {
        /// The request's number.
        id: u64,
        /// What came of it, or an error in one line.
        result: Result<Reply, String>,
    },
    /// A new line of the journal.
    Record(Record),
    /// The process ended that was started for a [`Call::Exec`].
    ExecExited {
        /// The request's number.
        id: u64,
        /// How.
        exit: ExecExit,
    },
    /// A [`Call::Attach`] is over: its pipes are closed.
    AttachEnded {
        /// The request's number.
        id: u64,
        /// Why, in one line, if it was not the container's end or the client's wish.
        why: Option<String>,
    },
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reply {
    /// Carried out.
    Done,
    /// To `Subscribe`: the shim's own version and process id. The records follow.
    Subscribed {
        /// The shim's [`VERSION`].
        version: u32,
        /// Its process.
        pid: i32,
        /// Number of the journal's newest record: with it the caller has caught up. 0 when there is none.
        last: u64,
    },
    /// To `CreateSandbox`.
    Sandbox {
        /// Pause.
        pid: i32,
    },
    /// To `MountTmpfs`.
    Tmpfs,
    /// To `Exec`: the program runs.
    ExecStarted {
        /// The process, as the host sees it.
        pid: i32,
        /// The other end of its terminal, the master, comes along as file descriptor.
        #[serde(default)]
        terminal: bool,
    },
    /// To `Exec`: the program could not be started.
    ExecFailed(StartFailure),
    /// To `Attach`: all that is printed from now on is heard.
    Attached,
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Counts from 1, without gaps, across shims of the same pod.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// What a shim saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Event {
    /// A shim opened the journal.
    ShimStarted {
        /// Its [`VERSION`].
        version: u32,
        /// Its process.
        pid: i32,
    },
    /// Pause runs.
    SandboxStarted {
        /// Pause.
        pid: i32,
    },
    /// Pause ended; what ran in the sandbox is killed by the shim, and reported as it ends.
    SandboxExited {
        /// How.
        exit: Exit,
    },
    /// The container's program is about to be started: from here on it may have run. Not told by shims of earlier releases.
    ContainerStarting {
        /// The attempt.
        container: Attempt,
    },
    /// The container's program runs.
    ContainerStarted {
        /// The attempt.
        container: Attempt,
        /// Its first process, as the host sees it.
        pid: i32,
        /// Who that runs as, as the container sees it. Not told by shims of earlier releases.
        #[serde(default)]
        user: Option<User>,
    },
    /// The container's program could not be started.
    ContainerStartFailed {
        /// The attempt.
        container: Attempt,
        /// Why.
        failure: StartFailure,
    },
    /// The container's first process ended, and with it all of the container.
    ContainerExited {
        /// The attempt.
        container: Attempt,
        /// How.
        exit: Exit,
        /// Its termination message, at most [`crate::shim::message::MAX_BYTES`]. Not told by shims of earlier releases.
        #[serde(default)]
        message: Option<String>,
    },
    /// What ended before this does not count for what is started after it: the pod's containers begin anew, in its sandbox.
    ContainersReset,
}

impl Event {
    /// True if it says that something is about to happen, and nothing has yet.
    pub const fn is_only_begun(&self) -> bool {
        matches!(self, Self::ContainerStarting { .. })
    }

    /// What the journal calls it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ShimStarted { .. } => "shimStarted",
            Self::SandboxStarted { .. } => "sandboxStarted",
            Self::SandboxExited { .. } => "sandboxExited",
            Self::ContainerStarting { .. } => "containerStarting",
            Self::ContainerStarted { .. } => "containerStarted",
            Self::ContainerStartFailed { .. } => "containerStartFailed",
            Self::ContainerExited { .. } => "containerExited",
            Self::ContainersReset => "containersReset",
        }
    }
}

/// Who a process runs as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// All groups.
    pub groups: Vec<u32>,
}

/// Names one start of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The container's id, a new one for each attempt.
    pub id: String,
    /// The container's name.
    pub name: String,
    /// Which start it was, from 0.
    pub attempt: u32,
    /// The image it is made from. Not told by shims of earlier releases.
    #[serde(default)]
    pub image_id: Option<String>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit code; 128 + signal when a signal ended it.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The kernel killed a process of the container for want of memory.
    pub oom_killed: bool,
    /// It ended while no shim watched: code 137 then stands for "not known".
    pub lost: bool,
}

/// How a process ended that was executed in a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecExit {
    /// Exit code; 128 + signal when a signal ended it.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// It was killed because its time was over.
    pub timed_out: bool,
}

/// Why a container's program could not be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartFailure {
    /// The step that failed, such as `execve` or `mount /proc`.
    pub step: String,
    /// The system's error number, where there is one.
    pub errno: Option<i32>,
    /// One line a person can act on.
    pub text: String,
}
