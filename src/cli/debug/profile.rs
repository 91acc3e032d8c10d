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
    /// Gives the container of a pod, or of the pod of a node, its security context.
    pub(super) fn secure(self, container: &mut Value, of_node: bool) {
        let context = match self {
            Self::General if !of_node => json!({"capabilities": {"add": ["SYS_PTRACE"]}}),
            Self::Legacy | Self::General | Self::Baseline => return,
            Self::Netadmin => json!({"capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}}),
            Self::Restricted => json!({
                "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"]},
                "runAsNonRoot": true,
                "seccompProfile": {"type": "RuntimeDefault"},
            }),
            Self::Sysadmin => json!({"privileged": true}),
        };
        container["securityContext"] = context;
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
