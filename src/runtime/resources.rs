//! Requests and limits as the kernel understands them: cgroup limits and the OOM killer's score, computed as the kubelet does.

use std::collections::{BTreeSet, HashMap};

use oci_spec::runtime::{
    LinuxCpu, LinuxDeviceCgroup, LinuxDeviceType, LinuxHugepageLimit, LinuxMemory, LinuxPids, LinuxResources,
};

use crate::pod::spec::{QosClass, Resources};
use crate::pod::{ContainerSpec, OOM_GROUP_ANNOTATION, Pod, resources as pod_resources};

/// Length of a period of CPU time, microseconds.
pub(super) const CPU_PERIOD: u64 = 100_000;

/// The kernel takes no smaller share.
const MIN_SHARES: u64 = 2;

/// The kernel takes no smaller quota, microseconds.
const MIN_QUOTA: i64 = 1000;

/// The character devices that every container may use, as runc allows them: null, zero, full, random, urandom, tty, ptmx, and
/// all terminals of a devpts. No minor number stands for all of them.
const DEVICES: [(i64, Option<i64>); 8] = [
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(2)),
    (136, None),
];

/// What can be handed out on this node, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// Sizes of huge pages of which there are some, bytes.
    pub huge_pages: BTreeSet<u64>,
    /// The kernel can kill a whole group for want of memory: cgroup v2 has the memory controller.
    pub kills_groups: bool,
}

/// The pod wants the kernel to kill whole containers, and on this node it kills single processes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "annotation {OOM_GROUP_ANNOTATION}: \"true\" needs the memory controller on cgroup v2, which this host has not got"
)]
pub struct NoGroupKill;

/// Limits of one container's group. What only the pod limits, each of its containers may use up.
///
/// Memory is only limited: memory.min, memory.low and memory.high stay unset, as in a kubelet whose configuration does not say
/// otherwise (KEP-2570).
pub fn of_container(pod: &Pod, spec: &ContainerSpec, node: &Node) -> Result<LinuxResources, NoGroupKill> {
    let (own, whole) = (&spec.resources, &pod.spec.resources);
    let mut limits = cpu_and_memory_of_container(own, whole);
    limits.set_devices(Some(devices(spec.security.privileged)));
    // Where the pod has none of them at all, its own group says so for every container.
    if !huge_pages_of(pod).is_empty() {
        set_huge_pages(&mut limits, pod, node, |size| {
            own.hugepage_limits.get(&size).or(whole.hugepage_limits.get(&size)).copied().unwrap_or(0)
        });
    }
    if kills_group(pod, node)? {
        limits.set_unified(Some(HashMap::from([("memory.oom.group".to_owned(), "1".to_owned())])));
    }
    Ok(limits)
}

/// Limits of cpu and memory alone, of a container with its `own` resources in a pod that as a `whole` has those.
pub fn cpu_and_memory_of_container(own: &Resources, whole: &Resources) -> LinuxResources {
    let cpu = set(own.cpu_limit_millis).or(set(whole.cpu_limit_millis));
    let memory = set(own.memory_limit).or(set(whole.memory_limit));
    limits(own.cpu_request_millis, cpu, memory)
}

/// Whether a container dies as a whole when one of its processes is killed for want of memory: as the kubelet has it since
/// 1.28 wherever the kernel can do it, unless the pod wishes otherwise.
fn kills_group(pod: &Pod, node: &Node) -> Result<bool, NoGroupKill> {
    match pod.annotations.get(OOM_GROUP_ANNOTATION).map(String::as_str) {
        Some("false") => Ok(false),
        Some("true") if !node.kills_groups => Err(NoGroupKill),
        _ => Ok(node.kills_groups),
    }
}

/// A figure that is not set, or is zero, limits nothing.
fn set(figure: Option<u64>) -> Option<u64> {
    figure.filter(|figure| *figure > 0)
}

/// Any device file may be made, which takes CAP_MKNOD besides; only those that are listed can be opened.
fn devices(privileged: bool) -> Vec<LinuxDeviceCgroup> {
    let rule = |allow, kind, (major, minor), access: &str| {
        let mut rule = LinuxDeviceCgroup::default();
        rule.set_allow(allow).set_typ(Some(kind)).set_major(major).set_minor(minor);
        rule.set_access(Some(access.to_owned()));
        rule
    };
    let everything = |allow| rule(allow, LinuxDeviceType::A, (None, None), "rwm");
    if privileged {
        return vec![everything(true)];
    }
    let files = [LinuxDeviceType::C, LinuxDeviceType::B].map(|kind| rule(true, kind, (None, None), "m"));
    let listed = DEVICES.map(|(major, minor)| rule(true, LinuxDeviceType::C, (Some(major), minor), "rwm"));
    [everything(false)].into_iter().chain(files).chain(listed).collect()
}

/// Limits of the pod's group. The pod's own figures win (KEP-2837); else shares follow from the sum of requests, and there is a
/// limit where every container has one. `pids` is how many processes and threads it may have, -1 for any number.
pub fn of_pod(pod: &Pod, node: &Node, pids: i64) -> LinuxResources {
    let whole = &pod.spec.resources;
    let mut limits = cpu_and_memory_of_pod(pod);
    set_huge_pages(&mut limits, pod, node, |size| {
        let together = || needed(pod, |r| Some(r.hugepage_limits.get(&size).copied().unwrap_or(0)));
        whole.hugepage_limits.get(&size).copied().or_else(together).unwrap_or(0)
    });
    let mut limit = LinuxPids::default();
    limit.set_limit(pids);
    limits.set_pids(Some(limit));
    limits
}

/// Likewise of cpu and memory alone.
pub fn cpu_and_memory_of_pod(pod: &Pod) -> LinuxResources {
    let whole = &pod.spec.resources;
    let cpu = set(whole.cpu_limit_millis).or_else(|| needed(pod, |r| set(r.cpu_limit_millis)));
    let memory = set(whole.memory_limit).or_else(|| needed(pod, |r| set(r.memory_limit)));
    limits(Some(cpu_request(pod)), cpu, memory)
}

/// Limits of the group of all pods: they weigh that many thousandths of a processor, and have that much memory, bytes, where
/// something of it is kept from them.
pub fn of_node(millis: u64, memory: Option<u64>) -> LinuxResources {
    limits(Some(millis), None, memory)
}

/// Limits of the group of a class: what its pods request together, which for best-effort pods is nothing.
pub fn of_class(millis: u64) -> LinuxResources {
    limits(Some(millis), None, None)
}

/// What the pod requests of the processors, thousandths of one.
pub fn cpu_request(pod: &Pod) -> u64 {
    let together = || needed(pod, |r| Some(r.cpu_request_millis.unwrap_or(0)));
    set(pod.spec.resources.cpu_request_millis).or_else(together).unwrap_or(0)
}

/// What the pod requests of the memory, bytes.
pub fn memory_request(pod: &Pod) -> u64 {
    let together = || needed(pod, |r| Some(r.memory_request.unwrap_or(0)));
    set(pod.spec.resources.memory_request).or_else(together).unwrap_or(0)
}

/// What the pod requests of the disk, bytes.
pub fn ephemeral_storage_request(pod: &Pod) -> u64 {
    needed(pod, |r| Some(r.ephemeral_storage_request.unwrap_or(0))).unwrap_or(0)
}

/// The sizes of huge pages that somebody in the pod may use.
fn huge_pages_of(pod: &Pod) -> BTreeSet<u64> {
    let containers = pod.spec.init_containers.iter().chain(&pod.spec.containers).map(|c| &c.resources);
    let limits = containers.chain([&pod.spec.resources]).flat_map(|resources| &resources.hugepage_limits);
    limits.filter(|(_, limit)| **limit > 0).map(|(size, _)| *size).collect()
}

/// Limits every size that the node has or the pod asks for: who has no limit of a size gets no page of it.
fn set_huge_pages(limits: &mut LinuxResources, pod: &Pod, node: &Node, limit: impl Fn(u64) -> u64) {
    let sizes: BTreeSet<u64> = node.huge_pages.union(&huge_pages_of(pod)).copied().collect();
    if sizes.is_empty() {
        return;
    }
    let list = sizes.into_iter().map(|size| {
        let mut entry = LinuxHugepageLimit::default();
        entry.set_page_size(page_size_name(size)).set_limit(i64::try_from(limit(size)).unwrap_or(i64::MAX));
        entry
    });
    limits.set_hugepage_limits(Some(list.collect()));
}

/// A size as the kernel writes it in the names of hugetlb's files: `2MB`.
fn page_size_name(bytes: u64) -> String {
    match bytes {
        _ if bytes >= 1 << 30 => format!("{}GB", bytes >> 30),
        _ if bytes >= 1 << 20 => format!("{}MB", bytes >> 20),
        _ => format!("{}KB", bytes >> 10),
    }
}

/// How willingly the kernel kills a container of the pod when the node is out of memory; `capacity` is the node's, bytes.
pub fn oom_score_adj(pod: &Pod, container: &ContainerSpec, capacity: u64) -> i32 {
    match pod.spec.qos_class {
        QosClass::Guaranteed => -997,
        QosClass::BestEffort => 1000,
        QosClass::Burstable => {
            let request = u128::from(memory_request_to_count(pod, container)) + spare_memory(pod);
            let share = 1000 * request / u128::from(capacity.max(1));
            // Never as safe as Guaranteed, never as doomed as BestEffort.
            1000_i32.saturating_sub(i32::try_from(share).unwrap_or(i32::MAX)).clamp(3, 999)
        }
    }
}

/// Bytes. A sidecar is no worse off than the container that requests least (KEP-753).
fn memory_request_to_count(pod: &Pod, container: &ContainerSpec) -> u64 {
    let of = |container: &ContainerSpec| container.resources.memory_request.unwrap_or(0);
    let is_sidecar =
        container.is_sidecar() && pod.spec.init_containers.iter().any(|c| c.name == container.name);
    match pod.spec.containers.iter().map(of).min() {
        Some(least) if is_sidecar => of(container).max(least),
        _ => of(container),
    }
}

/// What the pod requests beyond its containers' own requests, for each of them (KEP-2837).
fn spare_memory(pod: &Pod) -> u128 {
    let together = needed(pod, |r| Some(r.memory_request.unwrap_or(0))).unwrap_or(0);
    let spare = pod.spec.resources.memory_request.unwrap_or(0).saturating_sub(together);
    let containers = pod.spec.init_containers.len() + pod.spec.containers.len();
    u128::from(spare) / containers.max(1) as u128
}

fn needed(pod: &Pod, of: impl Fn(&Resources) -> Option<u64>) -> Option<u64> {
    pod_resources::needed(&pod.spec.init_containers, &pod.spec.containers, of)
}

fn limits(request_millis: Option<u64>, limit_millis: Option<u64>, memory: Option<u64>) -> LinuxResources {
    let mut cpu = LinuxCpu::default();
    let shares = request_millis.unwrap_or(0).saturating_mul(1024) / 1000;
    cpu.set_shares(Some(shares.clamp(MIN_SHARES, 262_144)));
    if let Some(millis) = limit_millis.filter(|millis| *millis > 0) {
        let quota = i64::try_from(millis.saturating_mul(CPU_PERIOD) / 1000).unwrap_or(i64::MAX);
        cpu.set_quota(Some(quota.max(MIN_QUOTA)));
        cpu.set_period(Some(CPU_PERIOD));
    }
    let mut limits = LinuxResources::default();
    limits.set_cpu(Some(cpu));
    if let Some(bytes) = memory.filter(|bytes| *bytes > 0) {
        let mut memory = LinuxMemory::default();
        memory.set_limit(Some(i64::try_from(bytes).unwrap_or(i64::MAX)));
        limits.set_memory(Some(memory));
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::spec::RestartPolicy;
    use crate::pod::spec::tests::container;
    use crate::runtime::fixture::pod;
    use serde_json::json;

    const GIB: u64 = 1 << 30;

    /// A node with cgroup v1 and without huge pages.
    fn v1() -> Node {
        Node::default()
    }

    fn resources(cpu: (Option<u64>, Option<u64>), memory: (Option<u64>, Option<u64>)) -> Resources {
        Resources {
            cpu_request_millis: cpu.0,
            cpu_limit_millis: cpu.1,
            memory_request: memory.0,
            memory_limit: memory.1,
            ..Resources::default()
        }
    }

    #[test]
    fn limits_are_computed_as_the_kubelet_does() {
        for (resources, want) in [
            (resources((None, None), (None, None)), json!({"cpu": {"shares": 2}})),
            (resources((Some(250), None), (None, None)), json!({"cpu": {"shares": 256}})),
            (
                resources((Some(1), Some(1)), (None, Some(4096))),
                json!({"cpu": {"shares": 2, "quota": 1000, "period": 100_000}, "memory": {"limit": 4096}}),
            ),
            (
                resources((Some(1500), Some(2000)), (None, None)),
                json!({"cpu": {"shares": 1536, "quota": 200_000, "period": 100_000}}),
            ),
        ] {
            let container = ContainerSpec { resources, ..container("a") };
            let mut limits =
                of_container(&pod(RestartPolicy::Always, &[], &["a"]), &container, &v1()).unwrap();
            limits.set_devices(None);
            assert_eq!(serde_json::to_value(limits).unwrap(), want);
        }
    }

    #[test]
    fn a_container_may_use_eight_kinds_of_device_and_a_privileged_one_all() {
        let mut container = container("a");
        let pod = pod(RestartPolicy::Always, &[], &["a"]);
        let rules = |container: &ContainerSpec| {
            let rules = of_container(&pod, container, &v1()).unwrap().devices().clone().unwrap();
            rules.iter().map(|rule| serde_json::to_value(rule).unwrap()).collect::<Vec<_>>()
        };
        let ordinary = rules(&container);
        assert_eq!(ordinary[0], json!({"allow": false, "type": "a", "access": "rwm"}));
        assert_eq!(ordinary[1], json!({"allow": true, "type": "c", "access": "m"}));
        assert_eq!(ordinary[2], json!({"allow": true, "type": "b", "access": "m"}));
        assert_eq!(ordinary[3], json!({"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"}));
        assert_eq!(ordinary[10], json!({"allow": true, "type": "c", "major": 136, "access": "rwm"}));
        assert_eq!(ordinary.len(), 11);
        container.security.privileged = true;
        assert_eq!(rules(&container), [json!({"allow": true, "type": "a", "access": "rwm"})]);
    }

    #[test]
    fn a_pod_is_limited_where_all_its_containers_are() {
        let mut pod = pod(RestartPolicy::Always, &["i"], &["a", "b"]);
        pod.spec.init_containers[0].resources = resources((Some(900), Some(900)), (None, Some(100)));
        pod.spec.containers[0].resources = resources((Some(100), Some(200)), (None, Some(100)));
        pod.spec.containers[1].resources = resources((Some(100), Some(200)), (None, None));
        assert_eq!(
            serde_json::to_value(of_pod(&pod, &v1(), 4096)).unwrap(),
            json!({"cpu": {"shares": 921, "quota": 90_000, "period": 100_000}, "pids": {"limit": 4096}}),
        );
        pod.spec.containers[1].resources.memory_limit = Some(50);
        assert_eq!(
            serde_json::to_value(of_pod(&pod, &v1(), 4096)).unwrap()["memory"],
            json!({"limit": 150}),
            "the containers together need more than the init container",
        );
    }

    #[test]
    fn oom_score_follows_the_class_and_the_request() {
        let mut pod = pod(RestartPolicy::Always, &[], &["a"]);
        for (class, request, want) in [
            (QosClass::Guaranteed, GIB, -997),
            (QosClass::BestEffort, 0, 1000),
            (QosClass::Burstable, 0, 999),
            (QosClass::Burstable, 2 * GIB, 500),
            (QosClass::Burstable, 4 * GIB, 3),
            (QosClass::Burstable, 400 * GIB, 3),
        ] {
            pod.spec.qos_class = class;
            pod.spec.containers[0].resources.memory_request = Some(request);
            assert_eq!(oom_score_adj(&pod, &pod.spec.containers[0], 4 * GIB), want, "{class:?} {request}");
        }
        pod.spec.containers[0].resources.memory_request = Some(2 * GIB);
        let mut sidecar = container("s");
        pod.spec.init_containers.push(sidecar.clone());
        assert_eq!(oom_score_adj(&pod, &sidecar, 4 * GIB), 999);
        sidecar.restart_policy = Some(RestartPolicy::Always);
        pod.spec.init_containers[0] = sidecar.clone();
        assert_eq!(oom_score_adj(&pod, &sidecar, 4 * GIB), 500);
    }

    #[test]
    fn the_pods_own_figures_win_over_those_of_its_containers() {
        let mut pod = pod(RestartPolicy::Always, &[], &["a", "b"]);
        pod.spec.containers[0].resources = resources((Some(100), Some(200)), (Some(GIB), Some(GIB)));
        pod.spec.resources = resources((Some(1000), Some(2000)), (Some(3 * GIB), Some(4 * GIB)));
        let limits = serde_json::to_value(of_pod(&pod, &v1(), -1)).unwrap();
        assert_eq!(
            limits,
            json!({
                "cpu": {"shares": 1024, "quota": 200_000, "period": 100_000},
                "memory": {"limit": 4 * GIB},
                "pids": {"limit": -1},
            })
        );
        let of = |index: usize| {
            let limits = of_container(&pod, &pod.spec.containers[index], &v1()).unwrap();
            let limits = serde_json::to_value(limits).unwrap();
            (limits["cpu"].clone(), limits["memory"]["limit"].clone())
        };
        assert_eq!(of(0), (json!({"shares": 102, "quota": 20_000, "period": 100_000}), json!(GIB)));
        assert_eq!(of(1), (json!({"shares": 2, "quota": 200_000, "period": 100_000}), json!(4 * GIB)));
        // 2 GiB of the pod's request are left for two containers.
        pod.spec.qos_class = QosClass::Burstable;
        let score = |index: usize| oom_score_adj(&pod, &pod.spec.containers[index], 10 * GIB);
        assert_eq!((score(0), score(1)), (800, 900));
    }

    #[test]
    fn huge_pages_are_for_those_who_have_a_limit_of_them() {
        let huge = |limits: LinuxResources| -> Vec<String> {
            let list = limits.hugepage_limits().clone().unwrap_or_default();
            list.iter().map(|size| format!("{}={}", size.page_size(), size.limit())).collect()
        };
        let mut pod = pod(RestartPolicy::Always, &[], &["a", "b"]);
        let node = Node { huge_pages: [2 << 20].into(), kills_groups: false };
        let of = |pod: &Pod, index: usize, node: &Node| {
            huge(of_container(pod, &pod.spec.containers[index], node).unwrap())
        };
        assert_eq!(huge(of_pod(&pod, &node, -1)), ["2MB=0"], "no page for a pod without a limit");
        assert_eq!(huge(of_pod(&pod, &v1(), -1)), [""; 0], "nothing to limit");
        assert_eq!(of(&pod, 0, &node), [""; 0], "its pod has none");

        pod.spec.containers[0].resources.hugepage_limits = [(2 << 20, 4 << 20), (GIB, GIB)].into();
        assert_eq!(huge(of_pod(&pod, &node, -1)), ["2MB=4194304", "1GB=1073741824"]);
        assert_eq!(of(&pod, 0, &v1()), ["2MB=4194304", "1GB=1073741824"]);
        assert_eq!(of(&pod, 1, &node), ["2MB=0", "1GB=0"]);
        pod.spec.resources.hugepage_limits = [(2 << 20, 8 << 20)].into();
        assert_eq!(huge(of_pod(&pod, &node, -1)), ["2MB=8388608", "1GB=1073741824"]);
        assert_eq!(of(&pod, 1, &node), ["2MB=8388608", "1GB=0"]);
        assert_eq!(page_size_name(64 << 10), "64KB");
    }

    #[test]
    fn whole_containers_are_killed_for_memory_where_the_kernel_can_and_the_pod_does_not_mind() {
        let (v1, v2) = (v1(), Node { kills_groups: true, ..Node::default() });
        for (annotation, node, expected) in [
            (None, &v2, Ok(true)),
            (Some("true"), &v2, Ok(true)),
            (Some("false"), &v2, Ok(false)),
            (None, &v1, Ok(false)),
            (Some("false"), &v1, Ok(false)),
            (Some("true"), &v1, Err(NoGroupKill)),
        ] {
            let mut pod = pod(RestartPolicy::Always, &[], &["a"]);
            let annotations = annotation.map(|value| (OOM_GROUP_ANNOTATION.to_owned(), value.to_owned()));
            pod.annotations.extend(annotations);
            let limits = of_container(&pod, &pod.spec.containers[0], node);
            let key = "memory.oom.group";
            let found =
                limits.map(|limits| limits.unified().as_ref().is_some_and(|all| all.get(key).is_some()));
            assert_eq!(found, expected, "{annotation:?} {node:?}");
        }
    }
}
