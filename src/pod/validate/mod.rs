//! The checks of the API server, and what becomes of a Pod that passes them.
//!
//! Each function takes a part of the Pod as Kubernetes types it, defaults filled in, and returns our own type for it. What
//! is wrong it reports, and then returns something smaller or nothing: a Pod is used only when nothing was reported.

mod container;
mod metadata;
mod names;
mod ports;
mod probe;
mod resources;
mod security;
mod volumes;

use std::time::Duration;

use k8s_openapi::api::core::v1 as k8s;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::path::Path;
use super::report::Document;
use super::spec::{FsGroupChangePolicy, Pod, PodSpec, Resources, RestartPolicy, SupplementalGroupsPolicy};
use super::{resources as qos, uid};

/// Longer waits are cut to this, about a hundred years: beyond what anybody waits, within what clocks can add.
const MAX_SECONDS: u64 = 100 * 365 * 24 * 60 * 60;

/// Checks the Pod at `path`.
pub(super) fn pod(
    metadata: &ObjectMeta,
    spec: &k8s::PodSpec,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<Pod> {
    let metadata_path = path.field("metadata");
    let identity = metadata::check(metadata, &metadata_path, document);
    let name = metadata.name.as_deref().unwrap_or_default();
    let built = pod_spec(spec, name, &path.field("spec"), document);
    let (key, given) = identity?;
    let uid = match given {
        Some(uid) => uid,
        None => uid::of(&key, spec)
            .map_err(|error| document.problem(&metadata_path.field("uid"), error.to_string()))
            .ok()?,
    };
    Some(Pod {
        key,
        uid,
        labels: metadata.labels.clone().unwrap_or_default(),
        annotations: metadata.annotations.clone().unwrap_or_default(),
        spec: built?,
    })
}

fn pod_spec(
    spec: &k8s::PodSpec,
    pod_name: &str,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<PodSpec> {
    let declared = spec.volumes.as_deref().unwrap_or_default();
    let volumes = volumes::check(declared, &path.field("volumes"), document);
    let declared = declared.iter().map(|volume| volume.name.as_str()).collect();
    let host_network = spec.host_network == Some(true);
    let pod_security = spec.security_context.clone().unwrap_or_default();
    let security_path = path.field("securityContext");
    let supplemental_groups = security::check_pod(&pod_security, &security_path, document);
    let (init_containers, containers) = container::check_all(
        spec,
        &container::Surroundings { volumes: &declared, security: &pod_security, host_network },
        path,
        document,
    );
    for (name, value) in [("hostname", &spec.hostname), ("nodeName", &spec.node_name)] {
        let value = value.as_deref().unwrap_or_default();
        let syntax = if name == "hostname" { names::dns_label } else { names::dns_subdomain };
        if !value.is_empty() {
            all_invalid(&path.field(name), value, syntax(value), document);
        }
    }
    let grace = spec.termination_grace_period_seconds.unwrap_or_default();
    let termination_grace_period = seconds(grace, &path.field("terminationGracePeriodSeconds"), document);
    Some(PodSpec {
        restart_policy: restart_policy(
            spec.restart_policy.as_deref(),
            &path.field("restartPolicy"),
            document,
        )?,
        termination_grace_period,
        hostname: host_name(spec.hostname.as_deref(), pod_name),
        host_network,
        qos_class: qos::qos_class(init_containers.iter().chain(&containers)),
        init_containers,
        containers,
        volumes,
        sysctls: Vec::new(),
        host_users: true,
        supplemental_groups,
        supplemental_groups_policy: SupplementalGroupsPolicy::Merge,
        fs_group: None,
        fs_group_change_policy: FsGroupChangePolicy::Always,
        resources: Resources::default(),
    })
}

fn restart_policy(
    policy: Option<&str>,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<RestartPolicy> {
    const POLICIES: [(&str, RestartPolicy); 3] = [
        ("Always", RestartPolicy::Always),
        ("OnFailure", RestartPolicy::OnFailure),
        ("Never", RestartPolicy::Never),
    ];
    one_of(policy.unwrap_or_default(), &POLICIES, path, document)
}

/// `spec.hostname`, else the pod's name, cut as the kernel and a kubelet cut it.
fn host_name(given: Option<&str>, pod_name: &str) -> String {
    let name = given.filter(|name| !name.is_empty()).unwrap_or(pod_name);
    let end = name.char_indices().nth(63).map_or(name.len(), |(end, _)| end);
    name[..end].trim_end_matches(['-', '.']).to_owned()
}

/// A number of seconds that must not be negative.
fn seconds(number: impl Into<i64>, path: &Path<'_>, document: &mut Document<'_, '_>) -> Duration {
    Duration::from_secs(non_negative(number, path, document).min(MAX_SECONDS))
}

fn non_negative(number: impl Into<i64>, path: &Path<'_>, document: &mut Document<'_, '_>) -> u64 {
    let number = number.into();
    u64::try_from(number).unwrap_or_else(|_| {
        document.invalid(path, number, "must be greater than or equal to 0");
        0
    })
}

/// Looks up a word that has to be one of a few.
fn one_of<T: Copy>(
    word: &str,
    words: &[(&str, T)],
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<T> {
    let found = words.iter().find(|(known, _)| *known == word).map(|&(_, meaning)| meaning);
    if found.is_none() {
        let known: Vec<&str> = words.iter().map(|(known, _)| *known).collect();
        document.unsupported(path, word, &known);
    }
    found
}

/// Reports each thing that is wrong with a text; true if there was none.
fn all_invalid(path: &Path<'_>, text: &str, wrong: Vec<String>, document: &mut Document<'_, '_>) -> bool {
    let fine = wrong.is_empty();
    for why in wrong {
        document.invalid(path, text, why);
    }
    fine
}

/// The kernel ends a text at its first NUL: what stands behind would be lost.
fn without_nul(path: &Path<'_>, text: &str, document: &mut Document<'_, '_>) -> bool {
    let fine = !text.contains('\0');
    if !fine {
        document.invalid(path, text, "must not contain NUL");
    }
    fine
}
