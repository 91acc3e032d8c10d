//! Probes: one task per probe, its verdicts as data for the planner.
//!
//! [`Prober::spawn`] starts a task that asks in the probe's rhythm (`worker`), counts the answers (`tally`), and sends
//! a [`Verdict`] whenever they change what is known of the container. A file per kind of probe does the asking (`http`).
//! Nothing here restarts anything.

mod http;
mod tally;
mod worker;

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::pod::spec::{Probe, ProbeHandler};

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

/// A probe of one attempt of a container.
#[derive(Debug, Clone)]
pub struct Target {
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
}

/// Why there can be no probes.
#[derive(Debug, thiserror::Error)]
#[error("set up an HTTP client for probes")]
pub struct Error(#[source] reqwest::Error);

/// Starts probes, which share an HTTP client.
#[derive(Debug, Clone)]
pub struct Prober {
    http: http::Client,
}

/// A running probe; it stops when this is dropped.
#[derive(Debug)]
pub struct Handle(JoinHandle<()>);

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl Prober {
    /// Without I/O.
    pub fn new() -> Result<Self, Error> {
        Ok(Self { http: http::Client::new().map_err(Error)? })
    }

    /// Starts a probe. It ends by itself when nobody receives its verdicts, and after a failure of a liveness probe: the
    /// container is doomed then, and the next attempt gets a probe of its own.
    pub fn spawn(&self, target: Target, verdicts: mpsc::Sender<Verdict>) -> Handle {
        let question = match &target.probe.handler {
            ProbeHandler::HttpGet(get) => self.http.question(get, target.pod_ip, target.probe.timeout),
            // Refused before they come here.
            ProbeHandler::Exec(_) | ProbeHandler::TcpSocket(_) | ProbeHandler::Grpc(_) => {
                return Handle(tokio::spawn(std::future::ready(())));
            }
        };
        Handle(tokio::spawn(worker::run(target, verdicts, async move || question.ask().await)))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.abort();
    }
}
