//! Probes: one task per probe, its verdicts as data for the planner.
//!
//! [`Prober::spawn`] starts a task that asks in the probe's rhythm (`worker`), counts the answers (`tally`), and sends
//! a [`Verdict`] whenever they change what is known of the container. A file per kind of question does the asking (`exec`,
//! `grpc`, `http`, `tcp`), from here: the image needs nothing for it. Nothing here restarts anything.

pub(crate) mod address;
mod exec;
mod grpc;
pub(crate) mod http;
mod tally;
mod tcp;
mod worker;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use self::address::Address;
use crate::metrics::counted::Counters;
use crate::metrics::text::Exposition;
use crate::pod::PodUid;
use crate::pod::spec::{Probe, ProbeHandler};
use crate::runtime::Runtime;

/// What the kubelet of the same version calls itself; servers know it, and keep it out of their logs.
const USER_AGENT: &str = "kube-probe/1.37";

/// What a probe is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A failure restarts the container.
    Liveness,
    /// The container is ready while it succeeds.
    Readiness,
    /// Nothing else is asked before it has succeeded; a failure restarts the container.
    Startup,
}

/// Whose container is probed, as metrics name it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's uid.
    pub pod_uid: String,
    /// The container's name.
    pub container: String,
}

/// A probe of one attempt of a container.
#[derive(Debug, Clone)]
pub struct Target {
    /// Whose container it is.
    pub names: Names,
    /// The attempt's id, repeated in every verdict.
    pub container_id: String,
    /// What it is for.
    pub kind: Kind,
    /// What is asked, and how often.
    pub probe: Probe,
    /// The host to ask where the probe names none.
    pub pod_ip: IpAddr,
    /// Start of the container: the initial delay counts from here.
    pub started_at: Timestamp,
    /// The container was found running. Its first probe then waits for a random part of the period, so that an agent
    /// that takes over many does not ask all of them at once.
    pub resumed: bool,
}

/// What a probe has to say, sent when it changes. A container is taken for alive until then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// As in [`Target`].
    pub container_id: String,
    /// As in [`Target`].
    pub kind: Kind,
    /// What was found.
    pub outcome: Outcome,
}

/// What a probe found, thresholds counted in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// An answer was a failure, and what is known stays as it was: it has not failed often enough, or long ago.
    Missed {
        /// As the kubelet would put it.
        message: String,
    },
    /// All is well.
    Success,
    /// The last answer of those that made it a failure.
    Failure {
        /// In the kubelet's words: `HTTP probe failed with statuscode: 500`.
        message: String,
    },
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Healthy,
    /// Healthy, and something about it is odd.
    HealthyBut(String),
    Unhealthy(String),
    /// The question could not be put. This says nothing about the container, and counts as nothing.
    Unknown(String),
}

/// Starts probes. Its copies share what is costly to make.
#[derive(Debug, Clone)]
pub struct Prober {
    /// Where pods on the node's network are reached.
    node: Option<IpAddr>,
    http: Arc<OnceLock<Result<http::Client, String>>>,
    /// Answers so far (`prober_probe_total`).
    answers: Arc<Counters<6>>,
}

/// Labels of `prober_probe_total`.
const LABELS: [&str; 6] = ["probe_type", "result", "container", "pod", "namespace", "pod_uid"];

impl Default for Prober {
    fn default() -> Self {
        Self { node: None, http: Arc::default(), answers: Arc::new(Counters::new(LABELS)) }
    }
}

/// A running probe; it stops when this is dropped.
#[derive(Debug)]
pub struct Handle(JoinHandle<()>);

/// What a probe asks.
enum Question<R> {
    Exec(exec::Question<R>),
    Grpc(grpc::Question),
    Http(Box<http::Question>, Duration),
    Tcp(tcp::Question),
    Impossible(String),
}

impl Kind {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Startup, Self::Liveness, Self::Readiness];
}

/// As the kubelet begins its sentences.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl Prober {
    /// One on a node with this address, if it has any.
    pub fn of_node(node: Option<IpAddr>) -> Self {
        Self { node, ..Self::default() }
    }

    /// Where a pod on the node's network is reached: as for a kubelet its address is the node's. A node without one has its
    /// loopback still.
    pub fn node_address(&self) -> IpAddr {
        self.node.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// Starts a probe. It ends by itself when nobody receives its verdicts, and when a liveness probe has failed or a startup
    /// probe has come to any verdict: the next attempt gets a probe of its own.
    pub fn spawn<R: Runtime>(
        &self,
        target: Target,
        runtime: &Arc<R>,
        verdicts: mpsc::Sender<Verdict>,
    ) -> Handle {
        let question = self.question(&target, runtime);
        let (answers, names, kind) =
            (Arc::clone(&self.answers), target.names.clone(), target.kind.to_string());
        let ask = async move || {
            let answer = question.ask().await;
            let Names { namespace, pod, pod_uid, container } = &names;
            answers.add([&kind, answer.result(), container, pod, namespace, pod_uid], 1);
            answer
        };
        Handle(tokio::spawn(worker::run(target, verdicts, ask)))
    }

    /// Tells what was answered so far.
    pub fn write(&self, text: &mut Exposition) {
        let help = "Cumulative number of a liveness, readiness or startup probe for a container by result.";
        text.counters("prober_probe_total", help, &self.answers);
    }

    /// Forgets the answers of a pod that is gone.
    pub fn forget(&self, pod: &PodUid) {
        self.answers.forget("pod_uid", pod.as_str());
    }

    fn question<R: Runtime>(&self, target: &Target, runtime: &Arc<R>) -> Question<R> {
        let Target { probe: Probe { handler, timeout, .. }, pod_ip, .. } = target;
        let (pod_ip, timeout) = (*pod_ip, *timeout);
        match handler {
            ProbeHandler::Exec(command) => Question::Exec(exec::Question {
                runtime: Arc::clone(runtime),
                container_id: target.container_id.clone(),
                command: command.clone(),
                timeout,
            }),
            ProbeHandler::HttpGet(get) => match self.http() {
                Ok(client) => Question::Http(Box::new(client.question(get, pod_ip, USER_AGENT)), timeout),
                Err(reason) => Question::Impossible(reason.to_owned()),
            },
            ProbeHandler::TcpSocket(socket) => Question::Tcp(tcp::Question {
                address: Address::new(socket.host.as_deref(), pod_ip, socket.port),
                timeout,
            }),
            ProbeHandler::Grpc(grpc) => Question::Grpc(grpc::Question {
                address: Address::new(None, pod_ip, grpc.port),
                service: grpc.service.clone(),
                timeout,
            }),
        }
    }

    /// Made when it is first needed: it costs time.
    pub(crate) fn http(&self) -> Result<&http::Client, &str> {
        let made = self.http.get_or_init(|| http::Client::new().map_err(|error| error.to_string()));
        made.as_ref().map_err(String::as_str)
    }
}

impl Answer {
    /// As the kubelet's metrics name it.
    fn result(&self) -> &'static str {
        match self {
            Self::Healthy | Self::HealthyBut(_) => "successful",
            Self::Unhealthy(_) => "failed",
            Self::Unknown(_) => "unknown",
        }
    }
}

impl<R: Runtime> Question<R> {
    async fn ask(&self) -> Answer {
        match self {
            Self::Exec(question) => question.ask().await,
            Self::Grpc(question) => question.ask().await,
            Self::Http(question, timeout) => question.ask(*timeout).await,
            Self::Tcp(question) => question.ask().await,
            Self::Impossible(reason) => Answer::Unknown(reason.clone()),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// As Go prints it: `300ms`, `1s`, `1m30s`.
fn go_duration(duration: Duration) -> String {
    let (minutes, seconds) = (duration.as_secs() / 60, duration.as_secs() % 60);
    match (minutes, seconds, duration.subsec_millis()) {
        (0, 0, millis) => format!("{millis}ms"),
        (0, seconds, _) => format!("{seconds}s"),
        (minutes, seconds, _) => format!("{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests;
