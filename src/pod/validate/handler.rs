//! What probes and hooks ask: a program, a GET, a connection, a health service, or nothing for a while.

use std::time::Duration;

use k8s_openapi::api::core::v1 as k8s;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{all_invalid, names, one_of, ports, without_nul};
use crate::pod::path::Path;
use crate::pod::report::Document;
use crate::pod::spec::{Grpc, HttpGet, TcpSocket};

/// In the order in which the API server looks at them: the first one counts.
const HANDLERS: [&str; 5] = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"];

/// Sees to it that the object at `path` has one handler among its fields, `others` not counted. What is written and cannot
/// be read or is not supported counts: that is reported elsewhere.
pub(super) fn check_one(others: &[&str], path: &Path<'_>, document: &mut Document<'_, '_>) {
    let mut given: Vec<_> = document.given_fields(path).filter(|name| !others.contains(name)).collect();
    given.sort_by_key(|name| HANDLERS.iter().position(|known| known == name));
    if given.is_empty() {
        document.required_for(path, "must specify a handler type");
    }
    for further in given.into_iter().skip(1) {
        document.forbidden(&path.field(further), "may not specify more than 1 handler type");
    }
}

pub(super) fn exec(
    exec: &k8s::ExecAction,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<Vec<String>> {
    let path = path.field("command");
    let command = exec.command.as_deref().filter(|command| !command.is_empty());
    if command.is_none() {
        document.required(&path);
    }
    let command = command?;
    for (index, word) in command.iter().enumerate() {
        without_nul(&path.index(index), word, document);
    }
    Some(command.to_vec())
}

pub(super) fn http_get(
    get: &k8s::HTTPGetAction,
    declared: &[k8s::ContainerPort],
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<HttpGet> {
    let port = port(&get.port, declared, &path.field("port"), document);
    let scheme = get.scheme.as_deref().unwrap_or_default();
    let https = one_of(scheme, &[("HTTP", false), ("HTTPS", true)], &path.field("scheme"), document);
    let host = host(get.host.as_deref(), path, document);
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

pub(super) fn tcp_socket(
    socket: &k8s::TCPSocketAction,
    declared: &[k8s::ContainerPort],
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<TcpSocket> {
    let port = port(&socket.port, declared, &path.field("port"), document);
    let host = host(socket.host.as_deref(), path, document);
    Some(TcpSocket { host, port: port? })
}

/// Only a number: the API has no name here.
pub(super) fn grpc(grpc: &k8s::GRPCAction, path: &Path<'_>, document: &mut Document<'_, '_>) -> Option<Grpc> {
    let port = ports::number_in_range(grpc.port, &path.field("port"), document);
    Some(Grpc { port: port?, service: grpc.service.clone().unwrap_or_default() })
}

pub(super) fn sleep(
    sleep: &k8s::SleepAction,
    grace_seconds: i64,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<Duration> {
    // A negative grace is a problem of its own.
    if grace_seconds >= 0 && !(0..=grace_seconds).contains(&sleep.seconds) {
        let why =
            format!("must be non-negative and less than terminationGracePeriodSeconds ({grace_seconds})");
        document.invalid(path, sleep.seconds, why);
    }
    u64::try_from(sleep.seconds).ok().map(Duration::from_secs)
}

fn host(host: Option<&str>, path: &Path<'_>, document: &mut Document<'_, '_>) -> Option<String> {
    let host = host.filter(|host| !host.is_empty())?;
    without_nul(&path.field("host"), host, document);
    Some(host.to_owned())
}

/// A number, or the name of one of the container's ports.
fn port(
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
