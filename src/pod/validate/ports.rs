//! Container ports.

use std::collections::HashSet;

use k8s_openapi::api::core::v1 as k8s;

use super::{all_invalid, names, one_of};
use crate::pod::path::Path;
use crate::pod::report::Document;
use crate::pod::spec::{ContainerPort, Protocol};

const PROTOCOLS: [(&str, Protocol); 3] =
    [("SCTP", Protocol::Sctp), ("TCP", Protocol::Tcp), ("UDP", Protocol::Udp)];

/// The ports of a container.
pub(super) fn check(
    ports: &[k8s::ContainerPort],
    host_network: bool,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Vec<ContainerPort> {
    let mut seen = HashSet::new();
    let mut checked = Vec::with_capacity(ports.len());
    for (index, port) in ports.iter().enumerate() {
        let path = path.index(index);
        let name = port.name.clone().filter(|name| !name.is_empty());
        if let Some(name) = &name {
            let name_path = path.field("name");
            if all_invalid(&name_path, name, names::port_name(name), document) && !seen.insert(name.clone()) {
                document.duplicate(&name_path, name);
            }
        }
        let port_path = path.field("containerPort");
        let number = match port.container_port {
            0 => {
                document.required(&port_path);
                None
            }
            number => number_in_range(number, &port_path, document),
        };
        host_side(port, host_network, &path, document);
        let protocol = port.protocol.as_deref().unwrap_or_default();
        let protocol = one_of(protocol, &PROTOCOLS, &path.field("protocol"), document);
        if let (Some(container_port), Some(protocol)) = (number, protocol) {
            checked.push(ContainerPort { name, container_port, protocol });
        }
    }
    checked
}

/// A port number.
pub(super) fn number_in_range(number: i32, path: &Path<'_>, document: &mut Document<'_, '_>) -> Option<u16> {
    let port = u16::try_from(number).ok().filter(|port| *port != 0);
    if port.is_none() {
        document.invalid(path, number, "must be between 1 and 65535, inclusive");
    }
    port
}

/// With the node's network the host port is the container's; a mapping of ports is not carried out yet.
fn host_side(
    port: &k8s::ContainerPort,
    host_network: bool,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) {
    let host_port = port.host_port.unwrap_or(0);
    if host_network {
        if host_port != port.container_port {
            document.invalid(
                &path.field("containerPort"),
                port.container_port,
                "must match `hostPort` when `hostNetwork` is true",
            );
        }
        return;
    }
    let has_ip = port.host_ip.as_deref().is_some_and(|ip| !ip.is_empty());
    for (given, name) in [(host_port != 0, "hostPort"), (has_ip, "hostIP")] {
        if given {
            let path = path.field(name);
            document.not_yet(document.tree().locate(&path), &path);
        }
    }
}

/// On the node's network no two containers can have the same port.
pub(super) fn check_host_ports(
    containers: &[k8s::Container],
    host_network: bool,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) {
    if !host_network {
        return;
    }
    let mut seen = HashSet::new();
    for (nth, container) in containers.iter().enumerate() {
        for (index, port) in container.ports.iter().flatten().enumerate() {
            let protocol = port.protocol.as_deref().unwrap_or_default();
            let ip = port.host_ip.as_deref().unwrap_or_default();
            let taken = format!("{protocol}/{ip}/{}", port.container_port);
            if !seen.insert(taken.clone()) {
                let container = path.index(nth);
                let ports = container.field("ports");
                document.duplicate(&ports.index(index).field("hostPort"), &taken);
            }
        }
    }
}
