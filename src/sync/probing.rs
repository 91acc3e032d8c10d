//! Which probes a pod needs at the moment, and what their verdicts mean for what is known of it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::plan::Intent;
use crate::events::Event;
use crate::pod::spec::Probe;
use crate::pod::{ContainerName, ContainerSpec, Pod};
use crate::probe::{self, Kind, Outcome, Prober, Verdict};
use crate::runtime::Runtime;
use crate::runtime::observe::{Container, Observed, Running, Unhealthy};
use crate::state::record::Found;

/// Verdicts of probes on their way.
const VERDICTS: usize = 16;

/// The probes of a pod's running containers.
pub(super) struct Probes {
    prober: Prober,
    running: BTreeMap<(ContainerName, Kind), (String, probe::Handle)>,
    sender: mpsc::Sender<Verdict>,
    verdicts: mpsc::Receiver<Verdict>,
    /// What runs now has been running since before this agent.
    resumed: bool,
    /// What a later agent would be told.
    found: BTreeMap<String, Found>,
}

impl Probes {
    pub(super) fn new(prober: Prober) -> Self {
        let (sender, verdicts) = mpsc::channel(VERDICTS);
        Self { prober, running: BTreeMap::new(), sender, verdicts, resumed: false, found: BTreeMap::new() }
    }

    /// Sees to it that each running container has the probes that it needs at the moment, and nothing else.
    pub(super) fn follow<R: Runtime>(
        &mut self,
        pod: &Pod,
        observed: &Observed,
        intent: Intent,
        runtime: &Arc<R>,
    ) {
        let found = found(observed);
        if found != self.found {
            runtime.remember(found.clone());
            self.found = found;
        }
        let host = pod.spec.host_network.then(|| self.prober.node_address());
        let Some(pod_ip) = observed.address.map(IpAddr::V4).or(host) else { return };
        for spec in pod.spec.init_containers.iter().chain(&pod.spec.containers) {
            let known = observed.container(&spec.name);
            for kind in Kind::ALL {
                let key = (spec.name.clone(), kind);
                let wanted = wanted(kind, spec, known, intent);
                let probed = self.running.get(&key).map(|(id, _)| id);
                if wanted.map(|(_, running)| &running.id) == probed {
                    continue;
                }
                self.running.remove(&key);
                let Some((probe, running)) = wanted else { continue };
                let target = probe::Target {
                    names: probe::Names {
                        namespace: pod.key.namespace.clone(),
                        pod: pod.key.name.clone(),
                        pod_uid: pod.uid.to_string(),
                        container: spec.name.to_string(),
                    },
                    container_id: running.id.clone(),
                    kind,
                    probe: probe.clone(),
                    pod_ip,
                    started_at: running.started_at,
                    resumed: self.resumed,
                };
                let handle = self.prober.spawn(target, runtime, self.sender.clone());
                self.running.insert(key, (running.id.clone(), handle));
            }
        }
        self.resumed = false;
    }

    pub(super) fn stop(&mut self) {
        self.running.clear();
    }

    /// What runs now has been running since before this agent, whose predecessor had `found` this: it stands until there
    /// are answers.
    pub(super) fn resumed(&mut self, observed: &mut Observed, found: BTreeMap<String, Found>) {
        self.resumed = true;
        let running = observed.running().map(|(name, running)| (name.clone(), running.id.clone()));
        for (name, id) in running.collect::<Vec<_>>() {
            let Found { started, ready } = found.get(&id).copied().unwrap_or_default();
            let health = &mut observed.container_mut(&name).health;
            (health.started, health.ready) = (started, ready);
        }
        self.found = found;
    }

    /// The next verdict of any of them.
    pub(super) async fn verdict(&mut self) -> Verdict {
        match self.verdicts.recv().await {
            Some(verdict) => verdict,
            // Never: there is a sender here.
            None => std::future::pending().await,
        }
    }
}

/// What the probes of running containers have found, by container id.
fn found(observed: &Observed) -> BTreeMap<String, Found> {
    let running = observed.running().map(|(name, running)| {
        let health = &observed.container(name).health;
        (running.id.clone(), Found { started: health.started, ready: health.ready })
    });
    running.filter(|(_, found)| *found != Found::default()).collect()
}

/// The probe of that kind, and the attempt that it is to ask now.
///
/// Nobody is asked before the postStart hook is done. Until the startup probe has succeeded there is no other, and from then
/// on it is silent. Who is on its way out is only
/// asked whether it is ready: whoever sends it work wants to know up to its end.
fn wanted<'a>(
    kind: Kind,
    spec: &'a ContainerSpec,
    known: &'a Container,
    intent: Intent,
) -> Option<(&'a Probe, &'a Running)> {
    let leaves = intent != Intent::Run || known.stopping.is_some();
    let fits = match kind {
        Kind::Startup => !known.has_started(spec) && !leaves,
        Kind::Liveness => known.has_started(spec) && !leaves,
        Kind::Readiness => known.has_started(spec),
    };
    Some((probe(spec, kind)?, known.running_past_hook(spec).filter(|_| fits)?))
}

/// Notes a verdict, unless the attempt that it is about has ended.
pub(super) fn judge(pod: &Pod, observed: &mut Observed, verdict: Verdict) -> Option<Event> {
    let name = observed.running().find(|(_, running)| running.id == verdict.container_id);
    let name = name.map(|(name, _)| name.clone())?;
    let spec = pod.spec.container(&name)?;
    let Verdict { kind, outcome, .. } = verdict;
    let health = &mut observed.container_mut(&name).health;
    let mut event = None;
    if let Outcome::Failure { message } | Outcome::Missed { message } = &outcome {
        event = Some(Event::probe_failed(pod, &name, kind, message));
    }
    if let Outcome::Failure { message } = &outcome {
        // A field, so that what a container says is shown in quotes.
        tracing::warn!(pod = %pod.key, podUID = %pod.uid, containerName = %name, output = message, "{kind} probe failed");
    }
    match (kind, outcome) {
        (_, Outcome::Missed { .. }) => {}
        (Kind::Liveness, Outcome::Success) => health.unhealthy = None,
        (Kind::Startup, Outcome::Success) => health.started = true,
        (Kind::Readiness, outcome) => health.ready = outcome == Outcome::Success,
        (Kind::Liveness | Kind::Startup, Outcome::Failure { message }) => {
            let grace = probe(spec, kind).and_then(|probe| probe.termination_grace_period);
            let message = format!("{kind} probe failed: {message}");
            health.unhealthy = Some(Unhealthy { probe: kind, message, grace });
        }
    }
    event
}

fn probe(spec: &ContainerSpec, kind: Kind) -> Option<&Probe> {
    match kind {
        Kind::Liveness => spec.liveness_probe.as_ref(),
        Kind::Readiness => spec.readiness_probe.as_ref(),
        Kind::Startup => spec.startup_probe.as_ref(),
    }
}
