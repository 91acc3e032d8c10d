//! securityContext of the pod and of its containers, merged.

use k8s_openapi::api::core::v1 as k8s;

use crate::pod::path::Path;
use crate::pod::report::Document;
use crate::pod::spec::{ProcMount, SeccompProfile, Security};

/// The pod's own; returns the supplementary groups.
pub(super) fn check_pod(
    context: &k8s::PodSecurityContext,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Vec<u32> {
    identity(context.run_as_user, &path.field("runAsUser"), document);
    identity(context.run_as_group, &path.field("runAsGroup"), document);
    let groups_path = path.field("supplementalGroups");
    let groups = context.supplemental_groups.iter().flatten().enumerate();
    groups.filter_map(|(index, group)| identity(Some(*group), &groups_path.index(index), document)).collect()
}

/// A container's: where it is silent, the pod's word counts.
pub(super) fn check(
    context: Option<&k8s::SecurityContext>,
    pod: &k8s::PodSecurityContext,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Security {
    let context = context.cloned().unwrap_or_default();
    let user = identity(context.run_as_user, &path.field("runAsUser"), document);
    let group = identity(context.run_as_group, &path.field("runAsGroup"), document);
    // What is wrong with the pod's is reported once, at the pod.
    let of_pod = |id: Option<i64>| id.and_then(|id| u32::try_from(id).ok());
    let capabilities = context.capabilities.unwrap_or_default();
    let capabilities_path = path.field("capabilities");
    let add = self::capabilities(capabilities.add.as_deref(), &capabilities_path.field("add"), document);
    let drop = self::capabilities(capabilities.drop.as_deref(), &capabilities_path.field("drop"), document);
    let allow_privilege_escalation = context.allow_privilege_escalation.unwrap_or(true);
    if !allow_privilege_escalation && add.iter().any(|name| name == "CAP_SYS_ADMIN") {
        document.invalid(
            &path.field("allowPrivilegeEscalation"),
            false,
            "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
        );
    }
    Security {
        run_as_user: user.or_else(|| of_pod(pod.run_as_user)),
        run_as_group: group.or_else(|| of_pod(pod.run_as_group)),
        run_as_non_root: context.run_as_non_root.or(pod.run_as_non_root).unwrap_or(false),
        capabilities_add: add,
        capabilities_drop: drop,
        read_only_root_filesystem: context.read_only_root_filesystem.unwrap_or(false),
        allow_privilege_escalation,
        privileged: false,
        proc_mount: ProcMount::Default,
        seccomp: SeccompProfile::RuntimeDefault,
        app_armor: None,
    }
}

/// A uid or gid. The API server stops at 2^31-1, and so do we.
fn identity(id: Option<i64>, path: &Path<'_>, document: &mut Document<'_, '_>) -> Option<u32> {
    let id = id?;
    let fine = i32::try_from(id).ok().and_then(|id| u32::try_from(id).ok());
    if fine.is_none() {
        document.invalid(path, id, "must be between 0 and 2147483647, inclusive");
    }
    fine
}

/// Names of capabilities; one that the kernel does not have could not be honoured.
fn capabilities(names: Option<&[String]>, path: &Path<'_>, document: &mut Document<'_, '_>) -> Vec<String> {
    let names = names.unwrap_or_default();
    for (index, name) in names.iter().enumerate() {
        if !is_capability(name) {
            let upper = name.to_uppercase();
            let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
            let hint = if is_capability(bare) { format!(", did you mean {bare:?}?") } else { String::new() };
            document.invalid(&path.index(index), name, format!("is not the name of a capability{hint}"));
        }
    }
    names.to_vec()
}

fn is_capability(name: &str) -> bool {
    name == "ALL" || format!("CAP_{name}").parse::<caps::Capability>().is_ok()
}
