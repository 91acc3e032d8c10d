//! What follows from requests and limits: the quality of service, and what a pod needs as a whole.

use super::spec::{ContainerSpec, QosClass, Resources};

/// The QoS class of a pod with these containers, init containers included. The pod's own resources, if it has any, count in
/// their place (KEP-2837).
///
/// As Kubernetes derives it from cpu and memory alone; a request or limit of zero counts as none, and a request that is
/// not set has been given its limit's value.
pub fn qos_class<'a>(pod: &Resources, containers: impl IntoIterator<Item = &'a ContainerSpec>) -> QosClass {
    if *pod != Resources::default() {
        return class_of([pod]);
    }
    class_of(containers.into_iter().map(|container| &container.resources))
}

/// What a pod needs of one resource: its containers and sidecars together, or, if that is more, an init container beside the
/// sidecars that were started before it (KEP-753). `None` when a container does not say.
pub fn needed(
    init_containers: &[ContainerSpec],
    containers: &[ContainerSpec],
    of: impl Fn(&Resources) -> Option<u64>,
) -> Option<u64> {
    let (mut sidecars, mut most) = (0_u64, 0_u64);
    for init in init_containers {
        let alone = sidecars.saturating_add(of(&init.resources)?);
        most = most.max(alone);
        if init.is_sidecar() {
            sidecars = alone;
        }
    }
    let mut together = containers.iter().map(|container| of(&container.resources));
    let together = together.try_fold(sidecars, |sum, one| Some(sum.saturating_add(one?)))?;
    Some(together.max(most))
}

fn class_of<'a>(all: impl IntoIterator<Item = &'a Resources>) -> QosClass {
    let mut any = false;
    let mut guaranteed = true;
    let mut sums = [(0_u128, 0_u128); 2];
    for resources in all {
        for ((request, limit), sum) in amounts(resources).into_iter().zip(&mut sums) {
            any |= request + limit > 0;
            guaranteed &= limit > 0;
            *sum = (sum.0 + u128::from(request), sum.1 + u128::from(limit));
        }
    }
    match (any, guaranteed && sums.iter().all(|(requests, limits)| requests == limits)) {
        (false, _) => QosClass::BestEffort,
        (true, true) => QosClass::Guaranteed,
        (true, false) => QosClass::Burstable,
    }
}

/// Request and limit of cpu, then of memory; 0 where not set.
fn amounts(resources: &Resources) -> [(u64, u64); 2] {
    let &Resources { cpu_request_millis, cpu_limit_millis, memory_request, memory_limit, .. } = resources;
    [(cpu_request_millis, cpu_limit_millis), (memory_request, memory_limit)]
        .map(|(request, limit)| (request.unwrap_or(0), limit.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sidecars_count_beside_whatever_runs_after_them() {
        let list = |list: &[(&str, u64)]| -> Vec<ContainerSpec> {
            let one = |(kind, millis): &(&str, u64)| ContainerSpec {
                resources: Resources { cpu_request_millis: Some(*millis), ..Resources::default() },
                restart_policy: (*kind == "sidecar").then_some(crate::pod::spec::RestartPolicy::Always),
                ..crate::pod::spec::tests::container("c")
            };
            list.iter().map(one).collect()
        };
        for (init, main, want) in [
            (vec![], vec![("main", 1), ("main", 2)], 3),
            (vec![("init", 5)], vec![("main", 1), ("main", 2)], 5),
            (vec![("init", 2)], vec![("main", 1), ("main", 2)], 3),
            (vec![("sidecar", 5)], vec![("main", 1), ("main", 2)], 8),
            (vec![("sidecar", 5), ("init", 4)], vec![("main", 1)], 9),
            (vec![("init", 9), ("sidecar", 5)], vec![("main", 1)], 9),
            (vec![("sidecar", 1), ("init", 9), ("sidecar", 5)], vec![("main", 1)], 10),
        ] {
            let got = needed(&list(&init), &list(&main), |r| r.cpu_request_millis);
            assert_eq!(got, Some(want), "{init:?} {main:?}");
        }
        assert_eq!(needed(&[], &list(&[("main", 1)]), |r| r.memory_request), None);
    }

    #[test]
    fn qos_class_follows_requests_and_limits() {
        type Amounts = [Option<u64>; 4];
        let none: Amounts = [None; 4];
        let full: Amounts = [Some(100), Some(100), Some(64), Some(64)];
        let cases: [(&[Amounts], QosClass); 9] = [
            (&[none], QosClass::BestEffort),
            (&[none, none], QosClass::BestEffort),
            (&[[Some(0), None, None, Some(0)]], QosClass::BestEffort),
            (&[full], QosClass::Guaranteed),
            (&[full, full], QosClass::Guaranteed),
            (&[full, none], QosClass::Burstable),
            (&[[Some(100), None, None, None]], QosClass::Burstable),
            (&[[Some(100), Some(100), None, None]], QosClass::Burstable),
            (&[[Some(50), Some(100), Some(64), Some(64)]], QosClass::Burstable),
        ];
        for (containers, expected) in cases {
            let containers: Vec<ContainerSpec> = containers
                .iter()
                .map(|&[cpu_request_millis, cpu_limit_millis, memory_request, memory_limit]| ContainerSpec {
                    resources: Resources {
                        cpu_request_millis,
                        cpu_limit_millis,
                        memory_request,
                        memory_limit,
                        ..Resources::default()
                    },
                    ..crate::pod::spec::tests::container("c")
                })
                .collect();
            assert_eq!(qos_class(&Resources::default(), &containers), expected, "{containers:?}");
        }
    }
}
