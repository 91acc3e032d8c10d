//! What the API server writes into a Pod where the manifest is silent. In Go an empty string and a zero are silence too.

use k8s_openapi::api::core::v1 as k8s;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::quantity::Quantity;
use super::validate::profiles;

/// Images that are in a place of the node's file system rather than in a registry begin with one of these.
const LOCAL_IMAGES: [&str; 3] = ["dir:", "oci:", "archive:"];

/// Permissions of the files of a volume.
const FILE_MODE: i32 = 0o644;

/// How long a token of a service account is good.
const TOKEN_SECONDS: i64 = 3600;

/// Fills in what is not given.
pub(super) fn apply(metadata: &mut ObjectMeta, spec: &mut k8s::PodSpec) {
    apply_namespace(metadata);
    text(&mut spec.restart_policy, "Always");
    text(&mut spec.dns_policy, "ClusterFirst");
    text(&mut spec.scheduler_name, "default-scheduler");
    spec.termination_grace_period_seconds.get_or_insert(30);
    spec.enable_service_links.get_or_insert(true);
    spec.security_context.get_or_insert_default();
    app_armor(metadata, spec);
    let host_network = spec.host_network == Some(true);
    for container in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
        apply_to_container(container, host_network);
    }
    for volume in spec.volumes.iter_mut().flatten() {
        apply_to_volume(volume);
    }
}

/// The namespace of an object that names none.
pub(super) fn apply_namespace(metadata: &mut ObjectMeta) {
    text(&mut metadata.namespace, "default");
}

fn apply_to_volume(volume: &mut k8s::Volume) {
    if *volume == (k8s::Volume { name: volume.name.clone(), ..k8s::Volume::default() }) {
        volume.empty_dir = Some(k8s::EmptyDirVolumeSource::default());
    }
    if let Some(host_path) = &mut volume.host_path {
        host_path.type_.get_or_insert_default();
    }
    if let Some(config_map) = &mut volume.config_map {
        config_map.default_mode.get_or_insert(FILE_MODE);
    }
    if let Some(secret) = &mut volume.secret {
        secret.default_mode.get_or_insert(FILE_MODE);
    }
    if let Some(downward) = &mut volume.downward_api {
        downward.default_mode.get_or_insert(FILE_MODE);
        apply_to_downward_files(downward.items.as_deref_mut());
    }
    if let Some(projected) = &mut volume.projected {
        projected.default_mode.get_or_insert(FILE_MODE);
        for source in projected.sources.iter_mut().flatten() {
            if let Some(downward) = &mut source.downward_api {
                apply_to_downward_files(downward.items.as_deref_mut());
            }
            if let Some(token) = &mut source.service_account_token {
                token.expiration_seconds.get_or_insert(TOKEN_SECONDS);
            }
        }
    }
    if let Some(image) = &mut volume.image {
        text(&mut image.pull_policy, pull_policy(image.reference.as_deref().unwrap_or_default()));
    }
}

fn apply_to_downward_files(items: Option<&mut [k8s::DownwardAPIVolumeFile]>) {
    for field in items.into_iter().flatten().filter_map(|item| item.field_ref.as_mut()) {
        text(&mut field.api_version, "v1");
    }
}

/// What annotations say of AppArmor becomes the fields that came after them, where these are silent.
fn app_armor(metadata: &ObjectMeta, spec: &mut k8s::PodSpec) {
    for (key, value) in metadata.annotations.iter().flatten() {
        let Some(name) = key.strip_prefix(profiles::APP_ARMOR_ANNOTATION) else { continue };
        let Some(profile) = profiles::app_armor_of_annotation(value) else { continue };
        let containers = spec.init_containers.iter_mut().flatten().chain(&mut spec.containers);
        for container in containers.filter(|container| container.name == name) {
            let context = container.security_context.get_or_insert_default();
            context.app_armor_profile.get_or_insert_with(|| profile.clone());
        }
    }
}

/// Likewise of one container.
pub(super) fn apply_to_container(container: &mut k8s::Container, host_network: bool) {
    let image = container.image.as_deref().unwrap_or_default();
    text(&mut container.image_pull_policy, pull_policy(image));
    text(&mut container.termination_message_path, "/dev/termination-log");
    text(&mut container.termination_message_policy, "File");
    let sources = container.env.iter_mut().flatten().filter_map(|var| var.value_from.as_mut());
    for field in sources.filter_map(|source| source.field_ref.as_mut()) {
        text(&mut field.api_version, "v1");
    }
    for port in container.ports.iter_mut().flatten() {
        text(&mut port.protocol, "TCP");
        if host_network && port.host_port.unwrap_or(0) == 0 {
            port.host_port = Some(port.container_port);
        }
    }
    let resources = container.resources.get_or_insert_default();
    // What is no quantity is a problem of the limit alone.
    let limits = resources.limits.iter().flatten().filter(|(_, limit)| Quantity::parse(&limit.0).is_ok());
    for (name, limit) in limits {
        let requests = resources.requests.get_or_insert_default();
        requests.entry(name.clone()).or_insert_with(|| limit.clone());
    }
    let probes =
        [&mut container.liveness_probe, &mut container.readiness_probe, &mut container.startup_probe];
    probes.into_iter().flatten().for_each(apply_to_probe);
    if let Some(lifecycle) = &mut container.lifecycle {
        let hooks = [&mut lifecycle.post_start, &mut lifecycle.pre_stop];
        for http_get in hooks.into_iter().flatten().filter_map(|hook| hook.http_get.as_mut()) {
            apply_to_http_get(http_get);
        }
    }
}

fn apply_to_probe(probe: &mut k8s::Probe) {
    number(&mut probe.timeout_seconds, 1);
    number(&mut probe.period_seconds, 10);
    number(&mut probe.success_threshold, 1);
    number(&mut probe.failure_threshold, 3);
    if let Some(http_get) = &mut probe.http_get {
        apply_to_http_get(http_get);
    }
}

fn apply_to_http_get(http_get: &mut k8s::HTTPGetAction) {
    text(&mut http_get.path, "/");
    text(&mut http_get.scheme, "HTTP");
}

/// Without a tag an image is the latest, and the latest can have changed. What is on the node needs no pull.
fn pull_policy(image: &str) -> &'static str {
    if LOCAL_IMAGES.iter().any(|prefix| image.starts_with(prefix)) {
        return "IfNotPresent";
    }
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let last = name.rsplit('/').next().unwrap_or(name);
    match (last.split_once(':'), digest) {
        (Some((_, "latest")), _) | (None, None) => "Always",
        _ => "IfNotPresent",
    }
}

fn text(field: &mut Option<String>, default: &str) {
    if field.as_deref().unwrap_or_default().is_empty() {
        *field = Some(default.to_owned());
    }
}

fn number(field: &mut Option<i32>, default: i32) {
    if field.unwrap_or(0) == 0 {
        *field = Some(default);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_image_is_always_pulled_and_others_when_missing() {
        for (image, expected) in [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("nginx:1.14", "IfNotPresent"),
            ("localhost:5000/nginx", "Always"),
            ("localhost:5000/nginx:1", "IfNotPresent"),
            ("nginx@sha256:0123", "IfNotPresent"),
            ("nginx:latest@sha256:0123", "Always"),
            ("dir:/srv/rootfs", "IfNotPresent"),
            ("oci:/srv/layout", "IfNotPresent"),
            ("archive:/srv/image.tar", "IfNotPresent"),
        ] {
            assert_eq!(pull_policy(image), expected, "{image:?}");
        }
    }
}
