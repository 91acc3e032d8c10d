//! Selectors of the downward API: fields and resources of the pod itself.

use k8s_openapi::api::core::v1 as k8s;

use super::{all_invalid, names, resources};
use crate::pod::downward::{Bound, FieldSelector, Resource, ResourceSelector};
use crate::pod::path::Path;
use crate::pod::quantity::Quantity;
use crate::pod::report::Document;

/// The fields that a volume may show.
pub(super) const VOLUME_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

/// All fields that the API knows by name; what may be done with each is another matter.
const FIELDS: [&str; 15] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.serviceAccountName",
    "spec.schedulerName",
    "status.phase",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
    "spec.host",
];

/// The resources that can be asked for, but for huge pages.
const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

/// The `fieldRef` at `path`, which has to be one of `allowed`, or a label or annotation by its key.
pub(super) fn field(
    selector: &k8s::ObjectFieldSelector,
    allowed: &[&str],
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<FieldSelector> {
    let version = selector.api_version.as_deref().unwrap_or_default();
    let written = selector.field_path.as_str();
    let field_path = path.field("fieldPath");
    if version.is_empty() {
        document.required(&path.field("apiVersion"));
        return None;
    }
    if written.is_empty() {
        document.required(&field_path);
        return None;
    }
    let converted = |why: String| format!("error converting fieldPath: {why}");
    if version != "v1" {
        document.invalid(&field_path, written, converted(format!("unsupported pod version: {version}")));
        return None;
    }
    if let Some((field, key)) = subscripted(written) {
        // An annotation's key may have capitals, which a qualified name's prefix may not.
        let (selector, text) = match field {
            "metadata.annotations" => (FieldSelector::Annotation(key.to_owned()), key.to_lowercase()),
            "metadata.labels" => (FieldSelector::Label(key.to_owned()), key.to_owned()),
            _ => {
                let why = format!("field label does not support subscript: {written}");
                document.invalid(&field_path, written, converted(why));
                return None;
            }
        };
        return all_invalid(path, &text, names::qualified_name(&text), document).then_some(selector);
    }
    if !FIELDS.contains(&written) {
        document.invalid(&field_path, written, converted(format!("field label not supported: {written}")));
        return None;
    }
    let name = if written == "spec.host" { "spec.nodeName" } else { written };
    if !allowed.contains(&name) {
        document.unsupported(&field_path, name, allowed);
        return None;
    }
    Some(match name {
        "metadata.annotations" => FieldSelector::Annotations,
        "metadata.labels" => FieldSelector::Labels,
        "metadata.name" => FieldSelector::Name,
        "metadata.namespace" => FieldSelector::Namespace,
        "metadata.uid" => FieldSelector::Uid,
        "spec.nodeName" => FieldSelector::NodeName,
        "spec.serviceAccountName" => FieldSelector::ServiceAccountName,
        "status.hostIP" => FieldSelector::HostIp,
        "status.hostIPs" => FieldSelector::HostIps,
        "status.podIP" => FieldSelector::PodIp,
        "status.podIPs" => FieldSelector::PodIps,
        _ => return None,
    })
}

/// The `resourceFieldRef` at `path`; in a volume it has to name its container.
pub(super) fn resource(
    selector: &k8s::ResourceFieldSelector,
    is_volume: bool,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<ResourceSelector> {
    let container = selector.container_name.as_deref().unwrap_or_default();
    let written = selector.resource.as_str();
    let parsed = parse_resource(written);
    if is_volume && container.is_empty() {
        document.required(&path.field("containerName"));
    } else if written.is_empty() {
        document.required(&path.field("resource"));
    } else if parsed.is_none() {
        document.unsupported(&path.field("resource"), written, &RESOURCES);
    }
    // What is no name at all is no container's either.
    let name = container.parse().ok();
    if name.is_none() && !container.is_empty() {
        document.not_found(&path.field("containerName"), container);
    }
    let (bound, resource) = parsed?;
    let divisor = selector.divisor.as_ref().map_or("0", |quantity| quantity.0.as_str());
    let divisor = divisor_of(divisor, resource, written, &path.field("divisor"), document)?;
    Some(ResourceSelector { container: name, bound, resource, divisor })
}

fn parse_resource(text: &str) -> Option<(Bound, Resource)> {
    let (bound, name) = text.split_once('.')?;
    let bound = match bound {
        "requests" => Bound::Request,
        "limits" => Bound::Limit,
        _ => return None,
    };
    let resource = match name {
        "cpu" => Resource::Cpu,
        "memory" => Resource::Memory,
        "ephemeral-storage" => Resource::EphemeralStorage,
        _ => Resource::HugePages(resources::page_size(name)?),
    };
    Some((bound, resource))
}

fn divisor_of(
    text: &str,
    resource: Resource,
    written: &str,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<u64> {
    let quantity = match Quantity::parse(text) {
        Ok(quantity) => quantity,
        Err(error) => {
            document.invalid(path, text, error);
            return None;
        }
    };
    let unit = if resource == Resource::Cpu { 1000 } else { 1 };
    if quantity == Quantity::ZERO {
        return Some(unit);
    }
    let (values, what) = match resource {
        Resource::Cpu => ("1m and 1", "cpu"),
        Resource::Memory => (BYTES, "memory"),
        Resource::EphemeralStorage => (BYTES, "local ephemeral storage"),
        Resource::HugePages(_) => (BYTES, "hugepages"),
    };
    let allowed = match resource {
        Resource::Cpu => {
            (!quantity.is_negative() && matches!(quantity.millis(), 1 | 1000) && is_exact(quantity))
                .then(|| quantity.millis())
        }
        _ => byte_unit(text, quantity),
    };
    if allowed.is_none() {
        let why = format!("only divisor's values {values} are supported with the {what} resource");
        document.invalid(path, written, why);
    }
    allowed
}

const BYTES: &str = "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei";

/// True for a number of thousandths without a remainder.
fn is_exact(quantity: Quantity) -> bool {
    quantity.is_whole() || quantity == Quantity::MILLI
}

/// A power of 1000, or one of 1024 that is written as such: 1024 is no Ki to Kubernetes.
fn byte_unit(text: &str, quantity: Quantity) -> Option<u64> {
    let base: u64 = if text.ends_with('i') { 1024 } else { 1000 };
    let bytes = quantity.units();
    let is_power = (0..=6).filter_map(|exponent| base.checked_pow(exponent)).any(|power| power == bytes);
    (is_power && quantity.is_whole() && !quantity.is_negative() && !text.contains(['e'])).then_some(bytes)
}

/// `metadata.labels['a/b']` as its two parts.
fn subscripted(text: &str) -> Option<(&str, &str)> {
    text.strip_suffix("']")?.split_once("['").filter(|(field, _)| !field.is_empty())
}
