//! The Node object: what this machine is, what it has to give, and how it is.
//!
//! Sources: <https://kubernetes.io/docs/reference/node/node-status/>, <https://kubernetes.io/docs/reference/labels-annotations-taints/>.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerImage, Node, NodeAddress, NodeCondition, NodeSpec, NodeStatus, NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use nix::sys::utsname::uname;

use super::health::{Health, Told};
use crate::pod::downward::Allocatable;

/// The release of Kubernetes whose API the types are of, and this program's version as build metadata.
pub const VERSION: &str = concat!("v1.37.0+mkubelet.", env!("CARGO_PKG_VERSION"));

/// What there is to say of a machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The name of its Node object.
    pub name: String,
    /// Its host name.
    pub hostname: String,
    /// The address by which it reaches the world.
    pub address: Option<IpAddr>,
    /// Addresses of its pods.
    pub pod_cidr: String,
    /// Pods that it may have.
    pub max_pods: u32,
    /// What it has.
    pub capacity: Allocatable,
    /// What pods may have of it together.
    pub allocatable: Allocatable,
    /// Sizes of huge pages, bytes, and how many bytes of each there are.
    pub huge_pages: BTreeMap<u64, u64>,
    /// Identity of the machine, its firmware and this boot; what it runs.
    pub system: NodeSystemInfo,
}

/// Kubernetes' words for processors, which are Go's.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Asks the machine what it is.
pub fn system() -> NodeSystemInfo {
    let line = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
    let release =
        ["/etc/os-release", "/usr/lib/os-release"].into_iter().find_map(|path| fs::read_to_string(path).ok());
    NodeSystemInfo {
        architecture: architecture().to_owned(),
        boot_id: line("/proc/sys/kernel/random/boot_id"),
        container_runtime_version: concat!("mkubelet://", env!("CARGO_PKG_VERSION")).to_owned(),
        kernel_version: uname().map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default(),
        kubelet_version: VERSION.to_owned(),
        machine_id: line("/etc/machine-id"),
        operating_system: "linux".to_owned(),
        os_image: release.as_deref().and_then(pretty_name).unwrap_or("Linux").to_owned(),
        system_uuid: line("/sys/class/dmi/id/product_uuid"),
        ..NodeSystemInfo::default()
    }
}

/// PRETTY_NAME of os-release(5).
fn pretty_name(release: &str) -> Option<&str> {
    let value = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    let quoted = |quote| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    Some(quoted('"').or_else(|| quoted('\'')).unwrap_or(value))
}

/// The Node as it is to be registered.
pub fn node(facts: &Facts) -> Node {
    let of = |label: &str, value: &str| (label.to_owned(), value.to_owned());
    let labels = [
        of("beta.kubernetes.io/arch", architecture()),
        of("beta.kubernetes.io/os", "linux"),
        of("kubernetes.io/arch", architecture()),
        of("kubernetes.io/hostname", &facts.hostname),
        of("kubernetes.io/os", "linux"),
    ];
    Node {
        metadata: ObjectMeta {
            name: Some(facts.name.clone()),
            labels: Some(labels.into()),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            pod_cidr: Some(facts.pod_cidr.clone()),
            pod_cidrs: Some(vec![facts.pod_cidr.clone()]),
            ..NodeSpec::default()
        }),
        status: None,
    }
}

/// How the node is: `old` conditions that still hold keep the time since when they do.
pub fn status(
    facts: &Facts,
    health: &Health,
    images: Vec<ContainerImage>,
    old: &[NodeCondition],
    now: Timestamp,
) -> NodeStatus {
    let address = |kind: &str, address: String| NodeAddress { type_: kind.to_owned(), address };
    let addresses = facts.address.map(|ip| address("InternalIP", ip.to_string()));
    NodeStatus {
        addresses: Some(addresses.into_iter().chain([address("Hostname", facts.hostname.clone())]).collect()),
        allocatable: Some(amounts(facts, &facts.allocatable)),
        capacity: Some(amounts(facts, &facts.capacity)),
        conditions: Some(conditions(health, old, now)),
        images: Some(images),
        node_info: Some(facts.system.clone()),
        ..NodeStatus::default()
    }
}

fn amounts(facts: &Facts, of: &Allocatable) -> BTreeMap<String, Quantity> {
    let Allocatable { cpu_millis, memory, ephemeral_storage } = of;
    let cpu = if cpu_millis % 1000 == 0 { (cpu_millis / 1000).to_string() } else { format!("{cpu_millis}m") };
    let kibibytes = |bytes: u64| {
        if bytes.is_multiple_of(1024) { format!("{}Ki", bytes / 1024) } else { bytes.to_string() }
    };
    let mut capacity: BTreeMap<String, Quantity> = [
        ("cpu", cpu),
        ("ephemeral-storage", kibibytes(*ephemeral_storage)),
        ("memory", kibibytes(*memory)),
        ("pods", facts.max_pods.to_string()),
    ]
    .into_iter()
    .map(|(name, amount)| (name.to_owned(), Quantity(amount)))
    .collect();
    for (size, bytes) in &facts.huge_pages {
        let (size, amount) = (binary(*size), if *bytes == 0 { "0".to_owned() } else { binary(*bytes) });
        capacity.insert(format!("hugepages-{size}"), Quantity(amount));
    }
    capacity
}

/// Whole units as large as they can be: `2Mi`.
fn binary(bytes: u64) -> String {
    let units = [("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];
    let fitting = units.into_iter().find(|(_, unit)| bytes.is_multiple_of(*unit));
    fitting.map_or_else(|| bytes.to_string(), |(name, unit)| format!("{}{name}", bytes / unit))
}

fn conditions(health: &Health, old: &[NodeCondition], now: Timestamp) -> Vec<NodeCondition> {
    let condition = |Told { kind, holds, reason, message, .. }: Told| {
        let status = if holds { "True" } else { "False" };
        let before = old.iter().find(|old| old.type_ == kind && old.status == status);
        NodeCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_heartbeat_time: Some(Time(now)),
            last_transition_time: before.and_then(|old| old.last_transition_time.clone()).or(Some(Time(now))),
        }
    };
    health.told().into_iter().map(condition).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            name: "n".into(),
            hostname: "N".into(),
            address: Some("192.0.2.1".parse().unwrap()),
            max_pods: 110,
            pod_cidr: "10.0.0.0/24".into(),
            capacity: Allocatable { cpu_millis: 2000, memory: 4 << 30, ephemeral_storage: 10 << 30 },
            allocatable: Allocatable { cpu_millis: 1900, memory: 3 << 30, ephemeral_storage: (9 << 30) + 1 },
            huge_pages: [(2 << 20, 0), (1 << 30, 3 << 30)].into(),
            system: NodeSystemInfo::default(),
        }
    }

    #[test]
    fn what_there_is_to_give_is_told_in_kubernetes_units() {
        let status = status(&facts(), &Health::default(), Vec::new(), &[], Timestamp::UNIX_EPOCH);
        let told = |amounts: Option<BTreeMap<String, Quantity>>| {
            let told = amounts.unwrap().into_iter().map(|(name, amount)| format!("{name}={}", amount.0));
            told.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            told(status.capacity),
            "cpu=2 ephemeral-storage=10485760Ki hugepages-1Gi=3Gi hugepages-2Mi=0 memory=4194304Ki pods=110"
        );
        assert_eq!(
            told(status.allocatable),
            "cpu=1900m ephemeral-storage=9663676417 hugepages-1Gi=3Gi hugepages-2Mi=0 memory=3145728Ki pods=110"
        );
    }

    #[test]
    fn conditions_keep_the_time_of_their_last_change() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let first = conditions(&Health::default(), &[], at(1));
        let mut changed = first.clone();
        changed[3].status = "Unknown".into();
        let second = conditions(&Health::default(), &changed, at(2));
        let times: Vec<_> =
            second.iter().map(|c| c.last_transition_time.as_ref().unwrap().0.as_second()).collect();
        assert_eq!(times, [1, 1, 1, 2]);
        assert!(second.iter().all(|c| c.last_heartbeat_time.as_ref().unwrap().0 == at(2)));
    }

    #[test]
    fn the_name_of_the_system_is_read_with_and_without_quotes() {
        for (text, expected) in [
            ("ID=x\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n", Some("Debian GNU/Linux 12")),
            ("PRETTY_NAME='A B'", Some("A B")),
            ("PRETTY_NAME=Plain", Some("Plain")),
            ("ID=x", None),
        ] {
            assert_eq!(pretty_name(text), expected);
        }
    }
}
