//! Requests and limits as the kernel understands them: cgroup limits and the OOM killer's score, computed as the kubelet does.

use oci_spec::runtime::{
    LinuxCpu, LinuxDeviceCgroup, LinuxDeviceType, LinuxMemory, LinuxPids, LinuxResources,
};

use crate::pod::spec::{QosClass, Resources};
use crate::pod::{ContainerSpec, Pod};

/// Processes and threads that a pod may have.
const PIDS_PER_POD: i64 = 4096;

/// Length of a period of CPU time, microseconds.
const CPU_PERIOD: u64 = 100_000;

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

/// Limits of one container's group.
pub fn of_container(spec: &ContainerSpec) -> LinuxResources {
    let Resources { cpu_request_millis, cpu_limit_millis, memory_limit, .. } = spec.resources;
    let mut limits = limits(cpu_request_millis, cpu_limit_millis, memory_limit);
    limits.set_devices(Some(devices(spec.security.privileged)));
    limits
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

/// Limits of the pod's group: shares by the sum of requests, and a limit where every container has one.
pub fn of_pod(pod: &Pod) -> LinuxResources {
    let request = needed(pod, |r| Some(r.cpu_request_millis.unwrap_or(0)));
    let quota = needed(pod, |r| r.cpu_limit_millis);
    let memory = needed(pod, |r| r.memory_limit);
    let mut limits = limits(request, quota, memory);
    let mut pids = LinuxPids::default();
    pids.set_limit(PIDS_PER_POD);
    limits.set_pids(Some(pids));
    limits
}

/// How willingly the kernel kills a container of the pod when the node is out of memory; `capacity` is the node's, bytes.
pub fn oom_score_adj(pod: &Pod, container: &ContainerSpec, capacity: u64) -> i32 {
    match pod.spec.qos_class {
        QosClass::Guaranteed => -997,
        QosClass::BestEffort => 1000,
        QosClass::Burstable => {
            let request = u128::from(container.resources.memory_request.unwrap_or(0));
            let share = 1000 * request / u128::from(capacity.max(1));
            // Never as safe as Guaranteed, never as doomed as BestEffort.
            1000_i32.saturating_sub(i32::try_from(share).unwrap_or(i32::MAX)).clamp(3, 999)
        }
    }
}

/// What the pod needs of one resource: the containers together, or the hungriest init container alone, whichever is more.
/// `None` when a container does not say.
fn needed(pod: &Pod, of: impl Fn(&Resources) -> Option<u64>) -> Option<u64> {
    let mut together = pod.spec.containers.iter().map(|c| of(&c.resources));
    let together = together.try_fold(0_u64, |sum, one| Some(sum.saturating_add(one?)))?;
    let mut alone = pod.spec.init_containers.iter().map(|c| of(&c.resources));
    alone.try_fold(together, |most, one| Some(most.max(one?)))
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
            let mut limits = of_container(&container);
            limits.set_devices(None);
            assert_eq!(serde_json::to_value(limits).unwrap(), want);
        }
    }

    #[test]
    fn a_container_may_use_eight_kinds_of_device_and_a_privileged_one_all() {
        let mut container = container("a");
        let rules = |container: &ContainerSpec| {
            let rules = of_container(container).devices().clone().unwrap();
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
            serde_json::to_value(of_pod(&pod)).unwrap(),
            json!({"cpu": {"shares": 921, "quota": 90_000, "period": 100_000}, "pids": {"limit": 4096}}),
        );
        pod.spec.containers[1].resources.memory_limit = Some(50);
        assert_eq!(
            serde_json::to_value(of_pod(&pod)).unwrap()["memory"],
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
    }
}
