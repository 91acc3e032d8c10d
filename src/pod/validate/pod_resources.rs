//! Requests and limits of the pod as a whole (KEP-2837), beside those of its containers.

use k8s_openapi::api::core::v1 as k8s;

use super::resources::{self, HUGE_PAGES, Level};
use crate::pod::path::Path;
use crate::pod::quantity::Amount;
use crate::pod::report::Document;
use crate::pod::resources::needed;
use crate::pod::spec::{ContainerSpec, Resources};

/// The resources of the spec at `path`. What it does not request follows from its containers, else from its limits.
pub(super) fn check(
    spec: &k8s::PodSpec,
    init_containers: &[ContainerSpec],
    containers: &[ContainerSpec],
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Resources {
    let Some(given) = &spec.resources else { return Resources::default() };
    let resources_path = path.field("resources");
    if given.claims.as_ref().is_some_and(|claims| !claims.is_empty()) {
        let why = "claims cannot be set for Resources at pod-level";
        document.forbidden(&resources_path.field("claims"), why);
    }
    let mut pod = resources::check(given, Level::Pod, &resources_path, document);
    let needed = Needed::by(init_containers, containers);
    for (name, requested, needed) in [
        ("cpu", pod.cpu_request_millis, needed.cpu.map(Amount::Millis)),
        ("memory", pod.memory_request, needed.memory.map(Amount::Bytes)),
    ] {
        let (Some(requested), Some(needed)) = (requested, needed) else { continue };
        if needed.number() > requested {
            let why = format!("must be greater than or equal to aggregate container requests of {needed}");
            let requests_path = resources_path.field("requests");
            document.invalid(&requests_path.key(name), text(given.requests.as_ref(), name), why);
        }
    }
    check_containers(spec, &pod, containers, path, document);
    if given.limits.as_ref().is_some_and(|limits| !limits.is_empty()) {
        pod.cpu_request_millis = pod.cpu_request_millis.or(needed.cpu).or(pod.cpu_limit_millis);
        pod.memory_request = pod.memory_request.or(needed.memory).or(pod.memory_limit);
    }
    pod
}

/// No container may have more than the whole pod.
fn check_containers(
    spec: &k8s::PodSpec,
    pod: &Resources,
    containers: &[ContainerSpec],
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) {
    let list_path = path.field("containers");
    let pod_limits = spec.resources.as_ref().and_then(|resources| resources.limits.as_ref());
    for (index, written) in spec.containers.iter().enumerate() {
        let Some(container) = containers.iter().find(|c| c.name.as_str() == written.name) else { continue };
        let container_path = list_path.index(index);
        let resources_path = container_path.field("resources");
        let limits_path = resources_path.field("limits");
        let limits = written.resources.as_ref().and_then(|resources| resources.limits.as_ref());
        for (name, limit, pod_limit) in [
            ("cpu", container.resources.cpu_limit_millis, pod.cpu_limit_millis),
            ("memory", container.resources.memory_limit, pod.memory_limit),
        ] {
            if limit.zip(pod_limit).is_some_and(|(limit, pod_limit)| limit > pod_limit) {
                let why = format!("must be less than or equal to pod limits of {}", text(pod_limits, name));
                document.invalid(&limits_path.key(name), text(limits, name), why);
            }
        }
    }
    for (&size, &pod_limit) in &pod.hugepage_limits {
        let together: u64 = containers.iter().filter_map(|c| c.resources.hugepage_limits.get(&size)).sum();
        if together > pod_limit {
            let name = format!("{HUGE_PAGES}{}", Amount::Bytes(size));
            let why = format!(
                "must be greater than or equal to aggregate container limits of {}",
                Amount::Bytes(together)
            );
            let (resources_path, text) = (path.field("resources"), text(pod_limits, &name));
            document.invalid(&resources_path.field("limits").key(&name), text, why);
        }
    }
}

/// What the containers request together.
struct Needed {
    /// Thousandths of a CPU.
    cpu: Option<u64>,
    /// Bytes.
    memory: Option<u64>,
}

impl Needed {
    fn by(init_containers: &[ContainerSpec], containers: &[ContainerSpec]) -> Self {
        let needed = |get: fn(&Resources) -> Option<u64>| {
            let all = || init_containers.iter().chain(containers);
            let count = |resources: &Resources| Some(get(resources).unwrap_or(0));
            // Nobody asking is not the same as asking for nothing.
            let is_asked_for = all().any(|container| get(&container.resources).is_some());
            needed(init_containers, containers, count).filter(|_| is_asked_for)
        };
        Self { cpu: needed(|r| r.cpu_request_millis), memory: needed(|r| r.memory_request) }
    }
}

type List = std::collections::BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>;

/// The quantity as it is written.
fn text<'a>(list: Option<&'a List>, name: &str) -> &'a str {
    list.and_then(|list| list.get(name)).map_or("", |quantity| quantity.0.as_str())
}
