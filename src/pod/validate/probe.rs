//! Probes.

use k8s_openapi::api::core::v1 as k8s;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{all_invalid, names, non_negative, one_of, ports, seconds, without_nul};
use crate::pod::path::Path;
use crate::pod::report::Document;
use crate::pod::spec::{HttpGet, Probe, ProbeHandler};

/// A liveness probe of a container that has these ports.
pub(super) fn check_liveness(
    probe: &k8s::Probe,
    declared: &[k8s::ContainerPort],
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<Probe> {
    let handler = handler(probe, declared, path, document);
    let initial_delay =
        seconds(probe.initial_delay_seconds.unwrap_or(0), &path.field("initialDelaySeconds"), document);
    let period = seconds(probe.period_seconds.unwrap_or(0), &path.field("periodSeconds"), document);
    let timeout = seconds(probe.timeout_seconds.unwrap_or(0), &path.field("timeoutSeconds"), document);
    let successes = probe.success_threshold.unwrap_or(0);
    if successes != 1 {
        document.invalid(&path.field("successThreshold"), successes, "must be 1");
    }
    let failures = probe.failure_threshold.unwrap_or(0);
    let failures = non_negative(failures, &path.field("failureThreshold"), document);
    Some(Probe {
        handler: handler?,
        initial_delay,
        period,
        timeout,
        success_threshold: 1,
        failure_threshold: u32::try_from(failures).unwrap_or(u32::MAX),
    })
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

/// The one thing that is asked. What is written and cannot be read or is not supported counts: that is reported elsewhere.
fn handler(
    probe: &k8s::Probe,
    declared: &[k8s::ContainerPort],
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<ProbeHandler> {
    let mut given = document.given_fields(path).filter(|name| !TIMING.contains(name));
    if given.next().is_none() {
        document.required_for(path, "must specify a handler type");
    }
    for further in given {
        document.forbidden(&path.field(further), "may not specify more than 1 handler type");
    }
    let http_get = probe.http_get.as_ref()?;
    check_http_get(http_get, declared, &path.field("httpGet"), document).map(ProbeHandler::HttpGet)
}

pub(super) fn check_http_get(
    get: &k8s::HTTPGetAction,
    declared: &[k8s::ContainerPort],
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<HttpGet> {
    let port = port(&get.port, declared, &path.field("port"), document);
    let scheme = get.scheme.as_deref().unwrap_or_default();
    let https = one_of(scheme, &[("HTTP", false), ("HTTPS", true)], &path.field("scheme"), document);
    let host = get.host.clone().filter(|host| !host.is_empty());
    if let Some(host) = &host {
        without_nul(&path.field("host"), host, document);
    }
    let target = get.path.as_deref().unwrap_or_default();
    without_nul(&path.field("path"), target, document);
    let headers_path = path.field("httpHeaders");
    let mut headers = Vec::new();
    for (index, header) in get.http_headers.iter().flatten().enumerate() {
        let header_path = headers_path.index(index);
        let at = document.tree().locate(&header_path);
        if let Some(why) = names::header_name(&header.name) {
            document.invalid_at(at, &headers_path, &header.name, why);
        }
        // A line break would let the value add headers of its own.
        if header.value.contains(|c: char| c.is_control() && c != '\t') {
            let value_path = header_path.field("value");
            document.invalid(&value_path, &header.value, "must not contain control characters");
        }
        headers.push((header.name.clone(), header.value.clone()));
    }
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    Some(HttpGet { host, port: port?, path: target, https: https?, headers })
}

/// A number, or the name of one of the container's ports.
pub(super) fn port(
    port: &IntOrString,
    declared: &[k8s::ContainerPort],
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<u16> {
    let name = match port {
        IntOrString::Int(number) => return ports::number_in_range(*number, path, document),
        IntOrString::String(name) => name,
    };
    if !all_invalid(path, name, names::port_name(name), document) {
        return None;
    }
    let Some(named) = declared.iter().find(|port| port.name.as_ref() == Some(name)) else {
        document.not_found(path, name);
        return None;
    };
    // What is wrong with its number is reported where it stands.
    u16::try_from(named.container_port).ok()
}
