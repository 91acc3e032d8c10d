//! The downward API: what a pod may be told of itself, by fields and by resources. Pure.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::id::ContainerName;
use super::spec::Resources;
use super::{ContainerSpec, Pod};

/// `fieldRef`: which field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FieldSelector {
    /// `metadata.name`.
    Name,
    /// `metadata.namespace`.
    Namespace,
    /// `metadata.uid`.
    Uid,
    /// `metadata.labels`: all of them, a line each.
    Labels,
    /// `metadata.annotations`: likewise.
    Annotations,
    /// `metadata.labels['KEY']`.
    Label(String),
    /// `metadata.annotations['KEY']`.
    Annotation(String),
    /// `spec.nodeName`.
    NodeName,
    /// `spec.serviceAccountName`.
    ServiceAccountName,
    /// `status.hostIP`.
    HostIp,
    /// `status.hostIPs`.
    HostIps,
    /// `status.podIP`.
    PodIp,
    /// `status.podIPs`.
    PodIps,
}

/// `resourceFieldRef`: which resource of which container, in what unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceSelector {
    /// `None`: the container that asks.
    pub container: Option<ContainerName>,
    /// Request or limit.
    pub bound: Bound,
    /// Of what.
    pub resource: Resource,
    /// The unit, in thousandths for cpu and in bytes for the others; never 0.
    pub divisor: u64,
}

/// What is asked of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bound {
    /// `requests.`
    Request,
    /// `limits.`
    Limit,
}

/// The resources that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resource {
    /// `cpu`.
    Cpu,
    /// `memory`.
    Memory,
    /// `ephemeral-storage`.
    EphemeralStorage,
    /// `hugepages-SIZE`, by the size of a page in bytes.
    HugePages(u64),
}

/// What the pod's manifest does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// `spec.nodeName`.
    pub node_name: String,
    /// The node's addresses, the first one first.
    pub host_ips: Vec<String>,
    /// The pod's addresses; empty before it has one.
    pub pod_ips: Vec<String>,
    /// What stands for a limit that is not set: what the node has to give.
    pub allocatable: Allocatable,
}

/// What a node has to give to its pods.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allocatable {
    /// Thousandths of a CPU.
    pub cpu_millis: u64,
    /// Bytes.
    pub memory: u64,
    /// Bytes on disk.
    pub ephemeral_storage: u64,
}

/// The pod has no container of that name. In the kubelet's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("container {0} not found")]
pub struct NoSuchContainer(pub ContainerName);

/// The value of a field. One that is not set is empty.
pub fn field(pod: &Pod, selector: &FieldSelector, facts: &Facts) -> String {
    let first = |list: &[String]| list.first().cloned().unwrap_or_default();
    match selector {
        FieldSelector::Name => pod.key.name.clone(),
        FieldSelector::Namespace => pod.key.namespace.clone(),
        FieldSelector::Uid => pod.uid.to_string(),
        FieldSelector::Labels => lines(&pod.labels),
        FieldSelector::Annotations => lines(&pod.annotations),
        FieldSelector::Label(key) => pod.labels.get(key).cloned().unwrap_or_default(),
        FieldSelector::Annotation(key) => pod.annotations.get(key).cloned().unwrap_or_default(),
        FieldSelector::NodeName => facts.node_name.clone(),
        // There is no other account on a node of its own.
        FieldSelector::ServiceAccountName => "default".to_owned(),
        FieldSelector::HostIp => first(&facts.host_ips),
        FieldSelector::HostIps => facts.host_ips.join(","),
        FieldSelector::PodIp => first(&facts.pod_ips),
        FieldSelector::PodIps => facts.pod_ips.join(","),
    }
}

/// The value of a resource, in units of the divisor and rounded up. `asking` is the container whose variable it is, if it is
/// one's.
///
/// A request that is not set is 0; a limit that is not set is the pod's, or else what the node has to give (no huge pages).
pub fn resource(
    pod: &Pod,
    asking: Option<&ContainerSpec>,
    selector: &ResourceSelector,
    facts: &Facts,
) -> Result<String, NoSuchContainer> {
    let container = match &selector.container {
        Some(name) => pod.spec.container(name).ok_or_else(|| NoSuchContainer(name.clone()))?,
        None => match asking {
            Some(container) => container,
            None => return Ok("0".to_owned()),
        },
    };
    let set =
        |resources: &Resources| of(resources, selector.bound, selector.resource).filter(|&value| value > 0);
    let value = set(&container.resources).or_else(|| match (selector.bound, selector.resource) {
        (Bound::Request, _) | (_, Resource::HugePages(_)) => None,
        (Bound::Limit, resource) => set(&pod.spec.resources).or(Some(match resource {
            Resource::Cpu => facts.allocatable.cpu_millis,
            Resource::Memory => facts.allocatable.memory,
            _ => facts.allocatable.ephemeral_storage,
        })),
    });
    Ok(value.unwrap_or(0).div_ceil(selector.divisor).to_string())
}

fn of(resources: &Resources, bound: Bound, resource: Resource) -> Option<u64> {
    let (request, limit) = match resource {
        Resource::Cpu => (resources.cpu_request_millis, resources.cpu_limit_millis),
        Resource::Memory => (resources.memory_request, resources.memory_limit),
        Resource::EphemeralStorage => {
            (resources.ephemeral_storage_request, resources.ephemeral_storage_limit)
        }
        Resource::HugePages(size) => {
            let limit = resources.hugepage_limits.get(&size).copied();
            (limit, limit)
        }
    };
    match bound {
        Bound::Request => request,
        Bound::Limit => limit,
    }
}

/// `KEY="VALUE"`, sorted by key, a line each; values quoted as Go's `%q` does it.
fn lines(map: &BTreeMap<String, String>) -> String {
    let lines: Vec<String> = map.iter().map(|(key, value)| format!("{key}={}", quote(value))).collect();
    lines.join("\n")
}

/// A Go string literal: printable characters as they are, others escaped.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\'' => quoted.push('\''),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            // The standard library knows what is printable; a combining mark is, behind a letter.
            _ if !format!("a{character}").escape_debug().any(|c| c == '\\') => quoted.push(character),
            _ => {
                let number = u32::from(character);
                // Writing to a string cannot fail.
                let _ = match number {
                    0..=0x7f => write!(quoted, "\\x{number:02x}"),
                    0x80..=0xffff => write!(quoted, "\\u{number:04x}"),
                    _ => write!(quoted, "\\U{number:08x}"),
                };
            }
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::spec::RestartPolicy;
    use crate::runtime::fixture;

    fn facts() -> Facts {
        Facts {
            node_name: "node-1".to_owned(),
            host_ips: vec!["192.0.2.1".to_owned(), "2001:db8::1".to_owned()],
            pod_ips: vec!["10.85.0.2".to_owned()],
            allocatable: Allocatable { cpu_millis: 2000, memory: 4 << 30, ephemeral_storage: 10 << 30 },
        }
    }

    fn pod() -> Pod {
        let mut pod = fixture::pod(RestartPolicy::Always, &["prepare"], &["web", "bare"]);
        pod.labels = [("b", "two"), ("a", "one")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        pod.annotations = [("note".to_owned(), "a \"b\"\nc\\\té\u{301}\u{a0}\u{1}".to_owned())].into();
        pod.spec.init_containers[0].resources.cpu_request_millis = Some(1);
        pod.spec.containers[0].resources = Resources {
            cpu_request_millis: Some(250),
            cpu_limit_millis: Some(1500),
            memory_request: Some(64 << 20),
            memory_limit: Some((64 << 20) + 1),
            ephemeral_storage_request: Some(5_000_000),
            ephemeral_storage_limit: None,
            hugepage_limits: [(2 << 20, 8 << 20)].into(),
        };
        pod
    }

    #[test]
    fn fields_have_the_kubelets_values() {
        use FieldSelector::*;
        let pod = pod();
        let text = str::to_owned;
        for (selector, expected) in [
            (Name, "web"),
            (Namespace, "default"),
            (Uid, "uid-1"),
            (Labels, "a=\"one\"\nb=\"two\""),
            (Annotations, "note=\"a \\\"b\\\"\\nc\\\\\\té\u{301}\\u00a0\\x01\""),
            (Label(text("b")), "two"),
            (Label(text("c")), ""),
            (Annotation(text("none")), ""),
            (NodeName, "node-1"),
            (ServiceAccountName, "default"),
            (HostIp, "192.0.2.1"),
            (HostIps, "192.0.2.1,2001:db8::1"),
            (PodIp, "10.85.0.2"),
            (PodIps, "10.85.0.2"),
        ] {
            assert_eq!(field(&pod, &selector, &facts()), expected, "{selector:?}");
        }
        assert_eq!(field(&pod, &PodIp, &Facts::default()), "", "before there is an address");
    }

    #[test]
    fn resources_are_counted_in_the_divisor_and_rounded_up() {
        use Bound::*;
        use Resource::*;
        let pod = pod();
        for (container, bound, resource, divisor, expected) in [
            ("web", Request, Cpu, 1000, "1"),
            ("web", Request, Cpu, 1, "250"),
            ("web", Limit, Cpu, 1000, "2"),
            ("web", Limit, Cpu, 1, "1500"),
            ("web", Request, Memory, 1, "67108864"),
            ("web", Request, Memory, 1 << 20, "64"),
            ("web", Limit, Memory, 1 << 20, "65"),
            ("web", Limit, Memory, 1_000_000, "68"),
            ("web", Request, EphemeralStorage, 1000, "5000"),
            ("web", Limit, EphemeralStorage, 1 << 30, "10"),
            ("web", Limit, HugePages(2 << 20), 1 << 20, "8"),
            ("web", Request, HugePages(2 << 20), 1, "8388608"),
            ("web", Limit, HugePages(1 << 30), 1, "0"),
            ("bare", Request, Cpu, 1, "0"),
            ("bare", Request, Memory, 1, "0"),
            ("bare", Limit, Cpu, 1000, "2"),
            ("bare", Limit, Memory, 1 << 30, "4"),
            ("prepare", Request, Cpu, 1000, "1"),
        ] {
            let name: ContainerName = container.parse().unwrap();
            let named = ResourceSelector { container: Some(name.clone()), bound, resource, divisor };
            let value = super::resource(&pod, None, &named, &facts());
            assert_eq!(value.as_deref(), Ok(expected), "{container} {bound:?} {resource:?} / {divisor}");
            // Its own variables need not name it.
            let own = ResourceSelector { container: None, ..named };
            let value = super::resource(&pod, pod.spec.container(&name), &own, &facts());
            assert_eq!(value.as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_limit_that_a_container_lacks_is_the_pods() {
        let mut pod = pod();
        pod.spec.resources.memory_limit = Some(1 << 30);
        let selector = ResourceSelector {
            container: Some("bare".parse().unwrap()),
            bound: Bound::Limit,
            resource: Resource::Memory,
            divisor: 1 << 20,
        };
        assert_eq!(super::resource(&pod, None, &selector, &facts()).as_deref(), Ok("1024"));
        let nobody = ResourceSelector { container: Some("nobody".parse().unwrap()), ..selector };
        let error = super::resource(&pod, None, &nobody, &facts()).unwrap_err();
        assert_eq!(error.to_string(), "container nobody not found");
    }
}
