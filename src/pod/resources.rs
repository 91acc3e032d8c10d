//! The quality of service that follows from requests and limits.

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
