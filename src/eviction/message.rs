//! What is said of a pod that has to go, in the kubelet's words. Pure.

use super::rank::Usage;
use super::signal::{Observations, Resource};
use super::threshold::Threshold;
use crate::pod::Pod;
use crate::pod::quantity::Amount;
use crate::pod::spec::Resources;

/// Why `pod` has to go for want of a resource, with the blank at the end that the kubelet's messages have.
pub fn evicted(
    pod: &Pod,
    usage: Option<&Usage>,
    resource: Resource,
    starved: &[Threshold],
    seen: &Observations,
) -> String {
    let mut message = format!("The node was low on resource: {resource}. ");
    let threshold = starved.iter().find(|one| one.signal.resource() == resource);
    if let Some((threshold, seen)) = threshold.and_then(|one| Some((one, seen.get(&one.signal)?))) {
        let (quantity, available) =
            (amount(resource, threshold.value.of(seen.capacity)), amount(resource, seen.available));
        message += &format!("Threshold quantity: {quantity}, available: {available}. ");
    }
    let Some(usage) = usage else { return message };
    if let (Resource::Memory, Some(requested)) = (resource, pod.spec.resources.memory_request) {
        message += &more("Pod", &pod.key.name, usage.memory, requested, resource);
    }
    for used in &usage.containers {
        let specs = pod.spec.init_containers.iter().chain(&pod.spec.containers);
        let Some(spec) = specs.into_iter().find(|spec| spec.name == used.name) else { continue };
        let Resources { memory_request, ephemeral_storage_request, .. } = spec.resources;
        let (amount, requested) = match resource {
            Resource::Memory => (used.memory, memory_request),
            Resource::EphemeralStorage => (used.disk, ephemeral_storage_request),
            Resource::Inodes | Resource::Pids => continue,
        };
        if amount > requested.unwrap_or(0) {
            message += &more("Container", used.name.as_str(), amount, requested.unwrap_or(0), resource);
        }
    }
    message
}

fn more(what: &str, name: &str, used: u64, requested: u64, resource: Resource) -> String {
    let (used, requested) = (amount(resource, used), amount(resource, requested));
    format!("{what} {name} was using {used}, request is {requested}, has larger consumption of {resource}. ")
}

/// Bytes in powers of 1024, all else as it is.
fn amount(resource: Resource, number: u64) -> String {
    match resource {
        Resource::Memory | Resource::EphemeralStorage => Amount::Bytes(number).to_string(),
        Resource::Inodes | Resource::Pids => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::rank::ContainerUsage;
    use super::super::signal::{Observation, Signal};
    use super::super::threshold::Value;
    use super::*;
    use crate::pod::spec::RestartPolicy;
    use crate::runtime::fixture::{self, name};

    #[test]
    fn the_node_was_low_on_something_and_who_used_more_than_it_requests() {
        let mut pod = fixture::pod(RestartPolicy::Always, &[], &["a", "b"]);
        pod.spec.containers[0].resources.memory_request = Some(64 << 20);
        let used = |container, memory, disk| ContainerUsage { name: name(container), memory, disk };
        let usage = Usage {
            memory: 200 << 20,
            containers: vec![used("a", 65 << 20, 0), used("b", 512, 3 << 10)],
            ..Usage::default()
        };
        let threshold =
            |signal, value| Threshold { signal, value, grace: Duration::ZERO, minimum_reclaim: None };
        let starved = [
            threshold(Signal::MemoryAvailable, Value::Quantity(100 << 20)),
            threshold(Signal::NodeFsAvailable, Value::Part(100_000)),
            threshold(Signal::NodeFsInodesFree, Value::Part(50_000)),
        ];
        let seen = |available, capacity| Observation { available, capacity };
        let observed = [
            (Signal::MemoryAvailable, seen(98 << 20, 1 << 30)),
            (Signal::NodeFsAvailable, seen(0, 10 << 30)),
            (Signal::NodeFsInodesFree, seen(4096, 1 << 20)),
        ]
        .into();
        let said = |pod: &Pod, usage, resource| evicted(pod, usage, resource, &starved, &observed);
        assert_eq!(
            said(&pod, Some(&usage), Resource::Memory),
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: 98Mi. \
             Container a was using 65Mi, request is 64Mi, has larger consumption of memory. \
             Container b was using 512, request is 0, has larger consumption of memory. "
        );
        assert_eq!(
            said(&pod, Some(&usage), Resource::EphemeralStorage),
            "The node was low on resource: ephemeral-storage. Threshold quantity: 1Gi, available: 0. \
             Container b was using 3Ki, request is 0, has larger consumption of ephemeral-storage. "
        );
        assert_eq!(
            said(&pod, Some(&usage), Resource::Inodes),
            "The node was low on resource: inodes. Threshold quantity: 52428, available: 4096. "
        );
        assert_eq!(said(&pod, None, Resource::Pids), "The node was low on resource: pids. ");
        pod.spec.resources.memory_request = Some(128 << 20);
        let said = said(&pod, Some(&usage), Resource::Memory);
        assert!(
            said.contains("Pod web was using 200Mi, request is 128Mi, has larger consumption of memory. "),
            "{said}"
        );
    }
}
