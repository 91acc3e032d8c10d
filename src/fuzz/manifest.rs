//! Manifests: what is accepted is safe to make paths and command lines of, and what is not is said in lines of text.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::{Component, Path};

use crate::pod::id::is_dns_label;
use crate::pod::objects::{ObjectKey, Objects};
use crate::pod::spec::{Projection, Resources, SubPath, Volume, VolumeSource};
use crate::pod::{ContainerSpec, Manifest, Pod, decode};

/// The highest uid or gid, as in Kubernetes.
const MAX_ID: u32 = i32::MAX as u32;

pub(super) fn check(data: &[u8]) {
    match decode(data, "a.yaml") {
        Ok(manifest) => {
            let pods = &manifest.pods;
            assert!(manifest != Manifest::default());
            let keys: HashSet<_> = pods.iter().map(|pod| &pod.key).collect();
            assert_eq!(keys.len(), pods.len(), "each pod once");
            pods.iter().for_each(pod);
            objects(&manifest.objects);
            assert_eq!(
                decode(data, "b.yaml").expect("the same bytes"),
                manifest,
                "nothing but the bytes counts"
            );
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

/// Names and keys become files.
fn objects(objects: &Objects) {
    let is_file = |key: &String| {
        !key.is_empty() && key.len() <= 253 && !key.contains(['/', '\0']) && !key.starts_with("..")
    };
    let is_named = |key: &ObjectKey| is_dns_label(&key.namespace) && key.name.split('.').all(is_label);
    for (key, config_map) in &objects.config_maps {
        assert!(is_named(key), "{key:?}");
        assert!(config_map.data.keys().chain(config_map.binary_data.keys()).all(is_file), "{config_map:?}");
        assert!(config_map.data.keys().all(|key| !config_map.binary_data.contains_key(key)));
    }
    for (key, secret) in &objects.secrets {
        assert!(is_named(key) && secret.data.keys().all(is_file), "{key:?} {secret:?}");
    }
}

fn pod(pod: &Pod) {
    assert!(is_dns_label(&pod.key.namespace));
    assert!(pod.key.name.len() <= 253 && pod.key.name.split('.').all(is_label), "{:?}", pod.key.name);
    assert!(is_dns_label(pod.uid.as_str()));
    let spec = &pod.spec;
    assert!(spec.hostname.len() <= 63 && spec.hostname.split('.').all(is_label), "{:?}", spec.hostname);
    assert!(spec.subdomain.iter().all(|subdomain| is_dns_label(subdomain)), "{:?}", spec.subdomain);
    for alias in &spec.host_aliases {
        assert!(alias.ip.parse::<IpAddr>().is_ok(), "{alias:?}");
        assert!(alias.hostnames.iter().all(|name| name.split('.').all(is_label)), "{alias:?}");
    }
    if let Some(config) = &spec.dns_config {
        let is_word = |text: &String| !text.is_empty() && !text.contains(char::is_whitespace);
        assert!(config.nameservers.iter().all(|ip| ip.parse::<IpAddr>().is_ok()), "{config:?}");
        assert!(config.searches.iter().all(is_word), "{config:?}");
    }
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
        match &volume.source {
            VolumeSource::HostPath { path, .. } => assert!(is_plain(path), "{path:?}"),
            VolumeSource::Projected { sources, .. } => sources.iter().for_each(projection),
            VolumeSource::EmptyDir { .. } | VolumeSource::Image { .. } => {}
        }
    }

    let record = serde_json::to_vec(pod).expect("a record of the pod");
    assert_eq!(
        serde_json::from_slice::<Pod>(&record).expect("the record"),
        *pod,
        "a record is the whole pod"
    );
}

/// Files stay below their volume, and off the names that it uses itself.
fn projection(projection: &Projection) {
    let is_below = |path: &Path| {
        let is_plain = |part| matches!(part, Component::Normal(_));
        let text = path.to_string_lossy();
        path.components().all(is_plain) && !text.is_empty() && !text.starts_with("..") && !text.contains('\0')
    };
    match projection {
        Projection::ConfigMap(object) | Projection::Secret(object) => {
            assert!(
                object.items.iter().all(|item| is_below(&item.path) && !item.key.is_empty()),
                "{object:?}"
            );
        }
        Projection::DownwardApi(files) => assert!(files.iter().all(|file| is_below(&file.path)), "{files:?}"),
    }
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
        if let Some(SubPath::Plain(text) | SubPath::Expr(text)) = &mount.sub_path {
            let climbs = text.split('/').any(|part| part == "..");
            assert!(
                !text.is_empty() && !text.starts_with('/') && !text.contains('\0') && !climbs,
                "{text:?}"
            );
        }
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
