//! Whether a new pod finds room on the node beside those that are there, and which of them have to go for a critical one, as the kubelet
//! decides it. Pure.
//!
//! Sources: `pkg/kubelet/lifecycle/predicate.go` and `pkg/scheduler/framework/plugins/noderesources/fit.go` for what fits and its words,
//! `pkg/kubelet/preemption/preemption.go` for who goes.

use std::sync::Arc;

use crate::eviction::admission::is_critical;
use crate::pod::Pod;
use crate::pod::downward::Allocatable;
use crate::pod::spec::QosClass;
use crate::runtime::resources::{cpu_request, ephemeral_storage_request, memory_request};

/// What the node gives to all of its pods together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Of everything that is measured.
    pub resources: Allocatable,
    /// So many pods.
    pub pods: u32,
}

/// A pod that is on the node, or on its way there.
#[derive(Debug, Clone, PartialEq)]
pub struct Beside {
    /// The pod.
    pub pod: Arc<Pod>,
    /// It does not come from the API.
    pub is_static: bool,
}

/// Something of which the node has too little left for a pod, in the kubelet's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "Node didn't have enough resource: {}, requested: {requested}, used: {used}, capacity: {capacity}",
    resource.name()
)]
pub struct Shortage {
    resource: Resource,
    requested: u64,
    used: u64,
    capacity: u64,
}

/// What a pod takes of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resource {
    Pods,
    Cpu,
    Memory,
    EphemeralStorage,
}

/// In the order in which the kubelet tells of them.
const RESOURCES: [Resource; 4] =
    [Resource::Pods, Resource::Cpu, Resource::Memory, Resource::EphemeralStorage];

impl Resource {
    fn name(self) -> &'static str {
        match self {
            Self::Pods => "pods",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::EphemeralStorage => "ephemeral-storage",
        }
    }

    /// What the pod requests: thousandths of a processor, bytes, or one pod.
    fn requested(self, pod: &Pod) -> u64 {
        match self {
            Self::Pods => 1,
            Self::Cpu => cpu_request(pod),
            Self::Memory => memory_request(pod),
            Self::EphemeralStorage => ephemeral_storage_request(pod),
        }
    }

    fn of(self, room: &Room) -> u64 {
        match self {
            Self::Pods => room.pods.into(),
            Self::Cpu => room.resources.cpu_millis,
            Self::Memory => room.resources.memory,
            Self::EphemeralStorage => room.resources.ephemeral_storage,
        }
    }
}

impl Shortage {
    /// The kubelet's word for it.
    pub fn reason(&self) -> &'static str {
        match self.resource {
            Resource::Pods => "OutOfpods",
            Resource::Cpu => "OutOfcpu",
            Resource::Memory => "OutOfmemory",
            Resource::EphemeralStorage => "OutOfephemeral-storage",
        }
    }
}

/// All that is too little for a pod beside the others.
pub fn shortages(pod: &Pod, others: &[Beside], room: &Room) -> Vec<Shortage> {
    let shortage = |resource: Resource| {
        let (requested, capacity) = (resource.requested(pod), resource.of(room));
        let used = others.iter().map(|other| resource.requested(&other.pod)).fold(0, u64::saturating_add);
        let is_short = requested > 0 && requested > capacity.saturating_sub(used);
        is_short.then_some(Shortage { resource, requested, used, capacity })
    };
    RESOURCES.into_iter().filter_map(shortage).collect()
}

/// The pods that go for a critical one: as few as can be, best-effort pods before burstable and these before guaranteed ones.
///
/// # Errors
///
/// There are none whose end would be enough, in the kubelet's words.
pub fn preempted(pod: &Beside, others: &[Beside], short: &[Shortage]) -> Result<Vec<Arc<Pod>>, String> {
    let needs = short.iter().map(|short| {
        let left = short.capacity.saturating_sub(short.used);
        (short.resource, short.requested.saturating_sub(left))
    });
    let needs = Needs(needs.collect());
    let of = |class: QosClass| {
        let others = others.iter().filter(|other| is_preemptable(pod, other));
        others.map(|other| &other.pod).filter(move |pod| pod.spec.qos_class == class).collect::<Vec<_>>()
    };
    let [best_effort, burstable, guaranteed] =
        [QosClass::BestEffort, QosClass::Burstable, QosClass::Guaranteed].map(of);
    let all = [best_effort.as_slice(), &burstable, &guaranteed].concat();
    let unmet = needs.without(&all);
    if !unmet.0.is_empty() {
        return Err(format!(
            "preemption: error finding a set of pods to preempt: no set of running pods found to reclaim resources: {unmet}"
        ));
    }
    let guaranteed = needs.without(&[best_effort.as_slice(), &burstable].concat()).met_by(guaranteed);
    let burstable = needs.without(&[best_effort.as_slice(), &guaranteed].concat()).met_by(burstable);
    let best_effort = needs.without(&[burstable.as_slice(), &guaranteed].concat()).met_by(best_effort);
    Ok([best_effort, burstable, guaranteed].concat().into_iter().cloned().collect())
}

/// Whether a pod may be ended for another one.
fn is_preemptable(by: &Beside, other: &Beside) -> bool {
    let critical = |one: &Beside| is_critical(&one.pod, one.is_static);
    critical(by) && !critical(other) || by.pod.spec.priority > other.pod.spec.priority
}

/// What is to be freed, and how much of each.
struct Needs(Vec<(Resource, u64)>);

impl Needs {
    /// What is left of them when these pods are gone.
    fn without(&self, pods: &[&Arc<Pod>]) -> Self {
        let left = |&(resource, amount): &(Resource, u64)| {
            let freed = pods.iter().map(|pod| resource.requested(pod)).fold(0, u64::saturating_add);
            Some((resource, amount.saturating_sub(freed))).filter(|(_, left)| *left > 0)
        };
        Self(self.0.iter().filter_map(left).collect())
    }

    /// Pods that free them: again and again that which frees the largest part, and of two the one with smaller requests.
    fn met_by(mut self, mut pods: Vec<&Arc<Pod>>) -> Vec<&Arc<Pod>> {
        let mut gone = Vec::new();
        while !self.0.is_empty() {
            let order = |one: &usize, other: &usize| {
                let [one, other] = [pods[*one], pods[*other]];
                let size = |pod: &Pod| (memory_request(pod), cpu_request(pod));
                self.distance(one).total_cmp(&self.distance(other)).then_with(|| size(one).cmp(&size(other)))
            };
            let Some(best) = (0..pods.len()).min_by(order) else { break };
            let best = pods.remove(best);
            self = self.without(&[best]);
            gone.push(best);
        }
        gone
    }

    /// How far a pod's end is from meeting them: of each need the part that is left, squared.
    fn distance(&self, pod: &Pod) -> f64 {
        let left = |&(resource, amount): &(Resource, u64)| {
            let left = amount.saturating_sub(resource.requested(pod));
            (left as f64 / amount as f64).powi(2)
        };
        self.0.iter().map(left).sum()
    }
}

impl std::fmt::Display for Needs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let texts =
            self.0.iter().map(|(resource, amount)| format!("(res: {}, q: {amount}), ", resource.name()));
        write!(f, "[{}]", texts.collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eviction::admission::CRITICAL;
    use crate::pod::spec::{Resources, RestartPolicy};
    use crate::runtime::fixture;

    const GUARANTEED: QosClass = QosClass::Guaranteed;
    const BURSTABLE: QosClass = QosClass::Burstable;
    const BEST_EFFORT: QosClass = QosClass::BestEffort;

    fn pod(name: &str, class: QosClass, cpu: u64, memory: u64) -> Beside {
        let mut pod = fixture::pod(RestartPolicy::Always, &[], &["a"]);
        pod.key.name = name.to_owned();
        pod.spec.qos_class = class;
        pod.spec.containers[0].resources =
            Resources { cpu_request_millis: Some(cpu), memory_request: Some(memory), ..Resources::default() };
        Beside { pod: Arc::new(pod), is_static: false }
    }

    fn with_priority(one: &Beside, priority: i32) -> Beside {
        let mut pod = Pod::clone(&one.pod);
        pod.spec.priority = priority;
        Beside { pod: Arc::new(pod), ..*one }
    }

    fn room(pods: u32) -> Room {
        Room { resources: Allocatable { cpu_millis: 1000, memory: 1 << 20, ephemeral_storage: 0 }, pods }
    }

    #[test]
    fn what_is_short_is_told_with_how_much_of_it_is_used() {
        let others = [pod("a", BURSTABLE, 600, 0), pod("b", BEST_EFFORT, 0, 0)];
        for (cpu, memory, most, expected) in [
            (0, 0, 3, vec![]),
            (400, 1 << 20, 3, vec![]),
            (0, 0, 2, vec!["OutOfpods pods, requested: 1, used: 2, capacity: 2"]),
            (401, 0, 3, vec!["OutOfcpu cpu, requested: 401, used: 600, capacity: 1000"]),
            (
                401,
                2 << 20,
                1,
                vec![
                    "OutOfpods pods, requested: 1, used: 2, capacity: 1",
                    "OutOfcpu cpu, requested: 401, used: 600, capacity: 1000",
                    "OutOfmemory memory, requested: 2097152, used: 0, capacity: 1048576",
                ],
            ),
        ] {
            let short = shortages(&pod("new", BURSTABLE, cpu, memory).pod, &others, &room(most));
            let told = short.iter().map(|short| {
                let text = short.to_string();
                let rest = text.strip_prefix("Node didn't have enough resource: ").unwrap();
                format!("{} {rest}", short.reason())
            });
            assert_eq!(told.collect::<Vec<_>>(), expected, "{cpu} {memory} {most}");
        }
    }

    #[test]
    fn a_pod_that_requests_nothing_of_a_resource_is_never_short_of_it() {
        let others = [pod("a", BURSTABLE, 5000, 9 << 20)];
        assert_eq!(shortages(&pod("new", BEST_EFFORT, 0, 0).pod, &others, &room(9)), []);
    }

    #[test]
    fn for_a_critical_pod_as_few_as_can_be_go_and_the_least_of_them_first() {
        let pinned = |cpu| Beside { is_static: true, ..pod("new", BURSTABLE, cpu, 0) };
        let names = |new: &Beside, others: &[Beside], most| {
            let short = shortages(&new.pod, others, &room(most));
            let gone = preempted(new, others, &short)?;
            Ok(gone.iter().map(|pod| pod.key.name.clone()).collect::<Vec<_>>().join(" "))
        };
        let busy = [
            pod("guaranteed", GUARANTEED, 500, 0),
            pod("large", BURSTABLE, 400, 0),
            pod("small", BURSTABLE, 100, 0),
            pod("idle", BEST_EFFORT, 0, 0),
        ];
        for (new, most, expected) in [
            (pinned(100), 9, Ok("small")),
            (pinned(300), 9, Ok("large")),
            (pinned(500), 9, Ok("large small")),
            (pinned(600), 9, Ok("small guaranteed")),
            (pinned(0), 4, Ok("idle")),
            (pinned(100), 4, Ok("small")),
            (
                pinned(2000),
                9,
                Err(
                    "preemption: error finding a set of pods to preempt: no set of running pods found to reclaim \
                     resources: [(res: cpu, q: 1000), ]",
                ),
            ),
        ] {
            let found = names(&new, &busy, most);
            assert_eq!(
                found,
                expected.map(str::to_owned).map_err(str::to_owned),
                "{} {most}",
                cpu_request(&new.pod)
            );
        }
        let critical = busy.map(|one| with_priority(&one, CRITICAL));
        assert!(names(&pinned(100), &critical, 9).is_err(), "none of them goes for another");
        assert_eq!(names(&with_priority(&pinned(100), CRITICAL + 1), &critical, 9), Ok("small".to_owned()));
    }
}
