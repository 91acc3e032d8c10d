//! Containers and init containers, but for the parts that have a file of their own.

use std::collections::HashSet;
use std::path::Path as FilePath;

use k8s_openapi::api::core::v1 as k8s;

use super::{
    all_invalid, env, lifecycle, names, one_of, ports, probe, resize_policy, resources, restart, security,
    volumes, without_nul,
};
use crate::pod::path::Path;
use crate::pod::report::Document;
use crate::pod::spec::{ContainerSpec, PullPolicy, TerminationMessage, TerminationMessagePolicy};

/// What a container's checks need to know of its pod.
pub(super) struct Surroundings<'a> {
    pub(super) volumes: &'a volumes::Declared<'a>,
    pub(super) security: &'a security::PodSecurity,
    pub(super) host_network: bool,
    /// `restartPolicy` as written.
    pub(super) restart_policy: &'a str,
    /// `terminationGracePeriodSeconds` as written.
    pub(super) grace_seconds: i64,
    /// `spec.os` is given.
    pub(super) has_os: bool,
}

/// The init containers and the containers of the spec at `path`.
pub(super) fn check_all(
    spec: &k8s::PodSpec,
    pod: &Surroundings<'_>,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> (Vec<ContainerSpec>, Vec<ContainerSpec>) {
    let containers_path = path.field("containers");
    if spec.containers.is_empty() {
        document.required(&containers_path);
    }
    // As the API server does it: containers first, so that the init container is the duplicate.
    let mut seen = HashSet::new();
    let containers = check_list(&spec.containers, pod, &mut seen, &containers_path, document);
    ports::check_host_ports(&spec.containers, pod.host_network, &containers_path, document);

    let init_path = path.field("initContainers");
    let init_containers = spec.init_containers.as_deref().unwrap_or_default();
    for (index, container) in init_containers.iter().enumerate() {
        let is_sidecar = container.restart_policy.as_deref() == Some("Always");
        if !is_sidecar {
            resize_policy::check_init(container, &init_path.index(index), document);
        }
        let only_of_sidecars = [
            ("lifecycle", container.lifecycle.is_some()),
            ("livenessProbe", container.liveness_probe.is_some()),
            ("readinessProbe", container.readiness_probe.is_some()),
            ("startupProbe", container.startup_probe.is_some()),
        ];
        for (field, _) in only_of_sidecars.iter().filter(|(_, given)| *given && !is_sidecar) {
            document.forbidden(
                &init_path.index(index).field(field),
                "may not be set for init containers without restartPolicy=Always",
            );
        }
    }
    let init_containers = check_list(init_containers, pod, &mut seen, &init_path, document);
    (init_containers, containers)
}

fn check_list<'a>(
    containers: &'a [k8s::Container],
    pod: &Surroundings<'_>,
    seen: &mut HashSet<&'a str>,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Vec<ContainerSpec> {
    let mut checked = Vec::with_capacity(containers.len());
    for (index, container) in containers.iter().enumerate() {
        let path = path.index(index);
        if !container.name.is_empty() && !seen.insert(&container.name) {
            document.duplicate(&path.field("name"), &container.name);
        }
        checked.extend(check(container, pod, &path, document));
    }
    checked
}

pub(super) fn check(
    container: &k8s::Container,
    pod: &Surroundings<'_>,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<ContainerSpec> {
    let name_path = path.field("name");
    if container.name.is_empty() {
        document.required(&name_path);
    } else {
        all_invalid(&name_path, &container.name, names::dns_label(&container.name), document);
    }
    let image = image(container.image.as_deref().unwrap_or_default(), &path.field("image"), document);
    let pull_policy = pull_policy(
        container.image_pull_policy.as_deref().unwrap_or_default(),
        &path.field("imagePullPolicy"),
        document,
    );
    let command = words(container.command.as_deref(), &path.field("command"), document);
    let args = words(container.args.as_deref(), &path.field("args"), document);
    let working_dir = working_dir(container.working_dir.as_deref(), &path.field("workingDir"), document);
    let termination_message = termination_message(container, path, document);
    let env = env::check(container.env.as_deref().unwrap_or_default(), &path.field("env"), document);
    let env_from = container.env_from.as_deref().unwrap_or_default();
    let env_from = env::check_from(env_from, &path.field("envFrom"), document);
    let declared = container.ports.as_deref().unwrap_or_default();
    let ports = ports::check(declared, pod.host_network, &path.field("ports"), document);
    let mounts = container.volume_mounts.as_deref().unwrap_or_default();
    let is_privileged =
        container.security_context.as_ref().is_some_and(|context| context.privileged == Some(true));
    let mounts_path = path.field("volumeMounts");
    let volume_mounts = volumes::check_mounts(mounts, pod.volumes, is_privileged, &mounts_path, document);
    let requirements = container.resources.clone().unwrap_or_default();
    let resources =
        resources::check(&requirements, resources::Level::Container, &path.field("resources"), document);
    let security_path = path.field("securityContext");
    let security =
        security::check(container.security_context.as_ref(), pod.security, &security_path, document);
    let mut probe = |probe: &Option<k8s::Probe>, purpose, name| {
        probe::check(probe.as_ref()?, purpose, declared, &path.field(name), document)
    };
    let liveness_probe = probe(&container.liveness_probe, probe::Purpose::LivenessOrStartup, "livenessProbe");
    let readiness_probe = probe(&container.readiness_probe, probe::Purpose::Readiness, "readinessProbe");
    let startup_probe = probe(&container.startup_probe, probe::Purpose::LivenessOrStartup, "startupProbe");
    let (restart_policy, restart_rules) = restart::check(container, path, document);
    let resize_policy = resize_policy::check(container, pod.restart_policy, path, document);
    let lifecycle = container
        .lifecycle
        .as_ref()
        .map(|lifecycle| lifecycle::check(lifecycle, declared, pod, &path.field("lifecycle"), document));
    Some(ContainerSpec {
        name: container.name.parse().ok()?,
        image,
        image_pull_policy: pull_policy?,
        command,
        args,
        working_dir,
        env,
        env_from,
        ports,
        volume_mounts,
        resources,
        resize_policy,
        security,
        liveness_probe,
        readiness_probe,
        startup_probe,
        restart_policy,
        restart_rules,
        target: None,
        lifecycle: lifecycle.unwrap_or_default(),
        termination_message: termination_message?,
        stdin: container.stdin.unwrap_or_default(),
        stdin_once: container.stdin_once.unwrap_or_default(),
        tty: container.tty.unwrap_or_default(),
    })
}

pub(super) fn image(image: &str, path: &Path<'_>, document: &mut Document<'_, '_>) -> String {
    if image.is_empty() {
        document.required(path);
    } else if image.trim() != image {
        document.invalid(path, image, "must not have leading or trailing whitespace");
    } else {
        without_nul(path, image, document);
    }
    image.to_owned()
}

pub(super) fn pull_policy(
    policy: &str,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<PullPolicy> {
    const POLICIES: [(&str, PullPolicy); 3] = [
        ("Always", PullPolicy::Always),
        ("IfNotPresent", PullPolicy::IfNotPresent),
        ("Never", PullPolicy::Never),
    ];
    one_of(policy, &POLICIES, path, document)
}

/// The path may be anything; like the kubelet, a relative one is taken from the root.
fn termination_message(
    container: &k8s::Container,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<TerminationMessage> {
    const POLICIES: [(&str, TerminationMessagePolicy); 2] = [
        ("FallbackToLogsOnError", TerminationMessagePolicy::FallbackToLogsOnError),
        ("File", TerminationMessagePolicy::File),
    ];
    let file = container.termination_message_path.as_deref().unwrap_or_default();
    without_nul(&path.field("terminationMessagePath"), file, document);
    let policy = container.termination_message_policy.as_deref().unwrap_or_default();
    let policy = one_of(policy, &POLICIES, &path.field("terminationMessagePolicy"), document)?;
    Some(TerminationMessage { path: FilePath::new("/").join(file), policy })
}

fn words(words: Option<&[String]>, path: &Path<'_>, document: &mut Document<'_, '_>) -> Vec<String> {
    let words = words.unwrap_or_default();
    for (index, word) in words.iter().enumerate() {
        without_nul(&path.index(index), word, document);
    }
    words.to_vec()
}

fn working_dir(dir: Option<&str>, path: &Path<'_>, document: &mut Document<'_, '_>) -> Option<String> {
    let dir = dir.filter(|dir| !dir.is_empty())?;
    if without_nul(path, dir, document) && !dir.starts_with('/') {
        document.invalid(path, dir, "must be an absolute path");
    }
    Some(dir.to_owned())
}
