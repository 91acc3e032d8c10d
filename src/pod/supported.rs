//! Which fields of a Pod are carried out. Whatever Kubernetes knows beyond these tables is refused by name, never ignored.
//!
//! To support a field, give it its row here, and a check in `validate`.

use super::path::Path;
use super::report::Document;
use super::yaml::{Node, Value};

/// What may be written in a field. A null is always allowed: to Kubernetes it is as good as absent.
enum Rule {
    /// Anything that passes validation.
    Any,
    /// Anything, and nothing follows from it: as with the static pods of a kubelet, it is the scheduler's business, or
    /// a cluster's that this node is not part of.
    NoEffect,
    /// An object with these fields.
    Object(&'static Table),
    /// A list of objects with these fields.
    List(&'static Table),
    /// These values, which ask for what happens anyway.
    Only(&'static [&'static str]),
    /// An empty list, object or string.
    Empty,
}

use Rule::{Any, Empty, List, NoEffect, Object, Only};

type Table = [(&'static str, Rule)];

const POD: &Table =
    &[("apiVersion", Any), ("kind", Any), ("metadata", Any), ("spec", Object(SPEC)), ("status", NoEffect)];

const SPEC: &Table = &[
    ("activeDeadlineSeconds", Any),
    ("containers", List(CONTAINER)),
    (
        "dnsConfig",
        Object(&[
            ("nameservers", Any),
            ("options", List(&[("name", Any), ("value", Any)])),
            ("searches", Any),
        ]),
    ),
    ("dnsPolicy", Any),
    ("ephemeralContainers", List(EPHEMERAL_CONTAINER)),
    ("hostIPC", Any),
    ("hostNetwork", Any),
    ("hostPID", Any),
    ("hostUsers", Any),
    ("hostAliases", List(&[("hostnames", Any), ("ip", Any)])),
    ("hostname", Any),
    ("hostnameOverride", Any),
    ("imagePullSecrets", List(&[("name", Any)])),
    ("initContainers", List(CONTAINER)),
    ("priority", Any),
    ("priorityClassName", Any),
    ("resources", Object(&[("claims", Any), ("limits", Any), ("requests", Any)])),
    ("restartPolicy", Any),
    ("securityContext", Object(POD_SECURITY_CONTEXT)),
    ("setHostnameAsFQDN", Any),
    ("shareProcessNamespace", Any),
    ("subdomain", Any),
    ("terminationGracePeriodSeconds", Any),
    ("tolerations", Any),
    ("volumes", List(VOLUME)),
    // For the scheduler.
    ("affinity", NoEffect),
    ("nodeName", NoEffect),
    ("nodeSelector", NoEffect),
    ("preemptionPolicy", NoEffect),
    ("schedulerName", NoEffect),
    ("schedulingGroup", NoEffect),
    ("topologySpreadConstraints", NoEffect),
    // There are no Services whose variables could be set.
    ("enableServiceLinks", NoEffect),
    // What happens anyway.
    ("automountServiceAccountToken", Only(&["false"])),
    ("evictionResponders", Empty),
    ("os", Object(&[("name", Only(&["linux"]))])),
    ("overhead", Empty),
    ("readinessGates", Empty),
    ("resourceClaims", Empty),
    ("schedulingGates", Empty),
    ("serviceAccount", Only(&["", "default"])),
    ("serviceAccountName", Only(&["", "default"])),
];

/// Of init containers too; what only these may not have is a matter of validation.
const CONTAINER: &Table = &[
    ("args", Any),
    ("command", Any),
    ("env", List(&[("name", Any), ("value", Any), ("valueFrom", Object(VALUE_SOURCE))])),
    ("envFrom", Any),
    ("image", Any),
    ("imagePullPolicy", Any),
    ("lifecycle", Object(&[("postStart", Object(HOOK)), ("preStop", Object(HOOK)), ("stopSignal", Any)])),
    ("livenessProbe", Object(PROBE)),
    ("readinessProbe", Object(PROBE)),
    ("startupProbe", Object(PROBE)),
    ("name", Any),
    ("ports", List(PORT)),
    ("resizePolicy", Any),
    ("resources", Object(&[("claims", Empty), ("limits", Any), ("requests", Any)])),
    ("restartPolicy", Any),
    ("restartPolicyRules", Any),
    ("securityContext", Object(SECURITY_CONTEXT)),
    ("terminationMessagePath", Any),
    ("terminationMessagePolicy", Any),
    ("volumeMounts", List(VOLUME_MOUNT)),
    ("workingDir", Any),
    ("stdin", Any),
    ("stdinOnce", Any),
    ("tty", Any),
    ("volumeDevices", Empty),
];

/// What it may not have is a matter of validation.
const EPHEMERAL_CONTAINER: &Table = &[
    ("args", Any),
    ("command", Any),
    ("env", List(&[("name", Any), ("value", Any), ("valueFrom", Object(VALUE_SOURCE))])),
    ("envFrom", Any),
    ("image", Any),
    ("imagePullPolicy", Any),
    ("lifecycle", Any),
    ("livenessProbe", Any),
    ("name", Any),
    ("ports", Any),
    ("readinessProbe", Any),
    ("resizePolicy", Any),
    ("resources", Any),
    ("restartPolicy", Any),
    ("restartPolicyRules", Any),
    ("securityContext", Object(SECURITY_CONTEXT)),
    ("startupProbe", Any),
    ("targetContainerName", Any),
    ("terminationMessagePath", Any),
    ("terminationMessagePolicy", Any),
    ("volumeMounts", List(VOLUME_MOUNT)),
    ("workingDir", Any),
    ("stdin", Any),
    ("stdinOnce", Any),
    ("tty", Any),
    ("volumeDevices", Empty),
];

const VALUE_SOURCE: &Table = &[
    ("configMapKeyRef", Any),
    ("fieldRef", Any),
    ("fileKeyRef", Any),
    ("resourceFieldRef", Any),
    ("secretKeyRef", Any),
];

/// `hostIP` and `hostPort` depend on `hostNetwork`, so validation has their rule.
const PORT: &Table =
    &[("containerPort", Any), ("hostIP", Any), ("hostPort", Any), ("name", Any), ("protocol", Any)];

const VOLUME_MOUNT: &Table = &[
    ("mountPath", Any),
    ("name", Any),
    ("readOnly", Any),
    ("bindMountOptions", Empty),
    ("mountPropagation", Any),
    ("recursiveReadOnly", Any),
    ("subPath", Any),
    ("subPathExpr", Any),
];

const POD_SECURITY_CONTEXT: &Table = &[
    ("appArmorProfile", Any),
    ("fsGroup", Any),
    ("fsGroupChangePolicy", Any),
    ("runAsGroup", Any),
    ("runAsNonRoot", Any),
    ("runAsUser", Any),
    ("seccompProfile", Any),
    ("supplementalGroups", Any),
    ("supplementalGroupsPolicy", Any),
    ("sysctls", Any),
    ("seLinuxOptions", Empty),
];

const SECURITY_CONTEXT: &Table = &[
    ("allowPrivilegeEscalation", Any),
    ("appArmorProfile", Any),
    ("capabilities", Any),
    ("privileged", Any),
    ("procMount", Any),
    ("readOnlyRootFilesystem", Any),
    ("runAsGroup", Any),
    ("runAsNonRoot", Any),
    ("runAsUser", Any),
    ("seccompProfile", Any),
    ("seLinuxOptions", Empty),
];

const HOOK: &Table =
    &[("exec", Any), ("httpGet", Object(HTTP_GET)), ("sleep", Any), ("tcpSocket", Object(TCP_SOCKET))];

const PROBE: &Table = &[
    ("exec", Object(&[("command", Any)])),
    ("failureThreshold", Any),
    ("grpc", Object(&[("port", Any), ("service", Any)])),
    ("httpGet", Object(HTTP_GET)),
    ("initialDelaySeconds", Any),
    ("periodSeconds", Any),
    ("successThreshold", Any),
    ("tcpSocket", Object(TCP_SOCKET)),
    ("terminationGracePeriodSeconds", Any),
    ("timeoutSeconds", Any),
];

const TCP_SOCKET: &Table = &[("host", Any), ("port", Any)];

const HTTP_GET: &Table =
    &[("host", Any), ("httpHeaders", Any), ("path", Any), ("port", Any), ("scheme", Any)];

const VOLUME: &Table = &[
    ("configMap", Object(&[("defaultMode", Any), ("items", List(ITEM)), ("name", Any), ("optional", Any)])),
    ("downwardAPI", Object(&[("defaultMode", Any), ("items", List(DOWNWARD_ITEM))])),
    ("emptyDir", Any),
    ("hostPath", Any),
    ("image", Object(&[("pullPolicy", Any), ("reference", Any)])),
    ("name", Any),
    ("projected", Object(&[("defaultMode", Any), ("sources", List(PROJECTION))])),
    (
        "secret",
        Object(&[("defaultMode", Any), ("items", List(ITEM)), ("optional", Any), ("secretName", Any)]),
    ),
];

const PROJECTION: &Table = &[
    ("configMap", Object(OBJECT_PROJECTION)),
    ("downwardAPI", Object(&[("items", List(DOWNWARD_ITEM))])),
    ("secret", Object(OBJECT_PROJECTION)),
    // Validation says why not.
    ("clusterTrustBundle", Any),
    ("podCertificate", Any),
    ("serviceAccountToken", Any),
];

const OBJECT_PROJECTION: &Table = &[("items", List(ITEM)), ("name", Any), ("optional", Any)];

const ITEM: &Table = &[("key", Any), ("mode", Any), ("path", Any)];

const DOWNWARD_ITEM: &Table = &[("fieldRef", Any), ("mode", Any), ("path", Any), ("resourceFieldRef", Any)];

/// Reports every field of the Pod at `path` that is not carried out.
pub(super) fn check(pod: &Node, path: &Path<'_>, document: &mut Document<'_, '_>) {
    object(pod, POD, path, document);
}

fn object(node: &Node, table: &Table, path: &Path<'_>, document: &mut Document<'_, '_>) {
    for entry in node.entries() {
        let path = path.field(&entry.key);
        let supported = match table.iter().find(|(name, _)| *name == entry.key) {
            _ if entry.value.value == Value::Null => true,
            None => false,
            Some((_, Any | NoEffect)) => true,
            Some((_, Only(values))) => is_one_of(&entry.value.value, values),
            Some((_, Empty)) => is_empty(&entry.value.value),
            Some((_, Object(table))) => {
                object(&entry.value, table, &path, document);
                true
            }
            Some((_, List(table))) => {
                for (index, element) in entry.value.elements().iter().enumerate() {
                    object(element, table, &path.index(index), document);
                }
                true
            }
        };
        if !supported {
            document.not_yet(entry.position, &path);
        }
    }
}

fn is_one_of(value: &Value, allowed: &[&str]) -> bool {
    match value {
        Value::Bool(truth) => allowed.contains(&if *truth { "true" } else { "false" }),
        Value::String(text) => allowed.contains(&text.as_str()),
        _ => false,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Sequence(nodes) => nodes.is_empty(),
        Value::Mapping(entries) => entries.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}
