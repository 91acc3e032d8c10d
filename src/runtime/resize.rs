//! Other limits for groups that are in use (KEP-1287): what is written where, in which order, and what is refused before.
//!
//! As the kubelet does it: memory, then processors; of each the pod's own limit first when it grows and last when it shrinks, and
//! between these the containers, those that shrink before those that grow. So no container ever has more than its pod.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxCpu, LinuxMemory, LinuxResources};

use super::host::Host;
use super::{Error, resources};
use crate::cgroup;
use crate::pod::downward::Allocatable;
use crate::pod::{ContainerName, Pod};
use crate::state::record::Given;

/// A container that runs while its pod's resources change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resized {
    /// Which.
    pub name: ContainerName,
    /// Its running attempt.
    pub id: String,
    /// What it was given.
    pub given: Given,
}

/// What the pod's group has at the moment; `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Current {
    /// Bytes.
    memory: Option<u64>,
    /// Microseconds in a period of [`resources::CPU_PERIOD`].
    quota: Option<i64>,
}

/// One change of one group.
#[derive(Debug, Clone, PartialEq)]
struct Step {
    /// The container's id; `None` is the pod's own group.
    container: Option<String>,
    limits: LinuxResources,
}

/// Whether the node could ever give the pod what it requests, were it alone there; else why not, in the kubelet's words.
pub fn fits(pod: &Pod, node: &Allocatable) -> Result<(), String> {
    let told = |resource, requested, capacity| {
        Err(format!(
            "Node didn't have enough capacity: {resource}, requested: {requested}, capacity: {capacity}"
        ))
    };
    match (resources::memory_request(pod), resources::cpu_request(pod)) {
        (memory, _) if memory > node.memory => told("memory", memory, node.memory),
        (_, millis) if millis > node.cpu_millis => told("cpu", millis, node.cpu_millis),
        _ => Ok(()),
    }
}

/// Gives the pod's group and those of the containers that run what the pod asks for now. Blocks.
///
/// A limit of memory that is below what is in use is an error, in the kubelet's words, and nothing is changed.
pub fn carry_out(pod: &Pod, running: &[Resized], host: &Host) -> Result<(), Error> {
    let group = host.pod_group(pod);
    let failed = |error: cgroup::Error| Error::chain(&error);
    let current = Current {
        memory: host.cgroups.stats(&group).map_err(failed)?.memory.and_then(|memory| memory.limit),
        quota: host.cgroups.cpu_quota(&group, resources::CPU_PERIOD).map_err(failed)?,
    };
    refuse_less_than_is_used(pod, running, current.memory, &group, host)?;
    for step in steps(pod, running, current) {
        let group: PathBuf = step.container.iter().fold(group.clone(), |group, id| group.join(id));
        match host.cgroups.update(&group, &step.limits) {
            // It has ended meanwhile.
            Err(error) if step.container.is_some() && error.is_absent() => {}
            updated => updated.map_err(failed)?,
        }
    }
    Ok(())
}

fn refuse_less_than_is_used(
    pod: &Pod,
    running: &[Resized],
    current: Option<u64>,
    group: &Path,
    host: &Host,
) -> Result<(), Error> {
    let usage = |group: &Path| {
        let stats = host.cgroups.stats(group).map_err(|error| Error::chain(&error));
        stats.map(|stats| stats.memory.map_or(0, |memory| memory.usage))
    };
    let mut why = Vec::new();
    let wanted = memory_limit(&resources::cpu_and_memory_of_pod(pod));
    if let Some(limit) = wanted.filter(|limit| shrinks(current, *limit)) {
        let used = usage(group)?;
        if used >= limit {
            why.push(format!("attempting to set pod memory limit ({limit}) below current usage ({used})"));
        }
    }
    for (one, old, new) in changes(pod, running) {
        let Some(limit) = memory_limit(&new).filter(|limit| shrinks(memory_limit(&old), *limit)) else {
            continue;
        };
        let used = usage(&group.join(&one.id))?;
        if used >= limit {
            why.push(format!(
                "attempting to set container \"{}\" memory limit ({limit}) below current usage ({used})",
                one.name
            ));
        }
    }
    match why.as_slice() {
        [] => Ok(()),
        [why] => Err(Error(format!("cannot decrease memory limits: {why}"))),
        all => Err(Error(format!("cannot decrease memory limits: [{}]", all.join(", ")))),
    }
}

/// What is written, in this order.
fn steps(pod: &Pod, running: &[Resized], current: Current) -> Vec<Step> {
    let whole = resources::cpu_and_memory_of_pod(pod);
    let mut steps = Vec::new();

    let mut containers: Vec<(Option<u64>, Option<u64>, Step)> = changes(pod, running)
        .filter_map(|(one, old, new)| {
            let (old, limit) = (memory_limit(&old), memory_limit(&new));
            (old != limit).then(|| (old, limit, Step::of_memory(Some(&one.id), limit)))
        })
        .collect();
    containers.sort_by_key(|(old, new, _)| is_more(*new, *old));
    // As with the kubelet, a limit of the pod's that followed from its containers' stays when it follows no more.
    let limit = memory_limit(&whole).or(current.memory);
    let pods = (limit != current.memory).then(|| Step::of_memory(None, limit));
    add(pods, is_more(limit, current.memory), containers.into_iter().map(|(_, _, step)| step), &mut steps);

    let mut containers: Vec<(bool, Step)> = changes(pod, running)
        .filter(|(_, old, new)| old.cpu() != new.cpu())
        .map(|(one, old, new)| {
            let grows = is_more_time(quota(&new), quota(&old));
            (grows, Step::of_cpu(Some(&one.id), &new, quota(&new)))
        })
        .collect();
    containers.sort_by_key(|(grows, _)| *grows);
    let pods_quota = quota(&whole).or(current.quota);
    let pods = Step::of_cpu(None, &whole, pods_quota);
    let grows = is_more_time(pods_quota, current.quota);
    add(Some(pods), grows, containers.into_iter().map(|(_, step)| step), &mut steps);
    steps
}

fn add(pods: Option<Step>, grows: bool, containers: impl Iterator<Item = Step>, steps: &mut Vec<Step>) {
    let (first, last) = if grows { (pods, None) } else { (None, pods) };
    steps.extend(first);
    steps.extend(containers);
    steps.extend(last);
}

/// The containers that run, with their limits of cpu and memory as they were and as they are to be.
fn changes<'a>(
    pod: &'a Pod,
    running: &'a [Resized],
) -> impl Iterator<Item = (&'a Resized, LinuxResources, LinuxResources)> {
    running.iter().filter_map(|one| {
        let spec = pod.spec.container(&one.name)?;
        let old = resources::cpu_and_memory_of_container(&one.given.own, &one.given.whole);
        let new = resources::cpu_and_memory_of_container(&spec.resources, &pod.spec.resources);
        Some((one, old, new))
    })
}

fn memory_limit(limits: &LinuxResources) -> Option<u64> {
    limits.memory().and_then(|memory| memory.limit()).and_then(|limit| u64::try_from(limit).ok())
}

fn quota(limits: &LinuxResources) -> Option<i64> {
    limits.cpu().as_ref().and_then(LinuxCpu::quota)
}

/// No limit is more than any.
fn is_more(limit: Option<u64>, than: Option<u64>) -> bool {
    limit.unwrap_or(u64::MAX) > than.unwrap_or(u64::MAX)
}

fn is_more_time(quota: Option<i64>, than: Option<i64>) -> bool {
    quota.unwrap_or(i64::MAX) > than.unwrap_or(i64::MAX)
}

fn shrinks(from: Option<u64>, to: u64) -> bool {
    is_more(from, Some(to))
}

impl Step {
    fn of_memory(container: Option<&str>, limit: Option<u64>) -> Self {
        let mut memory = LinuxMemory::default();
        // What is negative is no limit, to the kernel as to OCI.
        memory.set_limit(Some(limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(-1)));
        let mut limits = LinuxResources::default();
        limits.set_memory(Some(memory));
        Self { container: container.map(str::to_owned), limits }
    }

    fn of_cpu(container: Option<&str>, wanted: &LinuxResources, quota: Option<i64>) -> Self {
        let mut cpu = LinuxCpu::default();
        cpu.set_shares(wanted.cpu().as_ref().and_then(LinuxCpu::shares));
        cpu.set_period(Some(resources::CPU_PERIOD)).set_quota(Some(quota.unwrap_or(-1)));
        let mut limits = LinuxResources::default();
        limits.set_cpu(Some(cpu));
        Self { container: container.map(str::to_owned), limits }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::spec::{Resources, RestartPolicy};
    use crate::runtime::fixture::{self, name};

    /// Limits of cpu in thousandths and of memory in bytes.
    type Limits = (Option<u64>, Option<u64>);

    fn resources((cpu, memory): Limits) -> Resources {
        Resources { cpu_limit_millis: cpu, memory_limit: memory, ..Resources::default() }
    }

    fn pod(whole: Limits, containers: &[Limits]) -> Pod {
        let mut pod = fixture::pod(RestartPolicy::Always, &[], &["a", "b"][..containers.len()]);
        for (spec, limits) in pod.spec.containers.iter_mut().zip(containers) {
            spec.resources = resources(*limits);
        }
        pod.spec.resources = resources(whole);
        pod
    }

    /// What is written, group by group, where the pod's group has `current` and its containers were given `old`.
    fn written(
        whole: [Limits; 2],
        old: &[Limits],
        new: &[Limits],
        current: (Option<i64>, Option<u64>),
    ) -> String {
        let running: Vec<Resized> = old
            .iter()
            .zip(["a", "b"])
            .map(|(limits, id)| Resized {
                name: name(id),
                id: id.to_owned(),
                given: Given { own: resources(*limits), whole: resources(whole[0]) },
            })
            .collect();
        let current = Current { quota: current.0, memory: current.1 };
        let steps = steps(&pod(whole[1], new), &running, current);
        let one = |Step { container, limits }: &Step| {
            let group = container.as_deref().unwrap_or("pod");
            match (limits.cpu(), limits.memory()) {
                (Some(cpu), None) => format!("{group} cpu={}", cpu.quota().unwrap()),
                (None, Some(memory)) => format!("{group} memory={}", memory.limit().unwrap()),
                both => panic!("{both:?}"),
            }
        };
        steps.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn no_container_ever_has_more_than_its_pod() {
        const NONE: Limits = (None, None);
        type Case<'a> =
            (&'a str, [Limits; 2], &'a [Limits], &'a [Limits], (Option<i64>, Option<u64>), &'a str);
        let cases: [Case<'_>; 8] = [
            (
                "it grows",
                [NONE; 2],
                &[(Some(100), Some(10))],
                &[(Some(200), Some(20))],
                (Some(10_000), Some(10)),
                "pod memory=20, a memory=20, pod cpu=20000, a cpu=20000",
            ),
            (
                "it shrinks",
                [NONE; 2],
                &[(Some(200), Some(20))],
                &[(Some(100), Some(10))],
                (Some(20_000), Some(20)),
                "a memory=10, pod memory=10, a cpu=10000, pod cpu=10000",
            ),
            (
                "one gives to the other",
                [NONE; 2],
                &[(Some(100), Some(10)), (Some(200), Some(20))],
                &[(Some(200), Some(20)), (Some(100), Some(10))],
                (Some(30_000), Some(30)),
                "b memory=10, a memory=20, b cpu=10000, a cpu=20000, pod cpu=30000",
            ),
            (
                "cpu alone",
                [NONE; 2],
                &[(Some(100), Some(10))],
                &[(Some(300), Some(10))],
                (Some(10_000), Some(10)),
                "pod cpu=30000, a cpu=30000",
            ),
            (
                "cpu grows and memory shrinks",
                [NONE; 2],
                &[(Some(100), Some(10))],
                &[(Some(300), Some(5))],
                (Some(10_000), Some(10)),
                "a memory=5, pod memory=5, pod cpu=30000, a cpu=30000",
            ),
            (
                "a first limit",
                [NONE; 2],
                &[(None, None)],
                &[(Some(100), Some(10))],
                (None, None),
                "a memory=10, pod memory=10, a cpu=10000, pod cpu=10000",
            ),
            (
                "a limit of zero is none, and the pod keeps its own",
                [NONE; 2],
                &[(Some(100), Some(10))],
                &[(Some(0), Some(0))],
                (Some(10_000), Some(10)),
                "a memory=-1, a cpu=-1, pod cpu=10000",
            ),
            (
                "the pod as a whole, for all who have no limit of their own",
                [(Some(1000), Some(100)), (Some(2000), Some(200))],
                &[(Some(100), Some(10)), NONE],
                &[(Some(100), Some(10)), NONE],
                (Some(100_000), Some(100)),
                "pod memory=200, b memory=200, pod cpu=200000, b cpu=200000",
            ),
        ];
        for (title, whole, old, new, current, expected) in cases {
            assert_eq!(written(whole, old, new, current), expected, "{title}");
        }
    }

    #[test]
    fn a_node_gives_no_more_than_it_has() {
        let node = Allocatable { cpu_millis: 2000, memory: 1 << 30, ephemeral_storage: 0 };
        for (cpu, memory, expected) in [
            (2000, 1 << 30, Ok(())),
            (2001, 1, Err("Node didn't have enough capacity: cpu, requested: 2001, capacity: 2000")),
            (
                9999,
                1 << 31,
                Err("Node didn't have enough capacity: memory, requested: 2147483648, capacity: 1073741824"),
            ),
        ] {
            let mut pod = pod((None, None), &[(None, None)]);
            let resources = &mut pod.spec.containers[0].resources;
            (resources.cpu_request_millis, resources.memory_request) = (Some(cpu), Some(memory));
            assert_eq!(fits(&pod, &node), expected.map_err(str::to_owned));
        }
    }
}
