//! `priority`, `priorityClassName` and `tolerations`, as far as a node acts on them. None of them can be wrong here: the kubelet
//! looks no closer either.

use k8s_openapi::api::core::v1 as k8s;

use crate::pod::priority;

/// What the node lifecycle controller puts on a node that runs short of memory.
const MEMORY_PRESSURE: &str = "node.kubernetes.io/memory-pressure";

/// How important the pod is.
pub(super) fn of(spec: &k8s::PodSpec) -> i32 {
    let of_class = || priority::of_class(spec.priority_class_name.as_deref()?);
    spec.priority.or_else(of_class).unwrap_or(0)
}

/// True if it goes to a node that runs short of memory.
pub(super) fn tolerates_memory_pressure(spec: &k8s::PodSpec) -> bool {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let covers = |toleration: &k8s::Toleration| {
        let (key, effect) = (text(&toleration.key), text(&toleration.effect));
        // The taint has no value.
        let is_equal =
            text(&toleration.operator) == "Exists" || text(&toleration.value).is_empty() && !key.is_empty();
        ["", MEMORY_PRESSURE].contains(&key.as_str())
            && ["", "NoSchedule"].contains(&effect.as_str())
            && is_equal
    };
    spec.tolerations.iter().flatten().any(covers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_of_the_systems_stands_for_a_priority() {
        for (priority, class, expected) in [
            (None, None, 0),
            (Some(7), None, 7),
            (None, Some("system-node-critical"), 2_000_001_000),
            (None, Some("system-cluster-critical"), 2_000_000_000),
            (None, Some("another"), 0),
        ] {
            let spec = k8s::PodSpec {
                priority,
                priority_class_name: class.map(str::to_owned),
                ..k8s::PodSpec::default()
            };
            assert_eq!(of(&spec), expected, "{priority:?} {class:?}");
        }
    }

    #[test]
    fn memory_pressure_is_tolerated_by_name_or_with_everything_else() {
        for (key, operator, value, effect, expected) in [
            (MEMORY_PRESSURE, "Exists", "", "NoSchedule", true),
            (MEMORY_PRESSURE, "", "", "", true),
            ("", "Exists", "", "", true),
            (MEMORY_PRESSURE, "Equal", "x", "", false),
            (MEMORY_PRESSURE, "Exists", "", "NoExecute", false),
            ("node.kubernetes.io/disk-pressure", "Exists", "", "", false),
        ] {
            let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            let toleration = k8s::Toleration {
                key: some(key),
                operator: some(operator),
                value: some(value),
                effect: some(effect),
                toleration_seconds: None,
            };
            let spec = k8s::PodSpec { tolerations: Some(vec![toleration]), ..k8s::PodSpec::default() };
            assert_eq!(tolerates_memory_pressure(&spec), expected, "{key} {operator} {value} {effect}");
        }
    }
}
