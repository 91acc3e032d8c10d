//! Probes: what is asked of a container while it runs. Some of it hooks ask, too.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A probe: what to ask, how often, and how many answers make a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What is asked.
    pub handler: ProbeHandler,
    /// From the container's start to the first question.
    pub initial_delay: Duration,
    /// Between questions; at least a second, or what the pod's annotation says.
    pub period: Duration,
    /// For one answer; at least a second.
    pub timeout: Duration,
    /// Answers in a row after a failure before it counts as a success; at least 1.
    pub success_threshold: u32,
    /// Failures in a row before it counts as one; at least 1.
    pub failure_threshold: u32,
    /// Time between SIGTERM and SIGKILL when this probe ends the container; `None` is the pod's.
    #[serde(default)]
    pub termination_grace_period: Option<Duration>,
}

/// The kinds of probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeHandler {
    /// Runs a program in the container, without a shell; exit code 0 is a success. Not empty.
    Exec(Vec<String>),
    /// GET; a code from 200 to 399 is a success.
    HttpGet(HttpGet),
    /// A connection that is made is a success.
    TcpSocket(TcpSocket),
    /// `grpc.health.v1.Health/Check`; the answer SERVING is a success.
    Grpc(Grpc),
}

/// `httpGet`, with its port name looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpGet {
    /// Where to connect; `None` is the pod's address.
    pub host: Option<String>,
    /// 1 to 65535.
    pub port: u16,
    /// Path and query, starting with `/`.
    pub path: String,
    /// Certificates are not verified, as the kubelet does not either.
    pub https: bool,
    /// In the manifest's order; `Host` sets the Host header.
    pub headers: Vec<(String, String)>,
}

/// `tcpSocket`, with its port name looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpSocket {
    /// Where to connect; `None` is the pod's address.
    pub host: Option<String>,
    /// 1 to 65535.
    pub port: u16,
}

/// `grpc`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grpc {
    /// 1 to 65535.
    pub port: u16,
    /// Whose health is asked for; empty is the whole server's.
    pub service: String,
}
