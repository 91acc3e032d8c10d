//! Requests and limits, of a container or of the pod as a whole.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as k8s;
use k8s_openapi::apimachinery::pkg::api::resource;

use super::{all_invalid, names};
use crate::pod::path::Path;
use crate::pod::quantity::Quantity;
use crate::pod::report::Document;
use crate::pod::spec::Resources;

/// Before the size of a page, in the name of a resource.
pub(super) const HUGE_PAGES: &str = "hugepages-";

type List = BTreeMap<String, resource::Quantity>;

/// Quantities that are carried out by the resource's name, with their text.
type Amounts<'a> = BTreeMap<&'a str, (Quantity, &'a str)>;

/// Whose resources they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// One container's.
    Container,
    /// The pod's (KEP-2837), which knows fewer kinds.
    Pod,
}

/// Checks requests, limits, and each against the other.
pub(super) fn check(
    resources: &k8s::ResourceRequirements,
    level: Level,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Resources {
    let requests_path = path.field("requests");
    let limits_path = path.field("limits");
    let limits = amounts(resources.limits.as_ref(), level, &limits_path, document);
    let requests = amounts(resources.requests.as_ref(), level, &requests_path, document);
    for (name, (request, text)) in &requests {
        // Huge pages cannot be promised twice.
        let is_huge = name.starts_with(HUGE_PAGES);
        let why = match limits.get(name) {
            Some((limit, limit_text)) if is_huge && request != limit => {
                format!("must be equal to {name} limit of {limit_text}")
            }
            Some((limit, limit_text)) if request > limit => {
                format!("must be less than or equal to {name} limit of {limit_text}")
            }
            None if is_huge && !given(resources.limits.as_ref(), name) => {
                document.required_for(&limits_path, "Limit must be set for non overcommitable resources");
                continue;
            }
            _ => continue,
        };
        let at = document.tree().locate(&requests_path.key(name));
        document.invalid_at(at, &requests_path, text, why);
    }
    let is_given = |wanted: fn(&str) -> bool| {
        let lists = resources.limits.iter().chain(&resources.requests);
        lists.flatten().any(|(name, _)| wanted(name))
    };
    if is_given(|name| name.starts_with(HUGE_PAGES)) && !is_given(|name| name == "cpu" || name == "memory") {
        document.forbidden(path, "HugePages require cpu or memory");
    }
    let get = |list: &Amounts<'_>, name| list.get(name).map(|(quantity, _)| *quantity);
    Resources {
        cpu_request_millis: get(&requests, "cpu").map(Quantity::millis),
        cpu_limit_millis: get(&limits, "cpu").map(Quantity::millis),
        memory_request: get(&requests, "memory").map(Quantity::units),
        memory_limit: get(&limits, "memory").map(Quantity::units),
        ephemeral_storage_request: get(&requests, "ephemeral-storage").map(Quantity::units),
        ephemeral_storage_limit: get(&limits, "ephemeral-storage").map(Quantity::units),
        hugepage_limits: limits
            .iter()
            .filter_map(|(name, (quantity, _))| Some((page_size(name)?, quantity.units())))
            .collect(),
    }
}

/// The quantities that are carried out.
fn amounts<'a>(
    list: Option<&'a List>,
    level: Level,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Amounts<'a> {
    let mut amounts = Amounts::new();
    for (name, resource::Quantity(text)) in list.into_iter().flatten() {
        let path = path.key(name);
        let is_supported = is_supported(name, level);
        match Quantity::parse(text) {
            Ok(quantity) if is_supported && !quantity.is_negative() && is_whole_pages(name, quantity) => {
                amounts.insert(name.as_str(), (quantity, text.as_str()));
            }
            // A request that was made from its limit: what is wrong is reported at the limit.
            _ if document.tree().find(&path).is_none() => {}
            _ if !is_supported => refuse(name, level, &path, document),
            Ok(quantity) if quantity.is_negative() => {
                document.invalid(&path, text, "must be greater than or equal to 0");
            }
            Ok(_) => {
                let why = format!("{text} is not positive integer multiple of {name}");
                document.invalid(&path, text, why);
            }
            Err(error) => document.invalid(&path, text, error),
        }
    }
    amounts
}

fn is_supported(name: &str, level: Level) -> bool {
    match name {
        "cpu" | "memory" => true,
        "ephemeral-storage" => level == Level::Container,
        _ => name.starts_with(HUGE_PAGES) && names::qualified_name(name).is_empty(),
    }
}

/// Kubernetes knows further resources, and takes any with a domain of its own in its name.
fn refuse(name: &str, level: Level, path: &Path<'_>, document: &mut Document<'_, '_>) {
    if !all_invalid(path, name, names::qualified_name(name), document) {
        return;
    }
    match level {
        _ if !name.contains('/') && name != "ephemeral-storage" => {
            document.invalid(path, name, "must be a standard resource type or fully qualified");
        }
        Level::Container => document.not_yet(document.tree().locate(path), path),
        Level::Pod => document.unsupported(path, name, &["cpu", HUGE_PAGES, "memory"]),
    }
}

fn given(list: Option<&List>, name: &str) -> bool {
    list.is_some_and(|list| list.contains_key(name))
}

/// True of everything but huge pages.
fn is_whole_pages(name: &str, quantity: Quantity) -> bool {
    !name.starts_with(HUGE_PAGES) || page_size(name).is_some_and(|size| quantity.units().is_multiple_of(size))
}

/// The size of the huge pages that the resource's name tells of, bytes.
pub(super) fn page_size(name: &str) -> Option<u64> {
    let size = Quantity::parse(name.strip_prefix(HUGE_PAGES)?).ok()?;
    Some(size.units()).filter(|&bytes| bytes > 0 && size.is_whole())
}
