//! Requests and limits.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as k8s;
use k8s_openapi::apimachinery::pkg::api::resource;

use super::{all_invalid, names};
use crate::pod::path::Path;
use crate::pod::quantity::Quantity;
use crate::pod::report::Document;
use crate::pod::spec::Resources;

type List = BTreeMap<String, resource::Quantity>;

/// The resources of a container.
pub(super) fn check(
    resources: &k8s::ResourceRequirements,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Resources {
    let requests_path = path.field("requests");
    let limits = amounts(resources.limits.as_ref(), &path.field("limits"), document);
    let requests = amounts(resources.requests.as_ref(), &requests_path, document);
    for (name, (request, text)) in &requests {
        let Some((limit, limit_text)) = limits.get(name) else { continue };
        if request > limit {
            let at = document.tree().locate(&requests_path.key(name));
            let why = format!("must be less than or equal to {name} limit of {limit_text}");
            document.invalid_at(at, &requests_path, text, why);
        }
    }
    let get = |list: &BTreeMap<&str, (Quantity, &str)>, name| list.get(name).map(|(quantity, _)| *quantity);
    Resources {
        cpu_request_millis: get(&requests, "cpu").map(Quantity::millis),
        cpu_limit_millis: get(&limits, "cpu").map(Quantity::millis),
        memory_request: get(&requests, "memory").map(Quantity::units),
        memory_limit: get(&limits, "memory").map(Quantity::units),
        ..Resources::default()
    }
}

/// The quantities that are carried out, with their text.
fn amounts<'a>(
    list: Option<&'a List>,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> BTreeMap<&'a str, (Quantity, &'a str)> {
    let mut amounts = BTreeMap::new();
    for (name, resource::Quantity(text)) in list.into_iter().flatten() {
        let path = path.key(name);
        match Quantity::parse(text) {
            Ok(quantity) if is_supported(name) && !quantity.is_negative() => {
                amounts.insert(name.as_str(), (quantity, text.as_str()));
            }
            // A request that was made from its limit: what is wrong is reported at the limit.
            _ if document.tree().find(&path).is_none() => {}
            _ if !is_supported(name) => refuse(name, &path, document),
            Ok(_) => document.invalid(&path, text, "must be greater than or equal to 0"),
            Err(error) => document.invalid(&path, text, error),
        }
    }
    amounts
}

fn is_supported(name: &str) -> bool {
    name == "cpu" || name == "memory"
}

/// Kubernetes knows further resources, and takes any with a domain of its own in its name.
fn refuse(name: &str, path: &Path<'_>, document: &mut Document<'_, '_>) {
    let is_known = name.contains('/') || name == "ephemeral-storage" || name.starts_with("hugepages-");
    if !all_invalid(path, name, names::qualified_name(name), document) {
        return;
    }
    if is_known {
        document.not_yet(document.tree().locate(path), path);
    } else {
        document.invalid(path, name, "must be a standard resource type or fully qualified");
    }
}
