//! securityContext of the pod and of its containers, merged.

use k8s_openapi::api::core::v1 as k8s;

use super::{one_of, profiles, sysctls};
use crate::config::user_id_pool::IDS_PER_POD;
use crate::pod::path::Path;
use crate::pod::report::Document;
use crate::pod::spec::{
    AppArmorProfile, FsGroupChangePolicy, ProcMount, SeccompProfile, Security, SupplementalGroupsPolicy,
    Sysctl,
};

/// The pod's own securityContext.
pub(super) struct PodSecurity {
    run_as_user: Option<u32>,
    run_as_group: Option<u32>,
    run_as_non_root: Option<bool>,
    seccomp: Option<SeccompProfile>,
    app_armor: Option<AppArmorProfile>,
    /// False: the pod has a user namespace of its own.
    host_users: bool,
    pub(super) supplemental_groups: Vec<u32>,
    pub(super) supplemental_groups_policy: SupplementalGroupsPolicy,
    pub(super) fs_group: Option<u32>,
    pub(super) fs_group_change_policy: FsGroupChangePolicy,
    pub(super) sysctls: Vec<Sysctl>,
}

/// The pod's.
pub(super) fn check_pod(
    context: &k8s::PodSecurityContext,
    host_users: bool,
    surroundings: sysctls::Surroundings<'_>,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> PodSecurity {
    const GROUPS_POLICIES: [(&str, SupplementalGroupsPolicy); 2] =
        [("Merge", SupplementalGroupsPolicy::Merge), ("Strict", SupplementalGroupsPolicy::Strict)];
    const CHANGE_POLICIES: [(&str, FsGroupChangePolicy); 2] =
        [("Always", FsGroupChangePolicy::Always), ("OnRootMismatch", FsGroupChangePolicy::OnRootMismatch)];
    let groups_path = path.field("supplementalGroups");
    let groups = context.supplemental_groups.iter().flatten().enumerate();
    let groups_policy = context.supplemental_groups_policy.as_deref().unwrap_or("Merge");
    let groups_policy_path = path.field("supplementalGroupsPolicy");
    let change_policy = context.fs_group_change_policy.as_deref().unwrap_or("Always");
    let change_policy_path = path.field("fsGroupChangePolicy");
    PodSecurity {
        run_as_user: identity(context.run_as_user, host_users, &path.field("runAsUser"), document),
        run_as_group: identity(context.run_as_group, host_users, &path.field("runAsGroup"), document),
        run_as_non_root: context.run_as_non_root,
        seccomp: profiles::seccomp(context.seccomp_profile.as_ref(), &path.field("seccompProfile"), document),
        app_armor: profiles::app_armor(
            context.app_armor_profile.as_ref(),
            &path.field("appArmorProfile"),
            document,
        ),
        host_users,
        supplemental_groups: groups
            .filter_map(|(index, group)| {
                identity(Some(*group), host_users, &groups_path.index(index), document)
            })
            .collect(),
        supplemental_groups_policy: one_of(groups_policy, &GROUPS_POLICIES, &groups_policy_path, document)
            .unwrap_or(SupplementalGroupsPolicy::Merge),
        fs_group: identity(context.fs_group, host_users, &path.field("fsGroup"), document),
        fs_group_change_policy: one_of(change_policy, &CHANGE_POLICIES, &change_policy_path, document)
            .unwrap_or(FsGroupChangePolicy::Always),
        sysctls: sysctls::check(
            context.sysctls.as_deref().unwrap_or_default(),
            surroundings,
            &path.field("sysctls"),
            document,
        ),
    }
}

/// A container's: where it is silent, the pod's word counts.
pub(super) fn check(
    context: Option<&k8s::SecurityContext>,
    pod: &PodSecurity,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Security {
    let context = context.cloned().unwrap_or_default();
    let user = identity(context.run_as_user, pod.host_users, &path.field("runAsUser"), document);
    let group = identity(context.run_as_group, pod.host_users, &path.field("runAsGroup"), document);
    let privileged = context.privileged.unwrap_or(false);
    let proc_mount =
        proc_mount(context.proc_mount.as_deref(), pod.host_users, &path.field("procMount"), document);
    let seccomp_path = path.field("seccompProfile");
    let seccomp = profiles::seccomp(context.seccomp_profile.as_ref(), &seccomp_path, document);
    let app_armor_path = path.field("appArmorProfile");
    let app_armor = profiles::app_armor(context.app_armor_profile.as_ref(), &app_armor_path, document);
    let capabilities = context.capabilities.unwrap_or_default();
    let capabilities_path = path.field("capabilities");
    let add = self::capabilities(capabilities.add.as_deref(), &capabilities_path.field("add"), document);
    let drop = self::capabilities(capabilities.drop.as_deref(), &capabilities_path.field("drop"), document);
    let allow_privilege_escalation = context.allow_privilege_escalation.unwrap_or(true);
    if !allow_privilege_escalation {
        let path = path.field("allowPrivilegeEscalation");
        let adds_admin = capabilities.add.iter().flatten().any(|name| name == "CAP_SYS_ADMIN");
        for (given, what) in
            [(privileged, "`privileged` to true"), (adds_admin, "`capabilities.Add` CAP_SYS_ADMIN")]
        {
            if given {
                let why = format!("cannot set `allowPrivilegeEscalation` to false and {what}");
                document.invalid(&path, false, why);
            }
        }
    }
    let seccomp = seccomp.or_else(|| pod.seccomp.clone()).unwrap_or(SeccompProfile::RuntimeDefault);
    Security {
        run_as_user: user.or(pod.run_as_user),
        run_as_group: group.or(pod.run_as_group),
        run_as_non_root: context.run_as_non_root.or(pod.run_as_non_root).unwrap_or(false),
        capabilities_add: add,
        capabilities_drop: drop,
        read_only_root_filesystem: context.read_only_root_filesystem.unwrap_or(false),
        allow_privilege_escalation,
        privileged,
        proc_mount,
        // As every container runtime does it, whatever profile is asked for.
        seccomp: if privileged { SeccompProfile::Unconfined } else { seccomp },
        app_armor: app_armor.or_else(|| pod.app_armor.clone()),
    }
}

/// A uid or gid. The API server stops at 2^31-1, and so do we. A user namespace of the pod's own ends earlier: the API server lets
/// that pass, and the container fails when it starts.
fn identity(
    id: Option<i64>,
    host_users: bool,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<u32> {
    let id = id?;
    let fine = i32::try_from(id).ok().and_then(|id| u32::try_from(id).ok());
    match fine {
        None => document.invalid(path, id, "must be between 0 and 2147483647, inclusive"),
        Some(id) if !host_users && id >= IDS_PER_POD => {
            let last = IDS_PER_POD - 1;
            document.invalid(
                path,
                id,
                format!("must be between 0 and {last}, inclusive, when `hostUsers` is false"),
            );
        }
        Some(_) => {}
    }
    fine
}

fn proc_mount(
    kind: Option<&str>,
    host_users: bool,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> ProcMount {
    const KINDS: [(&str, ProcMount); 2] =
        [("Default", ProcMount::Default), ("Unmasked", ProcMount::Unmasked)];
    let kind = kind.filter(|kind| !kind.is_empty()).unwrap_or("Default");
    let found = one_of(kind, &KINDS, path, document).unwrap_or(ProcMount::Default);
    if found == ProcMount::Unmasked && host_users {
        document.invalid(path, kind, "`hostUsers` must be false to use `Unmasked`");
    }
    found
}

/// Names of capabilities in upper case. Like containerd we take them in any case, and without `CAP_`; one that the kernel does
/// not have could not be honoured.
fn capabilities(names: Option<&[String]>, path: &Path<'_>, document: &mut Document<'_, '_>) -> Vec<String> {
    let names = names.unwrap_or_default();
    for (index, name) in names.iter().enumerate() {
        let upper = name.to_uppercase();
        if !is_capability(&upper) {
            let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
            let hint = if is_capability(bare) { format!(", did you mean {bare:?}?") } else { String::new() };
            document.invalid(&path.index(index), name, format!("is not the name of a capability{hint}"));
        }
    }
    names.iter().map(|name| name.to_uppercase()).collect()
}

fn is_capability(name: &str) -> bool {
    name == "ALL" || format!("CAP_{name}").parse::<caps::Capability>().is_ok()
}
