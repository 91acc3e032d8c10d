//! Which new pods a node under pressure takes. Pure.

use std::collections::BTreeSet;

use super::signal::Condition;
use crate::pod::Pod;
use crate::pod::spec::QosClass;

/// Pods from this priority on are critical (Kubernetes' SystemCriticalPriority); the class system-cluster-critical has it.
pub const CRITICAL: i32 = 2_000_000_000;

/// True if the node needs the pod more than what the pod takes of it: every static pod, and those of the system classes.
pub fn is_critical(pod: &Pod, is_static: bool) -> bool {
    is_static || pod.spec.priority >= CRITICAL
}

/// Why a pod is not taken, in the kubelet's words; `None` if it is.
pub fn refusal(pod: &Pod, is_static: bool, holds: &BTreeSet<Condition>) -> Option<String> {
    if holds.is_empty() || is_critical(pod, is_static) {
        return None;
    }
    let only_memory = holds.iter().all(|condition| *condition == Condition::MemoryPressure);
    let is_best_effort = pod.spec.qos_class == QosClass::BestEffort;
    if only_memory && (!is_best_effort || pod.spec.tolerates_memory_pressure) {
        return None;
    }
    let holds: Vec<String> = holds.iter().map(ToString::to_string).collect();
    Some(format!("The node had condition: [{}]. ", holds.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::spec::RestartPolicy;
    use crate::runtime::fixture;

    #[test]
    fn under_memory_pressure_best_effort_pods_are_refused_under_any_other_all_but_critical_ones() {
        use Condition::{DiskPressure, MemoryPressure, PidPressure};
        use QosClass::{BestEffort, Burstable};
        let memory: &[Condition] = &[MemoryPressure];
        for (holds, class, priority, tolerates, is_static, expected) in [
            (&[][..], BestEffort, 0, false, false, None),
            (memory, BestEffort, 0, false, false, Some("The node had condition: [MemoryPressure]. ")),
            (memory, BestEffort, 0, true, false, None),
            (memory, Burstable, 0, false, false, None),
            (memory, BestEffort, CRITICAL, false, false, None),
            (memory, BestEffort, 0, false, true, None),
            (&[DiskPressure], Burstable, 0, true, false, Some("The node had condition: [DiskPressure]. ")),
            (&[PidPressure], Burstable, 0, true, false, Some("The node had condition: [PIDPressure]. ")),
            (
                &[DiskPressure, MemoryPressure],
                Burstable,
                CRITICAL - 1,
                true,
                false,
                Some("The node had condition: [MemoryPressure DiskPressure]. "),
            ),
            (&[DiskPressure], Burstable, CRITICAL, false, false, None),
        ] {
            let mut pod = fixture::pod(RestartPolicy::Always, &[], &["a"]);
            pod.spec.qos_class = class;
            pod.spec.priority = priority;
            pod.spec.tolerates_memory_pressure = tolerates;
            let found = refusal(&pod, is_static, &holds.iter().copied().collect());
            assert_eq!(found.as_deref(), expected, "{holds:?} {class:?} {priority} {tolerates} {is_static}");
        }
    }
}
