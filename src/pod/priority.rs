//! How important a pod is: its priority, or that of a class of the system's. Pure.

/// The priority that a class of Kubernetes' own stands for (PriorityClass objects are a cluster's).
///
/// Source: <https://kubernetes.io/docs/tasks/administer-cluster/guaranteed-scheduling-critical-addon-pods/>.
pub fn of_class(name: &str) -> Option<i32> {
    match name {
        "system-cluster-critical" => Some(2_000_000_000),
        "system-node-critical" => Some(2_000_001_000),
        _ => None,
    }
}
