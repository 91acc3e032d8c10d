//! `--profile`: what a container for debugging may do, as k8s.io/kubectl/pkg/cmd/debug/profiles.go has it. Pure.

use clap::ValueEnum;
use serde_json::{Value, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Profile {
    /// As in kubectl's early days.
    Legacy,
    /// Whatever is reasonable.
    General,
    /// As the Baseline policy of Pod Security allows.
    Baseline,
    /// To look after networks.
    Netadmin,
    /// As the Restricted policy of Pod Security allows.
    Restricted,
    /// Everything.
    Sysadmin,
}

impl Profile {
    /// Gives the container of a pod, or of the pod of a node, its security context. What the container has of its own stays, where the
    /// profile says nothing else.
    pub(super) fn secure(self, container: &mut Value, of_node: bool) {
        match self {
            Self::Legacy => {}
            Self::General if !of_node => add_capabilities(container, &["SYS_PTRACE"]),
            Self::General | Self::Baseline => clear(container),
            Self::Netadmin => add_capabilities(container, &["NET_ADMIN", "NET_RAW"]),
            Self::Restricted => {
                container["securityContext"] = json!({
                    "allowPrivilegeEscalation": false,
                    "capabilities": {"drop": ["ALL"]},
                    "runAsNonRoot": true,
                    "seccompProfile": {"type": "RuntimeDefault"},
                });
            }
            Self::Sysadmin => container["securityContext"]["privileged"] = true.into(),
        }
    }

    /// Whether the pod of a node is in the host's namespaces.
    pub(super) fn has_host_namespaces(self) -> bool {
        !matches!(self, Self::Baseline | Self::Restricted)
    }

    /// Whether the pod of a node has the host's root at /host.
    pub(super) fn has_host_root(self) -> bool {
        matches!(self, Self::Legacy | Self::General | Self::Sysadmin)
    }
}

fn clear(container: &mut Value) {
    if let Some(fields) = container.as_object_mut() {
        fields.shift_remove("securityContext");
    }
}

fn add_capabilities(container: &mut Value, names: &[&str]) {
    let added = &mut container["securityContext"]["capabilities"]["add"];
    let mut all = added.as_array().cloned().unwrap_or_default();
    all.extend(names.iter().map(|&name| name.into()));
    *added = all.into();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_keeps_of_its_own_what_the_profile_leaves_it() {
        let own = json!({"runAsUser": 7, "capabilities": {"add": ["KILL"]}});
        for (profile, expected) in [
            (Profile::Legacy, own.clone()),
            (Profile::General, json!({"runAsUser": 7, "capabilities": {"add": ["KILL", "SYS_PTRACE"]}})),
            (Profile::Baseline, Value::Null),
            (
                Profile::Netadmin,
                json!({"runAsUser": 7, "capabilities": {"add": ["KILL", "NET_ADMIN", "NET_RAW"]}}),
            ),
            (
                Profile::Sysadmin,
                json!({"runAsUser": 7, "capabilities": {"add": ["KILL"]}, "privileged": true}),
            ),
        ] {
            let mut container = json!({"name": "a", "securityContext": own});
            profile.secure(&mut container, false);
            assert_eq!(container["securityContext"], expected, "{profile:?}");
        }
    }
}
