//! `ephemeralContainers`: containers that are added to a pod that runs, to look into it (KEP-277).

use std::collections::HashSet;

use k8s_openapi::api::core::v1 as k8s;

use super::container::{self, Surroundings};
use crate::pod::defaults;
use crate::pod::path::Path;
use crate::pod::report::Document;
use crate::pod::spec::{ContainerSpec, RestartPolicy};

/// The ephemeral containers of the spec at `path`.
pub(super) fn check(
    spec: &k8s::PodSpec,
    pod: &Surroundings<'_>,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Vec<ContainerSpec> {
    let others = spec.init_containers.iter().flatten().chain(&spec.containers);
    let others: HashSet<&str> = others.map(|container| container.name.as_str()).collect();
    let mut names = others.clone();
    let list_path = path.field("ephemeralContainers");
    let mut checked = Vec::new();
    for (index, written) in spec.ephemeral_containers.iter().flatten().enumerate() {
        let path = list_path.index(index);
        let mut container = as_container(written);
        refuse_fields(&mut container, &path, document);
        defaults::apply_to_container(&mut container, pod.host_network);
        let spec = container::check(&container, pod, &path, document);
        if !written.name.is_empty() && !names.insert(&written.name) {
            document.duplicate(&path.field("name"), &written.name);
        }
        let target = written.target_container_name.as_deref().filter(|name| !name.is_empty());
        if let Some(target) = target.filter(|target| !others.contains(target)) {
            document.not_found(&path.field("targetContainerName"), target);
        }
        checked.extend(spec.map(|spec| ContainerSpec {
            // Whatever its end is.
            restart_policy: Some(RestartPolicy::Never),
            target: target.and_then(|target| target.parse().ok()),
            ..spec
        }));
    }
    checked
}

/// Takes out what an ephemeral container may not have.
fn refuse_fields(container: &mut k8s::Container, path: &Path<'_>, document: &mut Document<'_, '_>) {
    const WHY: &str = "cannot be set for an Ephemeral Container";
    let resources = container.resources.take().unwrap_or_default();
    let given = [
        ("ports", container.ports.take().is_some_and(|ports| !ports.is_empty())),
        ("resources", resources != k8s::ResourceRequirements::default()),
        ("resizePolicy", container.resize_policy.take().is_some_and(|policy| !policy.is_empty())),
        ("restartPolicy", container.restart_policy.take().is_some()),
        ("restartPolicyRules", container.restart_policy_rules.take().is_some_and(|rules| !rules.is_empty())),
        ("livenessProbe", container.liveness_probe.take().is_some()),
        ("readinessProbe", container.readiness_probe.take().is_some()),
        ("startupProbe", container.startup_probe.take().is_some()),
        ("lifecycle", container.lifecycle.take().is_some()),
    ];
    for (field, _) in given.into_iter().filter(|(_, is_given)| *is_given) {
        document.forbidden(&path.field(field), WHY);
    }
    let mounts_path = path.field("volumeMounts");
    for (index, mount) in container.volume_mounts.iter_mut().flatten().enumerate() {
        let path = mounts_path.index(index);
        for (field, part) in [("subPath", &mut mount.sub_path), ("subPathExpr", &mut mount.sub_path_expr)] {
            if part.take().is_some_and(|part| !part.is_empty()) {
                document.forbidden(&path.field(field), WHY);
            }
        }
    }
}

/// The same fields, which Kubernetes has in two types.
fn as_container(ephemeral: &k8s::EphemeralContainer) -> k8s::Container {
    let k8s::EphemeralContainer {
        args,
        command,
        env,
        env_from,
        image,
        image_pull_policy,
        lifecycle,
        liveness_probe,
        name,
        ports,
        readiness_probe,
        resize_policy,
        resources,
        restart_policy,
        restart_policy_rules,
        security_context,
        startup_probe,
        stdin,
        stdin_once,
        target_container_name: _,
        termination_message_path,
        termination_message_policy,
        tty,
        volume_devices,
        volume_mounts,
        working_dir,
    } = ephemeral.clone();
    k8s::Container {
        args,
        command,
        env,
        env_from,
        image,
        image_pull_policy,
        lifecycle,
        liveness_probe,
        name,
        ports,
        readiness_probe,
        resize_policy,
        resources,
        restart_policy,
        restart_policy_rules,
        security_context,
        startup_probe,
        stdin,
        stdin_once,
        termination_message_path,
        termination_message_policy,
        tty,
        volume_devices,
        volume_mounts,
        working_dir,
    }
}
