//! The checks of the API server, and what becomes of a Pod that passes them.
//!
//! Each function takes a part of the Pod as Kubernetes types it, defaults filled in, and returns our own type for it. What
//! is wrong it reports, and then returns something smaller or nothing: a Pod is used only when nothing was reported.

mod container;
mod dns;
mod downward;
mod env;
mod ephemeral;
mod handler;
mod identity;
mod lifecycle;
mod metadata;
pub(crate) mod names;
pub(super) mod objects;
mod pod_resources;
mod ports;
mod priority;
mod probe;
mod probe_period;
pub(super) mod profiles;
mod projected;
mod resize_policy;
mod resources;
mod restart;
mod security;
mod sysctls;
mod volumes;

use std::time::Duration;

use k8s_openapi::api::core::v1 as k8s;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::PROBE_PERIOD_ANNOTATION;
use super::path::Path;
use super::report::Document;
use super::spec::{Pod, PodSpec, RestartPolicy};
use super::sysctl::Allowed;
use super::{resources as qos, uid};

/// Longer waits are cut to this, about a hundred years: beyond what anybody waits, within what clocks can add.
const MAX_SECONDS: u64 = 100 * 365 * 24 * 60 * 60;

/// Checks the Pod at `path`.
pub(super) fn pod(
    metadata: &ObjectMeta,
    spec: &k8s::PodSpec,
    sysctls: &Allowed,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<Pod> {
    let metadata_path = path.field("metadata");
    let identity = metadata::check(metadata, &metadata_path, document);
    let name = metadata.name.as_deref().unwrap_or_default();
    let spec_path = path.field("spec");
    let annotations = metadata.annotations.iter().flatten();
    let annotations_path = metadata_path.field("annotations");
    profiles::check_annotations(annotations, spec, &spec_path, &annotations_path, document);
    let mut built = pod_spec(spec, name, sysctls, &spec_path, document);
    let period =
        metadata.annotations.as_ref().and_then(|annotations| annotations.get(PROBE_PERIOD_ANNOTATION));
    if let (Some(period), Some(spec)) = (period, &mut built) {
        let containers = spec.init_containers.iter_mut().chain(&mut spec.containers);
        probe_period::apply(period, containers, &annotations_path, document);
    }
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
        generation: metadata.generation,
        spec: built?,
    })
}

/// As the API server, which asks nothing of their names, and the kubelet, which passes over those without one.
fn image_pull_secrets(spec: &k8s::PodSpec) -> Vec<String> {
    let all = spec.image_pull_secrets.iter().flatten().map(|secret| secret.name.clone());
    all.filter(|name| !name.is_empty()).collect()
}

fn pod_spec(
    spec: &k8s::PodSpec,
    pod_name: &str,
    sysctls: &Allowed,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<PodSpec> {
    let declared = spec.volumes.as_deref().unwrap_or_default();
    let volumes = volumes::check(declared, &path.field("volumes"), document);
    let declared = declared.iter().map(|volume| volume.name.as_str()).collect();
    let host_network = spec.host_network == Some(true);
    let pod_security = spec.security_context.clone().unwrap_or_default();
    let security_path = path.field("securityContext");
    let host_users = host_users(spec, path, document);
    let surroundings =
        sysctls::Surroundings { host_network, host_ipc: spec.host_ipc == Some(true), allowed: sysctls };
    let share_process_namespace = spec.share_process_namespace == Some(true);
    if share_process_namespace && spec.host_pid == Some(true) {
        let why = "ShareProcessNamespace and HostPID cannot both be enabled";
        document.invalid(&security_path.field("shareProcessNamespace"), true, why);
    }
    let security = security::check_pod(&pod_security, host_users, surroundings, &security_path, document);
    let around = container::Surroundings {
        volumes: &declared,
        security: &security,
        host_network,
        restart_policy: spec.restart_policy.as_deref().unwrap_or_default(),
        grace_seconds: spec.termination_grace_period_seconds.unwrap_or_default(),
        has_os: spec.os.is_some(),
    };
    let (init_containers, containers) = container::check_all(spec, &around, path, document);
    let ephemeral_containers = ephemeral::check(spec, &around, path, document);
    env::check_volumes(spec, path, document);
    let identity = identity::check(spec, pod_name, path, document);
    let (dns_policy, dns_config) = dns::check(spec, path, document);
    let node_name = spec.node_name.as_deref().unwrap_or_default();
    if !node_name.is_empty() {
        all_invalid(&path.field("nodeName"), node_name, names::dns_subdomain(node_name), document);
    }
    let resources = pod_resources::check(spec, &init_containers, &containers, path, document);
    let grace = spec.termination_grace_period_seconds.unwrap_or_default();
    let termination_grace_period = seconds(grace, &path.field("terminationGracePeriodSeconds"), document);
    Some(PodSpec {
        restart_policy: restart_policy(
            spec.restart_policy.as_deref(),
            &path.field("restartPolicy"),
            document,
        )?,
        termination_grace_period,
        active_deadline: active_deadline(spec.active_deadline_seconds, path, document),
        hostname: identity.hostname,
        subdomain: identity.subdomain,
        set_hostname_as_fqdn: identity.set_hostname_as_fqdn,
        host_aliases: identity.host_aliases,
        dns_policy,
        dns_config,
        host_network,
        host_pid: spec.host_pid == Some(true),
        host_ipc: spec.host_ipc == Some(true),
        share_process_namespace,
        qos_class: qos::qos_class(&resources, init_containers.iter().chain(&containers)),
        init_containers,
        containers,
        ephemeral_containers,
        volumes,
        sysctls: security.sysctls,
        host_users,
        supplemental_groups: security.supplemental_groups,
        supplemental_groups_policy: security.supplemental_groups_policy,
        fs_group: security.fs_group,
        fs_group_change_policy: security.fs_group_change_policy,
        resources,
        priority: priority::of(spec),
        image_pull_secrets: image_pull_secrets(spec),
        tolerates_memory_pressure: priority::tolerates_memory_pressure(spec),
    })
}

/// A user namespace of its own means little to a pod that shares other namespaces with the node.
fn host_users(spec: &k8s::PodSpec, path: &Path<'_>, document: &mut Document<'_, '_>) -> bool {
    let host_users = spec.host_users.unwrap_or(true);
    let shared = [("hostNetwork", spec.host_network), ("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc)];
    for (name, _) in shared.iter().filter(|(_, given)| !host_users && *given == Some(true)) {
        document.forbidden(&path.field(name), "when `hostUsers` is false");
    }
    host_users
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

fn active_deadline(given: Option<i64>, path: &Path<'_>, document: &mut Document<'_, '_>) -> Option<Duration> {
    let path = path.field("activeDeadlineSeconds");
    let seconds = given?;
    match u64::try_from(seconds) {
        Ok(fine @ 1..=0x7fff_ffff) => Some(Duration::from_secs(fine)),
        _ => {
            document.invalid(&path, seconds, "must be between 1 and 2147483647, inclusive");
            None
        }
    }
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
