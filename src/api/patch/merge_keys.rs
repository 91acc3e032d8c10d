//! By which key the elements of a list are told apart, for the lists that a strategic merge patch merges. All others it replaces.
//!
//! Source: the `patchStrategy` and `patchMergeKey` tags of `k8s.io/api/core/v1/types.go`.

/// How a list is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strategy {
    /// A set of plain values.
    Set,
    /// Elements with the same value of this field are the same.
    ByKey(&'static str),
}

/// A list by the end of its path, and how it is merged.
const LISTS: [(&[&str], Strategy); 29] = [
    (&["metadata", "finalizers"], Strategy::Set),
    (&["metadata", "ownerReferences"], Strategy::ByKey("uid")),
    (&["spec", "containers"], Strategy::ByKey("name")),
    (&["spec", "initContainers"], Strategy::ByKey("name")),
    (&["spec", "ephemeralContainers"], Strategy::ByKey("name")),
    (&["spec", "volumes"], Strategy::ByKey("name")),
    (&["spec", "imagePullSecrets"], Strategy::ByKey("name")),
    (&["spec", "hostAliases"], Strategy::ByKey("ip")),
    (&["spec", "topologySpreadConstraints"], Strategy::ByKey("topologyKey")),
    (&["spec", "schedulingGates"], Strategy::ByKey("name")),
    (&["spec", "resourceClaims"], Strategy::ByKey("name")),
    (&["spec", "podCIDRs"], Strategy::Set),
    (&["containers", "ports"], Strategy::ByKey("containerPort")),
    (&["containers", "env"], Strategy::ByKey("name")),
    (&["containers", "volumeMounts"], Strategy::ByKey("mountPath")),
    (&["containers", "volumeDevices"], Strategy::ByKey("devicePath")),
    (&["initContainers", "ports"], Strategy::ByKey("containerPort")),
    (&["initContainers", "env"], Strategy::ByKey("name")),
    (&["initContainers", "volumeMounts"], Strategy::ByKey("mountPath")),
    (&["initContainers", "volumeDevices"], Strategy::ByKey("devicePath")),
    (&["ephemeralContainers", "ports"], Strategy::ByKey("containerPort")),
    (&["ephemeralContainers", "env"], Strategy::ByKey("name")),
    (&["ephemeralContainers", "volumeMounts"], Strategy::ByKey("mountPath")),
    (&["ephemeralContainers", "volumeDevices"], Strategy::ByKey("devicePath")),
    (&["status", "conditions"], Strategy::ByKey("type")),
    (&["status", "addresses"], Strategy::ByKey("type")),
    (&["status", "podIPs"], Strategy::ByKey("ip")),
    (&["status", "hostIPs"], Strategy::ByKey("ip")),
    (&["status", "resourceClaimStatuses"], Strategy::ByKey("name")),
];

/// How the list at a path of field names is merged; nothing if it is replaced.
pub(super) fn strategy(path: &[&str]) -> Option<Strategy> {
    LISTS.iter().find(|(end, _)| path.ends_with(end)).map(|(_, strategy)| *strategy)
}
