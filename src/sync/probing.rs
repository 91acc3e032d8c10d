//! Which probes a pod needs at the moment, and what their verdicts mean for what is known of it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use tokio::sync::mpsc;

use super::plan::Intent;
use crate::pod::spec::Probe;
use crate::pod::{ContainerName, ContainerSpec, Pod};
use crate::probe::{self, Kind, Outcome, Prober, Verdict};
use crate::runtime::Error;
use crate::runtime::observe::{Observed, Unhealthy};

/// Verdicts of probes on their way.
const VERDICTS: usize = 16;

/// The probes of a pod's running containers.
pub(super) struct Probes {
    /// Made when the first probe is needed: it costs time.
    prober: Option<Prober>,
    running: BTreeMap<ContainerName, (String, probe::Handle)>,
    sender: mpsc::Sender<Verdict>,
    verdicts: mpsc::Receiver<Verdict>,
    /// What runs now has been running since before this agent.
    resumed: bool,
}

impl Probes {
    pub(super) fn new() -> Self {
        let (sender, verdicts) = mpsc::channel(VERDICTS);
        Self { prober: None, running: BTreeMap::new(), sender, verdicts, resumed: false }
    }

    /// Sees to it that each running container that has a probe is probed, and nothing else.
    pub(super) fn follow(&mut self, pod: &Pod, observed: &Observed, intent: Intent) {
        if intent != Intent::Run {
            self.stop();
            return;
        }
        for spec in pod.spec.init_containers.iter().chain(&pod.spec.containers) {
            let Some(probe) = &spec.liveness_probe else { continue };
            let running = observed.container(&spec.name).running();
            let probed = self.running.get(&spec.name).map(|(id, _)| id);
            if running.map(|running| &running.id) == probed {
                continue;
            }
            self.running.remove(&spec.name);
            // On the host's network the pod is reached where the host is.
            let host = pod.spec.host_network.then_some(Ipv4Addr::LOCALHOST);
            let (Some(running), Some(ip)) = (running, observed.address.or(host)) else { continue };
            let target = probe::Target {
                container_id: running.id.clone(),
                kind: probe::Kind::Liveness,
                probe: probe.clone(),
                pod_ip: IpAddr::V4(ip),
                started_at: running.started_at,
                resumed: self.resumed,
            };
            let sender = self.sender.clone();
            let Some(prober) = self.prober() else { return };
            let handle = prober.spawn(target, sender);
            self.running.insert(spec.name.clone(), (running.id.clone(), handle));
        }
        self.resumed = self.resumed && observed.address.is_none() && !pod.spec.host_network;
    }

    pub(super) fn stop(&mut self) {
        self.running.clear();
    }

    /// What runs now has been running since before this agent.
    pub(super) fn resumed(&mut self) {
        self.resumed = true;
    }

    /// The next verdict of any of them.
    pub(super) async fn verdict(&mut self) -> Verdict {
        match self.verdicts.recv().await {
            Some(verdict) => verdict,
            // Never: there is a sender here.
            None => std::future::pending().await,
        }
    }

    fn prober(&mut self) -> Option<&Prober> {
        if self.prober.is_none() {
            match Prober::new() {
                Ok(prober) => self.prober = Some(prober),
                Err(error) => tracing::error!(error = %Error::chain(&error), "probes are not possible"),
            }
        }
        self.prober.as_ref()
    }
}

/// Notes a verdict, unless the attempt that it is about has ended.
pub(super) fn judge(pod: &Pod, observed: &mut Observed, verdict: Verdict) {
    let name = observed.running().find(|(_, running)| running.id == verdict.container_id);
    let Some(name) = name.map(|(name, _)| name.clone()) else { return };
    let Some(spec) = pod.spec.container(&name) else { return };
    let Verdict { kind, outcome, .. } = verdict;
    let health = &mut observed.container_mut(&name).health;
    if let Outcome::Failure { message } = &outcome {
        tracing::info!(pod = %pod.key, container = %name, "{kind} probe failed: {message}");
    }
    match (kind, outcome) {
        (Kind::Liveness, Outcome::Success) => health.unhealthy = None,
        (Kind::Startup, Outcome::Success) => health.started = true,
        (Kind::Readiness, outcome) => health.ready = outcome == Outcome::Success,
        (Kind::Liveness | Kind::Startup, Outcome::Failure { message }) => {
            let grace = probe(spec, kind).and_then(|probe| probe.termination_grace_period);
            health.unhealthy = Some(Unhealthy { message: format!("{kind} probe failed: {message}"), grace });
        }
    }
}

fn probe(spec: &ContainerSpec, kind: Kind) -> Option<&Probe> {
    match kind {
        Kind::Liveness => spec.liveness_probe.as_ref(),
        Kind::Readiness => spec.readiness_probe.as_ref(),
        Kind::Startup => spec.startup_probe.as_ref(),
    }
}
