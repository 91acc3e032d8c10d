//! Probes.

use std::time::Duration;

use k8s_openapi::api::core::v1 as k8s;

use super::{MAX_SECONDS, handler, non_negative, seconds};
use crate::pod::path::Path;
use crate::pod::report::Document;
use crate::pod::spec::{Probe, ProbeHandler};

/// What a probe is for, as far as that decides what it may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It ends the container: one success is enough, and it may have a grace period of its own.
    LivenessOrStartup,
    Readiness,
}

/// The fields of a probe that are no handler.
const TIMING: [&str; 6] = [
    "failureThreshold",
    "initialDelaySeconds",
    "periodSeconds",
    "successThreshold",
    "terminationGracePeriodSeconds",
    "timeoutSeconds",
];

/// A probe of a container that has these ports.
pub(super) fn check(
    probe: &k8s::Probe,
    purpose: Purpose,
    declared: &[k8s::ContainerPort],
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<Probe> {
    handler::check_one(&TIMING, path, document);
    let handler = handler(probe, declared, path, document);
    let initial_delay =
        seconds(probe.initial_delay_seconds.unwrap_or(0), &path.field("initialDelaySeconds"), document);
    let timeout = seconds(probe.timeout_seconds.unwrap_or(0), &path.field("timeoutSeconds"), document);
    let period = seconds(probe.period_seconds.unwrap_or(0), &path.field("periodSeconds"), document);
    let successes = probe.success_threshold.unwrap_or(0);
    let successes_path = path.field("successThreshold");
    let success_threshold = non_negative(successes, &successes_path, document);
    if purpose == Purpose::LivenessOrStartup && successes != 1 {
        document.invalid(&successes_path, successes, "must be 1");
    }
    let failures = probe.failure_threshold.unwrap_or(0);
    let failure_threshold = non_negative(failures, &path.field("failureThreshold"), document);
    let termination_grace_period = grace(probe, purpose, path, document);
    Some(Probe {
        handler: handler?,
        initial_delay,
        period,
        timeout,
        success_threshold: u32::try_from(success_threshold).unwrap_or(u32::MAX),
        failure_threshold: u32::try_from(failure_threshold).unwrap_or(u32::MAX),
        termination_grace_period,
    })
}

fn handler(
    probe: &k8s::Probe,
    declared: &[k8s::ContainerPort],
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<ProbeHandler> {
    if let Some(exec) = &probe.exec {
        return handler::exec(exec, &path.field("exec"), document).map(ProbeHandler::Exec);
    }
    if let Some(get) = &probe.http_get {
        let get = handler::http_get(get, declared, &path.field("httpGet"), document);
        return get.map(ProbeHandler::HttpGet);
    }
    if let Some(socket) = &probe.tcp_socket {
        let socket = handler::tcp_socket(socket, declared, &path.field("tcpSocket"), document);
        return socket.map(ProbeHandler::TcpSocket);
    }
    handler::grpc(probe.grpc.as_ref()?, &path.field("grpc"), document).map(ProbeHandler::Grpc)
}

fn grace(
    probe: &k8s::Probe,
    purpose: Purpose,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<Duration> {
    let grace = probe.termination_grace_period_seconds?;
    let path = path.field("terminationGracePeriodSeconds");
    if grace <= 0 {
        document.invalid(&path, grace, "must be greater than 0");
    }
    if purpose == Purpose::Readiness {
        document.invalid(&path, grace, "must not be set for readinessProbes");
    }
    u64::try_from(grace).ok().map(|grace| Duration::from_secs(grace.min(MAX_SECONDS)))
}
