//! Manifests: what is accepted is safe to make paths and command lines of, and what is not is said in lines of text.

use std::collections::HashSet;
use std::path::{Component, Path};

use crate::pod::id::is_dns_label;
use crate::pod::spec::{Resources, Volume, VolumeSource};
use crate::pod::{ContainerSpec, Pod, decode};

/// The highest uid or gid, as in Kubernetes.
const MAX_ID: u32 = i32::MAX as u32;

pub(super) fn check(data: &[u8]) {
    match decode(data, "a.yaml") {
        Ok(pods) => {
            assert!(!pods.is_empty());
            let keys: HashSet<_> = pods.iter().map(|pod| &pod.key).collect();
            assert_eq!(keys.len(), pods.len(), "each pod once");
            pods.iter().for_each(pod);
            assert_eq!(decode(data, "b.yaml").expect("the same bytes"), pods, "nothing but the bytes counts");
        }
        Err(problems) => {
            assert!(problems.iter().next().is_some());
            for problem in problems.iter() {
                let line = problem.to_string();
                assert!(line.starts_with("a.yaml") && !line.contains(char::is_control), "{line:?}");
            }
        }
    }
}

fn pod(pod: &Pod) {
    assert!(is_dns_label(&pod.key.namespace));
    assert!(pod.key.name.len() <= 253 && pod.key.name.split('.').all(is_label), "{:?}", pod.key.name);
    assert!(is_dns_label(pod.uid.as_str()));
    let spec = &pod.spec;
    assert!(is_dns_label(&spec.hostname), "{:?}", spec.hostname);
    assert!(!spec.containers.is_empty());
    for sysctl in &spec.sysctls {
        let words = sysctl.name.split(['.', '/']);
        assert!(words.clone().count() > 1 && words.clone().all(|word| !word.is_empty()), "{:?}", sysctl.name);
        assert!(!sysctl.value.contains(['\n', '\0']), "{:?}", sysctl.value);
    }
    let groups = spec.supplemental_groups.iter().chain(&spec.fs_group);
    assert!(groups.copied().all(|gid| gid <= MAX_ID));
    resources(&spec.resources);

    let mut names = HashSet::new();
    for container in spec.init_containers.iter().chain(&spec.containers) {
        assert!(names.insert(&container.name), "{}", container.name);
        self::container(container, &spec.volumes);
    }
    let mut names = HashSet::new();
    for volume in &spec.volumes {
        assert!(is_dns_label(&volume.name) && names.insert(&volume.name), "{:?}", volume.name);
        if let VolumeSource::HostPath { path, .. } = &volume.source {
            assert!(is_plain(path), "{path:?}");
        }
    }

    let record = serde_json::to_vec(pod).expect("a record of the pod");
    assert_eq!(
        serde_json::from_slice::<Pod>(&record).expect("the record"),
        *pod,
        "a record is the whole pod"
    );
}

fn container(container: &ContainerSpec, volumes: &[Volume]) {
    assert!(is_dns_label(container.name.as_str()));
    let words = container.command.iter().chain(&container.args);
    assert!(words.chain(&container.working_dir).all(|word| !word.contains('\0')));
    for variable in &container.env {
        assert!(!variable.name.is_empty() && !variable.name.contains(['=', '\0']), "{:?}", variable.name);
        assert!(!variable.value.contains('\0'));
    }
    assert!(container.ports.iter().all(|port| port.container_port != 0));
    let mut paths = HashSet::new();
    for mount in &container.volume_mounts {
        assert!(volumes.iter().any(|volume| volume.name == mount.volume), "{:?}", mount.volume);
        assert!(mount.mount_path.is_absolute() && paths.insert(&mount.mount_path), "{:?}", mount.mount_path);
        assert!(!mount.mount_path.to_string_lossy().contains([':', '\0']), "{:?}", mount.mount_path);
    }
    resources(&container.resources);
    let security = &container.security;
    assert!(security.run_as_user.is_none_or(|uid| uid <= MAX_ID));
    assert!(security.run_as_group.is_none_or(|gid| gid <= MAX_ID));
    assert!(!security.privileged || security.allow_privilege_escalation, "one rules out the other");
    for capability in security.capabilities_add.iter().chain(&security.capabilities_drop) {
        let known = capability == "ALL" || capability.parse::<oci_spec::runtime::Capability>().is_ok();
        assert!(known, "{capability:?}");
    }
}

fn resources(resources: &Resources) {
    for (request, limit) in [
        (resources.cpu_request_millis, resources.cpu_limit_millis),
        (resources.memory_request, resources.memory_limit),
        (resources.ephemeral_storage_request, resources.ephemeral_storage_limit),
    ] {
        if let (Some(request), Some(limit)) = (request, limit) {
            assert!(request <= limit, "{request} of {limit}");
        }
    }
}

/// Names a place of the host, whatever symlinks it goes through.
fn is_plain(path: &Path) -> bool {
    let goes_on = |part| matches!(part, Component::RootDir | Component::Normal(_));
    path.is_absolute() && path.components().all(goes_on) && !path.to_string_lossy().contains('\0')
}

/// A part of a DNS subdomain, which as a whole may be longer than a label.
fn is_label(text: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    edge(text.bytes().next()) && edge(text.bytes().next_back()) && text.bytes().all(inner)
}
