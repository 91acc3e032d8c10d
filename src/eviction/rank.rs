//! Which pod has to go first. Pure.

use std::cmp::Reverse;

use super::signal::Resource;
use crate::pod::resources::needed;
use crate::pod::spec::Resources;
use crate::pod::{ContainerName, Pod};

/// What a pod uses, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory that could not be taken back easily, bytes.
    pub memory: u64,
    /// Bytes on the disk: writable layers, logs and emptyDirs.
    pub disk: u64,
    /// Files there.
    pub inodes: u64,
    /// Processes and threads.
    pub processes: u64,
    /// Of its containers that run.
    pub containers: Vec<ContainerUsage>,
}

/// What a container uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerUsage {
    /// Which.
    pub name: ContainerName,
    /// Memory, bytes.
    pub memory: u64,
    /// Its writable layer and its logs, bytes.
    pub disk: u64,
}

/// What a pod requests of a resource.
pub fn request(pod: &Pod, resource: Resource) -> u64 {
    let of = |resources: &Resources| match resource {
        Resource::Memory => resources.memory_request,
        Resource::EphemeralStorage => resources.ephemeral_storage_request,
        Resource::Inodes | Resource::Pids => None,
    };
    let spec = &pod.spec;
    let of_containers = || needed(&spec.init_containers, &spec.containers, |one| Some(of(one).unwrap_or(0)));
    of(&spec.resources).or_else(of_containers).unwrap_or(0)
}

impl Usage {
    /// Of one resource.
    pub fn of(&self, resource: Resource) -> u64 {
        match resource {
            Resource::Memory => self.memory,
            Resource::EphemeralStorage => self.disk,
            Resource::Inodes => self.inodes,
            Resource::Pids => self.processes,
        }
    }
}

/// Where a pod stands among those that have to go for a resource, the first of all first: who uses more than it requests (not asked
/// for processes, which nobody can request), then who is less important, then who uses most beyond its request. One of which nothing
/// is known goes before all others.
pub fn key(pod: &Pod, usage: Option<&Usage>, resource: Resource) -> impl Ord + use<> {
    let Some(usage) = usage else { return (false, false, i32::MIN, Reverse(i128::MAX)) };
    let (used, requested) = (usage.of(resource), request(pod, resource));
    let is_within = resource != Resource::Pids && used <= requested;
    (true, is_within, pod.spec.priority, Reverse(i128::from(used) - i128::from(requested)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::spec::RestartPolicy;
    use crate::runtime::fixture;

    /// Name, priority, request and use of each pod; their names in the order in which they have to go.
    fn order(resource: Resource, pods: &[(&str, i32, u64, Option<u64>)]) -> String {
        let pod = |(name, priority, request, used): &(&str, i32, u64, Option<u64>)| {
            let mut pod = fixture::pod(RestartPolicy::Always, &[], &["a"]);
            pod.key.name = (*name).to_owned();
            pod.spec.priority = *priority;
            let resources = &mut pod.spec.containers[0].resources;
            resources.memory_request = Some(*request);
            resources.ephemeral_storage_request = Some(*request);
            let usage = used.map(|used| Usage {
                memory: used,
                disk: used,
                inodes: used,
                processes: used,
                ..Usage::default()
            });
            (pod, usage)
        };
        let mut pods: Vec<_> = pods.iter().map(pod).collect();
        pods.sort_by_key(|(pod, usage)| key(pod, usage.as_ref(), resource));
        pods.into_iter().map(|(pod, _)| pod.key.name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn pods_go_in_the_kubelets_order() {
        use Resource::{EphemeralStorage, Inodes, Memory, Pids};
        let within = ("within", 0, 100, Some(100));
        for (resource, pods, expected) in [
            (Memory, vec![within, ("beyond", 0, 100, Some(101))], "beyond within"),
            (EphemeralStorage, vec![within, ("beyond", 9, 100, Some(101))], "beyond within"),
            (
                Memory,
                vec![("high", 9, 0, Some(500)), ("low", -1, 0, Some(1)), ("none", 0, 0, Some(9))],
                "low none high",
            ),
            (Memory, vec![("little", 0, 100, Some(150)), ("much", 0, 0, Some(60))], "much little"),
            (Memory, vec![("near", 0, 200, Some(150)), ("far", 0, 200, Some(10))], "near far"),
            (Memory, vec![("much", 0, 0, Some(500)), ("unknown", 9, 0, None)], "unknown much"),
            // Nobody requests inodes or processes.
            (Inodes, vec![("few", 0, 0, Some(5)), ("many", 0, 1000, Some(6))], "many few"),
            (
                Pids,
                vec![("many", 1, 0, Some(50)), ("none", 0, 0, Some(0)), ("few", 0, 0, Some(5))],
                "few none many",
            ),
        ] {
            assert_eq!(order(resource, &pods), expected, "{resource} {pods:?}");
        }
    }

    #[test]
    fn a_pods_own_request_counts_in_the_place_of_its_containers() {
        let mut pod = fixture::pod(RestartPolicy::Always, &["i"], &["a", "b"]);
        for container in &mut pod.spec.containers {
            container.resources.memory_request = Some(10);
        }
        pod.spec.init_containers[0].resources.memory_request = Some(15);
        assert_eq!(request(&pod, Resource::Memory), 20);
        pod.spec.resources.memory_request = Some(64);
        assert_eq!(request(&pod, Resource::Memory), 64);
    }
}
